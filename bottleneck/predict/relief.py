"""From seconds that a mitigation takes off a bottleneck to the phases of the step that get shorter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..model.report import PHASES
from .change import Change
from .simulator import Simulator

# Where the time of a bottleneck lies, first to last; what one group does not hold is taken from the next.
_COMPUTING = ("forward", "backward")
_ISSUING = ("forward", "backward", "optimizer", "other")
PHASES_OF: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "h2d_transfer": (("h2d",),),
    "compute": (_COMPUTING, ("optimizer",)),
    "memory_bandwidth": (_COMPUTING, ("optimizer",)),
    "optimizer": (("optimizer",), ("communication",)),
    "host_overhead": (_ISSUING,),
    "sync": (("sync",), ("other",)),
    "gc": (("gc",), ("other",)),
    "compilation": (("other",), _COMPUTING),
    "communication": (("communication",), _COMPUTING),
    "straggler": (("communication",), _COMPUTING),
    "checkpoint": (("checkpoint",), ("other",)),
    "evaluation": (("evaluation",), ("other",)),
    "logging": (("logging",), ("other",)),
}
_IN_LOOP = (("data_wait",),)  # without a loader the loop makes its batches itself
_WHOLE = 1 + 1e-6  # a phase counts as all of the time named if it is that, but for rounding
_SAME = 0.10  # a phase within a tenth of the time named is what it speaks of
_ON_DEVICE = ("compute", "memory_bandwidth")
# What measurements outside ``step.`` speak of, by name and by area.
_NAMED: Mapping[str, tuple[str, ...]] = {
    "compute.frac": ("forward", "backward", "optimizer"),
    "compute.model_frac": _COMPUTING,
    "ceiling.anomaly_frac": _COMPUTING,
    "host.dispatch_s": _ISSUING,
    "checkpoint": ("checkpoint",),
    "evaluation": ("evaluation",),
    "logging": ("logging",),
    "gc": ("gc",),
}


def phases_named(names: Iterable[str]) -> tuple[str, ...]:
    """Return the phases of the loop that measurements with these names speak of, each once."""
    found: dict[str, None] = {}
    for name in names:
        area, _, rest = name.partition(".")
        phase = rest.rsplit("_", 1)[0]
        own = (phase,) if area == "step" and phase in PHASES and phase != "data_wait" else ()
        found |= dict.fromkeys(_NAMED.get(name, _NAMED.get(area, own)))
    return tuple(found)


def shorter(
    run: Simulator, bottleneck: str | None, seconds: float, named: tuple[str, ...] = ()
) -> Change | None:
    """Return the change that takes ``seconds`` a step off the phases ``named``, then off those of ``bottleneck``.

    None where they do not hold that much, or where the loader decides what they are. A host that waits for the
    device does not get faster by the time of its wait: it may run ahead instead.
    """
    if bottleneck == "sync" and run.on_device and run.workload.synced:
        return Change(synced=False) if seconds > 0 else Change()
    left = max(seconds, 0.0)
    own = run.phase_s()
    factors: dict[str, float] = {}
    for group in (named, *_groups(run, bottleneck)):
        phases = [phase for phase in group if phase not in factors]
        held = sum(own[phase] for phase in phases)
        taken = min(left, held)
        if held > 0:
            factors |= dict.fromkeys(phases, 1 - taken / held)
        left -= taken
    if left > seconds * (_WHOLE - 1) or not factors:
        return None
    kept = tuple(sorted((phase, factor) for phase, factor in factors.items() if factor < 1))
    return Change(phases=kept, device_factor=_device_factor(run, bottleneck, seconds))


def less_often(
    run: Simulator, bottleneck: str | None, per_step_s: float, times: float, named: tuple[str, ...] = ()
) -> Change | None:
    """Return the change that lets what costs ``per_step_s`` a step come ``times`` as seldom."""
    groups, own = (named,) if named else _groups(run, bottleneck), run.phase_s()
    prefixes = [sum(groups[:end], ()) for end in range(1, len(groups) + 1)]
    off = {phases: abs(sum(own[phase] for phase in phases) - per_step_s) for phases in prefixes}
    nearest = min(prefixes, key=lambda phases: off[phases], default=())
    if times > 1 and nearest and off[nearest] <= _SAME * per_step_s:
        return Change(seldom=tuple((phase, times) for phase in sorted(nearest)))
    return shorter(run, bottleneck, per_step_s * (1 - 1 / max(times, 1.0)), named)


def _groups(run: Simulator, bottleneck: str | None) -> tuple[tuple[str, ...], ...]:
    """Return the phases in which ``bottleneck`` lies, first to last; none where a replay can not tell."""
    if bottleneck is None:
        return ()
    return PHASES_OF.get(bottleneck, () if run.workload.feeding is not None else _IN_LOOP)


def _device_factor(run: Simulator, bottleneck: str | None, seconds: float) -> float:
    """Return what is left of the device's time; what shortens only the host leaves it as it is."""
    device = run.workload.lanes[0].device_s
    if device <= 0 or bottleneck not in _ON_DEVICE:
        return 1.0
    return max(0.0, 1 - seconds / device)
