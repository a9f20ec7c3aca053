"""Which processes the command follows while a training runs, and what it asks of them at the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from trainbottleneck.collect.launch import Child
from trainbottleneck.collect.watch import Limits, Look, Watcher, _only_makes_batches
from trainbottleneck.model.span import Kind
from trainbottleneck.verify.plan import Pace


@dataclass
class Seen:
    """What the watcher looks at when it has seen enough."""

    pace: Pace
    updates: int = 100
    updates_per_s: float = 20.0
    timed: int = 90


def asked(run: Path, pace: Pace, launcher: bool, link: bool) -> dict[str, Any]:
    """Return the order that stops a training of this pace."""
    child, silent = cast(Child, None), lambda *words: None
    look_at = cast(Any, silent)
    watcher = Watcher(run, child, Limits(), look_at, silent, ranks=launcher, link=link)
    watcher._ask(cast(Look, Seen(pace)))
    (order,) = json.loads((run / "orders").read_text())
    return dict(order)


def test_a_training_that_has_not_come_to_its_first_backward_is_followed() -> None:
    early = {int(kind) for kind in (Kind.GC, Kind.ITER, Kind.BATCH, Kind.COLLATE)}
    assert not _only_makes_batches(early)


def test_a_loader_worker_is_let_go() -> None:
    assert _only_makes_batches({int(kind) for kind in (Kind.BATCH, Kind.COLLATE, Kind.GC)})
    assert not _only_makes_batches({int(Kind.GC)})


@pytest.mark.parametrize(("ranks", "launcher"), [(2, True), (2, False), (1, True)])
def test_ranks_stop_after_a_step_none_has_reached_whoever_started_them(
    ranks: int, launcher: bool, tmp_path: Path
) -> None:
    order = asked(tmp_path, Pace(ranks=ranks), launcher, link=False)
    assert order["at"] == 100 + 32 and "link_s" not in order


def test_one_process_stops_at_once_and_has_no_link(tmp_path: Path) -> None:
    order = asked(tmp_path, Pace(), False, link=True)
    assert order["at"] == 100 and "link_s" not in order


def test_ranks_measure_their_link_where_experiments_were_made(tmp_path: Path) -> None:
    assert asked(tmp_path, Pace(ranks=2), False, link=True)["link_s"] == 1.0


@dataclass
class Measured:
    """How far a measurement has come; its largest share is known well enough where ``half_width`` is small."""

    timed: int
    timed_s: float
    half_width: float = 0.01
    trainer_pid: int = 1
    seen: int = 1000
    step_s: float = 0.005


@pytest.mark.parametrize(
    ("found", "limits", "enough"),
    [
        (Measured(600, 3.0), Limits(), False),  # fast steps: a stall of every five seconds has not shown
        (Measured(1600, 8.0, half_width=0.2), Limits(), True),
        (Measured(40, 8.0), Limits(), True),
        (Measured(20, 20.0), Limits(), False),
        (Measured(40, 20.0, half_width=0.2), Limits(), False),
        (Measured(40, 60.0, half_width=0.2), Limits(), True),
        (Measured(40, 0.2), Limits(steps=40, least_steps=10**9, settle_s=0.0), True),
    ],
)
def test_enough_is_measured_when_rare_stalls_had_time_and_the_share_is_known(
    tmp_path: Path, found: Measured, limits: Limits, enough: bool
) -> None:
    silent = lambda *words: None  # noqa: E731
    watcher = Watcher(tmp_path, cast(Child, None), limits, cast(Any, silent), silent, ranks=False)
    assert watcher._is_enough(cast(Look, found)) is enough


def test_steps_beside_which_stacks_were_sampled_are_not_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([Measured(1600, 8.0), Measured(90, 0.5), Measured(1600, 8.0)])
    silent = lambda *words: None  # noqa: E731
    child = cast(Child, None)
    watcher = Watcher(tmp_path, child, Limits(), cast(Any, lambda *_: next(looks)), silent, ranks=False)
    asked: list[Look] = []
    monkeypatch.setattr(watcher, "_sample", lambda look: setattr(watcher, "_sampled", True))
    monkeypatch.setattr(watcher, "_next_stage", asked.append)
    for expected in (0, 0, 1):  # the first look was taken before sampling ended: it counts what was sampled
        watcher._step()
        assert len(asked) == expected
