"""Which samples outside all hooks write logs."""

from __future__ import annotations

import pytest
from trainbottleneck.analyze.stacks import is_logging
from trainbottleneck.model.record import StackCount

LOOP = ("main", "/home/me/train.py", 40)


def sample(source: str = "", *frames: tuple[str, str, int]) -> StackCount:
    """Return a sample in the user's own code at a line that reads ``source``."""
    return StackCount(pid=1, thread="MainThread", frames=(LOOP, *frames), count=1, source=source)


@pytest.mark.parametrize(
    "source",
    [
        "print(step, loss)",
        "log_metrics(step, loss)",
        "logger.info('step %d', step)",
        "wandb.log({'loss': loss})",
        "self.log('loss', loss)",
        "self.log_dict(found)",
        "writer.add_scalar('loss', loss, step)",
        "file.write(line)",
        "json.dump(row, file)",
    ],
)
def test_calls_that_log(source: str) -> None:
    assert is_logging(sample(source), ())


@pytest.mark.parametrize(
    "source",
    [
        "loss = -torch.log(found).mean()",
        "found = functional.log_softmax(out, dim=1)",
        "found = log_softmax(out, dim=1)",
        "return math.log(step + 1)",
        "score = log(found)",
        "ratio = self.log_prob(action) - old",
        "total = torch.logsumexp(out, 1)",
        "pickle.dump(state, file)",
        "blueprint(x)",
    ],
)
def test_arithmetic_and_saving_are_no_logging(source: str) -> None:
    assert not is_logging(sample(source), ())


def test_a_function_is_logging_by_its_name_where_that_says_so() -> None:
    assert is_logging(sample("", ("log_histograms", "/home/me/train.py", 9)), ())
    assert is_logging(sample("", ("log_details", "/home/me/train.py", 9)), ())
    assert is_logging(sample("", ("_log", "/home/me/train.py", 9)), ())
    assert is_logging(sample("os.fsync(self.file)", ("Log.write", "/home/me/train.py", 9)), ())
    assert is_logging(sample("", ("MetricLogger.update", "/home/me/train.py", 9)), ())
    assert not is_logging(sample("", ("LoggingTrainer.step", "/home/me/train.py", 9)), ())
    assert not is_logging(sample("", ("Catalog.find", "/home/me/train.py", 9)), ())
    assert not is_logging(sample("", ("log_prob", "/home/me/train.py", 9)), ())
    assert not is_logging(sample("", ("_log_likelihood", "/home/me/train.py", 9)), ())
    assert not is_logging(sample("", ("report", "/home/me/train.py", 9)), ())
    assert is_logging(sample("", ("emit", "/usr/lib/python3/logging/__init__.py", 9)), ("/usr/lib",))
