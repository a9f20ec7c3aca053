"""Results that never change: told by the agent on real operators, priced by the analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from trainbottleneck.agent.arguments import weight_storages  # noqa: E402
from trainbottleneck.agent.counting import Counting  # noqa: E402
from trainbottleneck.agent.modules import Place  # noqa: E402
from trainbottleneck.analyze import constants  # noqa: E402
from trainbottleneck.analyze.operators import read_operators  # noqa: E402
from trainbottleneck.analyze.values import Values  # noqa: E402

from device.test_useless import op  # noqa: E402

FEATURES = torch.randn(200, 64)
EDGES = torch.randint(200, (2, 5_000))


def same(work: Callable[[int], Any], optimizers: Any = (), steps: int = 3) -> dict[str, float]:
    """Return, by operator, what part of its time in ``work(step)`` is told to be the same in each step."""
    place = Place(torch, lambda: False, lambda: False, lambda node: True)
    mode = Counting(torch, place, steps, weight_storages(torch, optimizers))
    with mode:
        for step in range(steps):
            mode.begin_step()
            work(step)
            mode.end_step()
    mode.waited.close()
    assert mode.problem == ""
    found = mode.found()
    return {o.name: o.constant for o in read_operators(found) if o.constant}


def smooth(features: Any) -> Any:
    for _ in range(2):
        features = torch.zeros_like(features).index_add(0, EDGES[1], features[EDGES[0]]) * 0.5
    return features


def test_features_that_are_smoothed_anew_each_time_are_found() -> None:
    assert same(lambda step: smooth(FEATURES)) == {
        "zeros_like": 1.0, "index": 1.0, "index_add": 1.0, "mul": 1.0,
    }  # fmt: skip


def test_what_is_made_of_nothing_is_found_and_chance_is_not() -> None:
    def work(step: int) -> None:
        mask = torch.full((64, 64), float("-inf")).triu(1)
        noise = torch.randn(64, 64)
        noise.add(mask)

    found = same(work)
    assert set(found) == {"full", "triu"}


def test_batches_that_differ_are_no_constants_even_in_the_same_memory() -> None:
    buffer = torch.zeros(200, 64)
    outside = buffer.numpy()  # what writes here counts no version

    def work(step: int) -> None:
        outside[:] = step
        smooth(buffer)
        smooth(torch.from_numpy(outside))

    assert set(same(work)) <= {"zeros_like"}


def test_a_mask_of_the_batch_that_no_sample_needs_is_no_constant() -> None:
    made = [torch.ones(64, 64) for _ in range(3)]
    assert not same(lambda step: (1.0 - made[step]) * -1e9)
    assert same(lambda step: (1.0 - made[0]) * -1e9)  # one that the model keeps is


@pytest.mark.parametrize("trained", [True, False], ids=["in an optimizer", "by hand"])
def test_what_weights_are_part_of_changes_however_slowly(trained: bool) -> None:
    layer = nn.Linear(64, 64)
    optimizers = [torch.optim.SGD(layer.parameters(), lr=0.0)] if trained else []

    def work(step: int) -> None:
        with torch.no_grad():
            layer(FEATURES)

    assert not same(work, optimizers)


def test_frozen_weights_on_one_input_are_constant() -> None:
    layer = nn.Linear(64, 64).requires_grad_(False)
    assert same(lambda step: layer(FEATURES)) == {"addmm": 1.0}


def test_memory_that_the_step_itself_writes_into_is_followed() -> None:
    def work(step: int) -> None:
        total = FEATURES.clone()
        total.add_(step)
        total.mul_(2.0)
        kept = FEATURES.clone()
        kept.add_(1.0)
        kept.sigmoid()

    found = same(work)
    assert set(found) == {"clone", "add_", "sigmoid"}
    assert found["clone"] < 1.0 and found["add_"] < 1.0


def test_what_cannot_be_read_is_no_constant_and_no_problem() -> None:
    thin = torch.eye(200).to_sparse()
    with torch.inference_mode():
        apart = torch.randn(200, 64)

    def work(step: int) -> None:
        thin.coalesce()
        apart.sigmoid()

    assert set(same(work)) == {"sigmoid"}


def test_a_sparse_matrix_is_constant_while_it_is_the_same_tensor() -> None:
    graph = torch.sparse_coo_tensor(EDGES, torch.rand(5_000), (200, 200), check_invariants=False).coalesce()

    def work(step: int) -> None:
        torch.sparse.mm(graph, FEATURES)

    def changed(step: int) -> None:
        graph._values().mul_(0.5)
        graph.mul_(0.5)
        torch.sparse.mm(graph, FEATURES)

    def another(step: int) -> None:
        torch.sparse.mm(graph.clone(), FEATURES)

    assert same(work)["_sparse_addmm"] == 1.0
    assert "_sparse_addmm" not in same(changed)
    assert "_sparse_addmm" not in same(another)


def test_backward_and_one_step_tell_nothing() -> None:
    leaf = FEATURES.clone().requires_grad_()
    assert not same(lambda step: (leaf * 2.0).sum().backward())
    assert not same(lambda step: smooth(FEATURES), steps=1)


def priced(compared: bool, *parts: tuple[float, str, str]) -> Values:
    """Return what the analysis gives of a tenth of the step for each (part that is constant, module, line)."""
    values, (made, share) = Values(), op("mul", "200x64")
    step = [(replace(made, constant=part, module=module, source=line), share) for part, module, line in parts]
    constants.analyse(compared, step, values)
    return values


def test_their_share_and_where_most_of_it_is() -> None:
    values = priced(True, (1.0, "net", "a.py:3"), (0.5, "net", "a.py:9"), (0.0, "head", "a.py:20"))
    assert values.number("device.constant_frac") == pytest.approx(0.15)
    assert values.build().labels["device.constant_place"] == "net, a.py:3"


def test_no_place_is_told_where_there_are_many() -> None:
    values = priced(True, (1.0, "", "a.py:3"), (1.0, "", "a.py:9"))
    assert "device.constant_place" not in values.build().labels


def test_a_record_without_the_comparison_is_not_measured() -> None:
    assert "did not compare" in priced(False).build().missing["device.constant_frac"]
