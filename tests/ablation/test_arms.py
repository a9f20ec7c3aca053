"""Each experiment removes its resource and nothing else, and gives it back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from trainbottleneck.model.span import Kind

from .runs import Ran, in_turn, order, run

pytestmark = pytest.mark.timing

# Every part rests, so that a busy machine changes no ratio.
ALL = """
    class Sleepy:
        def __getstate__(self):
            rest(0.006)
            return {}

    class Handler(logging.Handler):
        def emit(self, record):
            rest(0.004)

    log = logging.getLogger("script")
    log.addHandler(Handler())
    log.propagate = False
    gc.freeze()  # else a collection takes longer than the step
    gc.callbacks.append(lambda phase, info: rest(0.005) if phase == "start" and info["generation"] == 2 else None)
    held_out = DataLoader(Items(40), batch_size=4)
    state = {"model": model.state_dict(), "sleepy": Sleepy()}
    n = 0
    for x, y in DataLoader(Items(s=0.002), batch_size=4):
        loss = step(x, y)
        n += 1
        log.warning("step %d", n)
        torch.save(state, "last.pt")
        gc.collect()
        if n % 5 == 0:
            model.eval()
            with torch.no_grad():
                for a, b in held_out:
                    model(a)
                    rest(0.004)
            model.train()
"""
PARTS_MS = {"input": 8.0, "logging": 4.0, "checkpoint": 6.0, "gc": 5.0, "evaluation": 9 * 4 / 5}


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Run all experiments on one script, one after the other."""
    orders = in_turn(
        *(order(arm, wash=5, block=5, pairs=2) for arm in PARTS_MS),
        order("slow:data_wait", wash=2, block=5, pairs=2, eps_s=0.01),
        order("slow:forward", wash=2, block=5, pairs=2, eps_s=0.01),
        order("slow:other", wash=2, block=5, pairs=2, eps_s=0.01),
        order("slow:fetch", wash=2, block=5, pairs=2, eps_s=0.01),
        order("transfer", wash=2),
        order("sync"),
        order("collectives"),
        order("loader_alone", wash=2, block=20),
    )
    ran = run(tmp_path_factory.mktemp("every"), ALL, orders)
    assert not ran.trouble()
    return ran


def _part_ms(ran: Ran, arm: str) -> float:
    """Return what a part took; writing a file takes longer than the sleep in it, and was timed."""
    spans = ran.record.spans.of(Kind.SAVE)
    return (
        float(np.median((spans.end_ns - spans.start_ns)[:50])) / 1e6 if arm == "checkpoint" else PARTS_MS[arm]
    )


@pytest.mark.parametrize("arm", PARTS_MS)
def test_blocks_without_a_resource_are_shorter_by_what_it_took(every: Ran, arm: str) -> None:
    assert every.ended(arm)["state"] == "done"
    asis, without = every.step_ms(arm)
    assert len(asis) == len(without) == 4
    whole = min(asis)  # what else runs on the machine makes some blocks longer, none shorter
    assert abs(whole - min(without) - _part_ms(every, arm)) < 0.1 * whole
    assert min(asis[1:]) > whole - 0.1 * whole and min(asis[1:]) < 1.1 * asis[0]  # given back


@pytest.mark.parametrize("phase", ["data_wait", "forward", "other", "fetch"])
def test_a_phase_that_is_slowed_makes_the_step_longer_by_as_much(every: Ran, phase: str) -> None:
    asis, slowed = every.step_ms("slow:" + phase)
    assert every.ended("slow:" + phase)["state"] == "done"
    assert abs(min(slowed) - min(asis) - 10.0) < 0.1 * min(slowed)


def test_the_loader_alone_is_as_fast_as_its_batches_are_made(every: Ran) -> None:
    assert every.ended("loader_alone")["state"] == "done"
    asis, (alone,) = every.step_ms("loader_alone")
    # A batch sleeps for 8 ms. One measurement: on a busy machine it may take half as long again, but hardly twice.
    assert asis == [] and 7.9 < alone < 16.0


@pytest.mark.parametrize(
    ("arm", "reason"),
    [
        ("transfer", "no batch is copied to a device"),
        ("sync", "the script trains on the CPU, where nothing is waited for"),
        ("collectives", "there is one process: nothing is exchanged"),
    ],
)
def test_what_a_script_does_not_have_is_refused(every: Ran, arm: str, reason: str) -> None:
    told = every.ended(arm)
    assert (told["state"], told["reason"]) == ("refused", reason)


def test_the_fingerprint_tells_what_a_step_did(every: Ran) -> None:
    told = every.ended("input")["fingerprint"]
    for sort in ("as_is", "without"):
        assert told[sort]["steps"] == told[sort]["forwards"] == told[sort]["batches"] == 20
    assert told["replayed"] == 8


def test_the_first_experiment_is_told_once_and_the_script_ends_without_a_word(every: Ran) -> None:
    (told,) = every.record.told("experiments")
    assert told.data == {"steps": 60}
    assert not every.err and every.record.told("stop")


EPOCHS = """
    loader = DataLoader(Items(80, s=0.005), batch_size=4, num_workers=2, persistent_workers={persistent})
    while True:
        batches = 0
        for x, y in loader:
            assert x.shape == (4, 8)
            step(x, y)
            rest(0.003)
            batches += 1
        print(batches, flush=True)
"""


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_fill_no_queue_that_the_next_block_would_live_on(tmp_path: Path, persistent: bool) -> None:
    orders = in_turn(order("input", block=20, wash=10), order("loader_alone", wash=3, block=10))
    ran = run(tmp_path, EPOCHS.format(persistent=persistent), orders)
    assert ran.ended("input")["state"] == "done", ran.ended("input")
    asis, without = ran.step_ms("input")
    assert min(without) < 7 < 9 < min(asis)  # workers deliver a batch every 10 ms
    lengths = [int(line) for line in ran.out.split()]
    assert len(lengths) >= 4 and sum(length != 20 for length in lengths) <= 1  # loader_alone ends one early
    assert not ran.trouble()


DRAWN = """
    class Drawn:  # batches of indices, in no hurry
        {length}
        def __iter__(self):
            for first in range(0, 80, 4):
                rest(0.006)
                yield range(first, first + 4)

    loader = DataLoader(Items(80), batch_sampler=Drawn(), num_workers={workers}, persistent_workers={workers} > 0)
    while True:
        batches = 0
        for x, y in loader:
            step(x, y)
            rest(0.003)
            batches += 1
        print(batches, flush=True)
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sampler_that_takes_long_is_a_part_of_the_input(tmp_path: Path, workers: int) -> None:
    script = DRAWN.format(workers=workers, length="__len__ = lambda self: 20")
    ran = run(tmp_path, script, in_turn(order("input", block=20, wash=10)))
    assert ran.ended("input")["state"] == "done", ran.ended("input")
    asis, without = ran.step_ms("input")
    assert min(asis) - min(without) > 5  # the sampler rests for 6 ms a batch
    assert {int(line) for line in ran.out.split()} == {20}
    assert not ran.trouble()


def test_a_sampler_that_does_not_say_how_long_it_is_is_asked_for_each_batch(tmp_path: Path) -> None:
    ran = run(tmp_path, DRAWN.format(workers=0, length=""), in_turn(order("input", block=20, wash=10)))
    assert ran.ended("input")["state"] == "done", ran.ended("input")
    assert {int(line) for line in ran.out.split()} == {20}
    assert not ran.trouble()


STREAM = """
    class Stream(IterableDataset):
        def __iter__(self):
            for i in range(10_000):
                rest(0.002)
                yield torch.full((8,), float(i)), i % 3

    def fetched(loader):  # a generator around a loader, one batch ahead
        ahead = None
        for batch in loader:
            if ahead is not None:
                yield ahead
            ahead = batch

    for batch in fetched(DataLoader(Stream(), batch_size=4)):
        batch = {"x": batch[0], "y": batch[1], "names": ["a", "b"]}
        x, y = batch.pop("x"), batch.pop("y")
        step(x, y)
        rest(0.004)
"""


def test_a_stream_stands_still_while_batches_are_replayed(tmp_path: Path) -> None:
    ran = run(tmp_path, STREAM, in_turn(order("input", wash=5, block=5, pairs=3)))
    assert ran.ended("input")["state"] == "done"
    asis, without = ran.step_ms("input")
    rests = [step - wait for step, wait in zip(asis, ran.waits_ms("input"), strict=True)]
    assert min(ran.waits_ms("input")) > 8  # four items of 2 ms, and making a batch of them
    assert abs(min(rests) - min(without)) < 0.1 * min(asis)
