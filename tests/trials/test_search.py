"""What a search has proved is kept, whenever Ctrl-C comes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, cast

import pytest
from trainbottleneck.advise.tuning import Finish, Try, Tuning
from trainbottleneck.collect.target import Target
from trainbottleneck.collect.trials import Candidate, Equal, Known, Trials
from trainbottleneck.model.trial import Trial

tune: Any = importlib.import_module("trainbottleneck.cli.tune")  # the package holds the command by this name
PROVED = cast(Trial, object())


class Plan:
    """Has one session tried; its end names what was proved by then."""

    def __init__(self) -> None:
        self.found: tuple[Trial, ...] = ()

    def next(self) -> Try:
        return Try(recipe=(), candidates=(), arms=(), budget_s=1.0)

    def tried(self, step: Try, found: tuple[Trial, ...], seconds: float) -> None:
        self.found = found

    def stop(self) -> Any:
        return self.found


class Session:
    """A session that has proved something when it is interrupted, or ends."""

    interrupted = False

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def run(self, tell: Any, keep: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    def sites(self) -> tuple[Any, ...]:
        return ()

    def equal(self) -> tuple[()]:
        return ()

    def trials(self) -> tuple[Trial, ...]:
        return (PROVED,)


def interrupt(*_: Any) -> None:
    """Do what Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["session", "writing", "saying"])
def test_ctrl_c_after_a_proof_keeps_it(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "Trials", type("Once", (Session,), {"interrupted": where == "session"}))
    monkeypatch.setattr(tune, "write_trials", interrupt if where == "writing" else lambda *_: None)
    monkeypatch.setattr(tune, "line_of", interrupt if where == "saying" else lambda *_: "proved")
    search = tune.Search(cast(Target, None), tmp_path, cast(Any, None), cast(Tuning, Plan()), quiet=True)
    finish: Finish | Any
    finish, stopped = search.run()
    assert stopped and finish == (PROVED,)


def test_equal_runs_of_an_earlier_session_are_not_made_again(tmp_path: Path) -> None:
    def first_of(*pairs: tuple[float, float]) -> str | None:
        candidate = Candidate(mitigations=("more_workers",), changes=())
        known = Known(step_s=0.01, start_s=1.0)
        equal = Equal(pairs=pairs)
        trials = Trials(cast(Target, None), tmp_path, [candidate], known, budget_s=1000.0, equal=equal)
        assert trials.equal().pairs == pairs
        task = trials.session.next()
        assert task is not None
        return task.candidate

    assert first_of() is None
    assert first_of((1.0, 1.01), (1.0, 0.99)) == "more_workers"
