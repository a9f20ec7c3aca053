"""An interpreter that waits beside the training until there is something to do for it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from trainbottleneck.collect.aside import Aside

ECHO = "import json, sys; print(json.dumps({'said': sys.argv[1:], 'given': sys.stdin.read()}))"


Children = Callable[[], set[int]]


@pytest.fixture
def children() -> Children:
    """Return a function that gives the processes started since."""
    before = {child.pid for child in psutil.Process().children()}
    return lambda: {child.pid for child in psutil.Process().children()} - before


def test_code_gets_its_arguments_and_input_whether_started_before_or_not(children: Children) -> None:
    with Aside(None) as aside:
        assert aside.printed("it", ECHO, ["a", "b"], 60, "two\nlines") == {
            "said": ["a", "b"],
            "given": "two\nlines",
        }
        aside.start()
        (before,) = children()
        aside.start()
        assert children() == {before}
        assert aside.printed("it", ECHO, [], 60)["given"] == ""


def test_one_that_is_not_needed_ends(children: Children) -> None:
    with Aside(None) as aside:
        aside.start()
        assert children()
    assert not children()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("raise ValueError('no such thing')", "it failed: ValueError: no such thing"),
        ("print([1])", "it printed no object"),
        ("import sys; sys.exit(3)", "it failed: no message"),
    ],
)
def test_what_fails_says_so(children: Children, code: str, says: str) -> None:
    with Aside(None) as aside, pytest.raises(ValueError, match=says):
        aside.printed("it", code, [], 60)
    assert not children()


def test_what_takes_too_long_is_ended(children: Children) -> None:
    with Aside(None) as aside, pytest.raises(subprocess.TimeoutExpired):
        aside.printed("it", "import time; time.sleep(100)", [], 0.5)
    assert not children()


def test_an_interpreter_that_is_not_there_is_an_error_of_the_system() -> None:
    with Aside(Path("/nowhere/python")) as aside, pytest.raises(OSError):
        aside.start()
