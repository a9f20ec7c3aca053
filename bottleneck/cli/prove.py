"""``bottleneck prove``: try the advice of a run in pairs of fresh processes, and put what it gained into the report."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from .. import proving
from ..advise.trying import why_not, worth_trying
from ..collect.again import target_of
from ..collect.target import Target, resolve
from ..collect.trials import Candidate, Trials
from ..errors import UsageError
from ..model.mitigation import Advice
from ..model.record import RunRecord
from ..model.report import Report
from ..model.trial import Trial
from ..rulebook import Rulebook
from ..store import read_trials, write_trials
from . import output
from .duration import duration
from .options import quiet_option, rules_of, rules_option
from .trial_progress import TrialProgress, line_of


@click.command(
    context_settings={"allow_interspersed_args": True},
    short_help="Try the advice of a run on the unmodified script, in fair pairs.",
)
@click.option(
    "--only", "only", multiple=True, metavar="IDS", help="Try these mitigations only (a, b or a,b)."
)
@click.option(
    "--budget",
    callback=duration,
    default="10m",
    show_default=True,
    metavar="TIME",
    help="Time for all trials: 90s, 10m, 1h.",
)
@click.option("--allow-changes", is_flag=True, help="Try methods too that change what is trained.")
@click.option("--seed", type=click.IntRange(min=0), default=0, metavar="N", help="Of the order within pairs.")
@click.option("--again", is_flag=True, help="Try again what was tried before with the same settings.")
@quiet_option
@rules_option
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="[-- TARGET [ARGS]...]")
def prove(
    only: tuple[str, ...],
    budget: float,
    allow_changes: bool,
    seed: int,
    again: bool,
    quiet: bool,
    rule_folders: tuple[Path, ...],
    run: Path,
    target: tuple[str, ...],
) -> None:
    """Try the advice for RUN, a folder that `bottleneck diagnose` wrote, and rewrite its report.

    \b
      bottleneck prove bottleneck-runs/20261121-101500-train
      bottleneck prove RUN --only dl_workers,fused_optimizer --budget 20m

    Each change is made at run time, in fresh processes of the unmodified script, in pairs with processes without it,
    in random order. What the script saves in them goes to a scratch folder. Verdicts are PROVED, REFUTED (it gains
    less than 3 %), HARMFUL or UNDECIDED, each with its interval; results are kept after each pair, so Ctrl-C loses
    nothing. TARGET is only needed where the record of RUN can't tell it (a secret on the command line).
    """
    book = rules_of(rule_folders)
    record, report = proving.read(run, book)
    what, folder = (resolve(None, target, None), Path.cwd()) if target else target_of(record.command, run)
    kept = read_trials(run)
    chosen = _choose(report, only, allow_changes, () if again else kept)
    if not chosen:
        output.say(_nothing(report, kept))
        return
    _try(what, folder, run, record, book, chosen, kept, budget, seed, quiet)


def _choose(
    report: Report, only: Sequence[str], allow_changes: bool, kept: Sequence[Trial]
) -> tuple[Advice, ...]:
    """Return what to try.

    Raises:
        UsageError: An id is not in the report's advice, or can't be tried.
    """
    ids = [name.strip() for words in only for name in words.split(",") if name.strip()]
    known = {one.id: one for one in report.mitigations}
    for name in ids:
        if name not in known:
            listed = ", ".join(one.id for one in worth_trying(report.mitigations, allow_changes)) or "none"
            raise UsageError(f"--only {name}: not among the advice of this run; what can be tried: {listed}")
        if reason := why_not(known[name], allow_changes):
            raise UsageError(f"--only {name}: can't be tried: {reason}")
    done = [one.changes for one in kept if one.state in ("PROVED", "REFUTED", "HARMFUL")]
    found = worth_trying(report.mitigations, allow_changes)
    return tuple(one for one in found if (one.id in ids if ids else one.changes not in done))


def _nothing(report: Report, kept: Sequence[Trial]) -> str:
    """Return why there is nothing to try."""
    if kept:
        return "all advice that can be tried was tried before (--again tries it once more)"
    if not report.mitigations:
        return "there is no advice for this run to try"
    return "none of the advice for this run can be tried without an edit of the script"


def _try(
    what: Target,
    folder: Path,
    run: Path,
    record: RunRecord,
    book: Rulebook,
    chosen: Sequence[Advice],
    kept: Sequence[Trial],
    budget: float,
    seed: int,
    quiet: bool,
) -> None:
    """Run the trials, show how far they are, and rewrite the report."""
    candidates = [Candidate(mitigations=(one.id,), changes=one.changes) for one in chosen]
    trials = Trials(what, proving.scratch(run), candidates, proving.known(record, folder), budget, seed)
    titles = {one.id: one.title for one in chosen}
    progress = TrialProgress(titles, quiet)
    progress.begin(len(candidates), budget, trials.length)
    stopped = False
    try:
        trials.run(progress.tell, lambda found: write_trials(run, proving.merged(kept, found)))
    except KeyboardInterrupt:
        stopped = True
    finally:
        progress.close()
        proving.tidy(run)
    _show(run, book, trials.trials(), titles, quiet)
    if stopped:
        sys.exit(130)


def _show(run: Path, book: Rulebook, found: Sequence[Trial], titles: dict[str, str], quiet: bool) -> None:
    """Rewrite the report and print a line for each trial."""
    _, report = proving.read(run, book)
    page, _ = output.write_report(report, run)
    if quiet:
        return
    for trial in found:
        output.say(line_of(trial, titles))
    output.say(f"report: {page}")
