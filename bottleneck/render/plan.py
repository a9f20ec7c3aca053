"""What the best advice gains together, in one sentence."""

from __future__ import annotations

from ..model.report import Report
from . import view


def sentence(report: Report) -> str:
    """Return "1, 2 and 4 together: about 24 ms a step (simulated), then limited by Checkpoints", or ""."""
    plan = report.plan
    after = None if plan is None else view.finite(plan.after_s)
    if plan is None or after is None or after <= 0 or len(plan.advice) < 2:
        return ""
    per_step = [advice for advice in report.mitigations if not view.fewer_steps(advice)]
    shown = {advice.id: place for place, advice in enumerate(per_step, 1)}
    places = [shown[name] for name in plan.advice if name in shown]
    if len(places) < 2:
        return ""
    listed = f"{', '.join(map(str, places[:-1]))} and {places[-1]} together"
    wall = view.bottleneck(plan.next_wall)
    limit = f", then limited by {wall}" if plan.next_wall and wall else ""
    return f"{listed}: about {view.duration(after)} a step (simulated){limit}"
