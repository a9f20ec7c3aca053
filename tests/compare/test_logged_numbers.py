"""What the agent notes of the numbers a script logs."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import numpy as np
import pytest
from trainbottleneck.agent import kinds
from trainbottleneck.agent.hooks import Hooks
from trainbottleneck.agent.metrics import READERS, Metrics, _table, _trainer


class _Device:
    """Where a tensor lies."""

    def __init__(self, kind: str) -> None:
        """Lie on ``kind``."""
        self.type = kind


class _Tensor:
    """As much of a tensor as is asked for; reading one on a device is an error."""

    def __init__(self, value: float, device: str = "cpu", size: int = 1) -> None:
        """Hold ``value``."""
        self.value, self.device, self.size = value, _Device(device), size

    def numel(self) -> int:
        """Return how many numbers it holds."""
        return self.size

    def is_complex(self) -> bool:
        """Return False."""
        return False

    def detach(self) -> _Tensor:
        """Return itself."""
        return self

    def item(self) -> float:
        """Return the number; the host would wait for a device."""
        assert self.device.type == "cpu" and self.size == 1
        return self.value


class _Torch:
    """As much of torch as is asked for."""

    Tensor = _Tensor

    class nn:
        """Its modules."""

        class Parameter(_Tensor):
            """A parameter."""


class _Recorder:
    """Keeps spans as (name, value, step, flags)."""

    def __init__(self) -> None:
        """Start empty."""
        self.names = [""]
        self.rows: list[tuple[str, float, int, int]] = []
        self.events: list[dict[str, Any]] = []
        self.failures = 0

    def name(self, text: str) -> int:
        """Return the number of a name."""
        if text not in self.names:
            self.names.append(text)
        return self.names.index(text)

    def span(self, kind: int, start: int, end: int, flags: int, name: int, a: int, b: int) -> None:
        """Keep one span."""
        assert kind == kinds.METRIC and start == end
        self.rows.append((self.names[name], struct.unpack("<d", struct.pack("<q", a))[0], b, flags))

    def event(self, kind: str, **data: Any) -> None:
        """Keep one event."""
        self.events.append({"kind": kind, **data})

    def failed(self, hook: str, error: Exception) -> bool:
        """Count one failure; the second ends it."""
        self.failures += 1
        return self.failures > 1

    def flush(self) -> None:
        """Do nothing."""


@pytest.fixture
def recorder() -> _Recorder:
    """Return a recorder."""
    return _Recorder()


@pytest.fixture
def metrics(recorder: _Recorder) -> Metrics:
    """Return what notes numbers, with that recorder."""
    return Metrics(_Torch, recorder)  # type: ignore[arg-type]


def _scalar(metrics: Metrics, *args: Any, **kwargs: Any) -> None:
    """Log as TensorBoard does."""
    metrics.note(READERS["SummaryWriter.add_scalar"], (None, *args), kwargs)


@pytest.mark.parametrize(
    "value", [0.5, 1, np.float32(0.5), np.int64(3), np.array([0.5]), _Tensor(0.5), _Torch.nn.Parameter(0.5)]
)
def test_plain_numbers_are_noted(metrics: Metrics, recorder: _Recorder, value: Any) -> None:
    _scalar(metrics, "loss", value, 7)
    expected = value.value if isinstance(value, _Tensor) else float(np.asarray(value).reshape(()))
    assert recorder.rows == [("loss", expected, 7, 0)]


@pytest.mark.parametrize(
    "value",
    [None, True, "0.5", [0.5], np.array([1.0, 2.0]), np.bool_(True), _Tensor(0.5, size=2), 10**400, 1j],
)
def test_what_is_no_number_is_passed_over(metrics: Metrics, recorder: _Recorder, value: Any) -> None:
    _scalar(metrics, "loss", value)
    assert recorder.rows == [] and recorder.failures == 0


def test_a_tensor_on_a_device_is_never_read(metrics: Metrics, recorder: _Recorder) -> None:
    _scalar(metrics, "loss", _Tensor(0.5, "cuda"), 3)
    assert recorder.rows == [("loss", 0.0, 3, kinds.UNREAD)] and recorder.failures == 0


@pytest.mark.parametrize(
    ("label", "args", "kwargs", "rows"),
    [
        ("SummaryWriter.add_scalar", (), {"tag": "a", "scalar_value": 1.0}, [("a", 1.0, -1, 0)]),
        (
            "SummaryWriter.add_scalars",
            ("m", {"a": 1.0, "b": 2.0}, 4),
            {},
            [("m/a", 1.0, 4, 0), ("m/b", 2.0, 4, 0)],
        ),
        (
            "Run.log",
            ({"a": 1.0, "t": {"b": 2.0}, "s": "x"},),
            {"step": 5},
            [("a", 1.0, 5, 0), ("t.b", 2.0, 5, 0)],
        ),
        ("MlflowClient.log_metric", ("id", "a", 1.0, 0, 6), {}, [("a", 1.0, 6, 0)]),
    ],
)
def test_every_logger_is_understood(
    metrics: Metrics, recorder: _Recorder, label: str, args: Any, kwargs: Any, rows: Any
) -> None:
    metrics.note(READERS[label], (None, *args), kwargs)
    assert recorder.rows == rows


def test_lightnings_files_and_the_trainer_of_transformers_are_understood(
    metrics: Metrics, recorder: _Recorder
) -> None:
    class Trainer:
        class state:
            global_step = 9

    metrics.note(_table, (None, {"loss": 1.0}), {"step": 2})
    metrics.note(_trainer, (Trainer(), {"eval_loss": 0.5}), {})
    assert recorder.rows == [("loss", 1.0, 2, 0), ("eval_loss", 0.5, 9, 0)]


def test_many_values_leave_a_few_thousand_and_the_last(metrics: Metrics, recorder: _Recorder) -> None:
    for at in range(30_001):
        _scalar(metrics, "loss", float(at), at)
    metrics.finish()
    steps = [row[2] for row in recorder.rows]
    assert 1_500 < len(steps) < 3_000
    assert steps[:1000] == list(range(1000)) and steps[-1] == 30_000
    assert steps == sorted(set(steps))
    # a run that is killed has lost at most a fiftieth of what it had logged
    assert all(after - before <= max(1, after / 50) for before, after in itertools.pairwise(steps))


def test_names_are_bounded_and_that_is_told_once(metrics: Metrics, recorder: _Recorder) -> None:
    for at in range(500):
        _scalar(metrics, f"name{at}", 1.0)
    assert len(recorder.rows) == 128
    assert [event["collector"] for event in recorder.events] == ["metrics"]


def test_nothing_is_kept_of_what_was_logged(metrics: Metrics) -> None:
    import gc
    import weakref

    tensor = _Tensor(0.5)
    alive = weakref.ref(tensor)
    _scalar(metrics, "loss", tensor)
    del tensor
    gc.collect()
    assert alive() is None


def test_a_call_that_is_not_as_expected_does_not_reach_the_script(
    metrics: Metrics, recorder: _Recorder
) -> None:
    for _ in range(5):
        metrics.note(_trainer, (object(), {"a": 1.0}), {})
    assert recorder.failures == 2  # the second failure switched it off


def test_listening_calls_the_original_once_and_can_be_undone(metrics: Metrics, recorder: _Recorder) -> None:
    class Writer:
        calls = 0

        def log_metrics(self, metrics_dict: dict[str, float], step: int | None = None) -> str:
            """Count the call."""
            Writer.calls += 1
            return "logged"

    hooks, original = Hooks(), Writer.log_metrics
    metrics._listen(Writer, ("_ExperimentWriter", "log_metrics", _table), hooks)
    assert Writer().log_metrics({"acc": 0.25}, step=3) == "logged"
    assert Writer.calls == 1 and recorder.rows == [("acc", 0.25, 3, 0)]
    hooks.undo()
    assert Writer.log_metrics is original
