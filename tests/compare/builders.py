"""Runs for comparisons, from plain values: reports, facts, and run folders on disk."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analyze.records import Loop
from trainbottleneck.agent import kinds
from trainbottleneck.analyze.logged import Logged
from trainbottleneck.compare.facts import Facts
from trainbottleneck.compare.sides import Group
from trainbottleneck.model.comparison import Estimate
from trainbottleneck.model.finding import Finding
from trainbottleneck.model.report import PhaseShare, Report, StepSummary, Verdict
from trainbottleneck.model.span import Kind


def report(
    step_s: float = 0.1,
    *,
    phases: Mapping[str, float] | None = None,
    findings: Sequence[Finding] = (),
    run: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    efficiency: Mapping[str, Any] | None = None,
    ceilings: Sequence[Mapping[str, Any]] = (),
    steps: int = 200,
    **values: float,
) -> Report:
    """Return a report; in ``values`` two underscores stand for the dot of a measurement's id."""
    parts = phases or {"forward": step_s}
    return Report(
        verdict=Verdict(
            bottleneck=None,
            family=None,
            state="healthy",
            result="OK",
            share=None,
            share_basis="phase",
            ceiling_speedup=None,
            confidence="high",
            headline="",
        ),
        step=StepSummary(
            count=steps,
            seen=steps,
            excluded={},
            seconds={"mean": step_s, "median": step_s},
            phases=tuple(
                PhaseShare(phase=name, seconds=seconds, share=seconds / step_s)
                for name, seconds in parts.items()
            ),
            definition="one step",
        ),
        findings=tuple(findings),
        mitigations=(),
        rejected=(),
        not_evaluated=(),
        ceilings=tuple(ceilings),
        efficiency=efficiency or {},
        environment=environment or {},
        run=run or {},
        measurements={name.replace("__", ".", 1): {"value": value} for name, value in values.items()},
    )


def facts(
    made: Report, *, error: float | None = None, logged: Mapping[str, Logged] | None = None, name: str = "run"
) -> Facts:
    """Return the facts of a run with that report; ``error`` is the relative error its steps give."""
    assert made.step is not None

    def known(value: float) -> Estimate:
        return Estimate(value=value, error=None if error is None else error * value, degrees=20)

    return Facts(
        name=name,
        report=made,
        step=known(made.step.seconds["mean"]),
        phases={part.phase: known(part.seconds) for part in made.step.phases},
        logged=logged,
    )


def group(letter: str, *runs: Facts) -> Group:
    """Return runs as one side."""
    return Group(letter=letter, name=f"runs/{letter}", facts=runs)


def finding(
    rule: str, state: str = "fires", share: float | None = 0.3, missing: Sequence[str] = ()
) -> Finding:
    """Return what a rule says."""
    return Finding(
        rule=rule,
        bottleneck="dataloader",
        family="input",
        state=state,  # type: ignore[arg-type]
        title=f"The {rule} is slow",
        share=share if state == "fires" else None,
        missing=tuple(missing),
    )


def log(loop: Loop, name: str, value: float, step: int = -1, flags: int = 0) -> None:
    """Let a loop log a number."""
    bits = struct.unpack("<q", struct.pack("<d", value))[0]
    loop.span(Kind.METRIC, 0.0, name=name, a=bits, b=step, flags=flags)


def write_run(
    folder: Path, loop: Loop, *, argv: Sequence[str] = ("python", "train.py"), schema: int = 1
) -> Path:
    """Write a run folder with one process that ran ``loop``; return it."""
    process = folder / "p100-0"
    process.mkdir(parents=True)
    header = {"pid": 100, "ppid": 1, "host": "here", "monotonic_ns": 0, "torch": "2.6.0", "python": "3.11.9"}
    events = [{"kind": "header", "time_ns": 0, "data": header}]
    events += [{"kind": e.kind, "time_ns": e.time_ns, "data": dict(e.data)} for e in loop.events]
    data = b"".join(_block(kinds.BLOCK_EVENT, json.dumps(event).encode()) for event in events)
    data += b"".join(
        _block(kinds.BLOCK_NAME, struct.pack("<I", at) + name.encode()) for at, name in enumerate(loop.names)
    )
    rows = [struct.pack(kinds.SPAN, *row) for row in loop.rows]
    data += b"".join(
        _block(kinds.BLOCK_SPANS, b"".join(rows[at : at + 500])) for at in range(0, len(rows), 500)
    )
    (process / "trace.bin").write_bytes(data)
    run = {
        "schema": schema,
        "run_id": folder.name,
        "command": {"argv": list(argv), "script": "train.py"},
        "environment": {"cpu": {"usable_cores": 4, "model": "a processor"}},
        "outcome": {"exit_code": 0, "start_ns": 0, "end_ns": loop.now},
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder


def _block(kind: int, payload: bytes) -> bytes:
    """Return one block as the agent writes it."""
    return struct.pack(kinds.BLOCK, kinds.MAGIC, kind, len(payload), zlib.crc32(payload)) + payload
