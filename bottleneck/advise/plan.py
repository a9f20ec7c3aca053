"""What the best advice gains together: one simulation of all of it, never a sum."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model.finding import Finding
from ..model.measurement import Measurements
from ..model.report import Plan
from ..predict.change import Change
from ..predict.estimate import Estimate, combine
from .engine import WORTH_IT, Offer, offers
from .mitigation import MitigationRule

MOST = 3  # as many as the summary shows
_KEEPS_RESULTS = frozenset({"identical"})


def plan(
    findings: Sequence[Finding], measurements: Measurements, mitigations: Iterable[MitigationRule]
) -> Plan | None:
    """Return the best advice that keeps results as they are, simulated together.

    In the order of ``advise``, each is taken that makes what was taken so far faster by another hundredth and
    changes something that none of those changes. None where there are fewer than two, or nothing can be simulated.
    """
    best, _ = offers(findings, measurements, mitigations)
    taken: list[tuple[Offer, Change]] = []
    found: Estimate | None = None
    for offer in best:
        change = offer.estimate.change
        if change is None or not _fits(offer) or _meets(change, [one for _, one in taken]):
            continue
        trial = combine(measurements, [*(one for _, one in taken), change])
        if trial.speedup is None or trial.speedup.likely < WORTH_IT * _gained(found):
            continue
        taken.append((offer, change))
        found = trial
        if len(taken) == MOST:
            break
    if found is None or found.speedup is None or found.after_s is None or len(taken) < 2:
        return None
    return Plan(
        advice=tuple(offer.rule.id for offer, _ in taken),
        speedup=found.speedup,
        after_s=found.after_s,
        basis=found.basis,
        next_wall=found.next_wall,
    )


def _fits(offer: Offer) -> bool:
    """Return whether an offer can be one of several: it is sure to apply and keeps steps and results as they are."""
    rule = offer.rule
    return rule.numerics in _KEEPS_RESULTS and rule.currency == "time_per_step" and not offer.unchecked


def _gained(found: Estimate | None) -> float:
    """Return the speed-up of what was taken so far."""
    return 1.0 if found is None or found.speedup is None else found.speedup.likely


def _meets(change: Change, taken: Sequence[Change]) -> bool:
    """Return whether ``change`` does no more than another way to what was taken already."""
    parts = _parts(change)
    return any(parts <= _parts(one) for one in taken)


def _parts(change: Change) -> frozenset[str]:
    """Return what a change touches: phases, and the loader's settings."""
    found = {name for name, _ in (*change.phases, *change.seldom)}
    settings = {
        "loader": (change.workers, change.cpu_factor, change.io_factor) != (None, 1.0, 1.0),
        "prefetch": change.prefetch is not None,
        "epochs": bool(change.persistent),
        "one loader": bool(change.once),
        "device": change.device_factor != 1.0 or change.synced is not None,
        "overlap": change.overlap > 0,
    }
    return frozenset(found | {name for name, on in settings.items() if on})
