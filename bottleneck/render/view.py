"""The words of a report: labels, numbers and sentences that every output shares."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

from .. import units
from ..model.finding import Interval
from ..model.mitigation import Advice
from ..model.report import PHASES, PhaseShare, Report, Verdict
from .text import line

PHASE_LABELS: Mapping[str, str] = {
    "data_wait": "Data wait",
    "h2d": "Copy to device",
    "forward": "Forward",
    "backward": "Backward",
    "optimizer": "Optimizer",
    "communication": "Communication",
    "sync": "Sync",
    "checkpoint": "Checkpoint",
    "evaluation": "Evaluation",
    "logging": "Logging",
    "gc": "Garbage collection",
    "other": "Other",
}
PHASE_MEANINGS: Mapping[str, str] = {
    "data_wait": "the loop waits for the next batch, or makes it itself",
    "h2d": "copying the batch to the device",
    "forward": "computing predictions and loss",
    "backward": "computing gradients",
    "optimizer": "updating the parameters",
    "communication": "exchanging gradients with other ranks",
    "sync": "the host waits for the device",
    "checkpoint": "saving the state of training",
    "evaluation": "validation while training",
    "logging": "recording metrics",
    "gc": "Python looks for unreachable objects",
    "other": "everything no phase accounts for",
}
BOTTLENECK_LABELS: Mapping[str, str] = {
    "dataloader": "Data loading",
    "cpu_preprocessing": "CPU preprocessing",
    "storage": "Storage",
    "h2d_transfer": "Transfer to the device",
    "compute": "Compute",
    "memory_bandwidth": "Memory bandwidth",
    "memory_capacity": "Device memory",
    "optimizer": "Optimizer step",
    "host_overhead": "Python and dispatch overhead",
    "sync": "Host-device synchronisation",
    "gc": "Garbage collection",
    "compilation": "Compilation",
    "host_memory": "Host memory",
    "communication": "Communication",
    "straggler": "Straggling rank",
    "checkpoint": "Checkpoints",
    "evaluation": "Evaluation",
    "logging": "Logging",
}
STATES: Mapping[str, str] = {"bottleneck": "Bottleneck", "healthy": "Healthy", "insufficient": "No verdict"}
BASES: Mapping[str, tuple[str, str]] = {
    "trial": ("proved by trial", "measured by a trial: the script ran with and without it"),
    "ceiling": ("measured limit", "measured on this run with the resource taken away"),
    "replay": ("timed again", "this run's operators called again on this machine, as they were and changed"),
    "simulation": ("simulated", "simulated from this run's measured times"),
    "bracket": ("bracketed", "between two limits that follow from this run's measured times"),
    "phase": ("phase share", "from the share of the phase alone, as if nothing else would take its place"),
    "run": (
        "share of the run",
        "of this run, which was seen whole: it is spent once, a longer one hardly notices",
    ),
    "literature": ("published", "a published figure from other runs, not from this one"),
    "unknown": ("unknown", "no published figure and nothing in this run tells"),
}
EFFORTS: Mapping[str, str] = {
    "config": "a setting",
    "small": "a few lines",
    "medium": "an afternoon",
    "large": "a project",
}
NUMERICS: Mapping[str, str] = {
    "identical": "same results, bit for bit",
    "reordered": "same results up to rounding",
    "changed": "other numerics, same method",
    "semantics": "changes what is trained",
}
EVIDENCE_BASES: Mapping[str, str] = {
    "seed": "from the survey",
    "found": "published",
    "memory": "recalled, not checked",
    "judgement": "judgement",
}


def title_of(identifier: str) -> str:
    """Return an id as words: ``memory_capacity`` -> "Memory capacity"."""
    words = line(identifier, 80).replace("_", " ").replace(".", " ")
    return words[:1].upper() + words[1:]


def bottleneck(identifier: str | None) -> str:
    """Return a bottleneck's name for a reader."""
    return "" if identifier is None else BOTTLENECK_LABELS.get(identifier, title_of(identifier))


def label(verdict: Verdict) -> str:
    """Return the verdict in a few words, such as "Bottleneck: Storage"."""
    state = STATES.get(verdict.state, line(verdict.state, 20))
    name = bottleneck(verdict.bottleneck)
    if not name or verdict.state == "insufficient":
        return state
    return (
        f"{state}: limited by {name[:1].lower()}{name[1:]}"
        if verdict.state == "healthy"
        else f"{state}: {name}"
    )


def finite(value: Any) -> float | None:
    """Return ``value`` as a float, or None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def ratio(value: float) -> str:
    """Return a speedup such as "3.4×"."""
    if value >= 100:
        return "over 100×"
    if value >= 1.195:
        return f"{value:.0f}×" if value >= 9.95 else f"{value:.1f}×"
    return f"{value:.2f}".rstrip("0").rstrip(".") + "×"  # near 1 the second digit is the answer


def exact(value: float) -> str:
    """Return a measured speedup to the percent: "1.07×"."""
    return "over 100×" if value >= 100 else f"{value:.2f}×"


def whole(interval: Interval | None) -> Interval | None:
    """Return ``interval`` where all of it is finite and above zero, as a speedup must be."""
    if interval is None:
        return None
    values = [finite(part) for part in (interval.low, interval.likely, interval.high)]
    if any(part is None or part <= 0 for part in values):
        return None
    return interval


def spread(interval: Interval) -> str:
    """Return the range of a speedup: "2.9 to 3.8×", or "" where both ends read alike."""
    low, high = ratio(interval.low), ratio(interval.high)
    return "" if low == high else f"{low.rstrip('×')} to {high}"


def gain(advice: Advice) -> str:
    """Return what ``advice`` gains: "3.4×", "1.3× fewer steps" or "unknown"."""
    found = whole(advice.speedup)
    if found is None or advice.basis == "unknown":
        return "unknown"
    return ratio(found.likely) + (" fewer steps" if fewer_steps(advice) else "")


def fewer_steps(advice: Advice) -> bool:
    """Return whether ``advice`` saves steps, and not time per step."""
    return advice.currency == "number_of_steps"


def before_after(report: Report, advice: Advice) -> tuple[str, str] | None:
    """Return the median step time now and with ``advice``, or None where that can't be said."""
    now, found = median_step(report), whole(advice.speedup)
    if now is None or found is None or fewer_steps(advice) or advice.basis in ("unknown", "literature"):
        return None
    return duration(now), duration(now / found.likely)


def median_step(report: Report) -> float | None:
    """Return the median wall time of a step in seconds, where there is one."""
    if report.step is None:
        return None
    found = finite(report.step.seconds.get("median"))
    return found if found is not None and found > 0 else None


def phases(report: Report) -> list[PhaseShare]:
    """Return the phases that took any time, in the order of :data:`PHASES`, unknown names last."""
    if report.step is None:
        return []
    seen = [part for part in report.step.phases if (finite(part.share) or 0.0) > 0.0]
    return sorted(seen, key=lambda part: PHASES.index(part.phase) if part.phase in PHASES else len(PHASES))


def phase_label(name: str) -> str:
    """Return a phase's name for a reader."""
    return PHASE_LABELS.get(name, title_of(name))


def share(value: Any) -> str:
    """Return a fraction as percent, or "not measured"."""
    found = finite(value)
    return "not measured" if found is None else units.fraction(found)


def duration(value: Any) -> str:
    """Return seconds in words, or "not measured"."""
    found = finite(value)
    return "not measured" if found is None else units.seconds(found)


def lost_share(verdict: Verdict) -> float | None:
    """Return the fraction of a step that the bottleneck costs, 0-1; None without a bottleneck."""
    found = finite(verdict.share)
    if verdict.state != "bottleneck" or found is None:
        return None
    return min(1.0, max(0.0, found))


def is_once(verdict: Verdict) -> bool:
    """Return whether the share is of the run, for something that no later step pays again."""
    return verdict.share_basis == "run"


def lost_per_day(report: Report) -> tuple[str, str | None] | None:
    """Return hours, and money where the run has ``price_per_hour``, lost in a day of such steps.

    None without a bottleneck, and where it is paid once.
    """
    lost = lost_share(report.verdict)
    if lost is None or is_once(report.verdict):
        return None
    price = finite(report.run.get("price_per_hour"))
    hours = lost * 24
    time = f"{hours:.1f} h" if hours >= 1 else f"{hours * 60:.0f} min"
    return time, None if price is None or price <= 0 else f"{hours * price:,.2f}"


def share_basis(verdict: Verdict) -> str:
    """Return where the verdict's share comes from, in words."""
    known = BASES.get(verdict.share_basis)
    return known[1] if known else line(verdict.share_basis, 200)


def command(report: Report, limit: int = 200) -> str:
    """Return the command that was diagnosed as a shell would take it."""
    found = report.run.get("command")
    if isinstance(found, (list, tuple)):
        return line(" ".join(shlex.quote(str(part)[:limit]) for part in found[:100]), limit)
    return line(found or report.run.get("script") or "", limit)


def outcome(report: Report) -> str:
    """Return how the run ended, in a few words."""
    run = report.run
    if run.get("stopped_by_us") is True:
        return "stopped once enough steps were measured"
    if run.get("signal"):
        return f"ended by signal {line(run['signal'], 40)}"
    code = run.get("exit_code")
    if code is None:
        return ""
    return "came to its own end" if code == 0 else f"ended with exit code {line(code, 40)}"


def scalar(name: str, value: Any, unit: str | None = None) -> str:
    """Return any value of the environment or of a metric in words.

    ``unit`` is one of :mod:`units`' or a name of its own; without one the ending of ``name`` tells it.
    """
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return line(", ".join(line(part, 100) for part in value[:12]) or "none", 400)
    if isinstance(value, Mapping):
        parts = list(value.items())[:12]
        return line(
            ", ".join(f"{line(key, 40)}: {scalar(str(key), item)}" for key, item in parts) or "none", 400
        )
    if not isinstance(value, (int, float)):
        return line(value, 400)
    found = finite(value)
    return "not measured" if found is None else _quantity(name, found, unit)


def _quantity(name: str, value: float, unit: str | None) -> str:
    """Return a number with its unit."""
    if unit and unit not in ("s", "bytes", "frac", "count", "bool", "bytes_per_s", "per_s"):
        return f"{units.count(value)} {line(unit, 30)}"
    if unit is None:
        endings = (
            ("_bytes_per_s", "bytes_per_s"),
            ("_per_s", "per_s"),
            ("_bytes", "bytes"),
            ("_frac", "frac"),
            ("_s", "s"),
        )
        unit = next((kind for ending, kind in endings if name.endswith(ending)), "count")
    return units.show(value, unit)


def name_of(key: str) -> str:
    """Return the name of a value without its unit: ``memory_bytes`` -> "Memory"."""
    for ending in ("_bytes_per_s", "_per_s", "_bytes", "_frac", "_s"):
        if key.endswith(ending) and len(key) > len(ending):
            return title_of(key[: -len(ending)])
    return title_of(key)


def overhead(report: Report) -> str:
    """Return what measuring cost in one line, or "" where that was not measured."""
    cost = report.overhead
    parts = []
    if finite(cost.get("per_step_frac")) is not None:
        each = finite(cost.get("per_step_s"))
        parts.append(
            share(cost["per_step_frac"]) + " of a step" + ("" if each is None else f" ({duration(each)})")
        )
    elif finite(cost.get("per_step_s")) is not None:
        parts.append(f"{duration(cost['per_step_s'])} per step")
    if finite(cost.get("cpu_s")) is not None:
        parts.append(f"{duration(cost['cpu_s'])} of CPU time")
    if finite(cost.get("record_bytes")) is not None:
        parts.append(f"{units.size(float(cost['record_bytes']))} on disk")
    return ", ".join(parts)
