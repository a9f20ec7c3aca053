"""Group A: a training under us computes, prints, writes and fails as it does under plain Python."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest
from trainbottleneck.model.span import Kind
from trainbottleneck.store import load

from .runs import Ran, alike, diagnose, plain, write

SCRIPTS = Path(__file__).parent / "scripts"


def _text(name: str) -> str:
    """Return one of the scripts."""
    return (SCRIPTS / name).read_text(encoding="utf-8")


def _without_process_ids(text: str) -> str:
    """Drop time and process ids from the lines that torch's own profiler writes."""
    return re.sub(r"USDT:\S+ \S+ \d+:\d+", "USDT:", text)


@pytest.mark.slow
def test_a5_to_a14_a_script_that_uses_everything_sees_no_difference(tmp_path: Path) -> None:
    """Losses bit for bit, random state, files, own profilers and signals, threads, workers and their errors."""
    found = alike(
        tmp_path, {"train.py": _text("everything.py")}, ["train.py", "-o", "x"], clean=_without_process_ids
    )
    assert found.code == 0 and found.run is not None
    assert "trainbottleneck" not in (tmp_path / "work" / "model.pt").read_bytes().decode("latin-1")
    assert b"trainbottleneck" not in (tmp_path / "work" / "model.pickle").read_bytes()
    assert found.report["step"]["seen"] > 100, "the comparison means nothing if nothing was measured"
    assert not (found.run / "agent-errors.log").exists()


@pytest.mark.slow
def test_a14_compilation_breaks_no_other_graphs_and_compiles_no_oftener(tmp_path: Path) -> None:
    found = alike(tmp_path, {"train.py": _text("compiled.py")}, ["train.py"])
    assert found.out.count(b"'graph_break'") == 5
    assert found.report["step"]["seen"] > 20


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Ran]:
    """Return a training that fails, under plain Python and under us."""
    work = tmp_path_factory.mktemp("failing") / "work"
    work.mkdir()
    (work / "train.py").write_text(_text("failing.py"), encoding="utf-8")
    return plain(["train.py", "caught"], work), diagnose(["train.py", "caught"], work)


@pytest.mark.slow
def test_a4_a12_uncaught_errors_in_threads_workers_and_backward_read_as_without_us(
    failing: tuple[Ran, Ran],
) -> None:
    expected, found = failing
    assert found.code == expected.code == 1
    split = "Exception in thread"
    assert found.err.partition(split)[2] == expected.err.partition(split)[2] != ""
    assert found.report["verdict"]["result"] == "FAILED"
    assert found.report["run"]["status"] == "partial"


@pytest.mark.slow
@pytest.mark.xfail(
    strict=True,
    reason="Python adds the frames of a wrapper while the error passes it: a traceback that the script prints "
    "itself shows ours; only what Python prints (excepthook, thread and worker errors) can be stripped",
)
def test_a4_a_traceback_that_the_script_prints_itself_has_no_frame_of_ours(failing: tuple[Ran, Ran]) -> None:
    expected, found = failing
    assert found.err == expected.err


@pytest.mark.slow
def test_moving_the_wrapper_to_the_outermost_classes_is_not_noticed(tmp_path: Path) -> None:
    """torch.fx, TorchScript, pickling by reference and by value, copies and Dynamo find what they find without us."""
    found = alike(tmp_path, {"train.py": _text("outermost.py")}, ["train.py"])
    assert found.code == 0


@pytest.mark.slow
def test_outermost_calls_are_counted_exactly_after_the_wrapper_moved(tmp_path: Path) -> None:
    work = write(tmp_path, {"train.py": _text("outermost.py")})
    found = diagnose(["train.py", "count"], work, {"SHOW": "1"})
    assert b"moved True True" in found.out
    calls = ast.literal_eval(found.out.decode().rsplit("calls ", 1)[1])
    assert found.run is not None and calls["Late"] == 3
    seen: Counter[str] = Counter()
    for process in load(found.run).processes:
        forward = process.spans.where(process.spans.kind == Kind.FORWARD)
        seen.update(process.spans.names[number] for number in forward.name.tolist())
    assert {name: seen[name] for name in calls} == calls
