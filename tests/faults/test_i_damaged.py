"""Group I: damaged, foreign and hostile records end in a report or in one line, within seconds."""

from __future__ import annotations

import json
import random
import signal
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from trainbottleneck import rulebook
from trainbottleneck.cli import main


@pytest.fixture(autouse=True)
def _rules_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the rules takes longer than a report, and there are hundreds of reports here."""
    monkeypatch.setattr(rulebook, "load", lambda folders: _BOOK)


_BOOK = rulebook.load([rulebook.shipped()])


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """Fail where the block takes longer."""

    def late(number: int, frame: object) -> None:
        raise TimeoutError(f"longer than {seconds} s")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def _report(run: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return exit code and stderr of ``report`` on ``run``; whatever else it raises fails the test."""
    code = 0
    with _within(10):
        try:
            main(["report", str(run)])
        except SystemExit as ended:
            code = int(ended.code or 0)
    told = capsys.readouterr().err
    assert code in (0, 2)
    if code == 2:
        assert told.count("\n") == 1 and told.startswith("bottleneck: "), told
    else:
        assert (run / "report.html").exists()
    return code, told


def _trace(run: Path) -> Path:
    """Return the largest trace: the training process's."""
    return max(run.glob("p*/trace.bin"), key=lambda path: path.stat().st_size)


def _files(run: Path) -> list[Path]:
    """Return what a report is made from."""
    return [_trace(run), run / "run.json", run / "system.jsonl", *run.glob("stacks-*.json")]


def test_i1_records_cut_anywhere_are_read_as_far_as_they_go(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(2)
    for path in _files(run):
        whole = path.read_bytes()
        for length in sorted({0, 1, 10, 15, 16, 17, *chance.sample(range(len(whole)), 5)}, reverse=True):
            path.write_bytes(whole[:length])
            code, _ = _report(run, capsys)
            assert code == 0 or path.name == "run.json"
        path.write_bytes(whole)
    assert _report(run, capsys)[0] == 0


def test_i1_flipped_bits_and_garbage_are_left_out(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(3)
    for path in _files(run):
        whole = path.read_bytes()
        for _ in range(8):
            damaged = bytearray(whole)
            for _ in range(chance.choice((1, 30, 1000))):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            _report(run, capsys)
        for garbage in (
            bytes(1 << 20),
            chance.randbytes(1 << 16),
            b"TBK1" * 50_000,
            b"[" * 100_000,
            b"\xff" * 9,
        ):
            path.write_bytes(garbage)
            _report(run, capsys)
        path.write_bytes(whole)


def test_i1_a_gigabyte_of_zeros_is_no_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sparse files: nothing of that size is written, but all of it would be read."""
    for path in _files(run):
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(1 << 30)
        _report(run, capsys)
        path.write_bytes(whole)


def _block(kind: int, payload: bytes) -> bytes:
    """Return a block as the agent writes them, checksum and all."""
    return struct.pack("<4sB3xII", b"TBK1", kind, len(payload), zlib.crc32(payload)) + payload


def test_i2_well_formed_blocks_with_absurd_content_do_no_harm(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, most, least = _trace(run), 2**63 - 1, -(2**63)
    spans = [
        struct.pack("<qqBBHIqq", start, end, kind, 255, 65535, 2**32 - 1, most, least)
        for kind in (*range(30), 255)
        for start, end in ((0, most), (least, most), (least, least), (most, most), (5, 4), (0, 0))
    ]
    events = [{"kind": kind, "time_ns": 0, "data": data} for kind, data in (
        ("header", {"pid": "x", "ppid": None, "ranks": {"RANK": "one"}, "monotonic_ns": "soon", "span_cost_ns": {}}),
        ("loader", {"number": "x", "workers": [], "batch_size": {}, "dataset": 5}),
        ("optimizer", {"number": {}, "parameters": "many", "name": None}),
        ("model", {"classes": [1, 2], "modules": "x", "name": {}}), ("operators", {"nodes": None}),
        ("torch", {"threads": "all"}), ("failure", {}), ("stop", {"steps": []}), ("", {}),
    )]  # fmt: skip
    blocks = [_block(1, b"".join(spans)), _block(1, b"x" * 39), _block(2, b""), _block(2, b"\xff" * 400)]
    blocks += [_block(3, json.dumps(event).encode()) for event in events] + [_block(77, b"of the future")]
    whole = path.read_bytes()
    for text in (*blocks, b"".join(blocks)):
        path.write_bytes(whole + text)
        _report(run, capsys)
    for damaged in (b"".join(blocks), b"".join(blocks) + whole):
        path.write_bytes(damaged)
        _report(run, capsys)


ODD: tuple[Any, ...] = (None, True, -1, 1e300, "text", [], [None], {}, {"x": {"y": [1]}}, 2**70, "\udcff")


@pytest.mark.parametrize(
    "key", ["run_id", "tool_version", "started", "command", "environment", "outcome", "failures", "overhead"]
)
def test_i2_a_run_file_with_wrong_or_missing_fields_is_read_or_refused(
    run: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    path = run / "run.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    odd = [{**whole, key: value} for value in ODD] + [{k: v for k, v in whole.items() if k != key}]
    if isinstance(whole[key], dict):
        odd += [{**whole, key: {**whole[key], inner: value}} for inner in whole[key] for value in ODD[::3]]
        odd += [{**whole, key: dict.fromkeys(whole[key], value)} for value in ODD]
    for changed in odd:
        path.write_text(json.dumps(changed), encoding="utf-8")
        _report(run, capsys)


def test_i2_newer_schemas_are_refused_and_unknown_fields_ignored(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "run.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**whole, "schema": 99}), encoding="utf-8")
    code, told = _report(run, capsys)
    assert code == 2 and "schema 99" in told and "upgrade" in told
    path.write_text(json.dumps({**whole, "of the future": {"deep": [1]}}), encoding="utf-8")
    assert _report(run, capsys)[0] == 0
    for schema in (None, "1", True, 1.5, 0, -1, []):
        path.write_text(json.dumps({**whole, "schema": schema}), encoding="utf-8")
        assert _report(run, capsys)[0] == 2, schema
    path.write_text('{"schema": 1, "x": ' + "[" * 10_000 + "]" * 10_000 + "}", encoding="utf-8")
    _report(run, capsys)


def test_i9_numbers_that_are_none_do_not_reach_the_json(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (run / "run.json").read_text(encoding="utf-8")
    for odd in ("NaN", "Infinity", "-Infinity", "1e400", "-0.0"):
        changed = text.replace('"overhead": {', f'"overhead": {{ "odd": {odd},').replace(
            '"cores": ', f'"cores": {odd}, "old": '
        )
        (run / "run.json").write_text(changed, encoding="utf-8")
        if _report(run, capsys)[0] == 0:
            json.loads((run / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_i7_pickles_and_links_are_not_followed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    _trace(run).rename(outside / "trace.bin")
    (run / "p1-link").symlink_to(outside)
    code, _ = _report(run, capsys)
    assert code == 0
    assert json.loads((run / "report.json").read_text(encoding="utf-8"))["step"] is None
    (run / "run.json").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch pwned'\ntR.")
    assert _report(run, capsys)[0] == 2
