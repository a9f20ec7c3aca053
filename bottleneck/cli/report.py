"""``bottleneck report``: diagnose a saved run again; needs neither torch nor the training's machine."""

from __future__ import annotations

from pathlib import Path

import click

from .. import ingest
from ..analyze.ranks.condense import Condenser
from ..diagnosis import diagnose as make_report
from ..errors import RecordError, UsageError
from ..model.record import RunRecord
from ..render import json_report
from ..store import load
from . import output, reading
from .options import price_option, quiet_option, rules_of, rules_option


@click.command(short_help="Diagnose a saved run again, or profiler traces.")
@click.option(
    "-o",
    "out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where to write; default: RUN itself, for traces a new folder TRACE.bottleneck beside the first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print report.json to stdout and write nothing.")
@price_option
@quiet_option
@rules_option
@click.argument("runs", type=click.Path(path_type=Path), metavar="RUN | TRACE...", nargs=-1, required=True)
def report(
    runs: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    price: float | None,
    quiet: bool,
    rule_folders: tuple[Path, ...],
) -> None:
    """Diagnose RUN again, a folder that `bottleneck diagnose` wrote, with today's rules.

    Or diagnose TRACEs that torch.profiler wrote (.json, .json.gz): one per rank of one training, from any machine.
    """
    traced = reading.traces_among(runs)
    record = _load(runs, traced, quiet)
    book = rules_of(rule_folders)
    try:
        made = make_report(record, book, price)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecordError(
            f"{runs[0]}: can't be diagnosed, the record is damaged or another tool's "
            f"({type(error).__name__}: {error})"
        ) from error
    if as_json:
        click.echo(json_report.render(made), nl=False)
        return
    if not quiet:
        output.show(made)
    where = out if out is not None else reading.folder_beside(runs[0]) if traced else runs[0]
    try:
        where.mkdir(parents=True, exist_ok=True)
        page, _ = output.write_report(made, where)
    except OSError as error:
        raise UsageError(
            f"{where}: can't be written ({error.strerror}); name another folder with -o"
        ) from error
    if not quiet:
        output.say(f"report: {page}")


def _load(runs: tuple[Path, ...], traced: bool, quiet: bool) -> RunRecord:
    """Return the record of a run, or of traces, telling how far reading is."""
    if not traced:
        return load(runs[0], Condenser())
    with reading.progress(quiet) as tell:
        return ingest.load_traces(runs, tell)
