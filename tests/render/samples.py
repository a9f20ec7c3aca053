"""Reports as real runs give them: augmentation in the training process, a healthy run, too few steps."""

from __future__ import annotations

import math
from typing import Any

from trainbottleneck.model.finding import Interval
from trainbottleneck.model.report import (
    AccountLine,
    PhaseShare,
    Report,
    StepSummary,
    Unmeasured,
    Verdict,
)

from .sample_findings import ADVICE, FINDINGS, REJECTED


def _step_series() -> list[dict[str, Any]]:
    """Return 320 steps around 83 ms with warm-up, slow batches and a checkpoint."""
    rows = []
    for index in range(320):
        wait = 0.058 * (1 + 0.06 * math.sin(index / 9) + 0.04 * math.sin(index * 1.7))
        parts = {
            "data_wait": wait,
            "forward": 0.0082,
            "backward": 0.0118,
            "optimizer": 0.0018,
            "logging": 0.0025,
        }
        if index < 6:
            parts["forward"] *= 3.5 - index / 2
        if index % 150 == 149:
            parts["checkpoint"] = 0.31
        total = sum(parts.values()) * 1.01
        rows.append({"index": index, "seconds": round(total, 6), "phases": parts})
    return rows


def _flame() -> dict[str, Any]:
    """Return a tree of stacks of the training process."""

    def node(name: str, value: int, *children: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "value": value, "children": list(children)}

    rotate = node(
        "rotate (torchvision/transforms/functional.py:1139)", 260, node("transform (PIL/Image.py:2824)", 214)
    )
    decode = node("decode (data.py:33)", 88, node("load (PIL/ImageFile.py:270)", 81))
    augment = node("__call__ (data.py:41)", 301, rotate, node("pad (data.py:44)", 32))
    batch = node(
        "fetch (torch/utils/data/_utils/fetch.py:54)",
        452,
        augment,
        decode,
        node("collate (collate.py:398)", 40),
    )
    engine = node("run_backward (torch/autograd/graph.py:824)", 92)
    model = node("_call_impl (torch/nn/modules/module.py:1784)", 66, node("forward (model.py:18)", 64))
    loop = node(
        "train (train.py:57)",
        632,
        node("__next__ (torch/utils/data/dataloader.py:733)", 455, batch),
        engine,
        model,
        node("step (torch/optim/adamw.py:236)", 15),
    )
    return node("main (train.py:80)", 640, loop)


def rich() -> Report:
    """Return the report of a run that waits for Python augmentation 71 % of its time."""
    phases = (
        PhaseShare(phase="data_wait", seconds=0.0589, share=0.71),
        PhaseShare(phase="forward", seconds=0.0082, share=0.099),
        PhaseShare(phase="backward", seconds=0.0118, share=0.142),
        PhaseShare(phase="optimizer", seconds=0.0018, share=0.022),
        PhaseShare(phase="logging", seconds=0.0015, share=0.018),
        PhaseShare(
            phase="other",
            seconds=0.0008,
            share=0.009,
            made_of=(("accuracy (train.py:61)", 0.006), ("update (tqdm/std.py:1242)", 0.002)),
        ),
    )
    return Report(
        verdict=Verdict(
            bottleneck="cpu_preprocessing",
            family="input",
            state="bottleneck",
            result="OK",
            share=0.71,
            share_basis="simulation",
            ceiling_speedup=Interval(low=3.2, likely=3.45, high=3.7),
            confidence="high",
            headline="Training waits for data 71 % of the time: `RandomRotation` in `data.py:41` costs "
            "1.2 ms per sample on one core. With 6 workers a step would take about 24 ms instead of 83 ms.",
        ),
        step=StepSummary(
            count=214,
            seen=320,
            excluded={
                "warm-up": 21,
                "deep window": 5,
                "disturbed by checkpoints": 2,
                "after the last batch": 78,
            },
            seconds={
                "median": 0.0829,
                "mean": 0.083,
                "p05": 0.0771,
                "p95": 0.0894,
                "min": 0.0752,
                "max": 0.391,
            },
            phases=phases,
            definition="one call of `AdamW.step`, with one backward pass",
        ),
        findings=FINDINGS,
        mitigations=ADVICE,
        rejected=REJECTED,
        not_evaluated=(
            Unmeasured(what="GPU utilisation", reason="no NVIDIA driver on this machine"),
            Unmeasured(what="GPU memory", reason="no NVIDIA driver on this machine"),
            Unmeasured(what="device_throttled", reason="`device.throttled_frac` was not measured"),
        ),
        ceilings=(
            _ceiling("input", "measured", 0.0829, 0.0241, 0.709, (0.69, 0.73), 8),
            _ceiling("logging", "measured", 0.0831, 0.0834, -0.004, (-0.02, 0.01), 4),
            _ceiling("loader_alone", "measured", None, 0.0581, None, None, 1),
            _ceiling("evaluation", "refused", reason="batches of the evaluation are changed in place"),
            _ceiling(
                "checkpoint", "skipped", reason="it takes 900 steps to compare, 75 s, and 41 s were left"
            ),
        ),
        efficiency={
            "training_time": {
                "value": 29.4,
                "unit": "s",
                "blind_to": "other machines, and what else ran on this one",
            },
            "flops_per_step": {"value": 41.2, "unit": "GFLOP", "blind_to": "memory traffic and waiting"},
            "parameters": {"value": 11181642, "unit": "count", "blind_to": "how often each is used"},
            "electricity": {"value": None, "unit": "Wh", "note": "no power meter could be read"},
        },
        ranks=({"rank": 0, "host": "node1", "pid": 4711, "steps": 320, "step_s": 0.0829},),
        environment={
            "machine": "x86_64, 8 usable cores of 16",
            "cores": 8,
            "memory_bytes": 33285996544,
            "python": "3.11.9",
            "torch": "2.6.0",
            "devices": ["cpu"],
            "torch_threads": 8,
        },
        overhead={
            "per_step_s": 0.00021,
            "per_step_frac": 0.0025,
            "spans_per_step": 37,
            "cpu_s": 1.9,
            "record_bytes": 1310720,
            "note": "Per-step cost is the number of spans times what one costs on this machine.",
        },
        run={
            "id": "20260412-101500-train",
            "command": ["train.py", "--epochs", "3", "--data", "photos/cut"],
            "form": "script",
            "script": "train.py",
            "started": "2026-04-12 10:15:00",
            "wall_s": 33.1,
            "exit_code": 0,
            "signal": None,
            "stopped_by_us": True,
            "result": "OK",
            "reasons": [],
            "price_per_hour": 2.5,
            "account": _account(),
            "tool_version": "0.1.0",
        },
        measurements={
            "step.time_s": {"value": 0.0829, "unit": "s", "samples": 214, "given_by": "steps"},
            "input.workers": {"value": 0, "unit": "count", "samples": 1, "given_by": "loader"},
            "input.pin_memory": {"value": 0, "unit": "bool", "samples": 1, "given_by": "loader"},
        },
        pictures={
            "steps": _step_series(),
            "input": [
                {"name": "RandomRotation", "seconds": 0.0384, "where": "training process, data.py:41"},
                {"name": "decode JPEG", "seconds": 0.0112, "where": "training process, data.py:33"},
                {"name": "other transforms", "seconds": 0.0051, "where": "training process"},
                {"name": "collate", "seconds": 0.0034, "where": "training process"},
            ],
            "stacks": {
                "trainer": [
                    {"text": "transform (PIL/Image.py:2824)", "share": 0.33, "where": "RandomRotation"},
                    {
                        "text": "run_backward (torch/autograd/graph.py:824)",
                        "share": 0.14,
                        "where": "backward",
                    },
                    {"text": "load (PIL/ImageFile.py:270)", "share": 0.13, "where": "decode"},
                ],
                "workers": [],
                "flame": _flame(),
            },
        },
    )


def _ceiling(
    resource: str,
    state: str,
    step_s: float | None = None,
    without_s: float | None = None,
    share: float | None = None,
    interval: tuple[float, float] | None = None,
    pairs: int = 0,
    reason: str = "",
) -> dict[str, Any]:
    """Return one row of the ceilings."""
    return {
        "resource": resource,
        "state": state,
        "step_s": step_s,
        "without_s": without_s,
        "share": share,
        "interval": interval,
        "pairs": pairs,
        "reason": reason,
    }


def _account() -> list[dict[str, Any]]:
    """Return where 33.1 s of wall time went."""
    lines = (
        AccountLine(name="Steps measured", seconds=17.8, share=0.538),
        AccountLine(
            name="Steps left out", seconds=8.9, share=0.269, note="warm-up, deep window, last batches"
        ),
        AccountLine(name="Start-up", seconds=4.6, share=0.139, note="imports 3.1 s, first batch 0.4 s"),
        AccountLine(name="Between epochs", seconds=1.2, share=0.036),
        AccountLine(name="After the last step", seconds=0.6, share=0.018),
    )
    return [{"name": row.name, "seconds": row.seconds, "share": row.share, "note": row.note} for row in lines]


def healthy() -> Report:
    """Return the report of a run that computes 96 % of its time."""
    return Report(
        verdict=Verdict(
            bottleneck="compute",
            family="device",
            state="healthy",
            result="OK",
            share=None,
            share_basis="phase",
            ceiling_speedup=None,
            confidence="medium",
            headline="Nothing holds this training back: 96 % of a step is computing, on 7.8 of 8 cores.",
            reasons=("Only 34 steps were measured.",),
        ),
        step=StepSummary(
            count=34,
            seen=40,
            excluded={"warm-up": 6},
            seconds={"median": 0.412, "mean": 0.414, "p05": 0.405, "p95": 0.43, "min": 0.402, "max": 0.444},
            phases=(
                PhaseShare(phase="data_wait", seconds=0.002, share=0.005),
                PhaseShare(phase="forward", seconds=0.131, share=0.316),
                PhaseShare(phase="backward", seconds=0.262, share=0.633),
                PhaseShare(phase="optimizer", seconds=0.0055, share=0.013),
                PhaseShare(phase="other", seconds=0.0135, share=0.033),
            ),
            definition="one call of `SGD.step`",
        ),
        findings=(FINDINGS[2], FINDINGS[3]),
        mitigations=(ADVICE[4],),
        rejected=(),
        not_evaluated=(
            Unmeasured(what="Python stacks", reason="py-spy may not attach to other processes here"),
        ),
        run={"command": ["-m", "pkg.train"], "exit_code": 0, "tool_version": "0.1.0"},
        overhead={"per_step_frac": 0.0004, "per_step_s": 0.00017},
    )


def insufficient() -> Report:
    """Return the report of a script that ended after four steps."""
    return Report(
        verdict=Verdict(
            bottleneck=None,
            family=None,
            state="insufficient",
            result="TOO_FEW_STEPS",
            share=None,
            share_basis="unknown",
            ceiling_speedup=None,
            confidence="low",
            headline="The script ended after 4 steps: too few to tell what limits it. Let it do 30.",
            reasons=("Steps vary by 40 % and the first are always slow.",),
        ),
        step=None,
        findings=(),
        mitigations=(),
        rejected=(),
        not_evaluated=(Unmeasured(what="all rules", reason="fewer than 30 steps"),),
        run={"command": ["train.py"], "exit_code": 1, "result": "TOO_FEW_STEPS", "tool_version": "0.1.0"},
    )


SAMPLES = {"rich": rich, "healthy": healthy, "insufficient": insufficient}
