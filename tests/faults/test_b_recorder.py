"""Groups B, D and E on the recorder alone: killed, forked, threaded, out of descriptors, run for long."""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
from pathlib import Path

import pytest
from trainbottleneck.agent import kinds, stalls
from trainbottleneck.agent.hooks import Hooks
from trainbottleneck.agent.recorder import Recorder
from trainbottleneck.cli import main
from trainbottleneck.model.span import Kind
from trainbottleneck.store import load

from .recordings import command, new_run, record
from .runs import finish, start

_FLUSH_NS = 250_000_000  # agent/recorder.py: what a SIGKILL may cost
_SCHEDULING_NS = 2_000_000_000  # between the clock reading and the write: a crowded machine, not the recorder


def test_b1_a_record_survives_sigkill_at_any_moment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twenty recorders, each killed when a number of steps drawn by chance is reached."""
    chance = random.Random(1)
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        run = new_run(folder)
        process = start(command(run, "forever"), folder)
        assert process.stdout is not None
        for _ in range(chance.randrange(1, 400)):
            process.stdout.readline()
        process.kill()
        rest = finish(process)
        assert rest.code == -signal.SIGKILL
        told = [int(line) for line in rest.out.split(b"\n")[:-1]]
        found = load(run)
        last = int(found.processes[0].spans.end_ns.max()) if found.processes else 0
        if found.processes and told:
            assert told[-1] - last < _FLUSH_NS + _SCHEDULING_NS
        main(["report", "--quiet", str(run)])  # returns: exit code 0
        assert (run / "report.html").exists()
    assert "Traceback" not in capsys.readouterr().err


def test_b9_d5_failing_writes_end_the_recording_and_nothing_else(tmp_path: Path) -> None:
    done = record(tmp_path, "failing_writes")
    assert (done.code, done.out, done.err) == (0, b"still here\n", "")
    assert done.run is not None
    found = load(done.run)
    assert int((found.processes[0].spans.kind == Kind.OPTIMIZER).sum()) == 1
    assert [f.collector for f in found.failures] == ["recorder"]
    assert "Input/output error" in found.failures[0].reason


def test_b_no_byte_of_ours_gets_into_files_opened_under_our_number(tmp_path: Path) -> None:
    done = record(tmp_path, "own_files")
    assert done.code == 0 and done.run is not None
    files = sorted((tmp_path / "work").glob("own-*"))
    assert len(files) == 20
    assert {file.read_bytes() for file in files} == {b"mine"}
    assert "closed our file" in load(done.run).failures[0].reason


def test_a18_our_file_never_has_the_number_of_a_standard_stream(tmp_path: Path) -> None:
    done = record(tmp_path, "closed_streams")
    assert done.code == 0
    assert int(done.err) > 2


def test_d3_a_process_id_that_comes_again_gets_a_file_of_its_own(tmp_path: Path) -> None:
    done = record(tmp_path, "folders")
    assert done.code == 0 and done.run is not None
    found = load(done.run)
    assert len(found.processes) == 2
    assert len({p.pid for p in found.processes}) == 1 and len({p.key for p in found.processes}) == 2


def test_d4_children_forked_while_a_thread_records_neither_hang_nor_write_the_parents_spans(
    tmp_path: Path,
) -> None:
    done = record(tmp_path, "forks")
    assert done.code == 0, done.err
    assert done.out.split() == [b"0"] * 60
    assert done.run is not None
    found = load(done.run)
    steps = {p.pid: int((p.spans.kind == Kind.OPTIMIZER).sum()) for p in found.processes}
    parent = {p.ppid for p in found.processes} & set(steps)
    assert len(parent) == 1 and len(steps) == 61
    assert all(count == 3 for pid, count in steps.items() if pid not in parent)
    assert not any(p.damage for p in found.processes)


def test_d5_a_thousand_threads_are_numbered_within_bounds(tmp_path: Path) -> None:
    done = record(tmp_path, "threads")
    assert done.code == 0 and done.run is not None
    assert int(done.out) <= 4096
    spans = load(done.run).processes[0].spans
    assert int((spans.kind == Kind.OPTIMIZER).sum()) == 1000
    assert 1 <= len(set(spans.thread.tolist())) <= 1000


@pytest.mark.slow
def test_e5_a_long_run_stays_within_its_bounds_on_disk_and_in_memory(tmp_path: Path) -> None:
    """A million spans, and a new name for every step, which no sane script has."""
    done = record(tmp_path, "soak")
    assert done.code == 0 and done.run is not None
    size = sum(os.path.getsize(path) for path in done.run.glob("p*/trace.bin"))  # noqa: PTH202
    assert (24 << 20) < size < (40 << 20), "beyond 24 MiB a fraction is kept: 64 MiB hold 10^6 steps"
    assert int(done.out) < 32 << 20
    record_read = load(done.run).processes[0]
    gaps = record_read.spans.of(Kind.GAP)
    kept = int((record_read.spans.kind == Kind.OPTIMIZER).sum())
    assert kept + int(gaps.a.sum()) == pytest.approx(200_001, abs=1024), "what was dropped is counted"
    assert len(record_read.spans.names) <= 10_000


def test_a_collection_in_the_middle_of_an_import_writes_and_imports_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cpython issue 106176: an import within an import lock's own lines breaks the outer one with a KeyError."""
    hooks, flushed = Hooks(), []
    recorder = Recorder(str(tmp_path), hooks, dict)
    recorder.at_flush.append(lambda: flushed.append(True))
    monkeypatch.setattr(stalls, "_GC_NS", 0)
    stalls._listen_to_gc(hooks, recorder)
    try:
        recorder.due = 0  # long ago: the next span writes everything
        gc.collect()
        assert recorder.held and not flushed and not list(tmp_path.iterdir())
        recorder.span(kinds.PAUSE, 1, 2)
        assert flushed and recorder.spans >= 2
    finally:
        hooks.undo()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="later versions count objects otherwise")
def test_collections_that_somebody_asked_for_are_told_from_the_interpreters_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks, recorder, before = Hooks(), Recorder(str(tmp_path), Hooks(), dict), gc.get_threshold()
    monkeypatch.setattr(stalls, "_GC_NS", 0)
    gc.freeze()  # the interpreter looks at all objects once those that are new are a quarter of the old ones
    gc.collect()
    stalls._listen_to_gc(hooks, recorder)
    try:
        gc.set_threshold(20, 2, 2)
        kept = [{number: [number]} for number in range(2000)]
        own, recorder.held = recorder.held, []
        gc.set_threshold(100_000, 50, 50)
        kept.append({0: [gc.collect()]})
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        hooks.undo()
    rows = [held[at + 6 : at + 8] for held in (own, recorder.held) for at in range(0, len(held), 8)]
    assert rows.count([2, 1]) >= 1 and rows.count([2, 2]) == 1
    assert rows[-1] == [2, 2] and all(row in ([0, 0], [1, 0], [2, 1]) for row in rows[:-1])


def test_what_is_held_is_bounded(tmp_path: Path) -> None:
    recorder = Recorder(str(tmp_path), Hooks(), dict)
    for _ in range(5_000):
        recorder.hold(kinds.GC, 1, 2)
    assert len(recorder.held) <= 8 * 1024
