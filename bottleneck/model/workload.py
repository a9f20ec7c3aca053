"""What a step is made of, second by second: the measured times that a simulator replays."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Something that comes every few steps and stops the loop.

    Attributes:
        phase: Phase of ``PHASES`` that it belongs to.
        seconds: How long each one took, in order; at least one.
        interval: Steps from one to the next, mean.
    """

    phase: str
    seconds: tuple[float, ...]
    interval: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What one rank does.

    Attributes:
        steps: Seconds per phase of each step in order, rows of ``len(PHASES)``; stalls are not in them.
        making_s: Time to make each batch, in the order they were asked for; empty without a loader.
        draw_s: Time that the sampler takes for the batches of a step, in the loop itself.
        stalls: What comes every few steps.
        device_s: Time the device computes for a step; 0 where the model runs on the host, or was not measured.
    """

    steps: tuple[tuple[float, ...], ...]
    making_s: tuple[float, ...] = ()
    draw_s: float = 0.0
    stalls: tuple[Stall, ...] = ()
    device_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feeding:
    """The settings of the training loader and what they cost.

    Attributes:
        workers: Worker processes; 0 makes batches in the loop.
        prefetch: Batches each worker may be ahead.
        in_order: Batches come in the order of the sampler.
        persistent: Workers live on from one epoch to the next that has the same loader.
        renewed_frac: Part of the epochs whose loader is made anew: it starts workers of its own, whatever the one
            before was told.
        blocked_frac: Part of the time to make a batch that needs no core.
        receive_s: Time the loop needs to take over a batch that is ready.
        batches: Batches in one step.
        epoch_steps: Steps in an epoch; None where no epoch began while it was measured.
        start_s: Time to begin an epoch, without making its first batch.
        fresh_s: Time that the first batch of a new worker takes beyond that of later ones.
    """

    workers: int
    prefetch: int = 2
    in_order: bool = True
    persistent: bool = False
    renewed_frac: float = 0.0
    blocked_frac: float = 0.0
    receive_s: float = 0.0
    batches: int = 1
    epoch_steps: float | None = None
    start_s: float = 0.0
    fresh_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A run as a simulator sees it. Hashable: what is simulated of it can be kept.

    Attributes:
        lanes: One per rank that was seen, the first is the one the measurements describe; their steps are the
            same steps. Several meet once a step.
        step_s: Mean step of these steps, which a replay must give.
        count: Steps that were measured, which may be more than the lanes hold.
        feeding: The loader, None where the loop makes its batches itself.
        cores: Cores the run may use.
        loop_cores: Cores the loop keeps busy while it does not wait.
        synced: The host waits for the device in every step.
        ahead: Steps the host may be ahead of the device.
        beside_s: What a mean step holds besides ``step_s`` that no replay shows and no change alters.
    """

    lanes: tuple[Lane, ...]
    step_s: float
    count: int
    feeding: Feeding | None = None
    cores: float = 1.0
    loop_cores: float = 1.0
    synced: bool = False
    ahead: int = 1
    beside_s: float = 0.0
