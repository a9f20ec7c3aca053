"""The pages of ``bottleneck rules explain``: a rule, a mitigation, a bottleneck or a term of the taxonomy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from shutil import get_terminal_size
from textwrap import TextWrapper, indent
from typing import Any

import click

from ..advise.engine import BLANK, citable
from ..advise.mitigation import SHOWN, Condition, MitigationRule, TaxonomyPath
from ..analyze.catalogue import CATALOGUE
from ..diagnose.expression import Expression
from ..diagnose.rule import BottleneckRule
from ..diagnose.sentence import fill_or
from ..model.report import FAMILY_OF
from ..rulebook import Rulebook
from .terms import term_pages

WIDTH = 100  # columns; longer lines are hard to read
_RESULTS = {
    "identical": "results stay the same",
    "reordered": "results stay the same but for the order of sums",
    "changed": "numbers are computed otherwise",
    "semantics": "what is learned changes",
}
_POSSIBLE = {
    "yes": "A trial can apply it",
    "partly": "A trial can apply it in part",
    "no": "No trial can apply it",
}
_CURRENCY = {"time_per_step": "shorter steps", "number_of_steps": "fewer steps"}


def pages(identifier: str, book: Rulebook) -> list[str]:
    """Return every page on ``identifier``, in the terminal's words; [] where nothing has that name."""
    found: list[Iterator[str]] = []
    rule, mitigation = book.bottlenecks.get(identifier), book.mitigations.get(identifier)
    if rule is not None:
        found.append(_bottleneck_rule(rule, book))
    elif identifier in FAMILY_OF:
        found.append(_bottleneck(identifier, book))
    if mitigation is not None:
        found.append(_mitigation(mitigation))
    found += [_term(title, sections) for title, sections in term_pages(identifier, book)]
    return ["\n".join(page) for page in found]


def plain(text: str) -> str:
    """Return ``text`` with dots where a run would put its numbers."""
    return fill_or(text, lambda name: None, BLANK)


def place(path: TaxonomyPath) -> str:
    """Return a place in the taxonomy as people write it."""
    return f"{path.component}/{path.subcomponent}: {path.action}"


def _bottleneck_rule(rule: BottleneckRule, book: Rulebook) -> Iterator[str]:
    """Yield the page of a bottleneck rule."""
    yield from _title(rule.title, f"rule {rule.id}, {rule.family}, {rule.status}")
    yield from _section("It fires when all of these hold", (one.text for one in rule.when))
    yield from _section("and none of these", (one.text for one in rule.unless))
    yield from _section("With", (f"{name} = {one.text}" for name, one in rule.let.items()))
    bands = rule.severity
    levels = f"minor from {bands.minor:g}, major from {bands.major:g}, critical from {bands.critical:g}"
    yield from _section("What it costs, as a share of the step", (rule.share.text, levels))
    yield from _section("What it reads", _meanings((*rule.expressions, *rule.let.values())))
    yield from _section("It can be wrong", rule.false_positives)
    yield from _section("What helps", _helps(rule.bottleneck, book))
    yield from _section("Sources", rule.sources)


def _bottleneck(identifier: str, book: Rulebook) -> Iterator[str]:
    """Yield the page of a bottleneck that no rule is named after."""
    rules = [one.id for one in book.bottlenecks.values() if one.bottleneck == identifier]
    yield from _title(identifier, f"bottleneck, {FAMILY_OF[identifier]}")
    yield from _section("Rules that speak of it", rules or ["none yet: it is never found by itself"])
    yield from _section("What helps", _helps(identifier, book))


def _mitigation(rule: MitigationRule) -> Iterator[str]:
    """Yield the page of a mitigation."""
    yield from _title(plain(rule.title), f"{rule.id}, {rule.kind}, {_CURRENCY[rule.currency]}")
    yield from _section("What it does", [plain(rule.summary)])
    yield click.style("How", bold=True)
    yield indent(rule.snippet.rstrip(), "  ") + "\n"  # as it is: wrapped code can't be copied
    yield from _section("With", (f"{name} = {one.text}" for name, one in rule.let.items()))
    yield from _section("Helps against", [", ".join(rule.addresses)])
    yield from _section("Makes worse", [", ".join(rule.worsens)])
    yield from _section("It makes sense when", map(_condition, rule.applies))
    yield from _section(
        "What that reads", _meanings((*(one.test for one in rule.applies), *rule.let.values()))
    )
    yield from _section("Effect", _effect(rule))
    yield from _section("Gain", [_gain(rule)])
    yield from _section("Effort", [rule.effort])
    yield from _section("Results", [f"{_RESULTS[rule.numerics]}; risk to quality: {rule.quality_risk}"])
    yield from _section("What may go wrong", map(plain, rule.risks))
    yield from _section("In the taxonomy", map(_full_place, rule.paths))
    if rule.shen is not None:
        yield from _section("In the second survey", [f"{rule.shen.category}, section {rule.shen.section}"])
    claims = (f"{one.claim} ({one.source})" for one in rule.evidence if citable(one.basis))
    yield from _section("Who showed it", claims)
    trial = rule.trial
    yield from _section("Trial", [f"{_POSSIBLE[trial.possible]}. {trial.how} Check: {trial.verify}"])
    yield from _section("Sources", rule.sources)


def _term(title: str, sections: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Yield the page of a term of the taxonomy."""
    name, _, kind = title.partition(" | ")
    yield from _title(name, kind)
    for heading, lines in sections.items():
        yield from _section(heading, lines)


def _title(text: str, what: str) -> Iterator[str]:
    """Yield the first line of a page."""
    yield click.style(text, bold=True) + f"  ({what})\n"


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield a title and its lines, nothing where there are none."""
    found = [" ".join(line.split()) for line in lines if line]
    if not found:
        return
    columns = min(WIDTH, get_terminal_size().columns)
    wrapper = TextWrapper(columns, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    yield click.style(title, bold=True)
    yield "\n".join(wrapper.fill(line) for line in found) + "\n"


def _meanings(expressions: Iterable[Expression]) -> list[str]:
    """Return one line for each measurement that ``expressions`` name."""
    names: dict[str, Any] = dict.fromkeys(
        name for one in expressions for name in one.names if name in CATALOGUE
    )
    return [f"{name}: {CATALOGUE[name].meaning}" for name in names]


def _helps(bottleneck: str, book: Rulebook) -> list[str]:
    """Return one line for each mitigation that addresses ``bottleneck``."""
    found = (rule for rule in book.mitigations.values() if bottleneck in rule.addresses)
    return [f"{rule.id}: {plain(rule.title)}" for rule in found]


def _condition(one: Condition) -> str:
    """Return a condition, and what is said where it does not hold."""
    return f"{one.test.text}  (else: {one.otherwise})"


def _effect(rule: MitigationRule) -> list[str]:
    """Return what a mitigation does to time, steps, memory and cost."""
    effect = rule.effect
    return [
        f"time of an iteration (T_i): {effect.time_per_iteration}",
        f"number of iterations (n_iteration): {effect.iterations}",
        f"memory: {effect.memory}",
        f"cost (n_iteration x T_i): {effect.cost}",
    ]


def _gain(rule: MitigationRule) -> str:
    """Return what is published on the gain, or that nothing is, and what prices it in a run."""
    expected, model = rule.expected, rule.estimate.model
    priced = "no model prices it in a run" if model == "none" else f"priced in a run by the model '{model}'"
    if expected.range is None or expected.basis not in SHOWN:
        return f"no published figure; {priced}"
    low, high = expected.range
    of = {"phase": "of what it addresses", "step": "of a step", "total": "of the training"}[expected.scope]
    return f"published: the time {of} divided by {low:g} to {high:g}; {priced}"


def _full_place(path: TaxonomyPath) -> str:
    """Return a place with its mechanism."""
    mechanism = ", ".join(part for part in (path.timing, path.information) if part)
    return place(path) + (f" ({mechanism})" if mechanism else "")
