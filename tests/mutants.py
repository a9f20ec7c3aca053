"""Small changes of expressions, each of which a rule's cases must notice. Run as a script: the survivors.

``python tests/mutants.py`` lists what no case of any shipped rule or mitigation notices.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
from trainbottleneck import rulebook
from trainbottleneck.advise import cases as mitigation_cases
from trainbottleneck.advise.mitigation import EstimateSpec, MitigationRule
from trainbottleneck.diagnose import cases as bottleneck_cases
from trainbottleneck.diagnose.expression import Expression, parse
from trainbottleneck.diagnose.rule import BottleneckRule
from trainbottleneck.errors import RuleError

# Yes or no: only the replay of a run's own times tells, which cases don't give (tests/predict does).
_FLAGS = {"persistent", "once"}
_TOKEN = re.compile(r"<=|>=|==|!=|[-+*/<>]|\b(?:and|or|min|max|ceil|floor|not)\b|(?<![\w.])\d+(?:\.\d+)?")
_INSTEAD = {
    "<": ("<=", ">"),
    "<=": ("<", ">="),
    ">": (">=", "<"),
    ">=": (">", "<="),
    "==": ("!=",),
    "!=": ("==",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    "and": ("or",),
    "or": ("and",),
    "min": ("max",),
    "max": ("min",),
    "ceil": ("floor",),
    "floor": ("ceil",),
    "not": ("",),
}


def mutants(text: str) -> Iterator[str]:
    """Yield ``text`` with one operator, function or number changed.

    Whole numbers below a thousand change by one, all others by a tenth.
    """
    for match in _TOKEN.finditer(text):
        token = match.group()
        for new in _INSTEAD.get(token) or _other_numbers(token):
            yield text[: match.start()] + new + text[match.end() :]


def _other_numbers(token: str) -> tuple[str, ...]:
    """Return numbers near ``token``."""
    if "." in token:
        return f"{float(token) * 1.1:g}", f"{float(token) * 0.9:g}"
    if len(token) > 3:  # one more of thousands changes nothing that anybody could measure
        return f"{int(token) * 11 // 10}", f"{int(token) * 9 // 10}"
    return f"{int(token) + 1}", f"({int(token) - 1})"


def changed(expression: Expression) -> Iterator[Expression]:
    """Yield the mutants of ``expression`` that can be read."""
    for text in mutants(expression.text):
        try:
            yield parse(text, "mutant")
        except RuleError:
            continue


def bottleneck_mutants(rule: BottleneckRule) -> Iterator[tuple[str, BottleneckRule]]:
    """Yield the mutants of a bottleneck rule with what was changed; conditions are dropped as well."""
    for field in ("when", "unless"):
        conditions = getattr(rule, field)
        for i, condition in enumerate(conditions):
            rest = (*conditions[:i], *conditions[i + 1 :])
            yield f"{field} without {condition.text}", msgspec.structs.replace(rule, **{field: rest})
            for new in changed(condition):
                whole = (*conditions[:i], new, *conditions[i + 1 :])
                yield f"{field}: {new.text}", msgspec.structs.replace(rule, **{field: whole})
    for new in changed(rule.share):
        yield f"share: {new.text}", msgspec.structs.replace(rule, share=new)
    for name, expression in rule.let.items():
        for new in changed(expression):
            yield f"let {name}: {new.text}", msgspec.structs.replace(rule, let={**rule.let, name: new})


def mitigation_mutants(rule: MitigationRule) -> Iterator[tuple[str, MitigationRule]]:
    """Yield the mutants of a mitigation's conditions and names."""
    for i, condition in enumerate(rule.applies):
        rest = (*rule.applies[:i], *rule.applies[i + 1 :])
        yield f"applies without {condition.test.text}", msgspec.structs.replace(rule, applies=rest)
        for new in changed(condition.test):
            one = msgspec.structs.replace(condition, test=new)
            whole = (*rule.applies[:i], one, *rule.applies[i + 1 :])
            yield f"applies: {new.text}", msgspec.structs.replace(rule, applies=whole)
    for name, expression in rule.let.items():
        for new in changed(expression):
            yield f"let {name}: {new.text}", msgspec.structs.replace(rule, let={**rule.let, name: new})


def price_mutants(rule: MitigationRule) -> Iterator[tuple[str, MitigationRule]]:
    """Yield the mutants of what a mitigation is priced with."""
    for what, spec in _spec_mutants(rule.estimate):
        yield f"estimate{what}", msgspec.structs.replace(rule, estimate=spec)


def _spec_mutants(spec: EstimateSpec) -> Iterator[tuple[str, EstimateSpec]]:
    """Yield the mutants of an estimate and of its fallbacks."""
    for name, expression in spec.arguments.items():
        if name in _FLAGS:
            continue
        for new in changed(expression):
            if new.text == "(-1)":  # the least that can stay is nothing
                continue
            arguments = {**spec.arguments, name: new}
            yield f".with.{name}: {new.text}", msgspec.structs.replace(spec, arguments=arguments)
    if spec.only is not None:
        yield ".only: none", msgspec.structs.replace(spec, only=None)
        for new in changed(spec.only):
            yield f".only: {new.text}", msgspec.structs.replace(spec, only=new)
    if spec.fallback is not None:
        yield ".fallback: none", msgspec.structs.replace(spec, fallback=None)
        for what, other in _spec_mutants(spec.fallback):
            yield f".fallback{what}", msgspec.structs.replace(spec, fallback=other)


def surviving_bottleneck_mutants(book: rulebook.Rulebook) -> Iterator[str]:
    """Yield the mutants of bottleneck rules that pass all their cases."""
    for rule in book.bottlenecks.values():
        path = rulebook.shipped() / "bottlenecks" / f"{rule.id}.test.yaml"
        file = bottleneck_cases.parse_cases(path.read_text(encoding="utf-8"), path.name)
        for what, mutant in bottleneck_mutants(rule):
            if not any(bottleneck_cases.failures(mutant, case, file.base) for case in file.cases):
                yield f"{rule.id}: {what}"


def surviving_mitigation_mutants(book: rulebook.Rulebook) -> Iterator[str]:
    """Yield the mutants of mitigations that pass all their cases."""
    for rule in book.mitigations.values():
        path = rulebook.shipped() / "mitigations" / f"{rule.id}.test.yaml"
        file = mitigation_cases.parse_cases(path.read_text(encoding="utf-8"), path.name)
        for what, mutant in (*mitigation_mutants(rule), *price_mutants(rule)):
            if not any(mitigation_cases.failures(mutant, case, file.base) for case in file.cases):
                yield f"{rule.id}: {what}"


if __name__ == "__main__":
    shipped = rulebook.load()
    survivors = [*surviving_bottleneck_mutants(shipped), *surviving_mitigation_mutants(shipped)]
    print("\n".join(survivors))
    tried = sum(len(list(bottleneck_mutants(rule))) for rule in shipped.bottlenecks.values())
    tried += sum(len([*mitigation_mutants(one), *price_mutants(one)]) for one in shipped.mitigations.values())
    print(f"{len(survivors)} of {tried} mutants survive")
    raise SystemExit(bool(survivors))
