"""What kind of model and optimizer is trained, and what issuing its operators costs the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..model.span import Kind
from .timeline import Timeline
from .updates import find_updates
from .values import Values

_CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
_RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")


def analyse(timeline: Timeline, values: Values) -> None:
    """Give ``model.*``, ``optimizer.*``, ``device.is_*``, ``host.torch_threads`` and the dispatch estimate."""
    process = timeline.trainer.process
    optimizers = {int(event.data.get("number", 0)): event.data for event in process.told("optimizer")}
    updates = find_updates(timeline, optimizers)
    _updated(updates.together if updates else [event.data for event in process.told("by_hand")], values)
    _optimizers(list(optimizers.values()), updates.tensors if updates else 0.0, values)
    _modules([event.data for event in process.told("model")], values)
    for event in process.told("torch")[-1:]:
        values.give("host.torch_threads", event.data.get("threads"))
        values.give("host.anomaly", float(bool(event.data.get("anomaly"))))
        values.give("gc.threshold", event.data.get("gc_threshold"))
    ranks = process.header.get("ranks", {})
    told = [e.data.get("size") for e in timeline.trainer.process.told("group") if e.data.get("world")]
    world = (told[0] if told else None) or ranks.get("WORLD_SIZE") or ranks.get("SLURM_NTASKS") or 1
    values.give("ddp.world", float(world))
    _scaler(timeline, values)
    _dispatch(timeline, values)


_FUSED = frozenset(("SGD", "Adam", "AdamW", "Adagrad"))  # torch.optim's classes with a parameter `fused`


def _updated(told: Sequence[Mapping[str, Any]], values: Values) -> None:
    """Give facts of what is updated, by all optimizers of a step together or by hand."""
    if not told:
        return
    values.give("model.parameters", sum(int(o.get("parameters", 0)) for o in told))
    values.give("model.parameter_bytes", sum(int(o.get("bytes", 0)) for o in told))
    values.give("model.double", float(any("torch.float64" in o.get("dtypes", ()) for o in told)))
    devices = {device for o in told for device in o.get("devices", ())}
    values.give("device.is_cuda", float("cuda" in devices))
    values.give("device.is_cpu", float(devices == {"cpu"}))


def _optimizers(told: Sequence[Mapping[str, Any]], tensors: float, values: Values) -> None:
    """Give facts of all optimizers, and of the ``tensors`` that they update in the mean step."""
    if not told:
        values.lack("optimizer", "no optimizer step was seen")
        return
    values.give("optimizer.tensors", tensors or None)
    values.give("optimizer.fused", float(all(bool(o.get("fused")) for o in told)))
    values.give("optimizer.can_fuse", float(all(o.get("name") in _FUSED for o in told)))
    values.give("optimizer.foreach_off", float(any(o.get("foreach") is False for o in told)))
    values.label("optimizer.name", ", ".join(sorted({str(o.get("name")) for o in told})))
    seconds = values.number("step.optimizer_s")
    if tensors and seconds is not None:
        values.give("optimizer.tensor_s", seconds / tensors)


def _modules(told: list[Mapping[str, Any]], values: Values) -> None:
    """Give counts of module classes of the model."""
    if not told:
        values.lack("model", "no module was called")
        return
    largest = max(told, key=lambda model: int(model.get("modules", 0)))
    classes: Mapping[str, int] = largest.get("classes", {})
    values.give("model.modules", largest.get("modules"))
    values.give("model.convolutions", sum(n for name, n in classes.items() if name in _CONVOLUTIONS))
    values.give("model.recurrent", sum(n for name, n in classes.items() if name in _RECURRENT))
    values.give("model.attention", sum(n for name, n in classes.items() if "attention" in name.lower()))
    values.label("model.name", str(largest.get("name", "")))


def _scaler(timeline: Timeline, values: Values) -> None:
    """Give whether a GradScaler is in use and how many steps it skipped."""
    spans = timeline.trainer.spans
    scaler = spans.where(spans.kind == Kind.SCALER)
    values.give("amp.scaler", float(len(scaler) > 0))
    values.give("amp.skipped", float(scaler.a.sum()), len(scaler))


def _dispatch(timeline: Timeline, values: Values) -> None:
    """Give the host's cost of issuing one step's operators.

    Nodes of the backward graph times what the smallest operator costs forward and backward on this machine: a
    floor, as real operators parse more arguments and allocate more than one multiplication of one number.
    """
    told = timeline.trainer.process.told("operators")
    if not told:
        reason = "the run was too short to count the operators of a step"
        for name in ("backward_nodes", "dispatch_s", "dispatch_frac", "node_s", "tiny_node_s"):
            values.lack(f"host.{name}", reason)
        return
    data = told[0].data
    passes = max(1.0, float(np.median(timeline.passes[timeline.steady.timed])))
    nodes = float(data.get("nodes", 0)) * passes
    tiny = (float(data.get("forward_ns", 0)) + float(data.get("backward_ns", 0))) / 1e9
    values.give("host.backward_nodes", nodes)
    values.give("host.tiny_node_s", tiny)
    if not nodes:
        return
    mean, share = values.number("step.mean_s"), values.number("compute.model_frac")
    if mean and share is not None:
        values.give("host.node_s", mean * share / nodes)
        if tiny:
            values.give("host.dispatch_s", nodes * tiny)
            values.give("host.dispatch_frac", min(share, nodes * tiny / mean))
