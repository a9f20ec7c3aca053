"""How far trials are: one line on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from .. import units
from ..model.trial import Trial
from ..verify.protocol import Progress, Task
from ..verify.warm_up import Length
from . import output

_EVERY_S = 30.0  # between two lines where there is no terminal
_BAR = 20


class TrialProgress:
    """Shows a session of trials on stderr."""

    def __init__(self, titles: Mapping[str, str], quiet: bool) -> None:
        """Say nothing yet; ``titles`` names mitigations for a reader."""
        self._titles = titles
        self._quiet = quiet
        self._terminal = sys.stderr.isatty() and not quiet
        self._last = 0.0

    def begin(self, candidates: int, budget_s: float, length: Length) -> None:
        """Say what is about to happen."""
        if not self._quiet:
            output.say(
                f"trying {candidates} change{'s' * (candidates != 1)} in pairs of fresh processes, about "
                f"{units.seconds(length.seconds)} each ({length.steps} steps), for at most {units.seconds(budget_s)}; "
                "what the script saves in them goes to a scratch folder"
            )

    def tell(self, progress: Progress, task: Task | None) -> None:
        """Show how far it is and what runs now."""
        now = time.monotonic()
        if self._quiet or (not self._terminal and task is not None and now - self._last < _EVERY_S):
            return
        self._last = now
        text = f"{units.fraction(progress.fraction)} {self._what(task)} {_states(progress)}"
        if self._terminal:
            filled = round(progress.fraction * _BAR)
            bar = "#" * filled + "." * (_BAR - filled)
            output.put(f"\r\x1b[Kbottleneck: [{bar}] {output.printable(text)}")
        else:
            output.say(text)

    def close(self) -> None:
        """Leave the line."""
        if self._terminal:
            output.put("\r\x1b[K")

    def _what(self, task: Task | None) -> str:
        """Return what runs now."""
        if task is None:
            return "done;"
        if task.candidate is None:
            return "equal runs, to know the noise;"
        names = [self._titles.get(one, one) for one in task.candidate.split("+")]
        return f"{' + '.join(names)[:60]};"


def _states(progress: Progress) -> str:
    """Return what is known so far."""
    known = {state: count for state, count in progress.states.items() if state != "UNDECIDED" and count}
    told = ", ".join(f"{count} {state.lower().replace('_', ' ')}" for state, count in sorted(known.items()))
    return f"{progress.pairs} pairs" + (f", {told}" if told else "")


def line_of(trial: Trial, titles: Mapping[str, str]) -> str:
    """Return a trial in one line: verdict, what was tried, what it gained or why there is no figure."""
    name = " + ".join(titles.get(one, one) for one in trial.mitigations)
    found = trial.speedup
    if found is None:
        return f"{trial.state.replace('_', ' ')}: {name}: {trial.reason or 'no pair that counts'}"
    took = ""
    if trial.base_s and trial.arm_s:
        took = f", {units.seconds(trial.base_s)} -> {units.seconds(trial.arm_s)} a step"
    return (
        f"{trial.state.replace('_', ' ')}: {name}: {found.likely:.2f}x ({found.low:.2f} to {found.high:.2f}, "
        f"{trial.pairs} pairs{took})"
    )
