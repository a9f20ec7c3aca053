"""``bottleneck report``: diagnose a saved run again; needs neither torch nor the training's machine."""

from __future__ import annotations

from pathlib import Path

import click

from .. import rulebook
from ..diagnosis import diagnose as make_report
from ..errors import RecordError, UsageError
from ..render import json_report
from ..store import load
from . import output


@click.command(short_help="Diagnose a saved run again.")
@click.option(
    "-o", "out", metavar="DIR", type=click.Path(path_type=Path), help="Where to write; default: RUN itself."
)
@click.option("--json", "as_json", is_flag=True, help="Print report.json to stdout and write nothing.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option(
    "--rules",
    "rule_folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Add or override rules by those in this folder.",
)
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
def report(run: Path, out: Path | None, as_json: bool, quiet: bool, rule_folders: tuple[Path, ...]) -> None:
    """Diagnose RUN again, a folder that `bottleneck diagnose` wrote, with today's rules."""
    record, book = load(run), rulebook.load([rulebook.shipped(), *rule_folders])
    try:
        made = make_report(record, book)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecordError(
            f"{run}: can't be diagnosed, the record is damaged or another tool's ({type(error).__name__}: {error})"
        ) from error
    if as_json:
        click.echo(json_report.render(made), nl=False)
        return
    if not quiet:
        output.show(made)
    where = out if out is not None else run
    try:
        where.mkdir(parents=True, exist_ok=True)
        page, _ = output.write_report(made, where)
    except OSError as error:
        raise UsageError(
            f"{where}: can't be written ({error.strerror}); name another folder with -o"
        ) from error
    if not quiet:
        output.say(f"report: {page}")
