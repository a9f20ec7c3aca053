"""Garbage collections: the interpreter's own are told from those a script asks for."""

from __future__ import annotations

import pytest
from trainbottleneck.analyze import stalls
from trainbottleneck.analyze.values import Values
from trainbottleneck.model.span import Kind

from .records import Loop

OWN, ASKED = 1, 2


def asked_frac(*collections: tuple[int, int], every: int = 1) -> float | None:
    """Return what is said of steps in which these collections, (generation, whose), happen."""
    loop = Loop()
    for number in range(60):
        loop.plain()
        for generation, whose in collections if number % every == 0 else ():
            loop.span(Kind.GC, 0.004, a=generation, b=whose)
    values = Values()
    stalls.analyse(loop.timeline(), values)
    return values.number("gc.asked_frac")


@pytest.mark.parametrize(
    ("collections", "expected"),
    [
        (((2, ASKED),), 1.0),
        (((2, OWN),), 0.0),  # low thresholds: full collections as often as calls would make them
        (((2, ASKED), (2, OWN)), 0.5),
        (((0, 0), (1, 0), (2, OWN)), 0.0),
        ((), None),
    ],
)
def test_by_what_the_interpreter_told(
    collections: tuple[tuple[int, int], ...], expected: float | None
) -> None:
    assert asked_frac(*collections) == (None if expected is None else pytest.approx(expected, abs=0.02))


def test_by_how_often_they_come_where_it_did_not_tell() -> None:
    assert asked_frac((2, 0)) == 1.0
    assert asked_frac((2, 0), every=30) == 0.0
    assert asked_frac((0, 0), (2, 0)) == 0.0
