"""``bottleneck diagnose``: run, measure, diagnose, report."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ..analyze.progress import look
from ..analyze.ranks.condense import Condenser
from ..collect import deep, folder, session
from ..collect.aside import Aside
from ..collect.experiments import BUDGET_S, Ceilings
from ..collect.launch import end_like
from ..collect.target import Target, resolve
from ..collect.watch import Limits, Stage
from ..diagnosis import diagnose as make_report
from ..errors import BottleneckError
from ..render import json_report
from ..rulebook import Rulebook
from ..store import load, read_recipe
from . import output
from .device_window import device_of
from .options import module_option, price_option, python_option, quiet_option, rules_of, rules_option


class AsPython(click.Command):
    """Ends our options at ``-m MODULE`` as Python does: what follows is the module's."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what click leaves, with ``--`` put behind the module's name."""
        valued = {
            name for p in self.params if isinstance(p, click.Option) and not p.is_flag for name in p.opts
        }
        at = 0
        while at < len(args) and args[at].startswith("-") and args[at] != "--":
            word = args[at]
            at += 2 if word in valued else 1
            if at <= len(args) and word.startswith("-m") and not word.startswith("--"):
                args = [*args[:at], "--", *args[at:]]
                break
        return super().parse_args(ctx, args)


@click.command(
    cls=AsPython,
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": False},
    short_help="Run a training script and say what slows it down.",
)
@module_option
@python_option
@click.option(
    "-o", "out", metavar="DIR", type=click.Path(path_type=Path), help="New folder for record and report."
)
@click.option(
    "--steps", type=click.IntRange(min=1), metavar="N", help="Measure N steps, then stop the script."
)
@click.option(
    "--seconds", type=click.FloatRange(min=1), metavar="S", help="Measure for S seconds of steps, then stop."
)
@click.option("--full", is_flag=True, help="Let the training run to its own end; only observe.")
@click.option("--no-experiments", is_flag=True, help="Only observe; take nothing away to see what it costs.")
@click.option(
    "--experiments-seconds",
    "experiments_s",
    type=click.FloatRange(min=1, max=BUDGET_S),
    default=BUDGET_S,
    metavar="S",
    help=f"Most seconds of experiments after the measured steps (default {BUDGET_S:g}).",
)
@click.option(
    "--apply",
    "recipe",
    type=click.Path(path_type=Path),
    metavar="RECIPE",
    help="Make the changes of a recipe.json at run time (`bottleneck tune` writes one).",
)
@click.option("--no-stacks", is_flag=True, help="Do not sample Python stacks (py-spy).")
@click.option("--no-deep", is_flag=True, help="Skip the closer look at a few steps (torch.profiler, probes).")
@click.option("--keep-trace", is_flag=True, help="Keep the profiler's trace however large.")
@price_option
@click.option("--json", "as_json", is_flag=True, help="Print report.json to stderr instead of the summary.")
@quiet_option
@rules_option
@click.argument("target", nargs=-1, type=click.UNPROCESSED, metavar="TARGET [ARGS]...")
def diagnose(
    module: str | None,
    python: str | None,
    out: Path | None,
    steps: int | None,
    seconds: float | None,
    full: bool,
    no_experiments: bool,
    experiments_s: float,
    recipe: Path | None,
    no_stacks: bool,
    no_deep: bool,
    keep_trace: bool,
    price: float | None,
    as_json: bool,
    quiet: bool,
    rule_folders: tuple[Path, ...],
    target: tuple[str, ...],
) -> None:
    """Run TARGET unmodified, measure where each step's time goes, and say what would help.

    \b
    TARGET is a script, a module, or a launcher's command after `--`:
      bottleneck diagnose train.py --epochs 3
      bottleneck diagnose -m pkg.train --lr 0.1
      bottleneck diagnose -- torchrun --nproc-per-node 2 train.py

    Options of ours stand before TARGET; everything after it reaches the script. Once enough is measured
    (at least 30 steps and 8 s; at most 60 s, or 500 steps beyond the 8 s), experiments take up to a minute: blocks
    of steps with and without the input, logging, checkpoints and the like. From the first of them on what the
    script saves goes to a scratch folder and not to its real paths. Then the script is stopped as by Ctrl-C. With
    --no-experiments it is stopped right away; with --full it runs to its own end, and nothing is taken away.
    Exit code: the script's own where it failed by itself, else 0; 2 for a usage error.
    """
    what = resolve(module, target, python)
    book = rules_of(rule_folders)
    changes = () if recipe is None else read_recipe(recipe)
    limits = _limits(steps, seconds, full, no_stacks)
    say = (lambda text: None) if quiet else output.say
    try:
        run = folder.make(out, what.script)
        looks: list[Stage] = [] if full or no_deep else [deep.DeepStage(run)]
        stages = [] if full or no_experiments else [Ceilings(run, experiments_s, say)]
        _announce(what, run, limits, experiments_s if stages else 0.0, say)
        with Aside(what.python) as aside:
            again = None if no_experiments else aside
            at_stop = aside.start if looks and stages else None
            ended = session.measure(what, run, limits, look, say, [*looks, *stages], changes, at_stop=at_stop)
            deep.complete(run, what.python, device_of, keep_trace, again, say)
    except folder.NoSpace as error:
        output.say(f"{error}: running the script without measuring it")
        end_like(session.run_plain(what))
        return
    _finish(run, book, as_json, quiet, price)
    end_like(0 if ended.stopped_by_us else ended.code)


def _limits(steps: int | None, seconds: float | None, full: bool, no_stacks: bool) -> Limits:
    """Return when to end the script; an explicit number of steps or seconds is measured in full."""
    if steps is None and seconds is None:
        return Limits(full=full, stacks=not no_stacks)
    return Limits(
        steps=steps if steps is not None else 10**9,
        seconds=seconds if seconds is not None else 10**9,
        least_steps=10**9,
        settle_s=0.0,
        full=full,
        stacks=not no_stacks,
    )


def _announce(what: Target, run: Path, limits: Limits, experiments_s: float, say: object) -> None:
    """Say what is about to happen."""
    assert callable(say)
    for note in what.notes:
        say(note)
    if limits.full:
        end = "until it ends by itself"
    else:
        steps = f"{limits.steps} steps" if limits.steps < 10**9 else ""
        seconds = f"{limits.seconds:g} s" if limits.seconds < 10**9 else ""
        most = " or ".join(part for part in (seconds, steps) if part)
        then = "experimenting and " if experiments_s else ""
        end = f"then {then}stopping it as Ctrl-C would (at most {most} of measuring; --full lets it finish)"
    say(f"measuring {what.script}, {end}")
    if experiments_s:
        say(
            f"experiments take up to {experiments_s:g} s after that; what the script saves from then on goes to a "
            "scratch folder, its weights are disposable (--no-experiments: none)"
        )
    say(f"record and report: {run}")


def _finish(run: Path, book: Rulebook, as_json: bool, quiet: bool, price: float | None = None) -> None:
    """Make the report; whatever goes wrong here, the record stays and the script's exit code counts."""
    try:
        report = make_report(load(run, Condenser()), book, price)
        if as_json:
            output.put(json_report.render(report))
        elif not quiet:
            output.show(report)
        page, _ = output.write_report(report, run)
        if not quiet:
            output.say(f"report: {page}")
    except KeyboardInterrupt:
        output.say(f"report not finished; the record is kept: bottleneck report {run}")
    except OSError as error:
        output.say(
            f"no report: {error.strerror or error} ({run}); run `bottleneck report {run}` once there is space"
        )
    except BottleneckError as error:
        output.say(f"no report: {error}")
    except Exception as error:
        output.say(
            f"no report: {type(error).__name__}: {error}; the record is kept, try: bottleneck report {run}"
        )
    finally:
        sys.stdout.flush()
