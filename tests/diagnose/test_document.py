"""Reading YAML from untrusted files."""

from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.diagnose.document import MAX_CHARACTERS, read_document
from trainbottleneck.errors import RuleError


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb: [x, 2.5, true, null]\nc: {d: 'e', f: \"1\"}\n",
        "a: >-\n  folded\n  text\nb: |\n  kept\n  lines\n",
        "- a: -1\n- .5\n- 1e3\n- yes\n- off\n- ~\n- ''\n",
        "a: # comment\n  - b\n",
        "[]",
        "{}",
        "plain",
        "",
    ],
)
def test_plain_documents_read_as_safe_yaml_reads_them(text: str) -> None:
    mine, theirs = read_document(text, "x"), yaml.safe_load(text)
    assert mine == theirs or text.startswith("- a: -1")  # PyYAML leaves 1e3 as text
    if text.startswith("- a: -1"):
        assert mine == [{"a": -1}, 0.5, 1000.0, True, False, None, ""]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &x [1]\nb: *x\n", "anchors"),
        ("a: *x\n", "anchors"),
        ("a: !!python/object/apply:os.system [ls]\n", "tags"),
        ("a: !x 1\n", "tags"),
        ("a: 1\na: 2\n", "'a' is given twice (line 2)"),
        ("? [a]\n: 1\n", "a key must be text"),
        ("a: 1\n---\nb: 2\n", "more than one document"),
        ("a: [1\n", "not valid YAML"),
        ("a: 'x\n", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("a: \ud800", "not valid YAML"),
        ("\t- a", "not valid YAML"),
        ("[" * 60 + "]" * 60, "nested deeper"),
        ("[" * 100_000, ""),
        ("a: " + "x" * MAX_CHARACTERS, "longer than"),
        ("[" + "1," * 30_000 + "]", "more than 20000 values"),
    ],
)
def test_what_a_rule_never_needs_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(RuleError) as error:
        read_document(text, "rule.yaml")
    line = str(error.value)
    assert line.startswith("rule.yaml: ")
    assert says in line
    assert "\n" not in line


def test_a_bomb_of_aliases_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    start = time.perf_counter()
    with pytest.raises(RuleError, match="anchors"):
        read_document("\n".join(lines), "bomb.yaml")
    assert time.perf_counter() - start < 1


@settings(max_examples=300)
@given(st.text(max_size=200) | st.text(alphabet="ab: -[]{}&*!|>'\"\n#,?%@`0.e", max_size=200))
def test_any_text_reads_or_is_a_rule_error(text: str) -> None:
    try:
        read_document(text, "x")
    except RuleError as error:
        assert "\n" not in str(error)
