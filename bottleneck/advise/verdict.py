"""The answer: one bottleneck or none, what it costs, how sure that is, and what to do first."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .. import units
from ..model.finding import ALIKE, Finding, Interval
from ..model.measurement import Measurements
from ..model.mitigation import Advice
from ..model.report import Verdict
from .confidence import confidence

BOTTLENECK = 0.10  # share from which a cause is the bottleneck: as torch's noop_hook and Greyhound have it
UNEXPLAINED = 0.30  # with this much of the step in no known phase, "nothing stands out" would be a guess
_MOST = 0.99  # share beyond which a ceiling is no longer a statement about this run

RESULTS = {
    "NO_TORCH": "The script never imported torch, so there was no training to watch.",
    "NO_STEPS": "No optimizer step was seen, so there is nothing to judge: the script ended before "
    "it trained, or it trains without torch.optim.",
    "TOO_FEW_STEPS": "Too few training steps were seen for an answer. Let it run for longer, or use --steps.",
    "NO_TRAINING": "No training step is in the trace: neither an optimizer step nor a backward pass was seen.",
    "SHORT_TRACE": "The trace holds fewer than two whole training steps, too few for an answer. Profile five or more, "
    "such as with torch.profiler.schedule(wait=1, warmup=2, active=6).",
    "FAILED": "The script failed before enough of the training was seen.",
    "UNEXPLAINED_TIME": "Most of the missing time lies outside every phase that could be told apart.",
}


def conclude(
    findings: Sequence[Finding], measurements: Measurements, advice: Sequence[Advice], result: str = "OK"
) -> Verdict:
    """Return the verdict on a run.

    Args:
        findings: In the order of ``judge``.
        measurements: Of the run.
        advice: In the order of ``advise``.
        result: "OK", or why there can be no verdict: NO_TORCH, NO_STEPS, TOO_FEW_STEPS, ...
    """
    if result != "OK":
        return _insufficient(result, RESULTS.get(result, f"No verdict: {result.replace('_', ' ').lower()}."))
    firing = [finding for finding in findings if finding.state == "fires"]
    wrong = [finding for finding in firing if not finding.healthy]
    large = [finding for finding in wrong if (finding.share or 0.0) >= BOTTLENECK and not _doubtful(finding)]
    if large:
        first = large[0] if _doubtful(wrong[0]) else wrong[0]
        return _verdict("bottleneck", first, findings, measurements, _headline(first, measurements, advice))
    healthy = next((finding for finding in firing if finding.healthy), None)
    if healthy is not None:
        text = (
            f"{first_sentence(healthy.text)} That is the wanted limit: only doing less work makes it faster."
        )
        text += _uncompiled(measurements) + _largest(wrong)
        return _verdict("healthy", healthy, findings, measurements, text)
    other = measurements.number("step.other_frac")
    if other is not None and other >= UNEXPLAINED:
        return _insufficient("UNEXPLAINED_TIME", _unexplained(other, measurements))
    text = f"Nothing stands out: no single cause costs {units.fraction(BOTTLENECK)} of the time or more."
    text += _far(measurements) + _uncompiled(measurements) + _largest(wrong)
    return _verdict("healthy", None, findings, measurements, text)


def _uncompiled(measurements: Measurements) -> str:
    """Return a sentence about what the compiler gave up on, "" where there is nothing.

    What compiling it would gain is not known: it costs no time that could be seen, as steps that were never faster.
    """
    what = measurements.labels.get("compile.uncompiled")
    return (
        f" The compiler gave up on {what}, which it had to compile anew too often: it runs uncompiled."
        if what
        else ""
    )


def _far(measurements: Measurements) -> str:
    """Return a sentence about operators that reach neither roof, "" where others take more.

    Sparse products, gathers, convolutions of odd shapes: nothing is wrong with the loop, and nothing is used well.
    """
    far, what = measurements.number("device.unplaced_frac"), measurements.labels.get("device.largest")
    used = (measurements.number(f"device.{name}_frac") or 0.0 for name in ("maths", "bandwidth"))
    if far is None or not what or far < max(BOTTLENECK, *used):
        return ""
    return f" {units.fraction(far)} goes into operators that are far from what this machine can do: {what}."


def _doubtful(finding: Finding) -> bool:
    """Return whether a finding may lie over the limit by chance: neither of two witnesses is sure of it.

    Blocks without the input leave open whether it is a tenth of the step, and the waiting that phases show is less.
    Batches that are handed out again lie warm in the caches, so that steps without the input are a little too short.
    Waiting that is more than those blocks allow is no witness where they also allow that nothing is gained: it hides
    behind something else.
    """
    if finding.family != "input" or finding.share_basis != "ceiling":
        return False
    if finding.share_interval is None or finding.raw_share is None:
        return False
    low, high = finding.share_interval
    seen = 0.0 if low <= 0 and finding.raw_share > high else finding.raw_share
    return (finding.share or 0.0) >= BOTTLENECK > max(low, seen)


def _insufficient(result: str, headline: str) -> Verdict:
    """Return that nothing can be said, and why."""
    return Verdict(
        bottleneck=None,
        family=None,
        state="insufficient",
        result=result,
        share=None,
        share_basis="unknown",
        ceiling_speedup=None,
        confidence="low",
        headline=headline,
    )


def _verdict(
    state: str,
    finding: Finding | None,
    findings: Sequence[Finding],
    measurements: Measurements,
    headline: str,
) -> Verdict:
    """Return the verdict that rests on ``finding``, or on none."""
    level, reasons = confidence(finding, findings, measurements)
    return Verdict(
        bottleneck=finding.bottleneck if finding else None,
        family=finding.family if finding else None,
        state="bottleneck" if state == "bottleneck" else "healthy",
        result="OK",
        share=finding.share if finding else None,
        share_basis=finding.share_basis if finding else "unknown",
        ceiling_speedup=ceiling(finding) if finding and state == "bottleneck" else None,
        confidence=level,
        headline=headline,
        reasons=reasons,
    )


def ceiling(finding: Finding) -> Interval | None:
    """Return the most that any fix of ``finding`` can gain: 1 / (1 - share), over the share's interval."""
    if finding.share is None:
        return None
    low, high = finding.share_interval or (finding.share, finding.share)
    ends = (min(max(share, 0.0), _MOST) for share in (low, finding.share, high))
    low, likely, high = (1 / (1 - share) for share in ends)
    return Interval(low=low, likely=likely, high=high)


def _headline(finding: Finding, measurements: Measurements, advice: Sequence[Advice]) -> str:
    """Return what is wrong and what to do first, for somebody who never profiled anything."""
    what = (
        first_sentence(finding.text)
        or f"{finding.title}: {units.fraction(finding.share or 0.0)} of the time."
    )
    what += _measured_limit(finding)
    offered = [
        one for one in advice if one.bottleneck == finding.bottleneck and one.currency == "time_per_step"
    ]
    return f"{what} {_promise(offered[0], measurements)}" if offered else what


def _measured_limit(finding: Finding) -> str:
    """Return what taking the cause away gained, where the phases alone say something else; else ""."""
    if finding.share_basis != "ceiling" or finding.share is None:
        return ""
    if finding.raw_share is not None and abs(finding.share - finding.raw_share) < ALIKE:
        return ""
    return f" Taking it away made steps {units.fraction(finding.share)} shorter."


def _promise(best: Advice, measurements: Measurements) -> str:
    """Return what the advice would do to the step, with numbers only where there are some."""
    mean = measurements.number("step.mean_s")
    if best.speedup is None or mean is None:
        return f"First thing to try: {best.title}."
    after = units.seconds(float(f"{mean / best.speedup.likely:.2g}"))  # no prediction is good to three digits
    said = "would then take about" if best.basis != "literature" else "could then take, by published gains,"
    return f"{best.title}. A step {said} {after} instead of {units.seconds(mean)}."


def _largest(wrong: Sequence[Finding]) -> str:
    """Return a sentence on the largest minor finding, or ""."""
    if not wrong:
        return ""
    top = wrong[0]
    if _doubtful(top) and top.share_interval is not None:
        low, high = (units.fraction(end) for end in top.share_interval)
        return f" Not to be told from noise: {top.title.lower()}, {low} to {high}."
    return f" The largest: {top.title.lower()}, {units.fraction(top.share or 0.0)}."


def _unexplained(other: float, measurements: Measurements) -> str:
    """Return the headline for a step that passes mostly outside every known phase."""
    where = measurements.labels.get("other.hotspot")
    place = f", mostly in {where}" if where else ""
    return (
        f"{units.fraction(other)} of a step passes in the script's own code outside every known phase{place}."
    )


def first_sentence(text: str) -> str:
    """Return ``text`` up to its first full stop that ends a sentence."""
    return re.split(r"(?<=\.)\s+(?=[A-Z0-9`])", text, maxsplit=1)[0]
