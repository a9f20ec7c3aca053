"""What a GPU did for each phase, and how far it lags behind the host, from events it passed (``agent/device_marks``).

Host and device have clocks of their own. An event can't be passed before it is made, so the least difference of the two
clocks is where the device had caught up; of the rest, what is more is lag. A device that never catches up lags by more.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..model.span import Flag, Kind, Spans
from .device_values import in_timed
from .timeline import Timeline
from .values import Values

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LEAST = 20  # marks in timed steps: some seven updates, fewer give no median worth printing
_DRIFT = 1e-4  # of two clocks: crystals are good for a hundredth of that; what grows faster is lag
_PHASES = {Kind.FORWARD: "forward", Kind.BACKWARD: "backward", Kind.OPTIMIZER: "optimizer"}
_NAMES = (*(f"device.{name}_s" for name in _PHASES.values()), "device.update_s", "device.lag_s")


def analyse(timeline: Timeline, values: Values) -> None:
    """Give the device's time of each phase of an update, and its lag at the end of updates, both in seconds."""
    marks = timeline.trainer.process.spans.of(Kind.DEVICE)
    marks = marks.where(np.argsort(marks.a, kind="stable"))
    timed = in_timed(timeline, marks.a)
    if np.count_nonzero(timed) < _LEAST:
        for name in _NAMES:
            values.lack(name, "no GPU told when it passed the ends of phases")
        return
    phase = marks.flags & ~np.uint8(Flag.APART)
    ends = phase == (Kind.OPTIMIZER if np.any(phase == Kind.OPTIMIZER) else Kind.BACKWARD)
    _give_phases(marks, phase, ends, timed, values)
    late = lag_ns(marks.a, marks.b)[ends & timed]
    if len(late):
        values.give("device.lag_s", float(np.median(late)) / 1e9, len(late))


def lag_ns(host_ns: Ints, device_ns: Ints) -> Floats:
    """Return how much later than ``host_ns`` the device passed events that its own clock puts at ``device_ns``.

    Both by time, shape (n,), n > 0. One of the results is 0 at least: a device that never caught up lags by more.
    """
    ahead = (device_ns - device_ns[0]).astype(float) - (host_ns - host_ns[0])
    third = len(ahead) // 3  # far enough apart for the half microsecond to which events are read
    if third:
        first, last = int(np.argmin(ahead[:third])), len(ahead) - third + int(np.argmin(ahead[-third:]))
        slope = (ahead[last] - ahead[first]) / max(1.0, float(host_ns[last] - host_ns[first]))
        ahead = ahead - float(np.clip(slope, -_DRIFT, _DRIFT)) * (host_ns - host_ns[0])
    lag: Floats = ahead - ahead.min()
    return lag


def _give_phases(
    marks: Spans,
    phase: npt.NDArray[np.uint8],
    ends: npt.NDArray[np.bool_],
    timed: npt.NDArray[np.bool_],
    values: Values,
) -> None:
    """Give what the device took for each phase of an update, the mean over updates that were marked throughout."""
    took = np.diff(marks.b, prepend=marks.b[:1])
    update: Ints = np.cumsum(ends) - ends  # an update has its end as its last mark
    apart = (marks.flags & Flag.APART) != 0
    spoilt: Ints = np.unique(update[apart | ~timed])
    whole = ~np.isin(update, spoilt) & (update < ends.sum())
    count = len(np.unique(update[whole]))
    if not count:
        return
    for kind, name in _PHASES.items():
        of_kind = whole & (phase == kind)
        if np.any(of_kind):
            values.give(f"device.{name}_s", float(took[of_kind].sum()) / count / 1e9, count)
    values.give("device.update_s", float(took[whole].sum()) / count / 1e9, count)
