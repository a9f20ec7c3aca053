"""Rules as files: the shipped folder, and folders of the user's that add to it or override it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .advise import cases as mitigation_cases
from .advise.mitigation import MitigationRule, parse_mitigation
from .diagnose import cases as bottleneck_cases
from .diagnose.document import MAX_CHARACTERS, read_document
from .diagnose.rule import BottleneckRule, parse_rule
from .errors import RuleError
from .resources import folder

_TEST = ".test.yaml"


class _Rule(Protocol):
    """What both kinds of rule have."""

    @property
    def id(self) -> str:
        """Return its name."""


AnyRule = TypeVar("AnyRule", bound=_Rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """Every rule that is in force.

    Attributes:
        bottlenecks: By id, sorted.
        mitigations: By id, sorted.
        taxonomy: The survey's taxonomy as written in ``taxonomy.yaml``; {} where no folder has one.
    """

    bottlenecks: Mapping[str, BottleneckRule]
    mitigations: Mapping[str, MitigationRule]
    taxonomy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """One case of one ``.test.yaml``, with what came out otherwise than expected; empty where it passes."""

    file: str
    rule: str
    case: str
    failures: tuple[str, ...]


def shipped() -> Path:
    """Return the folder of the rules that come with the tool."""
    return folder("rules")


def load(folders: Sequence[Path] | None = None) -> Rulebook:
    """Return the rules of ``folders``, of which later ones override earlier ones by id.

    A folder holds ``bottlenecks/<id>.yaml``, ``mitigations/<id>.yaml`` and ``taxonomy.yaml``, any of
    which may be missing. None means the shipped folder alone.

    Raises:
        RuleError: A file is wrong, or two files of one folder have the same id.
    """
    bottlenecks: dict[str, BottleneckRule] = {}
    mitigations: dict[str, MitigationRule] = {}
    taxonomy: dict[str, Any] = {}
    for one in [shipped()] if folders is None else folders:
        _check_folder(one)
        bottlenecks.update(_read_rules(one / "bottlenecks", parse_rule))
        mitigations.update(_read_rules(one / "mitigations", parse_mitigation))
        taxonomy.update(_read_taxonomy(one / "taxonomy.yaml"))
    return Rulebook(
        bottlenecks=dict(sorted(bottlenecks.items())),
        mitigations=dict(sorted(mitigations.items())),
        taxonomy=taxonomy,
    )


def run_cases(where: Path, book: Rulebook) -> Iterator[CaseResult]:
    """Yield the result of every case of every ``.test.yaml`` below ``where``, with the rules of ``book``."""
    for path in sorted(where.rglob(f"*{_TEST}")):
        text = _read(path)
        if "mitigation" in _top_level(text, path.name):
            yield from _run_mitigation(path.name, text, book)
        else:
            yield from _run_bottleneck(path.name, text, book)


def _run_bottleneck(filename: str, text: str, book: Rulebook) -> Iterator[CaseResult]:
    """Yield the results of one file of cases for a bottleneck rule."""
    cases = bottleneck_cases.parse_cases(text, filename)
    rule = book.bottlenecks.get(cases.rule)
    if rule is None:
        raise RuleError(f"{filename}: rule: there is no bottleneck rule '{cases.rule[:60]}'")
    for case in cases.cases:
        found = bottleneck_cases.failures(rule, case, cases.base)
        yield CaseResult(file=filename, rule=rule.id, case=case.name, failures=found)


def _run_mitigation(filename: str, text: str, book: Rulebook) -> Iterator[CaseResult]:
    """Yield the results of one file of cases for a mitigation."""
    cases = mitigation_cases.parse_cases(text, filename)
    rule = book.mitigations.get(cases.mitigation)
    if rule is None:
        raise RuleError(f"{filename}: mitigation: there is no mitigation '{cases.mitigation[:60]}'")
    for case in cases.cases:
        found = mitigation_cases.failures(rule, case, cases.base)
        yield CaseResult(file=filename, rule=rule.id, case=case.name, failures=found)


def _check_folder(where: Path) -> None:
    """Raise RuleError unless ``where`` is a folder of rules."""
    if not where.is_dir():
        raise RuleError(f"{where}: not a folder")
    if not any((where / name).exists() for name in ("bottlenecks", "mitigations", "taxonomy.yaml")):
        raise RuleError(f"{where}: has no bottlenecks/, mitigations/ or taxonomy.yaml")


def _read_rules(where: Path, parse: Callable[[str, str], AnyRule]) -> dict[str, AnyRule]:
    """Return the rules in one folder by id; tests and files that are not YAML are skipped."""
    rules: dict[str, AnyRule] = {}
    files: dict[str, str] = {}
    for path in sorted(where.glob("*.yaml")):
        if path.name.endswith(_TEST):
            continue
        rule = parse(_read(path), path.name)
        if rule.id in files:
            raise RuleError(f"{path.name}: id: '{rule.id}' is the id of {files[rule.id]} as well")
        files[rule.id] = path.name
        rules[rule.id] = rule
    return rules


def _read_taxonomy(path: Path) -> dict[str, Any]:
    """Return the taxonomy in ``path``; {} where there is none."""
    if not path.is_file():
        return {}
    data = read_document(_read(path), path.name)
    if not isinstance(data, dict):
        raise RuleError(f"{path.name}: needs a mapping at the top")
    return data


def _top_level(text: str, filename: str) -> Mapping[str, Any]:
    """Return the mapping a file holds."""
    data = read_document(text, filename)
    if not isinstance(data, dict):
        raise RuleError(f"{filename}: needs a mapping at the top")
    return data


def _read(path: Path) -> str:
    """Return the text of a rule file, no more of it than a rule may have."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(f"{path.name}: can't be read: {error}") from None
