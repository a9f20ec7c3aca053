"""Gradients that nobody uses: told by the agent on real graphs, priced by the analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from trainbottleneck.agent.counting import Counting  # noqa: E402
from trainbottleneck.agent.modules import Place  # noqa: E402
from trainbottleneck.agent.unused import Unused  # noqa: E402
from trainbottleneck.analyze import unused  # noqa: E402
from trainbottleneck.analyze.values import Values  # noqa: E402

from device.test_useless import op  # noqa: E402

X = torch.ones(4, 8)


def seen(
    optimizers: list[Any], work: Callable[[], Any], between: Callable[[], Any] | None = None
) -> tuple[dict[str, int], dict[str, Any]]:
    """Return FLOPs by phase of ``work()``, and what was found of parameters once ``between()`` has run."""
    told = Unused(torch, optimizers)
    mode = Counting(torch, Place(torch, lambda: False, lambda: False, told.is_useful), 1)
    with mode:
        mode.begin_step()
        work()
        mode.end_step()
    mode.waited.close()
    assert mode.problem == ""
    if between is not None:
        between()
    flops: dict[str, int] = {}
    for key, row in mode.rows.items():
        flops[key[0]] = flops.get(key[0], 0) + row.flops
    return flops, told.found()


def sgd(*modules: nn.Module) -> Any:
    return torch.optim.SGD([p for module in modules for p in module.parameters()], lr=0.1)


def layer() -> nn.Linear:
    return nn.Linear(8, 8, bias=False)


ONE = 2 * 4 * 8 * 8  # operations of a product


def test_a_teacher_that_is_called_with_gradients_on_is_found() -> None:
    teacher, student = nn.Sequential(layer(), layer()), layer()
    flops, found = seen([sgd(student)], lambda: (teacher(X) - student(X)).sum().backward())
    assert (flops["backward"], flops["unused"]) == (ONE, 3 * ONE)
    assert found == {"parameters": 128, "trusted": True}


def test_a_backbone_below_the_only_layer_that_is_trained_is_found() -> None:
    backbone, head = nn.Sequential(layer(), nn.Tanh(), layer()), layer()
    flops, found = seen([sgd(head)], lambda: head(backbone(X)).sum().backward())
    # The head's node makes two products, one of them for the backbone: the node as a whole is of use.
    assert (flops["backward"], flops["unused"]) == (2 * ONE, 3 * ONE)
    assert found["parameters"] == 128


def test_gradients_that_only_pass_through_what_is_not_trained_are_wanted() -> None:
    generator, judge = layer(), layer()
    flops, found = seen([sgd(generator)], lambda: judge(generator(X)).sum().backward())
    assert not flops.get("unused") and found["parameters"] == 64


def test_an_optimizer_that_has_not_stepped_yet_counts() -> None:
    one, other = layer(), layer()
    rare = sgd(other)
    flops, found = seen([sgd(one)], lambda: (one(X) + other(X)).sum().backward())
    assert not flops.get("unused") and found["parameters"] == 0
    assert rare is not None


def test_inputs_that_want_gradients_are_wanted() -> None:
    model, trained, image = layer(), layer(), X.clone().requires_grad_()
    flops, _ = seen([sgd(trained)], lambda: (model(image) + trained(X)).sum().backward())
    assert not flops.get("unused")


@pytest.mark.parametrize("hook", ["register_hook", "register_post_accumulate_grad_hook"])
def test_gradients_that_a_hook_reads_are_wanted(hook: str) -> None:
    watched, trained = layer(), layer()
    getattr(watched.weight, hook)(lambda _: None)
    flops, _ = seen([sgd(trained)], lambda: (watched(X) + trained(X)).sum().backward())
    assert not flops.get("unused")


@pytest.mark.parametrize("how", ["in place", "through .data"])
def test_parameters_that_the_script_updates_itself_make_it_doubtful(how: str) -> None:
    own, trained = layer(), layer()

    def update() -> None:
        with torch.no_grad():
            (own.weight.data if how == "through .data" else own.weight).sub_(0.1)

    _, found = seen([sgd(trained)], lambda: (own(X) + trained(X)).sum().backward(), update)
    assert not found["trusted"]


def test_an_optimizer_that_works_on_copies_makes_it_doubtful() -> None:
    model, copies = layer(), layer()
    _, found = seen([sgd(copies)], lambda: model(X).sum().backward())
    assert not found["trusted"]


def test_a_graph_that_cannot_be_followed_is_useful_and_doubtful() -> None:
    class Strange:
        def _sequence_nr(self) -> int:
            raise RuntimeError("not today")

    told = Unused(torch, [])
    assert told.is_useful(Strange()) and told.is_useful(Strange())
    assert told.found() == {"parameters": 0, "trusted": False}


def test_a_deep_graph_is_walked_without_recursion() -> None:
    trained, value = layer(), X
    frozen = layer()

    def work() -> None:
        nonlocal value
        value = frozen(X)
        for _ in range(3_000):
            value = value * 1.0
        (value + trained(X)).sum().backward()

    flops, _ = seen([sgd(trained)], work)
    assert flops["unused"] == ONE


def priced(told: Any, *unused_lines: str) -> Values:
    """Return what the analysis gives of a tenth of the step for each line, beside another tenth that is of use."""
    values, (made, part) = Values(), op("mm", "8x8")
    step = [(replace(made, unused=True, source=line), part) for line in unused_lines]
    unused.analyse(told, [(made, part), *step], values)
    return values


def test_their_share_and_the_line_that_most_of_them_are_for() -> None:
    values = priced({"parameters": 128, "trusted": True}, "a.py:3", "a.py:3", "a.py:9")
    assert values.number("device.unused_grad_frac") == pytest.approx(0.3)
    assert values.number("device.unused_grads") == 128
    assert values.build().labels["device.unused_line"] == "a.py:3"


def test_nothing_is_claimed_where_it_cannot_be_trusted() -> None:
    values = priced({"parameters": 128, "trusted": False}, "a.py:3")
    assert "device.unused_grad_frac" in values.build().missing
    assert priced({"trusted": False}).number("device.unused_grad_frac") == 0.0


def test_a_record_without_the_search_is_not_measured() -> None:
    assert "did not look" in priced(None).build().missing["device.unused_grad_frac"]
