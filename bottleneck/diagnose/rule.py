"""A bottleneck rule: when it fires, what it says, and what the bottleneck costs."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..analyze.catalogue import CATALOGUE, LABELS
from ..errors import RuleError
from ..model.report import FAMILY_OF
from .decode import (
    check_choice,
    check_expressions,
    check_identifier,
    check_let,
    check_placeholders,
    decode,
)
from .expression import Expression

ShareBasis = Literal["phase", "bracket", "simulation", "run"]
Status = Literal["experimental", "stable", "deprecated"]


class Bands(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shares of the step from which a finding is minor, major, critical; below minor it is silent."""

    minor: float = 0.03  # below 3 % a slow-down is not told from noise (straggler what-if, OSDI'25)
    major: float = 0.10  # torch's noop_hook and Greyhound speak of a bottleneck from 10 % on
    critical: float = 0.30  # a third of the time: fixing anything else first is a mistake

    def of(self, share: float) -> Literal["minor", "major", "critical"] | None:
        """Return the severity of a share of the step, None below ``minor``."""
        if share < self.minor:
            return None
        if share < self.major:
            return "minor"
        return "major" if share < self.critical else "critical"


class BottleneckRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one file under ``rules/bottlenecks/`` says.

    Attributes:
        id: Name of the file.
        title: The failing state in a few words.
        bottleneck: The bottleneck it speaks of.
        since: Version of the tool that brought it.
        share: The fraction of the step that removing the cause would gain, 0-1.
        evidence: Sentences, the first of which makes the headline. One whose placeholder has no value is
            left out; of a list in place of a sentence the first that has all its values is said.
        status: How far to trust it.
        when: Conditions that must all hold; none at all leaves the decision to ``share``.
        unless: Conditions of which none may hold.
        let: Names of its own; the suffix tells the unit (``_s``, ``_frac``, ``_bytes``), else a count.
        share_basis: Where ``share`` comes from.
        severity: Shares from which it is minor, major, critical.
        show: Measurements to show as evidence besides those it reads.
        generic: The cause is not split further: a finding of the same family that explains at least half
            of it comes first.
        healthy: It names the wanted limiter rather than something to repair.
        false_positives: When it is known to be wrong.
        sources: Papers, documentation.
    """

    id: str
    title: str
    bottleneck: str
    since: str
    share: Expression
    evidence: tuple[str | tuple[str, ...], ...]
    status: Status = "experimental"
    when: tuple[Expression, ...] = ()
    unless: tuple[Expression, ...] = ()
    let: dict[str, Expression] = {}
    share_basis: ShareBasis = "phase"
    severity: Bands = Bands()
    show: tuple[str, ...] = ()
    generic: bool = False
    healthy: bool = False
    false_positives: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """Return the family of its bottleneck."""
        return FAMILY_OF[self.bottleneck]

    @property
    def sentences(self) -> tuple[tuple[str, ...], ...]:
        """Return the evidence as alternatives, one tuple for each sentence."""
        return tuple((one,) if isinstance(one, str) else one for one in self.evidence)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """Return every expression that decides, ``share`` last."""
        return (*self.when, *self.unless, self.share)


def parse_rule(text: str, filename: str) -> BottleneckRule:
    """Return the rule written in ``text``.

    Args:
        text: YAML, untrusted.
        filename: Name for errors; the part before ".yaml" must be the rule's id.

    Raises:
        RuleError: One line with file, field, what is wrong and the nearest right name.
    """
    rule = decode(text, filename, BottleneckRule)
    check_identifier(rule.id, "id", filename)
    check_choice(rule.bottleneck, FAMILY_OF, "bottleneck", filename)
    names = check_let(rule.let, CATALOGUE, filename)
    check_expressions({"when": rule.when, "unless": rule.unless, "share": [rule.share]}, names, filename)
    texts = {"title": [rule.title], "evidence": [one for group in rule.sentences for one in group]}
    check_placeholders(texts, names | set(LABELS), filename)
    for name in rule.show:
        check_choice(name, CATALOGUE, "show", filename)
    if not rule.evidence:
        raise RuleError(f"{filename}: evidence: at least one sentence is needed")
    bands = rule.severity
    if not 0 < bands.minor <= bands.major <= bands.critical <= 1:
        raise RuleError(f"{filename}: severity: needs 0 < minor <= major <= critical <= 1")
    return rule
