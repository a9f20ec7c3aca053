"""Nothing that is only judged or recalled is printed as a figure, by any output, for any mitigation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import pytest
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise
from trainbottleneck.advise.mitigation import SHOWN, Claim, MitigationRule
from trainbottleneck.cli.explain import pages
from trainbottleneck.model.finding import Finding
from trainbottleneck.model.mitigation import Advice
from trainbottleneck.model.report import FAMILY_OF, Report, Verdict
from trainbottleneck.render import html_report, json_report, terminal_report

from .typical import typical

BOOK = rulebook.load()
# Numbers and words that stand nowhere else, so that finding one proves where it came from.
LOW, HIGH = 71.2345, 93.8761
MARKS = ("71.2", "93.8", "93.9", "81.7", "xyzzy")  # the ends, their middle, what is claimed
UNSUPPORTED = [rule for rule in BOOK.mitigations.values() if rule.expected.basis not in SHOWN]


def marked(rule: MitigationRule, basis: str) -> MitigationRule:
    """Return ``rule`` with a range and a claim of ``basis`` that can be recognised, offered always."""
    expected = msgspec.structs.replace(rule.expected, range=(LOW, HIGH), basis=basis)
    claims = (*rule.evidence, Claim(claim="xyzzy 93.8761", source="xyzzy", basis=basis))
    return msgspec.structs.replace(rule, expected=expected, evidence=claims, applies=())


def outputs(rule: MitigationRule) -> Iterator[tuple[str, str]]:
    """Yield every output that speaks of ``rule``, offered against each bottleneck it addresses."""
    for bottleneck in rule.addresses:
        family = FAMILY_OF[bottleneck]
        finding = Finding(rule="r", bottleneck=bottleneck, family=family, state="fires", title="T", share=0.5)
        advice, rejected = advise([finding], typical("image", {}, {}), [rule])
        assert [one.id for one in (*advice, *rejected)] in ([rule.id], []), (
            "one offer, or none for a healthy run"
        )
        report = _report(advice)
        yield "json", json_report.render(report)
        yield "terminal", terminal_report.render(report, width=200)
        yield "html", html_report.render(report)
    book = rulebook.Rulebook(bottlenecks={}, mitigations={rule.id: rule}, taxonomy=BOOK.taxonomy)
    yield "explain", "\n".join(pages(rule.id, book))


def _report(advice: tuple[Advice, ...]) -> Report:
    """Return a report of nothing but ``advice``."""
    verdict = Verdict(
        bottleneck="gc",
        family="host",
        state="bottleneck",
        result="OK",
        share=0.5,
        share_basis="phase",
        ceiling_speedup=None,
        confidence="high",
        headline="H",
    )
    return Report(verdict=verdict, step=None, findings=(), mitigations=advice, rejected=(), not_evaluated=())


@pytest.mark.parametrize("basis", ["judgement", "memory"])
@pytest.mark.parametrize("rule", UNSUPPORTED, ids=[rule.id for rule in UNSUPPORTED])
def test_no_output_prints_what_is_judged_or_recalled(rule: MitigationRule, basis: str) -> None:
    for name, text in outputs(marked(rule, basis)):
        assert [mark for mark in MARKS if mark in text] == [], name


def test_the_marks_are_seen_where_evidence_supports_them() -> None:
    rule = msgspec.structs.replace(
        marked(BOOK.mitigations["amp_mixed_precision"], "evidence"), addresses=("memory_bandwidth",)
    )
    seen = {name for name, text in outputs(rule) if any(mark in text for mark in MARKS)}
    assert seen == {
        "json",
        "html",
        "explain",
    }  # the terminal has no room for claims, and the share bounds the range


@pytest.mark.parametrize("rule", UNSUPPORTED, ids=[rule.id for rule in UNSUPPORTED])
def test_without_support_nothing_is_priced_by_the_literature(rule: MitigationRule) -> None:
    assert rule.estimate.model != "literature"
    text = "\n".join(pages(rule.id, BOOK))
    gain = re.search(r"^Gain\n  (.*)$", text.replace("\x1b[1m", "").replace("\x1b[0m", ""), re.MULTILINE)
    assert gain is not None
    assert gain.group(1).startswith("no published figure")
