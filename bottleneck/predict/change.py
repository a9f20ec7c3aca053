"""What somebody might change about a training, in terms a simulator understands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change, or several at once; what is left at its default stays as it was measured.

    Attributes:
        workers: Worker processes.
        prefetch: Batches each worker may be ahead.
        in_order: Batches come in the order of the sampler.
        persistent: Workers live on from one epoch to the next that has the same loader.
        once: One loader serves all epochs.
        cpu_factor: Factor on the CPU time to make a batch.
        io_factor: Factor on the time making a batch is blocked.
        phases: (phase, factor) on the time of a phase in each step.
        seldom: (phase, times): only every so many of the phase's occurrences are left.
        device_factor: Factor on the time the device computes.
        synced: The host waits for the device in every step.
        overlap: Part of the backward pass during which ranks may exchange gradients.
    """

    workers: int | None = None
    prefetch: int | None = None
    in_order: bool | None = None
    persistent: bool | None = None
    once: bool | None = None
    cpu_factor: float = 1.0
    io_factor: float = 1.0
    phases: tuple[tuple[str, float], ...] = ()
    seldom: tuple[tuple[str, float], ...] = ()
    device_factor: float = 1.0
    synced: bool | None = None
    overlap: float = 0.0


NOTHING = Change()


def faster(**phases: float) -> Change:
    """Return the change that multiplies the time of each phase by the factor given: ``faster(backward=0.5)``."""
    return Change(phases=tuple(sorted(phases.items())))


def together(changes: Iterable[Change]) -> Change:
    """Return all ``changes`` at once, in any order.

    Factors multiply. Of settings the largest number counts (more workers for a faster batch are not too few), and
    a flag that any of them turns on is on.
    """
    merged = NOTHING
    for one in changes:
        merged = replace(
            merged,
            workers=_larger(merged.workers, one.workers),
            prefetch=_larger(merged.prefetch, one.prefetch),
            in_order=_both(merged.in_order, one.in_order),
            persistent=_either(merged.persistent, one.persistent),
            once=_either(merged.once, one.once),
            cpu_factor=merged.cpu_factor * one.cpu_factor,
            io_factor=merged.io_factor * one.io_factor,
            phases=_product(merged.phases, one.phases),
            seldom=_product(merged.seldom, one.seldom),
            device_factor=merged.device_factor * one.device_factor,
            synced=_both(merged.synced, one.synced),
            overlap=max(merged.overlap, one.overlap),
        )
    return merged


def _larger(some: int | None, more: int | None) -> int | None:
    """Return the larger number given, None where there is none."""
    given = [value for value in (some, more) if value is not None]
    return max(given, default=None)


def _either(some: bool | None, more: bool | None) -> bool | None:
    """Return whether one of the two is on, None where neither was given."""
    given = [value for value in (some, more) if value is not None]
    return any(given) if given else None


def _both(some: bool | None, more: bool | None) -> bool | None:
    """Return whether all that were given are on, None where neither was given."""
    given = [value for value in (some, more) if value is not None]
    return all(given) if given else None


def _product(
    some: tuple[tuple[str, float], ...], more: tuple[tuple[str, float], ...]
) -> tuple[tuple[str, float], ...]:
    """Return the factors of both by name, multiplied where a name is in both."""
    factors: Mapping[str, float] = dict(some)
    merged = {**factors, **{name: factor * factors.get(name, 1.0) for name, factor in more}}
    return tuple(sorted(merged.items()))
