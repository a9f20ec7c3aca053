"""The baselines: what is read off a chart, where TraceML's lines go, what its summary says."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from .case import cases
from .rivals import naive, traceml
from .rivals.annotate import annotated

PLAIN = '''
"""A training."""
from __future__ import annotations
import torch

model = torch.nn.Linear(2, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    model.train()
    for x, y in loader:
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
    scheduler.step()
'''
FUNCTION_PER_STEP = """
def train_step(network, opt, x):
    network(x).sum().backward()
    opt.step()

def main():
    model = make_model()
    opt = torch.optim.Adam(model.parameters())
    while True:
        x = next(batches)
        train_step(model, opt, x)
        lap()
"""
CLASS = """
class Trainer:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def train(self):
        while True:
            self.model.train()
            for x in self.loader:
                self.step(x)

    def step(self, x):
        loss = self.model(x).sum()
        loss.backward()
        self.optimizer.step()

Trainer(Net()).train()
"""
OBJECT = """
class Learner:
    def __init__(self, model):
        self.model = model
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def step(self, x):
        self.loss(x).backward()
        self.optimizer.step()

    def loss(self, x):
        return self.model(x).sum()

learner = Learner(Net())
for x in data:
    learner.step(x)
"""
ACCUMULATION = """
for step in range(100):
    for part in range(4):
        x = next(batches)
        (model(x).sum() / 4).backward()
    optimizer.step()
"""
CLOSURE = """
class Fit:
    def run(self, model):
        optimizer = torch.optim.LBFGS(model.parameters())
        def closure():
            loss = model(x).sum()
            loss.backward()
            return loss
        while True:
            optimizer.step(closure)
"""
SEVERAL_OPTIMIZERS = """
both = optimizers(model)
for x in data:
    model(x).sum().backward()
    for one in both:
        one.step()
"""
CRITIC = """
for x in data:
    for _ in range(5):
        judge(x).backward()
        judge_optimizer.step()
    judge(make(x)).backward()
    make_optimizer.step()
"""
NO_LOOP = """
import lightning
trainer = lightning.Trainer()
trainer.fit(module, loader)
for row in range(3):
    scheduler.step()
"""


def wrapped(source: str) -> tuple[str, str, str]:
    """Return of the only traced loop its head, the model told, and the first statement of the step."""
    loops = [node for node in ast.walk(ast.parse(annotated(source))) if isinstance(node, ast.For | ast.While)]
    found = [(loop, node) for loop in loops for node in loop.body if isinstance(node, ast.With)]
    [(loop, block)] = [(loop, node) for loop, node in found if "trace_step" in ast.unparse(node.items[0])]
    call = block.items[0].context_expr
    assert isinstance(call, ast.Call)
    head = ast.unparse(loop).splitlines()[0]
    return head, ast.unparse(call.args[0]), ast.unparse(block.body[0]).splitlines()[0]


@pytest.mark.parametrize(
    ("source", "head", "model", "first"),
    [
        (PLAIN, "for x, y in loader:", "model", "loss = loss_of(model(x), y)"),
        (FUNCTION_PER_STEP, "while True:", "model", "train_step(model, opt, x)"),
        (CLASS, "for x in self.loader:", "self.model", "self.step(x)"),
        (OBJECT, "for x in data:", "learner.model", "learner.step(x)"),
        ("model = Net()" + ACCUMULATION, "for step in range(100):", "model", "for part in range(4):"),
        (CLOSURE, "while True:", "model", "optimizer.step(closure)"),
        ("model = Net()" + SEVERAL_OPTIMIZERS, "for x in data:", "model", "model(x).sum().backward()"),
        ("judge = Net()" + CRITIC, "for x in data:", "judge", "for _ in range(5):"),
    ],
    ids=["plain", "function", "class", "object", "accumulation", "closure", "optimizers", "critic"],
)
def test_the_step_is_wrapped_where_it_is_taken(source: str, head: str, model: str, first: str) -> None:
    assert wrapped(source) == (head, model, first)


def test_traceml_begins_after_docstring_and_future_imports() -> None:
    lines = annotated(PLAIN.strip()).splitlines()
    assert lines[1:5] == [
        "from __future__ import annotations",
        "import traceml_ai as traceml",
        "traceml.init(mode='auto')",
        "import torch",
    ]


def test_a_trainers_script_stays_as_it_is() -> None:
    assert annotated(NO_LOOP) == NO_LOOP


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_case_with_a_loop_is_traced_once(case: Any) -> None:
    """Cases whose loop lies in a framework are told by what they import."""
    source = case.script.read_text(encoding="utf-8")
    trainers = ("lightning", "transformers", "trl", "skorch", "stable_baselines3")
    expected = 0 if any(f"import {name}" in source or f"from {name}" in source for name in trainers) else 1
    assert annotated(source).count("traceml.trace_step(") == expected


def test_the_copy_holds_the_annotated_script_and_what_lies_around_it(tmp_path: Path) -> None:
    home = tmp_path / "examples" / "one"
    home.mkdir(parents=True)
    (tmp_path / "examples" / "timing.py").write_text("", encoding="utf-8")
    (home / "train.py").write_text("from loop import train\ntrain()\n", encoding="utf-8")
    (home / "loop.py").write_text("model = Net()" + SEVERAL_OPTIMIZERS, encoding="utf-8")
    copied = traceml.copy(home / "train.py", tmp_path / "copy")
    assert (copied.parents[1] / "timing.py").exists()
    assert "trace_step(model)" in (copied.parent / "loop.py").read_text(encoding="utf-8")
    assert "trace_step" not in (home / "loop.py").read_text(encoding="utf-8")


def recorded() -> dict[str, Any]:
    """Return a summary of TraceML 0.5.0 of the case fetch_latency, shortened."""
    path = Path(traceml.__file__).with_name("final_summary.json")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_a_summary_is_read() -> None:
    verdict = traceml.summary(recorded(), seconds=3.0)
    assert (verdict.kind, verdict.severity, verdict.seconds) == ("INPUT_BOUND", "crit", 3.0)
    assert verdict.leaves == ("dataloader", "cpu_preprocessing", "storage")
    assert not verdict.healthy
    assert verdict.share == pytest.approx(0.864, abs=0.001)
    assert verdict.text.endswith("Increase workers, prefetch, or storage throughput.")


@pytest.mark.parametrize(
    ("kind", "leaf", "healthy"),
    [
        ("H2D_BOUND", "h2d_transfer", False),
        ("RESIDUAL_HEAVY", "evaluation", False),
        ("COMPUTE_BOUND", "optimizer", True),
        ("INPUT_STRAGGLER", "straggler", False),
        ("NO_CLEAR_PERFORMANCE_BOTTLENECK", None, True),
        ("INSUFFICIENT_STEP_TIME_DATA", None, False),
    ],
)
def test_a_verdict_covers_what_its_advice_names(kind: str, leaf: str | None, healthy: bool) -> None:
    told = recorded()
    told["primary_diagnosis"] = {**told["primary_diagnosis"], "kind": kind}
    verdict = traceml.summary(told)
    assert (leaf in verdict.leaves) if leaf else verdict.leaves == ()
    assert verdict.healthy == healthy


def test_no_diagnosis_is_a_failure() -> None:
    assert traceml.summary({}).kind == traceml.FAILED


@pytest.mark.parametrize(("phase", "leaf"), list(naive.OF_PHASE.items()))
def test_the_largest_phase_names_its_bottleneck(phase: str, leaf: str) -> None:
    phases = [{"phase": other, "share": 0.6 if other == phase else 0.04} for other in naive.OF_PHASE]
    assert naive.largest_phase({"step": {"phases": phases}}) == (leaf, 0.6, phase)


def test_without_steps_there_is_no_largest_phase() -> None:
    assert naive.largest_phase({"step": None}) is None


def event(name: str, ts: float, dur: float, cat: str = "cpu_op") -> dict[str, Any]:
    return {"ph": "X", "cat": cat, "name": name, "ts": ts, "dur": dur, "tid": 1}


@pytest.mark.parametrize(
    ("name", "leaf"),
    [
        ("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", "dataloader"),
        ("aten::addmm", "compute"),
        ("Optimizer.step#Adam.step", "optimizer"),
        ("aten::_foreach_add_", "optimizer"),
        ("aten::_local_scalar_dense", "sync"),
        ("gloo:all_reduce", "communication"),
    ],
)
def test_the_largest_row_of_the_table_names_its_bottleneck(name: str, leaf: str) -> None:
    claim = naive.largest_operator([event(name, 0, 90), event("aten::relu", 90, 10)])
    assert claim is not None and (claim.bottleneck, claim.read) == (leaf, name)
    assert claim.share == pytest.approx(0.9)


def test_own_time_leaves_out_what_was_called() -> None:
    events = [
        event("aten::linear", 0, 100),
        event("aten::addmm", 10, 80),
        event("bottleneck#step", 0, 500, "user_annotation"),
    ]
    assert naive.self_times(events) == {"aten::linear": 20, "aten::addmm": 80}


def test_a_run_without_a_trace_has_no_largest_row(tmp_path: Path) -> None:
    assert naive.largest_operator(naive.traced(tmp_path)) is None
