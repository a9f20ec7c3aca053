"""The rule language."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainbottleneck.diagnose.expression import MAX_CHARACTERS, check_names, parse
from trainbottleneck.errors import RuleError

TRUTH = (True, False, None)


def value(text: str, **names: float | bool | None) -> float | bool | None:
    """Return the value of ``text`` with ``names``; two underscores stand for a dot."""
    known = {name.replace("__", "."): one for name, one in names.items()}
    return parse(text, "test").evaluate(known.get)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3.5),
        ("-2 - -3", 1),
        ("min(3, 1, 2)", 1),
        ("max(3, 1, 2)", 3),
        ("ceil(2.1)", 3),
        ("floor(2.9)", 2),
        ("1 < 2", True),
        ("2 <= 1", False),
        ("2 > 2", False),
        ("2 >= 2", True),
        ("2 == 2", True),
        ("2 != 2", False),
        ("not 0", True),
        ("1 and 0", False),
        ("0 or 2", True),
        ("1e-3 * 1000", 1),
        ("1 <\n 2", True),
    ],
)
def test_constants(text: str, expected: float | bool) -> None:
    assert value(text) == pytest.approx(expected)


def test_names_are_the_inputs_in_order_and_each_once() -> None:
    assert parse("b.x > a and b.x < min(c, 1)", "test").names == ("b.x", "a", "c")


def test_dotted_names_are_looked_up_whole() -> None:
    assert value("input.wait_frac > 0.5", input__wait_frac=0.6) is True


@pytest.mark.parametrize(("a", "b"), list(itertools.product(TRUTH, TRUTH)))
def test_logic_is_kleenes(a: bool | None, b: bool | None) -> None:
    both = False if False in (a, b) else None if None in (a, b) else True
    either = True if True in (a, b) else None if None in (a, b) else False
    assert value("a and b", a=a, b=b) is both
    assert value("a or b", a=a, b=b) is either
    assert value("not a", a=a) is (None if a is None else not a)


@pytest.mark.parametrize("text", ["a + 1", "1 - a", "-a", "a * 0", "min(a, 1)", "ceil(a)", "a < 1", "1 == a"])
def test_unknown_spreads(text: str) -> None:
    assert value(text) is None


@pytest.mark.parametrize(
    "text", ["1 / a", "a / a", "1e308 * 10 + a", "1e308 / 1e-308 + a", "1e200 * 1e200 * a"]
)
def test_what_is_no_number_is_unknown(text: str) -> None:
    assert value(text, a=0.0) is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_measurement_that_is_no_number_is_unknown(bad: float) -> None:
    assert value("a > 1", a=bad) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("a <", "can't read"),
        ("a < b < c", "chain"),
        ("a if b else c", "if/else"),
        ("a ** 2", "Pow"),
        ("a % 2", "'%'"),
        ("a // 2", "FloorDiv"),
        ("+a", "unary plus"),
        ("a is b", "Is"),
        ("a in b", "In"),
        ("open(a)", "this call"),
        ("minn(a, b)", "did you mean 'min'"),
        ("min(a)", "1 arguments"),
        ("ceil(a, b)", "2 arguments"),
        ("min(*a)", "1 arguments"),
        ("min(a, b, key=c)", "this call"),
        ("a.b(c)", "this call"),
        ("(a).b(c)", "this call"),
        ("min(a, b).real", "a dot after"),
        ("a[0]", "'['"),
        ("'a'", '"\'"'),
        ("True", "bool"),
        ("None", "NoneType"),
        ("1j", "complex"),
        ("1e999", "range"),
        ("9" * 1999, ""),
        ("lambda: 1", "':'"),
        ("(a, b)", "list"),
        ("(a for a in b)", "for"),
        ("a; b", "';'"),
        ("a # b", "'#'"),
        ("a\0", "x00"),
        ("é", "xe9"),
        ("(" * 900, "can't read"),
        ("(" * 60 + "a" + ")" * 60, ""),
        ("not " * 400 + "a", "deeper"),
        ("-" * 1900 + "a", "deeper"),
        ("a+" * 900 + "a", "deeper"),
        ("a" * (MAX_CHARACTERS + 1), "longer"),
        ("__import__", ""),
    ],
)
def test_anything_else_is_refused_with_the_offending_text(text: str, says: str) -> None:
    try:
        expression = parse(text, "rule.yaml: when[0]")
    except RuleError as error:
        line = str(error)
        assert line.startswith("rule.yaml: when[0]: ")
        assert says in line
        assert "\n" not in line
        assert line.isascii()
    else:
        assert set(expression.names) <= {"a", "__import__"}  # a plain name that no rule knows, or brackets
        with pytest.raises(RuleError):
            check_names(expression, ["b"], "rule.yaml")


def test_an_unknown_name_gets_the_nearest_one() -> None:
    expression = parse("input.wait_fraction > 0.1", "x")
    with pytest.raises(
        RuleError, match=r"rule.yaml: when: unknown name 'input.wait_fraction' in .* 'input.wait_frac'"
    ):
        check_names(expression, ["input.wait_frac", "input.workers"], "rule.yaml: when")


@settings(max_examples=400)
@given(st.text(max_size=120) | st.text(alphabet="ab.01()+-*/<>=!, notandrmix\n", max_size=120))
def test_any_text_parses_or_is_a_rule_error(text: str) -> None:
    try:
        expression = parse(text, "x")
    except RuleError as error:
        assert "\n" not in str(error)
        return
    assert expression.evaluate(lambda name: None) in (None, True, False) or math.isfinite(
        float(expression.evaluate(lambda name: None) or 0)
    )


_operator = st.sampled_from(["+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!=", "and", "or"])
_leaf = st.sampled_from(["a", "b.c", "0", "1", "0.5", "1e300"])
_tree = st.recursive(
    _leaf,
    lambda inner: st.one_of(
        st.tuples(inner, _operator, inner).map("({0[0]} {0[1]} {0[2]})".format),
        inner.map("(not {})".format),
        inner.map("(-{})".format),
        inner.map("ceil({})".format),
        st.tuples(inner, inner).map("max({0[0]}, {0[1]})".format),
    ),
    max_leaves=12,
)
_value = st.none() | st.floats() | st.booleans() | st.integers(-(10**30), 10**30)


@settings(max_examples=400)
@given(_tree, _value, _value)
def test_evaluating_never_raises_and_gives_a_finite_number(
    text: str, a: float | None, b: float | None
) -> None:
    result = parse(text, "x").evaluate({"a": a, "b.c": b}.get)
    assert result is None or math.isfinite(result)


@settings(max_examples=300)
@given(_tree, _value, _value)
def test_learning_more_never_contradicts_what_was_known(text: str, a: float | None, b: float | None) -> None:
    expression = parse(text, "x")
    before = expression.evaluate({"a": None, "b.c": b}.get)
    after = expression.evaluate({"a": a, "b.c": b}.get)
    if before is not None and after is not None:
        assert before == after
