"""``bottleneck tune``: stack what is proved into the fastest recipe, and say how to make it permanent."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from .. import proving, units
from ..advise.tuning import Confirm, Diagnose, Finish, Try, Tuning
from ..analyze.progress import look
from ..collect import deep, folder, session
from ..collect.aside import Aside
from ..collect.target import Target, resolve
from ..collect.trials import Candidate, Equal, Known, Trials
from ..collect.watch import Limits, Stage
from ..errors import BottleneckError
from ..model.trial import Change, Trial
from ..patch import Patch
from ..rulebook import Rulebook
from ..store import RECIPE, write_recipe, write_text, write_trials
from . import output
from .device_window import device_of
from .diagnose import AsPython
from .duration import duration
from .options import module_option, python_option, rules_of, rules_option
from .permanent import make_patch, write_patch
from .trial_progress import TrialProgress, line_of

PATCH = "recipe.patch"


@click.command(
    cls=AsPython,
    context_settings={"allow_interspersed_args": False},
    short_help="Find the fastest settings of a script by stacking what is proved.",
)
@module_option
@python_option
@click.option("-o", "out", metavar="DIR", type=click.Path(path_type=Path), help="New folder for all results.")
@click.option(
    "--budget",
    callback=duration,
    default="30m",
    show_default=True,
    metavar="TIME",
    help="Time for everything: 10m, 1h.",
)
@click.option("--allow-changes", is_flag=True, help="Try methods too that change what is trained.")
@click.option(
    "--write", is_flag=True, help="Edit the script as the patch says; the original is kept beside it."
)
@click.option("--quiet", is_flag=True, help="Print nothing but errors and the result.")
@rules_option
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="TARGET [ARGS]...")
def tune(
    module: str | None,
    python: str | None,
    out: Path | None,
    budget: float,
    allow_changes: bool,
    write: bool,
    quiet: bool,
    rule_folders: tuple[Path, ...],
    target: tuple[str, ...],
) -> None:
    """Diagnose TARGET, try the advice in fair pairs, keep what is proved, diagnose again with it, and so on.

    \b
      bottleneck tune train.py --epochs 3
      bottleneck tune --budget 1h -- torchrun --nproc-per-node 2 train.py

    Nothing the script saves meanwhile reaches its real places. At the end stand the fastest recipe with its proved
    speedup over the script as it is, recipe.json for `bottleneck diagnose --apply`, and a patch of the script where
    the change is a known argument of a known call (applied only with --write), else the lines to add. Ctrl-C ends the
    search and keeps what is proved so far.
    """
    what = resolve(module, target, python)
    book = rules_of(rule_folders)
    run = folder.make(out, f"tune-{Path(what.script).stem}")
    output.say(f"tuning {what.script} for at most {units.seconds(budget)}; results: {run}")
    search = Search(what, run, book, Tuning(budget_s=budget, allow_changes=allow_changes), quiet)
    finish, stopped = search.run()
    _finish(search, finish, write)
    if stopped:
        sys.exit(130)


class Search:
    """Carries out what the plan asks for."""

    def __init__(self, target: Target, where: Path, book: Rulebook, plan: Tuning, quiet: bool) -> None:
        """Write below ``where``."""
        self.target, self.where, self.book, self.plan, self.quiet = target, where, book, plan, quiet
        self.sites: list[Mapping[str, Any]] = []
        self.trials: list[Trial] = []
        self.known: Any = None
        self.first: tuple[Known, Equal] | None = None  # of the script as it is
        self._runs = 0
        self._is_stopped = False

    def run(self) -> tuple[Finish, bool]:
        """Return the end of the search, and whether the user stopped it."""
        try:
            while not isinstance(step := self.plan.next(), Finish):
                began = time.monotonic()
                if isinstance(step, Diagnose):
                    self._diagnose(step, began)
                elif isinstance(step, Try):
                    self._session(step, began)
                else:
                    self._confirm(step, began)
                if self._is_stopped:
                    return self.plan.stop(), True
        except KeyboardInterrupt:
            return self.plan.stop(), True
        return step, False

    def _diagnose(self, step: Diagnose, began: float) -> None:
        """Diagnose the script with what is proved so far."""
        self._runs += 1
        run = folder.make(self.where / f"run-{self._runs}", self.target.script)
        self._say(f"diagnosing it{' with what is proved so far' if step.recipe else ''}")
        looks: list[Stage] = [deep.DeepStage(run)]
        with Aside(self.target.python) as aside:
            ended = session.measure(
                self.target, run, Limits(), look, lambda text: None, looks, step.recipe,
                disposable=True, at_stop=aside.start,
            )  # fmt: skip
            if ended.interrupts:
                raise KeyboardInterrupt
            deep.complete(run, self.target.python, device_of, aside=aside)
        record, report = proving.read(run, self.book)
        output.write_report(report, run)
        if not ended.stopped_by_us and ended.code:
            raise BottleneckError(f"the script ended with code {ended.code}; see {run / 'report.html'}")
        self.known = proving.known(record, Path.cwd())
        self._say(report.verdict.headline)
        self.plan.diagnosed(
            report.mitigations,
            report.verdict.bottleneck or "",
            proving.arm_s(self.known),
            time.monotonic() - began,
        )

    def _session(self, step: Try, began: float) -> None:
        """Try some advice on top of the recipe so far."""
        titles = {one.id: one.title for one in step.candidates}
        wanted = [Candidate(mitigations=(one.id,), changes=one.changes) for one in step.candidates]
        known = self.known

        def take(found: tuple[Trial, ...]) -> None:
            self.plan.tried(step, found, time.monotonic() - began)

        session_ = self._trials(wanted, step.budget_s, known, base=step.recipe)
        self._try(session_, titles, take)
        self.first = self.first or (known, session_.equal())

    def _confirm(self, step: Confirm, began: float) -> None:
        """Try the whole recipe against the script as it is."""
        names = tuple(dict.fromkeys(one.mitigation for one in step.recipe))
        whole = Candidate(mitigations=names, changes=step.recipe)
        self._say("all of it together, against the script as it is")

        def take(found: tuple[Trial, ...]) -> None:
            self.plan.confirmed(found[0], time.monotonic() - began)

        known, equal = self.first or (self.known, None)
        self._try(self._trials([whole], step.budget_s, known, equal=equal), {}, take)

    def _trials(
        self,
        wanted: list[Candidate],
        budget_s: float,
        known: Known,
        base: tuple[Change, ...] = (),
        equal: Equal | None = None,
    ) -> Trials:
        """Return a session of trials."""
        where = self.where / f"trials-{len(self.trials) + 1}"
        return Trials(self.target, where, wanted, known, budget_s, base=base, equal=equal)

    def _try(
        self, session_: Trials, titles: Mapping[str, str], take: Callable[[tuple[Trial, ...]], None]
    ) -> None:
        """Run one session of trials and give what it found to ``take``, before anything else can be interrupted."""
        try:
            self._carry_out(session_, titles)
        except KeyboardInterrupt:
            self._is_stopped = True  # what this session has proved by now is taken all the same
        found = session_.trials()
        take(found)
        self.sites += session_.sites()
        self.trials += found
        write_trials(self.where, self.trials)
        for trial in found:
            self._say(line_of(trial, titles))

    def _carry_out(self, session_: Trials, titles: Mapping[str, str]) -> None:
        """Run the pairs of a session under a progress bar, and leave none of its folders."""
        progress = TrialProgress(titles, self.quiet)
        try:
            session_.run(progress.tell, lambda found: None)
        finally:
            progress.close()
            proving.tidy(self.where)

    def _say(self, text: str) -> None:
        if not self.quiet:
            output.say(text)


def _finish(search: Search, finish: Finish, write: bool) -> None:
    """Write recipe and patch, and say what was found."""
    if not finish.recipe:
        output.say(f"nothing made it faster beyond doubt ({finish.reason}); the script stays as it is")
        return
    write_recipe(search.where / RECIPE, finish.recipe)
    patch = make_patch(finish.recipe, search.sites, Path.cwd())
    if finish.total is not None:
        output.say(f"the fastest recipe ({finish.reason}): {line_of(finish.total, {})}")
    output.say(f"run with it: bottleneck diagnose --apply {search.where / RECIPE} {search.target.script}")
    _show(patch, search.where, write)


def _show(patch: Patch, where: Path, write: bool) -> None:
    """Show how to make it permanent; edit the script where that was asked for."""
    if patch.diff:
        write_text(where / PATCH, patch.diff)
        output.put(patch.diff)
        if write:
            for path, kept in write_patch(patch, where):
                output.say(f"edited {path}; the original is {kept}")
        else:
            output.say(f"to make it permanent: patch -p1 < {where / PATCH}, or run again with --write")
    for one in patch.additions:
        output.say(f"{one.where}{f' ({one.reason})' if one.reason else ''}:")
        output.put("".join(f"    {line}\n" for line in one.lines))
