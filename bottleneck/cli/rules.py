"""``bottleneck rules``: list them, explain one, test a folder of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import indent

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from .. import rulebook
from ..advise.mitigation import SHOWN, MitigationRule, TaxonomyPath
from ..diagnose.expression import did_you_mean
from ..diagnose.rule import BottleneckRule
from ..errors import BottleneckError
from ..model.report import FAMILY_OF
from ..rulebook import Rulebook

_folders = click.option(
    "--rules",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Add or override rules by those in this folder; may be given several times.",
)


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
@_folders
def list_rules(
    bottleneck: str | None, component: str | None, action: str | None, folders: Sequence[Path]
) -> None:
    """List the rules, bottlenecks first, then what helps against them."""
    book = _load(folders)
    _check_filter("bottleneck", bottleneck, FAMILY_OF)
    paths = [path for rule in book.mitigations.values() for path in rule.paths]
    _check_filter("component", component, {path.component for path in paths})
    _check_filter("action", action, {path.action for path in paths})
    if component is None and action is None:
        _print_bottlenecks(
            [rule for rule in book.bottlenecks.values() if bottleneck in (None, rule.bottleneck)]
        )
    wanted = [rule for rule in book.mitigations.values() if _wanted(rule, bottleneck, component, action)]
    _print_mitigations(wanted)


@rules.command("explain")
@click.argument("identifier", metavar="ID")
@_folders
def explain(identifier: str, folders: Sequence[Path]) -> None:
    """Explain one rule: what it says, when, on what evidence, and where it stands."""
    book = _load(folders)
    console = Console(highlight=False)
    rule, mitigation = book.bottlenecks.get(identifier), book.mitigations.get(identifier)
    if rule is None and mitigation is None:
        hint = did_you_mean(identifier, [*book.bottlenecks, *book.mitigations])
        raise click.UsageError(f"there is no rule '{identifier}'{hint}")
    if rule is not None:
        _explain_bottleneck(console, rule, book)
    if mitigation is not None:
        _explain_mitigation(console, mitigation)


@rules.command("test")
@click.argument("where", metavar="DIR", type=click.Path(path_type=Path))
@_folders
def test(where: Path, folders: Sequence[Path]) -> None:
    """Run every .test.yaml below DIR, with the rules of DIR on top of the shipped ones."""
    if not where.is_dir():
        raise click.UsageError(f"{where}: not a folder")
    shipped = where.resolve() == rulebook.shipped().resolve()
    holds_rules = any((where / name).is_dir() for name in ("bottlenecks", "mitigations"))
    book = _load([*folders, where] if holds_rules and not shipped else folders)
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
        return rulebook.load([rulebook.shipped(), *folders])
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


def _print_bottlenecks(found: Sequence[BottleneckRule]) -> None:
    """Print one line for each bottleneck rule."""
    click.echo(f"{len(found)} bottleneck rules")
    _columns([(rule.id, rule.family, rule.status, rule.title) for rule in found])


def _print_mitigations(found: Sequence[MitigationRule]) -> None:
    """Print one line for each mitigation."""
    click.echo(f"{len(found)} mitigations")
    rows = [(rule.id, _where(rule), rule.effort, rule.numerics, rule.title) for rule in found]
    _columns(rows)


def _columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns as wide as their widest cell; the last one as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  " + "  ".join([*cells, row[-1]]))


def _where(rule: MitigationRule) -> str:
    """Return a mitigation's place in the taxonomy, or that it has none."""
    return _place(rule.taxonomy) if rule.taxonomy else "system"


def _place(path: TaxonomyPath) -> str:
    """Return a place in the taxonomy as people write it."""
    return f"{path.component}/{path.subcomponent}: {path.action}"


def _explain_bottleneck(console: Console, rule: BottleneckRule, book: Rulebook) -> None:
    """Print the page of a bottleneck rule."""
    console.print(f"[bold]{escape(rule.title)}[/bold]  ({rule.id}, {rule.family}, {rule.status})\n")
    _lines(console, "It fires when all of these hold", [one.text for one in rule.when])
    _lines(console, "and none of these", [one.text for one in rule.unless])
    _lines(console, "with", [f"{name} = {one.text}" for name, one in rule.let.items()])
    bands = rule.severity
    levels = f"minor from {bands.minor:g}, major from {bands.major:g}, critical from {bands.critical:g}"
    _lines(console, "What it costs, as a share of the step", [rule.share.text, levels])
    _lines(console, "It can be wrong", rule.false_positives)
    helps = [f"{m.id}: {m.title}" for m in book.mitigations.values() if rule.bottleneck in m.addresses]
    _lines(console, "What helps", helps)
    _lines(console, "Sources", rule.sources)


def _explain_mitigation(console: Console, rule: MitigationRule) -> None:
    """Print the page of a mitigation."""
    console.print(f"[bold]{escape(rule.title)}[/bold]  ({rule.id}, {rule.kind})\n")
    console.print(Padding(escape(rule.summary.strip()), (0, 2)), end="\n\n")
    click.echo(indent(rule.snippet.rstrip(), "  ") + "\n")  # as it is: wrapped code can't be copied
    _lines(console, "Helps against", [", ".join(rule.addresses)])
    _lines(console, "Makes worse", [", ".join(rule.worsens)] if rule.worsens else [])
    _lines(
        console, "It makes sense when", [f"{one.test.text}   else: {one.otherwise}" for one in rule.applies]
    )
    effect = rule.effect
    said = f"time per iteration {effect.time_per_iteration}; iterations {effect.iterations}"
    _lines(console, "Effect", [f"{said}; memory {effect.memory}; cost {effect.cost}"])
    _lines(console, "Gain", [_gain(rule)])
    _lines(console, "Effort, results", [f"{rule.effort}; {rule.numerics}; {rule.quality_risk}"])
    _lines(console, "In the taxonomy", [_place(path) for path in rule.paths])
    _lines(console, "What may go wrong", rule.risks)
    _lines(
        console,
        "Who showed it",
        [f"{one.claim} ({one.source})" for one in rule.evidence if one.basis != "memory"],
    )
    trial = rule.trial
    _lines(console, "Trial", [f"{trial.possible}, class {trial.kind}: {trial.how} Check: {trial.verify}"])
    _lines(console, "Sources", rule.sources)


def _gain(rule: MitigationRule) -> str:
    """Return what is published on the gain, or that nothing is."""
    expected = rule.expected
    if expected.range is None or expected.basis not in SHOWN:
        return f"no published figure; priced in a run by: {rule.estimate.model}"
    low, high = expected.range
    return (
        f"{low:g} to {high:g} times ({expected.scope}, published); priced in a run by: {rule.estimate.model}"
    )


def _lines(console: Console, title: str, lines: Iterable[str]) -> None:
    """Print a title and its lines, nothing where there are none."""
    found = [line for line in lines if line]
    if not found:
        return
    console.print(f"[bold]{title}[/bold]")
    for line in found:
        console.print(Padding(escape(line), (0, 2)))
    console.print()
