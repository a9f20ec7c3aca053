"""Settings of overrides, what is told of them, and how a recipe's changes become overrides. Nothing imports torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from trainbottleneck.agent import overrides
from trainbottleneck.agent.overrides import base
from trainbottleneck.agent.overrides.base import Override, Refused, Tell


class Events:
    """Stands in for a recorder."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def event(self, kind: str, **data: Any) -> None:
        self.all.append(data)


class Doubling(Override):
    """An override with one number and one switch."""

    name = "doubling"
    known = ("count", "on")

    def check(self) -> None:
        self.count, self.on = self.whole("count", 1), self.switch("on")


@pytest.fixture(autouse=True)
def nothing_booted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "_booted", {})


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"number": 1.0}, "doubling has no setting called number"),
        ({"count": float("nan")}, "doubling: count has to be a number, not nan"),
        ({"count": float("inf")}, "doubling: count has to be a number, not inf"),
        ({"count": "2"}, "doubling: count has to be a number, not '2'"),
        ({"count": 1.5}, "doubling: count has to be a whole number from 1 on, not 1.5"),
        ({"count": 0}, "doubling: count has to be a whole number from 1 on, not 0"),
        ({"on": 2}, "doubling: on has to be 0 or 1, not 2"),
    ],
)
def test_a_setting_without_meaning_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        Doubling(settings)
    assert str(refused.value) == reason


def test_settings_come_as_numbers_and_switches_or_not_at_all() -> None:
    made, empty = Doubling({"count": 3.0, "on": 1}), Doubling({})
    assert (made.count, made.on) == (3, True) and isinstance(made.count, int)
    assert (empty.count, empty.on) == (None, None)


def test_what_is_told_names_the_call_and_counts_only_at_the_end() -> None:
    events = Events()
    tell = Tell(events, "doubling")
    for _ in range(3):
        tell.applied("1 -> 2")
    tell.refused("no room", "train.py", 7)
    assert [(one["state"], one["count"]) for one in events.all] == [("applied", 1), ("refused", 1)]
    assert Path(events.all[0]["file"]) == Path(__file__) and events.all[0]["line"] > 60
    assert (events.all[1]["file"], events.all[1]["line"], events.all[1]["detail"]) == (
        "train.py",
        7,
        "no room",
    )
    tell.close()
    assert events.all[2] == {**events.all[0], "count": 3} and len(events.all) == 3


def test_a_forked_child_leaves_the_counts_to_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events()
    tell = Tell(events, "doubling")
    tell.applied("1 -> 2", "a.py", 1)
    tell.applied("1 -> 2", "a.py", 1)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    tell.close()
    assert len(events.all) == 1


def test_a_failure_inside_a_call_of_the_script_is_told_and_gives_what_was_there() -> None:
    events = Events()
    tell = Tell(events, "doubling")
    assert tell.attempt(lambda: 1 // 0, 5) == 5
    assert tell.attempt(lambda: Doubling({"on": 3}).count, None, ("a.py", 2)) is None
    assert tell.attempt(lambda: 4, 5) == 4
    assert [one["detail"] for one in events.all] == [
        "failed: ZeroDivisionError: integer division or modulo by zero",
        "doubling: on has to be 0 or 1, not 3",
    ]
    assert events.all[1]["file"] == "a.py"


def test_frames_of_libraries_are_named_only_where_no_script_is_below() -> None:
    scope: dict[str, Any] = {"where": base.where, "by_library": base.by_library}
    code = "def place():\n    return where(), by_library()\n"
    exec(compile(code, "/opt/lib/site-packages/some.py", "exec"), scope)
    place, by_library = scope["place"]()
    assert Path(place[0]) == Path(__file__) and by_library
    assert not base.by_library()


def test_several_changes_of_one_override_become_one() -> None:
    changes = [
        {"override": "loader", "settings": {"num_workers": 2, "pin_memory": 1}},
        {"override": "no_such_thing", "settings": {}},
        {"override": "loader", "settings": {"num_workers": 4}},
    ]
    overrides.boot({"overrides": changes})
    made = overrides._booted["loader"]
    assert isinstance(made, Override) and made.settings == {"num_workers": 4, "pin_memory": 1}
    assert overrides._booted["no_such_thing"] == "there is no override called no_such_thing"


def test_an_override_that_does_not_exist_or_fit_is_told_and_the_others_act() -> None:
    events = Events()
    changes = [{"override": name, "settings": {"x": 1}} for name in ("nothing", "loader")]
    overrides.install(None, None, events, {"overrides": changes})  # type: ignore[arg-type]
    told = [(one["name"], one["state"], one["detail"], one["file"]) for one in events.all]
    assert told == [
        ("nothing", "refused", "there is no override called nothing", ""),
        ("loader", "refused", "loader has no setting called x", ""),
    ]


def test_an_override_whose_installation_fails_is_told() -> None:
    events = Events()
    overrides.install(
        object(), None, events, {"overrides": [{"override": "zero_grad", "settings": {"set_to_none": 1}}]}
    )  # type: ignore[arg-type]
    assert events.all[0]["state"] == "refused" and events.all[0]["detail"].startswith(
        "failed: AttributeError"
    )


HOST = (
    "loader",
    "threads",
    "affinity",
    "gc",
    "optimizer",
    "zero_grad",
    "allocator",
    "host_allocator",
    "dynamo",
    "cadence",
)


@pytest.mark.parametrize("name", HOST)
def test_every_override_can_be_found_and_wants_something_to_do(name: str) -> None:
    found = overrides.find(name)
    assert found.name == name and found.known and found.__doc__
    with pytest.raises(Refused):
        found({})


def _cores(
    monkeypatch: pytest.MonkeyPatch, usable: int, wanted: int, rank: str | None, *words: str
) -> list[int]:
    """Return the cores that a process is kept on, none where it stays as it is."""
    chosen: list[int] = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(usable)), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: chosen.extend(cores), raising=False)
    monkeypatch.setattr("sys.orig_argv", ["python", *words])
    if rank is None:
        monkeypatch.delenv("LOCAL_RANK", raising=False)
    else:
        monkeypatch.setenv("LOCAL_RANK", rank)
    overrides.find("affinity")({"cores": wanted}).boot()
    return chosen


def test_ranks_of_a_machine_get_cores_after_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cores(monkeypatch, 8, 3, None, "train.py") == [0, 1, 2]
    assert _cores(monkeypatch, 8, 3, "1", "train.py") == [3, 4, 5]
    with pytest.raises(Refused, match="3 cores for local rank 2 are more than the 8 there are"):
        _cores(monkeypatch, 8, 3, "2", "train.py")


def test_a_launcher_and_a_process_that_has_no_more_cores_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _cores(monkeypatch, 8, 4, None, "/usr/bin/torchrun", "train.py") == []
    assert _cores(monkeypatch, 8, 4, None, "-m", "torch.distributed.run", "train.py") == []
    assert _cores(monkeypatch, 4, 4, None, "train.py") == []
