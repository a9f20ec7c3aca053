"""What was compiled again and why, where graphs broke, and what the compiler gave up on."""

from __future__ import annotations

from typing import Any

import pytest
from trainbottleneck.analyze import compiling
from trainbottleneck.analyze.values import Values
from trainbottleneck.model.span import Kind

from .records import Loop

LIBRARIES = ("/env/site-packages",)


def told(frame: str, number: int, reason: str = "", **more: Any) -> dict[str, Any]:
    """Return what the agent tells of one compilation."""
    about = {"name": "forward", "file": "/home/me/train.py", "line": 12, "failed": "", "gave_up": False}
    return {"frame": frame, "number": number, "reason": reason, **about, **more}


def values_of(*compilations: dict[str, Any]) -> Values:
    """Return what is made of a loop in which these happened."""
    loop = Loop()
    for one in compilations:
        loop.tell("compiled", **one)
    values = Values()
    compiling.analyse(loop.plain(20).timeline(), LIBRARIES, values)
    return values


def labels(values: Values) -> dict[str, str]:
    """Return the labels of compilation."""
    return {name: text for name, text in values.build().labels.items() if name.startswith("compile.")}


def test_compiled_once() -> None:
    values = values_of(told("0", 0), told("1", 0))
    assert (
        values.number("compile.again"),
        values.number("compile.dropped"),
        values.number("compile.breaks"),
    ) == (0, 0, 0)
    assert labels(values) == {}


def test_what_was_compiled_again_most_often_and_its_last_reason() -> None:
    changing = [told("3", n, f"3/{n - 1}: size mismatch, actual {n}", line=40) for n in range(1, 5)]
    values = values_of(told("0", 0), told("0", 1, "0/0: once"), told("3", 0, line=40), *changing)
    assert values.number("compile.again") == 5
    assert values.number("compile.size_frac") == pytest.approx(4 / 5)
    assert labels(values) == {"compile.why": "`forward` in train.py:40 because of: size mismatch, actual 4"}


def test_code_of_libraries_is_not_shown_its_reason_is() -> None:
    inner = told("0", 1, "0/0: args[0] changed", file="/env/site-packages/torch/_dynamo/external_utils.py")
    assert labels(values_of({**inner, "number": 0}, inner)) == {"compile.why": "args[0] changed"}


def test_what_the_compiler_gave_up_on() -> None:
    values = values_of(told("0", 0), told("0", 8, "0/7: size", file="", name="", gave_up=True))
    assert values.number("compile.dropped") == 1
    assert labels(values)["compile.uncompiled"] == "`forward` in train.py:12"


def test_every_place_at_which_graphs_break_counts_once() -> None:
    first, second = (
        told(f, 0, name=f"torch_dynamo_resume_in_forward_at_{line}") for f, line in (("1", 14), ("2", 19))
    )
    values = values_of(told("0", 0), first, second, {**first, "number": 1})
    assert values.number("compile.breaks") == 2
    assert labels(values)["compile.broke"] == "`forward` in train.py:14"


def test_a_record_of_an_older_version_says_nothing_of_it() -> None:
    values = Values()
    loop = Loop().plain(3).span(Kind.COMPILE, 0.5).plain(20)
    compiling.analyse(loop.timeline(), LIBRARIES, values)
    assert values.number("compile.frames") == 1 and values.number("compile.again") is None
