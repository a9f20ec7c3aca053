"""What is advised, priced and tried where each epoch makes its loader anew: its workers end with it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from analyze.records import Loop, process, run
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise
from trainbottleneck.advise.trying import why_not, worth_trying
from trainbottleneck.analyze.measure import analyse
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.mitigation import Advice, Rejected
from trainbottleneck.model.span import Kind

from .typical import typical

BOOK = rulebook.load()
EPOCHS, STEPS = 10, 10


def short_epochs(loaders: Sequence[int], persistent: bool = False) -> Measurements:
    """Return a run of ten steps an epoch, of 56 ms each, whose batches are in time; two workers start in 300 ms."""
    loop, makers = Loop(), []
    for epoch, loader in enumerate(loaders):
        if loader not in loaders[:epoch]:
            loop.tell(
                "loader",
                number=loader,
                workers=2,
                prefetch_factor=2,
                persistent_workers=persistent,
                iterable=False,
            )
        loop.begin(loader, 0.3)
        at = loop.now
        rows = [
            (
                at + round(batch * 0.05e9),
                at + round((batch * 0.05 + 0.02) * 1e9),
                Kind.BATCH,
                0,
                0,
                0,
                8,
                20_000_000,
            )
            for batch in range(STEPS)
        ]
        makers.append(process(rows, pid=200 + epoch, ppid=100))
        loop.fetch(0.021, loader, first=True, ready=0).forward().backward().step()
        for _ in range(STEPS - 1):
            loop.fetch(0.001, loader, ready=2).forward().backward().step()
        loop.exhaust(loader)
    return analyse(run(loop.process(), *makers)).measurements


def advised(given: Measurements) -> tuple[tuple[Advice, ...], tuple[Rejected, ...]]:
    """Return what the shipped rules advise and reject."""
    return advise(judge(given, BOOK.bottlenecks.values()), given, BOOK.mitigations.values())


def gain(advice: Sequence[Advice], name: str) -> float:
    """Return the speedup predicted of one of them, 1 where it is not advised."""
    return next((one.speedup.likely for one in advice if one.id == name and one.speedup is not None), 1.0)


@pytest.mark.parametrize("persistent", [False, True])
def test_persistent_workers_are_neither_advised_nor_tried_for_a_loader_made_anew(persistent: bool) -> None:
    given = short_epochs(range(1, EPOCHS + 1), persistent)
    advice, rejected = advised(given)
    (reason,) = (one.reason for one in rejected if one.id == "dl_persistent_workers")
    assert "a loader of their own" in reason
    tried = [change.settings for one in worth_trying(advice) for change in one.changes]
    assert not any(settings.get("persistent_workers") for settings in tried)


@pytest.mark.parametrize("persistent", [False, True])
def test_to_make_the_loader_once_is_advised_and_left_to_the_script_s_author(persistent: bool) -> None:
    advice, _ = advised(short_epochs(range(1, EPOCHS + 1), persistent))
    once = next(one for one in advice if one.id == "loader_once")
    assert once.basis == "simulation" and once.numerics == "identical"
    assert gain(advice, "loader_once") == pytest.approx(0.88 / 0.58, rel=0.03)  # an epoch without its 300 ms
    assert once.changes == () and why_not(once) == "it needs an edit of the script"


def test_one_loader_for_all_epochs_is_advised_to_keep_its_workers_for_the_same_gain() -> None:
    renewed, _ = advised(short_epochs(range(1, EPOCHS + 1)))
    kept, rejected = advised(short_epochs([1] * EPOCHS))
    assert gain(kept, "dl_persistent_workers") == pytest.approx(gain(renewed, "loader_once"), rel=0.01)
    assert "one loader serves most epochs already" in [
        one.reason for one in rejected if one.id == "loader_once"
    ]
    (change,) = next(one for one in worth_trying(kept) if one.id == "dl_persistent_workers").changes
    assert change.settings == {"persistent_workers": 1.0}


@pytest.mark.parametrize(("part", "persist"), [(0, 1.0), (1, 0.0)])
def test_more_workers_are_tried_without_keeping_what_ends_anyway(part: float, persist: float) -> None:
    row = {
        "input.sample_s": 4e-5,
        "input.batch_s": 0.025,
        "input.batch_cpu_s": 0.0245,
        "input.cpu_frac": 0.98,
    }
    advice, _ = advised(typical("tabular", {"data_wait": 0.025}, {**row, "input.renewed_frac": part}))
    (change,) = next(one for one in advice if one.id == "dl_workers").changes
    assert change.settings["persistent_workers"] == persist
