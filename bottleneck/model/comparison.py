"""Two or more ways to run a training, side by side; ``compare.json`` is it, key for key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .finding import Interval

SCHEMA = 1
FORMAT = "bottleneck-compare"
Basis = Literal["step", "sample"]
Noise = Literal["runs", "other_side", "blocks", "none"]
Standing = Literal["fixed", "new", "still", "unknown"]
Sort = Literal["workload", "settings", "command", "hardware", "software", "variables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with what is known of its error.

    Attributes:
        value: The mean, in base units.
        error: Its standard error, or None where it can't be known.
        degrees: Degrees of freedom of that error.
    """

    value: float
    error: float | None = None
    degrees: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to run: a run, or repeats of it.

    Attributes:
        letter: "A" for the first, then "B", ...
        name: What the user called it: a path.
        runs: Names of its runs.
        left_out: Runs that could not be used, with the reason.
        step_s: Mean seconds per step; the geometric mean over runs.
        median_s: Median seconds per step, likewise; None where unknown.
        steps: Steps that were timed, in all runs.
        samples: Samples of one step on all ranks; None where unknown.
        per_second: Samples per second on all ranks; None where unknown.
        run_s: Seconds of a whole run that came to its own end, without our experiments; None unless all of them did.
        quality: Last value of the metric, the mean over runs; None where it was not logged.
        updates: Optimizer steps before that value, the fewest of any run.
        points: (seconds, quality) of each run that logged the metric; seconds as ``Comparison.time_basis`` says.
    """

    letter: str
    name: str
    runs: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    step_s: float
    median_s: float | None = None
    steps: int = 0
    samples: float | None = None
    per_second: float | None = None
    run_s: float | None = None
    quality: Estimate | None = None
    updates: int | None = None
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedup:
    """Epsilon: the time of the first side over that of the other; above 1 the other is faster.

    Attributes:
        basis: Time per step, or per sample where the sides take different numbers of samples a step.
        ratio: The ratio with its 95 % interval; ``low`` and ``high`` equal ``likely`` where there is none.
        known: There is an interval.
        noise: Where the interval comes from: differences between runs of each side ("runs"); between the runs of
            the side that has several, taken for both ("other_side"); between blocks of steps within the one run of
            each side ("blocks"), which can't know how runs differ; or nothing.
        significant: The interval excludes 1; None without an interval.
        run: Time of whole runs, first over other, where all came to their own end.
        text: One sentence.
    """

    basis: Basis
    ratio: Interval
    known: bool
    noise: Noise
    significant: bool | None
    run: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """Delta: the change of quality.

    Attributes:
        value: (other - first) / |first|, or None where it can't be said; positive is more, not better.
        difference: other - first with its 95 % interval; None where it can't be said.
        known: The difference has an interval.
        better: The other side is better; None where that is not known.
        text: One sentence.
    """

    value: float | None
    difference: Interval | None
    known: bool
    better: bool | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseChange:
    """Seconds per step in one phase: before, after, and their difference with its 95 % interval, where known."""

    phase: str
    before_s: float
    after_s: float
    difference: Interval
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingChange:
    """Share of the step that one resource costs, as experiments measured it; None where none did."""

    resource: str
    before: float | None
    after: float | None
    before_interval: tuple[float, float] | None = None
    after_interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """A metric of efficiency before and after, in ``unit``; ``ratio`` is after over before."""

    name: str
    unit: str
    before: float | None
    after: float | None
    ratio: float | None
    blind_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingChange:
    """What became of a finding: ``fixed``, ``new``, ``still`` there, or ``unknown`` where one side can't tell.

    Attributes:
        rule: Id of the rule.
        title: The failing state.
        standing: What became of it.
        before: Share of a step it cost, or None.
        after: Share it costs now, or None.
        note: In how many runs it was found, or why it is unknown; "" where there is nothing to say.
    """

    rule: str
    title: str
    standing: Standing
    before: float | None
    after: float | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something else that differs and could explain a difference of time.

    Attributes:
        sort: What kind of thing.
        name: What, in words.
        before: The first side's, in words.
        after: The other's.
        why: How it can change the time of a step, in one sentence.
    """

    sort: Sort
    name: str
    before: str
    after: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """What ``--fail-on-regression`` says of one side.

    Attributes:
        limit: The slow-down that is tolerated, as a fraction.
        slower: How much slower it is, as a fraction with its interval; negative where it is faster.
        failed: The whole interval lies above the limit.
        text: One sentence.
    """

    limit: float
    slower: Interval
    failed: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One side beside the first.

    Attributes:
        letter: The other side's.
        headline: The answer in one or two sentences.
        speedup: Epsilon.
        delta: Delta, beside it and never part of it.
        warnings: What makes the sides not comparable, and what limits the answer, most important first.
        phases: Where the time of a step went, longest first.
        ceilings: What resources cost.
        efficiency: Metrics of efficiency.
        findings: Fixed first, then new, still there, unknown.
        differences: Of workload, settings, command, machine and software.
        regression: Where a limit was given.
    """

    letter: str
    headline: str
    speedup: Speedup
    delta: Delta
    warnings: tuple[str, ...] = ()
    phases: tuple[PhaseChange, ...] = ()
    ceilings: tuple[CeilingChange, ...] = ()
    efficiency: tuple[MetricChange, ...] = ()
    findings: tuple[FindingChange, ...] = ()
    differences: tuple[Difference, ...] = ()
    regression: Regression | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The whole answer. Field names are the top-level keys of ``compare.json``, after ``format``.

    Attributes:
        sides: What was compared, the first is what the others are held against.
        contrasts: One for each side but the first.
        metric: Name of the metric of quality, or None.
        higher_is_better: Which way it is better; None where that was not said.
        time_basis: What ``Side.points`` count: seconds of a whole run, of a step, or of a sample.
        pareto: Letters of the sides that no other side beats in both time and quality; () where unknown.
        tool_version: Who compared.
        schema: Version of these keys.
    """

    sides: tuple[Side, ...]
    contrasts: tuple[Contrast, ...]
    metric: str | None = None
    higher_is_better: bool | None = None
    time_basis: Literal["run", "step", "sample"] = "step"
    pareto: tuple[str, ...] = ()
    tool_version: str = ""
    schema: int = SCHEMA
