"""``bottleneck rules``: list them, explain one, test a folder of them, print their schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click

from .. import rulebook
from ..advise.mitigation import MitigationRule
from ..diagnose.expression import did_you_mean
from ..diagnose.rule import BottleneckRule
from ..errors import BottleneckError
from ..model.report import FAMILY_OF
from ..rule_schema import KINDS, schema
from ..rulebook import Rulebook
from .explain import pages, place, plain
from .options import rules_of, rules_option
from .terms import names

Row = tuple[str, ...]
Columns = Callable[[Row, Sequence[Row]], None]


@click.group("rules")
def rules() -> None:
    """List, explain and test the rules."""


@rules.command("list")
@click.option(
    "--bottleneck", metavar="ID", help="Only rules that speak of, or help against, this bottleneck."
)
@click.option(
    "--component", metavar="NAME", help="Only methods on this component: function, data, optimization."
)
@click.option("--action", metavar="NAME", help="Only methods of this action: remove, restrict, reorder, ...")
@click.option("--markdown", is_flag=True, help="Print Markdown tables.")
@rules_option
def list_rules(
    bottleneck: str | None,
    component: str | None,
    action: str | None,
    markdown: bool,
    rule_folders: Sequence[Path],
) -> None:
    """List the rules, bottlenecks first, then what helps against them."""
    book = _load(rule_folders)
    _check_filter("bottleneck", bottleneck, FAMILY_OF)
    paths = [path for rule in book.mitigations.values() for path in rule.paths]
    _check_filter("component", component, {path.component for path in paths})
    _check_filter("action", action, {path.action for path in paths})
    columns = _markdown if markdown else _columns
    if component is None and action is None:
        _print_bottlenecks(
            [rule for rule in book.bottlenecks.values() if bottleneck in (None, rule.bottleneck)], columns
        )
    wanted = [rule for rule in book.mitigations.values() if _wanted(rule, bottleneck, component, action)]
    _print_mitigations(wanted, columns)


@rules.command("explain")
@click.argument("identifier", metavar="ID")
@rules_option
def explain(identifier: str, rule_folders: Sequence[Path]) -> None:
    """Explain a rule, a mitigation, a bottleneck or a term of the taxonomy."""
    book = _load(rule_folders)
    found = pages(identifier, book)
    if not found:
        known = [*book.bottlenecks, *book.mitigations, *FAMILY_OF, *names(book)]
        raise click.UsageError(f"nothing is called '{identifier}'{did_you_mean(identifier, known)}")
    click.echo("\n".join(found), nl=False)


@rules.command("schema")
@click.argument("kind", metavar="KIND", type=click.Choice(sorted(KINDS)))
def print_schema(kind: str) -> None:
    """Print the JSON schema of a KIND of rule file, for editors: bottleneck or mitigation."""
    click.echo(schema(kind), nl=False)


@rules.command("test")
@click.argument("where", metavar="DIR", type=click.Path(path_type=Path))
@rules_option
def test(where: Path, rule_folders: Sequence[Path]) -> None:
    """Run every .test.yaml below DIR, with the rules of DIR on top of the shipped ones."""
    if not where.is_dir():
        raise click.UsageError(f"{where}: not a folder")
    shipped = where.resolve() == rulebook.shipped().resolve()
    holds_rules = any((where / name).is_dir() for name in ("bottlenecks", "mitigations"))
    book = _load([*rule_folders, where] if holds_rules and not shipped else rule_folders)
    try:
        results = list(rulebook.run_cases(where, book))
    except BottleneckError as error:
        raise click.UsageError(str(error)) from None
    failed = [result for result in results if result.failures]
    for result in failed:
        click.echo(f"{result.file}: {result.case}: {'; '.join(result.failures)}")
    click.echo(f"{len(results) - len(failed)} of {len(results)} cases pass")
    if failed or not results:
        raise SystemExit(1)


def _load(folders: Sequence[Path]) -> Rulebook:
    """Return the shipped rules with ``folders`` on top; a wrong file ends the command with one line."""
    try:
        return rules_of(folders)
    except BottleneckError as error:
        raise click.UsageError(str(error)) from None


def _check_filter(option: str, value: str | None, known: Iterable[str]) -> None:
    """End the command where a filter can't match anything."""
    names = sorted(known)
    if value is not None and value not in names:
        raise click.UsageError(f"--{option}: unknown '{value}'{did_you_mean(value, names)}")


def _wanted(rule: MitigationRule, bottleneck: str | None, component: str | None, action: str | None) -> bool:
    """Return whether a mitigation passes the filters; component and action must be of the same place."""
    if bottleneck is not None and bottleneck not in rule.addresses:
        return False
    if component is None and action is None:
        return True
    return any(component in (None, path.component) and action in (None, path.action) for path in rule.paths)


def _print_bottlenecks(found: Sequence[BottleneckRule], columns: Columns) -> None:
    """Print one line for each bottleneck rule."""
    click.echo(f"{len(found)} bottleneck rules")
    rows = [(rule.id, rule.family, rule.status, rule.title) for rule in found]
    columns(("rule", "family", "status", "what it says"), rows)


def _print_mitigations(found: Sequence[MitigationRule], columns: Columns) -> None:
    """Print one line for each mitigation."""
    click.echo(f"{len(found)} mitigations")
    rows = [(rule.id, _where(rule), rule.effort, rule.numerics, plain(rule.title)) for rule in found]
    columns(("mitigation", "taxonomy", "effort", "results", "what to do"), rows)


def _columns(heads: Row, rows: Sequence[Row]) -> None:
    """Print rows in columns as wide as their widest cell; the last one as it is, and no heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  " + "  ".join([*cells, row[-1]]))


def _markdown(heads: Row, rows: Sequence[Row]) -> None:
    """Print rows as a Markdown table, an empty line before and after it."""
    lines = [heads, tuple("---" for _ in heads), *rows]
    click.echo("\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")


def _where(rule: MitigationRule) -> str:
    """Return a mitigation's place in the taxonomy, or that it has none."""
    return place(rule.taxonomy) if rule.taxonomy else "system"
