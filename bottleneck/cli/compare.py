"""``bottleneck compare``: two runs, two folders of runs, or more, side by side."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from ..compare.comparison import compare as make_comparison
from ..compare.quality import names
from ..compare.sides import Group
from ..errors import UsageError
from ..model.comparison import Comparison
from ..render import compare_html, compare_json, compare_text
from ..store import write_text
from ..version import __version__
from . import comparing, output
from .options import quiet_option, rules_of, rules_option


def _percent(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """Return a slow-down such as "5%" as a fraction."""
    if text is None:
        return None
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    if not 0 <= number < 1000:
        raise click.BadParameter(f"{text!r} is no percentage such as 5%", context, option)
    return number / 100


@click.command(short_help="Compare two runs, or two folders of repeated runs.")
@click.option(
    "-o",
    "out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where compare.html and compare.json go; default: a new folder B.compare beside B.",
)
@click.option(
    "--metric", metavar="NAME", help="Quality: a number the runs logged (TensorBoard, W&B, MLflow, ...)."
)
@click.option("--higher-is-better", "way", flag_value="higher", help="The metric is better the higher it is.")
@click.option("--lower-is-better", "way", flag_value="lower", help="The metric is better the lower it is.")
@click.option(
    "--fail-on-regression",
    "limit",
    callback=_percent,
    metavar="5%",
    help="Exit with 1 where a step became slower by more than this: where the whole 95 % interval lies above it.",
)
@click.option("--markdown", metavar="FILE", help="Write a summary for a pull request; - is stdout.")
@click.option("--json", "as_json", is_flag=True, help="Print compare.json to stdout and write no files.")
@quiet_option
@rules_option
@click.argument("paths", type=click.Path(path_type=Path), metavar="A B [MORE]...", nargs=-1, required=True)
def compare(
    paths: tuple[Path, ...],
    out: Path | None,
    metric: str | None,
    way: str | None,
    limit: float | None,
    markdown: str | None,
    as_json: bool,
    quiet: bool,
    rule_folders: tuple[Path, ...],
) -> None:
    """Compare B with A: step time, phases, findings, and what else differs.

    A and B are folders that `bottleneck diagnose` wrote, their report.json, or folders of such folders: repeats of
    the same thing, which show how much runs differ by themselves. With more than two, each is compared with the
    first, and a picture shows time against quality.

    \b
    bottleneck compare before after
    bottleneck compare before/ after/ --metric val_acc --higher-is-better
    bottleneck compare main.json pr.json --fail-on-regression 5% --markdown -
    """
    if way is not None and metric is None:
        raise UsageError(
            "--higher-is-better and --lower-is-better say which way --metric NAME is better: name it"
        )
    if as_json and markdown == "-":
        raise UsageError("--json and --markdown - both want stdout: name a file for the summary")
    found = comparing.groups(paths, rules_of(rule_folders))
    _check(metric, found)
    higher = None if way is None else way == "higher"
    made = make_comparison(found, metric=metric, higher=higher, limit=limit, version=__version__)
    if as_json:
        click.echo(compare_json.render(made), nl=False)
    page = None if as_json else _write(made, out if out is not None else comparing.folder_beside(paths))
    if markdown is not None:
        _markdown(made, markdown)
    if not quiet:
        _show(made)
        if page is not None:
            output.say(f"comparison: {page}")
    if any(one.regression is not None and one.regression.failed for one in made.contrasts):
        sys.exit(1)


def _check(metric: str | None, found: tuple[Group, ...]) -> None:
    """Raise UsageError where no run logged the metric: it is misspelt rather than missing."""
    every = [one for group in found for one in group.facts]
    if metric is None or any(metric in (one.logged or {}) for one in every):
        return
    known = ", ".join(names(every)[:12])
    raise UsageError(
        f"--metric {metric}: no run logged it ({f'logged: {known}' if known else 'none logged a number'})"
    )


def _write(made: Comparison, folder: Path) -> Path:
    """Write page and data into ``folder``; return the page's path."""
    page, data = folder / "compare.html", folder / "compare.json"
    for path in (page, data):
        comparing.refuse_foreign(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(data, compare_json.render(made))
        write_text(page, compare_html.render(made))
    except OSError as error:
        raise UsageError(
            f"{folder}: can't be written ({error.strerror}); name another folder with -o"
        ) from error
    return page


def _markdown(made: Comparison, target: str) -> None:
    """Write the summary to a file, or to stdout."""
    text = compare_text.markdown(made)
    if target == "-":
        click.echo(text, nl=False)
        return
    comparing.refuse_foreign(Path(target))
    try:
        write_text(Path(target), text)
    except OSError as error:
        raise UsageError(f"{target}: can't be written ({error.strerror})") from error


def _show(made: Comparison) -> None:
    """Print the summary on stderr, as `bottleneck report` does."""
    terminal = sys.stderr.isatty()
    color = terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    width = min(100, shutil.get_terminal_size((80, 24)).columns) if terminal else 80
    unicode = (sys.stderr.encoding or "").lower().replace("-", "") in ("utf8", "utf16")
    output.put(compare_text.terminal(made, width=max(40, width), color=color, ascii=not unicode))
