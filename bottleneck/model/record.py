"""All that was measured in one run, as ``store.py`` reads it from disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .device import DeviceWork
from .ranks import RankDigest
from .span import Spans
from .trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something rare that a process told: a loader's settings, an optimizer, a collector's failure.

    Attributes:
        kind: "loader", "optimizer", "model", "torch", "failure", "stop", "operators", ...
        time_ns: When, on the monotonic clock of its host.
        data: What, by name; its keys depend on ``kind``.
    """

    kind: str
    time_ns: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """What the agent wrote in one process.

    Attributes:
        key: Name of its folder in the run directory, unique also where process ids recur.
        pid: Process id on its host.
        ppid: Its parent's process id.
        rank: Value of RANK (or SLURM_PROCID), or None outside distributed runs.
        header: Versions, rank variables, both clocks at the start, the cost of one span.
        spans: What it did.
        events: What it told, in order.
        damage: Why the file could only be read in part, or None.
        device: What its device did, where a profiler told (nothing: no device was traced); None where none did.
    """

    key: str
    pid: int
    ppid: int
    rank: int | None
    header: Mapping[str, Any]
    spans: Spans
    events: tuple[Event, ...]
    damage: str | None = None
    device: DeviceWork | None = None

    def told(self, kind: str) -> tuple[Event, ...]:
        """Return the events of one kind, in order."""
        return tuple(event for event in self.events if event.kind == kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackCount:
    """How often one Python stack was seen in one thread of one process.

    Attributes:
        pid: Process id.
        thread: Thread name, as py-spy gives it.
        frames: Outermost first: (function, file, line).
        count: Samples.
        source: The source text of the innermost frame that is the user's, stripped, or "".
    """

    pid: int
    thread: str
    frames: tuple[tuple[str, str, int], ...]
    count: int
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacks:
    """Python stacks sampled from outside during one window of the run.

    Attributes:
        start_ns: Start of the window, monotonic.
        end_ns: End of the window.
        rate_hz: Samples per second and thread.
        counts: What was seen.
    """

    start_ns: int
    end_ns: int
    rate_hz: float
    counts: tuple[StackCount, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemSample:
    """One reading of the machine and of the training's processes.

    Attributes:
        time_ns: When, monotonic.
        machine: Readings of the machine by name (see ``collect/system.py``).
        processes: Readings by process id, by name.
        devices: Readings of each GPU, by name.
    """

    time_ns: int
    machine: Mapping[str, float]
    processes: Mapping[int, Mapping[str, float]]
    devices: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A collector that measured nothing, or stopped measuring, and why.

    Attributes:
        collector: Its name.
        reason: One sentence for the report.
    """

    collector: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the run ended.

    Attributes:
        exit_code: As the shell sees it, or None while running or when the command itself was killed.
        signal: Name of the signal that ended it, or None.
        stopped_by_us: True where enough had been measured and the command ended the script.
        start_ns: Start of the target, monotonic.
        end_ns: Its end, monotonic; the last thing seen where the end was not.
    """

    exit_code: int | None
    signal: str | None
    stopped_by_us: bool
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run.

    Attributes:
        schema: Version of the format on disk.
        run_id: Name of the run.
        tool_version: The version that measured.
        started: Start, ISO 8601 in UTC.
        command: Target as started, secrets removed; keys ``argv``, ``form``, ``script``, ``folder``.
        environment: Machine, cores, versions, limits; see ``collect/environment.py``.
        outcome: How it ended.
        processes: Everything the agents wrote.
        system: Samples from outside, in order.
        stacks: Stack windows, in order.
        failures: Collectors that could not measure.
        deep: What the deep window found, by process id (see ``agent/deep.py``).
        roofline: What this machine can do (see ``agent/probes.py``).
        ranks: Every rank condensed, where there are too many to keep whole; ``processes`` then holds some of them.
        overhead: What the command itself used: ``cpu_s`` of its processes, ``record_bytes``.
        source: Who measured: our agent, or a profiler whose trace was read.
        trials: What trials of its advice found, where some were made.
    """

    schema: int
    run_id: str
    tool_version: str
    started: str
    command: Mapping[str, Any]
    environment: Mapping[str, Any]
    outcome: Outcome
    processes: tuple[ProcessRecord, ...]
    system: tuple[SystemSample, ...] = ()
    stacks: tuple[Stacks, ...] = ()
    failures: tuple[Failure, ...] = ()
    deep: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    roofline: Mapping[str, Any] = field(default_factory=dict)
    ranks: tuple[RankDigest, ...] = ()
    overhead: Mapping[str, float] = field(default_factory=dict)
    source: Literal["agent", "trace"] = "agent"
    trials: tuple[Trial, ...] = ()
