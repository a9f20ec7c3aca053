"""The measured times of a run as a change would leave them: what a replay is fed with."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import numpy.typing as npt

from ..model.report import PHASES
from ..model.workload import Feeding, Lane, Stall, Workload
from .change import Change
from .replay import Times

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COLUMN = {name: number for number, name in enumerate(PHASES)}
ENOUGH = 256  # steps in a replay: fewer measured ones come several times
MOST = 1024  # steps and batches in a replay at most
LONGEST_EPOCH = 512  # steps: the start of a longer one is spread over its steps
_BLOCK = (8, 32)  # steps drawn together, at least and at most: about what a queue holds
_SEED = 20_240  # any; the same record must give the same report
_BEFORE = ("data_wait", "h2d")
_ISSUE = ("forward", "backward", "optimizer")
_AFTER = ("checkpoint", "evaluation", "logging", "gc", "other")


def drawn(workload: Workload, draw: int) -> tuple[Ints, Ints]:
    """Return which steps and which batches a replay uses, in order.

    Draw 0 is the measured order, whole passes over it. Others are as many as were measured, drawn in blocks with
    replacement (a moving-block bootstrap), so that replays differ as much as another run would.

    Returns:
        Indices into the steps, shape (n,), and into the batches of a lane, shape (n * batches in a step,).
    """
    lane = workload.lanes[0]
    per_step = workload.feeding.batches if workload.feeding else 1
    steps, made = len(lane.steps), max(1, len(lane.making_s))
    if draw == 0:
        feeding = workload.feeding
        wanted = _length(steps, per_step, replayed_epoch(feeding) if feeding and feeding.workers else 0)
        return _passes(steps, wanted), _passes(made, wanted * per_step)
    wanted = ENOUGH // per_step if steps == 1 else min(steps, ENOUGH)
    generator = Random(_SEED + draw)
    block = min(max(_BLOCK), max(min(_BLOCK), _flying(workload) // per_step))
    rows = _blocks(generator, steps, wanted, block)
    return rows, _blocks(generator, made, wanted * per_step, block * per_step)


def replayed_epoch(feeding: Feeding | None) -> int:
    """Return the steps of an epoch, 0 where it is too long to be replayed or has no known end."""
    length = round(feeding.epoch_steps or 0) if feeding else 0
    return length if 0 < length <= LONGEST_EPOCH else 0


def _length(steps: int, per_step: int, epoch: int) -> int:
    """Return how many steps a replay in the measured order has: whole epochs, or whole passes over the steps."""
    if steps == 1 and not epoch:  # nothing but the mean is known of a step: what varies are the batches
        return max(1, MOST // per_step)
    if epoch and steps % epoch:  # many passes over the steps: each comes about as often
        return epoch * max(1, round(MOST / epoch))
    return steps * max(1, -(-ENOUGH // steps))


def _passes(count: int, wanted: int) -> Ints:
    """Return ``wanted`` indices that go over ``count`` things in order, each used as often as any other."""
    passes = max(1, round(wanted / count))
    found: Ints = np.arange(wanted) * (passes * count) // wanted % count
    return found


def _flying(workload: Workload) -> int:
    """Return how many batches the loader keeps in flight."""
    feeding = workload.feeding
    return feeding.workers * feeding.prefetch if feeding else 0


def _blocks(generator: Random, count: int, wanted: int, block: int) -> Ints:
    """Return ``wanted`` of ``count`` indices, in blocks of consecutive ones."""
    starts = [int(generator.random() * count) for _ in range(-(-wanted // block))]
    places = np.array(starts)[:, None] + np.arange(block)
    found: Ints = places.ravel()[:wanted] % count
    return found


def phases_after(lane: Lane, rows: Ints, change: Change) -> Floats:
    """Return seconds per step and phase of one rank under ``change``, shape (len(rows), len(PHASES))."""
    seconds = np.array(lane.steps)[rows]
    if (
        lane.making_s
    ):  # then the replay tells who waits for data; without a loader the loop makes its batches here
        seconds[:, COLUMN["data_wait"]] = lane.draw_s
    seldom = dict(change.seldom)
    for phase, times in seldom.items():
        column = COLUMN[phase]
        seconds[:, column] = _thinned(seconds[:, column], times)
    for stall in lane.stalls:
        seconds[:, COLUMN[stall.phase]] += _recurring(stall, len(rows), seldom.get(stall.phase, 1.0))
    if change.overlap:
        hidden = change.overlap * seconds[:, COLUMN["backward"]]
        exposed = seconds[:, COLUMN["communication"]] - hidden
        seconds[:, COLUMN["communication"]] = np.maximum(exposed, 0.0)
    for phase, factor in change.phases:
        seconds[:, COLUMN[phase]] *= max(factor, 0.0)
    return seconds


def _thinned(seconds: Floats, times: float) -> Floats:
    """Return ``seconds`` with only every ``times``-th that is not zero left; the mean falls by just that factor."""
    if times <= 1:
        return seconds
    places = np.flatnonzero(seconds > 0)
    turn = np.arange(len(places))
    stays = places[np.floor((turn + 1) / times) > np.floor(turn / times)]
    left = np.zeros_like(seconds)
    left[stays] = seconds[stays]
    return _with_total(left, float(seconds.sum()) / times)


def _recurring(stall: Stall, steps: int, times: float) -> Floats:
    """Return what ``stall`` adds to each of ``steps`` steps if it comes ``times`` as seldom."""
    interval = max(stall.interval * max(times, 1e-9), 1e-9)
    turn = np.arange(steps)
    counts = np.floor((turn + 1) / interval) - np.floor(turn / interval)
    numbers = (np.cumsum(counts) - 1).astype(np.int64) % len(stall.seconds)
    seconds = np.where(counts > 0, np.array(stall.seconds)[numbers] * counts, 0.0)
    return _with_total(seconds, float(np.mean(stall.seconds)) * steps / interval)


def _with_total(seconds: Floats, total: float) -> Floats:
    """Return ``seconds`` scaled to sum to ``total``, spread evenly where they are all zero."""
    sum_now = float(seconds.sum())
    if sum_now > 0:
        scaled: Floats = seconds * (total / sum_now)
        return scaled
    return np.full(len(seconds), total / max(1, len(seconds)))


def feed(
    workload: Workload, phases: Sequence[Floats], making: Sequence[Floats], loop_factor: float, change: Change
) -> tuple[Times, ...]:
    """Return what each rank does.

    Args:
        workload: The run.
        phases: Seconds per step and phase under the change, for each rank.
        making: Seconds per batch, for each rank.
        loop_factor: How much slower the host computes because cores are shared.
        change: The change.
    """
    several = len(workload.lanes) > 1
    exchange = np.min([one[:, COLUMN["communication"]] for one in phases], axis=0)
    found = []
    for lane, seconds, made in zip(workload.lanes, phases, making, strict=True):
        device = lane.device_s * change.device_factor
        issue = _sum(seconds, _ISSUE if several else (*_ISSUE, "communication"))
        after = _sum(seconds, _AFTER if device > 0 and workload.synced else (*_AFTER, "sync"))
        found.append(
            Times(
                making_s=made.tolist() or (0.0,),
                before_s=(_sum(seconds, _BEFORE) * loop_factor).tolist(),
                issue_s=(issue * loop_factor).tolist(),
                after_s=(after * loop_factor).tolist(),
                meet_s=exchange.tolist() if several else (0.0,),
                device_s=(device,),
            )
        )
    return tuple(found)


def _sum(seconds: Floats, phases: Sequence[str]) -> Floats:
    """Return the seconds of these phases in each step."""
    total: Floats = seconds[:, [COLUMN[phase] for phase in phases]].sum(axis=1)
    return total
