"""Rule files: what they may say, and what the errors say."""

from __future__ import annotations

import pytest
from trainbottleneck.diagnose.rule import Bands, parse_rule
from trainbottleneck.errors import RuleError

RULE = """\
id: slow
title: Waits
bottleneck: storage
since: "0.1"
let: {half_frac: input.wait_frac / 2}
when: [half_frac >= 0.1]
share: half_frac
evidence: ["Waits {half_frac} of {step.mean_s}.", ["At {input.hotspot}.", "Somewhere."]]
"""


def test_a_rule_knows_its_family_and_its_expressions() -> None:
    rule = parse_rule(RULE, "slow.yaml")
    assert rule.family == "input"
    assert [one.text for one in rule.expressions] == ["half_frac >= 0.1", "half_frac"]
    assert rule.sentences == (("Waits {half_frac} of {step.mean_s}.",), ("At {input.hotspot}.", "Somewhere."))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("title: Waits", "titel: Waits", "unknown field `titel`; did you mean 'title'?"),
        ("title: Waits\n", "", "missing required field `title`"),
        ("title: Waits", "title: 3", "title: Expected `str`, got `int`"),
        ("storage", "storge", "bottleneck: unknown 'storge'; did you mean 'storage'?"),
        ("half_frac >= 0.1]", "half_frac >=]", "when[0]: can't read 'half_frac >='"),
        ("half_frac >= 0.1]", "[1]]", "when[0]: Expected an expression, got `list`"),
        ("half_frac >= 0.1]", "true]", "when[0]: Expected an expression, got `bool`"),
        ("half_frac >= 0.1]", "hlf_frac >= 0.1]", "when: unknown name 'hlf_frac'"),
        ("input.wait_frac / 2", "input.wait_fra / 2", "let.half_frac: unknown name 'input.wait_fra'"),
        ("input.wait_frac / 2", "half_frac / 2", "let.half_frac: unknown name 'half_frac'"),
        ("{half_frac: ", "{Half: ", "let: 'Half' must be lower case"),
        ("share: half_frac", "share: input.wait_fr", "did you mean 'input.wait_frac'?"),
        ("{half_frac} of", "{half_fra} of", "evidence: unknown name 'half_fra'; did you mean 'half_frac'?"),
        ("{input.hotspot}", "{input.hotspots}", "did you mean 'input.hotspot'?"),
        ("id: slow", "id: Slow!", "id: 'Slow!' must be lower case"),
        ("title: Waits", "title: Waits\nstatus: perfect", "status: Invalid enum value 'perfect'"),
        ("title: Waits", "title: Waits\nseverity: {minor: 0.5}", "0 < minor <= major"),
        ("title: Waits", "title: Waits\nseverity: {mino: 0.5}", "did you mean 'minor'?"),
        ("title: Waits", "title: Waits\nshow: [input.cpu_fra]", "show: unknown 'input.cpu_fra'"),
        ("title: Waits", "title: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_file_field_and_the_nearest_name(
    old: str, new: str, says: str
) -> None:
    assert old in RULE
    with pytest.raises(RuleError) as error:
        parse_rule(RULE.replace(old, new), "slow.yaml")
    line = str(error.value)
    assert line.startswith("slow.yaml: ")
    assert says in line
    assert "\n" not in line


def test_the_evidence_needs_a_sentence() -> None:
    with pytest.raises(RuleError, match="evidence: at least one"):
        parse_rule(RULE[: RULE.index("evidence")] + "evidence: []\n", "slow.yaml")


@pytest.mark.parametrize("text", ["", "3", "[]", "just text", "null"])
def test_a_file_that_is_no_rule_is_told_so(text: str) -> None:
    with pytest.raises(RuleError, match=r"slow\.yaml: Expected `object`"):
        parse_rule(text, "slow.yaml")


@pytest.mark.parametrize(
    ("share", "severity"),
    [(0.029, None), (0.03, "minor"), (0.099, "minor"), (0.1, "major"), (0.299, "major"), (0.3, "critical")],
)
def test_bands_begin_where_they_say(share: float, severity: str | None) -> None:
    assert Bands().of(share) == severity
