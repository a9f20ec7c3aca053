"""What torch.compile cost, what it compiled again and why, where it broke a graph, and where it gave up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from ..model.code import is_users
from ..model.span import Kind
from .timeline import Timeline
from .values import Values

Told = Mapping[str, Any]  # of one compilation (agent/compiling.py)

# What is left of a function behind a graph break is compiled as a function of this name.
_RESUMED = re.compile(r"torch_dynamo_resume_in_(.+)_at_(\d+)")
_SIZE = re.compile(
    r"\bsize|stride mismatch"
)  # of the guards on tensors: "size mismatch at", ".size()[0] == 77"
_EARLIER = re.compile(r"^\d+(/\d+)+: ")  # "0/3: ": which earlier compilation did not fit


def analyse(timeline: Timeline, library_paths: Sequence[str], values: Values) -> None:
    """Give ``compile.*``."""
    told = [event.data for event in timeline.trainer.process.told("compiled")]
    _time(timeline, values)
    _again(told, library_paths, values)
    _breaks(told, library_paths, values)


def _time(timeline: Timeline, values: Values) -> None:
    """Give what compiling cost since the first step began, and what of that came after warm-up."""
    spans = timeline.trainer.spans
    found = spans.where((spans.kind == Kind.COMPILE) & (spans.end_ns > timeline.bounds_ns[0]))
    seconds = (found.end_ns - found.start_ns) / 1e9
    values.give("compile.used", float(len(found) > 0))
    values.give("compile.frames", len(found), len(found))
    if not len(found):
        values.give("compile.late", 0)
        return
    whole = float(timeline.bounds_ns[-1] - timeline.bounds_ns[0]) / 1e9
    values.give("compile.total_s", float(seconds.sum()), len(found))
    values.give("compile.run_frac", float(seconds.sum()) / whole, len(found))
    start, end = timeline.measured
    late = found.start_ns >= start
    values.give("compile.late", int(np.count_nonzero(late)), len(found))
    if end > start:
        values.give("compile.late_frac", float(seconds[late].sum()) * 1e9 / (end - start), len(found))


def _again(told: Sequence[Told], library_paths: Sequence[str], values: Values) -> None:
    """Give how often code was compiled again, which most often and why, and which runs uncompiled for that."""
    if not told:
        return
    places = {one["frame"]: _place(one, library_paths) for one in told if one.get("file")}
    again = [one for one in told if one.get("number")]
    dropped = dict.fromkeys(one["frame"] for one in again if one.get("gave_up"))
    values.give("compile.again", sum(not one.get("gave_up") for one in again), len(told))
    values.give("compile.dropped", len(dropped), len(told))
    if dropped:
        values.label("compile.uncompiled", places.get(next(iter(dropped)), "") or "what was compiled")
    sized = sum(bool(_SIZE.search(str(one.get("reason", "")))) for one in again)
    values.give("compile.size_frac", sized / max(1, len(again)), len(again))
    if again:
        most = Counter(one["frame"] for one in again).most_common(1)[0][0]
        reasons = [str(one.get("reason", "")) for one in again if one["frame"] == most]
        why = next((" ".join(_EARLIER.sub("", reason).split()) for reason in reversed(reasons) if reason), "")
        place = places.get(most, "")
        values.label(
            "compile.why", " because of: ".join(part for part in (place, why) if part) if why else ""
        )


def _breaks(told: Sequence[Told], library_paths: Sequence[str], values: Values) -> None:
    """Give at how many places graphs broke, and the first of them."""
    if not told:
        return
    found: dict[str, None] = {}
    for one in told:
        resumed = _RESUMED.fullmatch(str(one.get("name", "")))
        if resumed:
            found[
                _place({**one, "name": resumed[1], "line": int(resumed[2])}, library_paths) or str(resumed[0])
            ] = None
    values.give("compile.breaks", len(found), len(told))
    values.label("compile.broke", next((place for place in found if " in " in place), ""))


def _place(told: Told, library_paths: Sequence[str]) -> str:
    """Return "`forward` in train.py:12"; nothing for code of libraries, which the user cannot change."""
    file = str(told.get("file", ""))
    if not is_users(file, library_paths):
        return ""
    return f"`{told['name']}` in {PurePath(file).name}:{told['line']}"
