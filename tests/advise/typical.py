"""Typical runs as measurements: what five kinds of training look like before something holds them up.

Sizes and settings are those of common recipes, phases in seconds per step. A test changes what its
bottleneck changes; the numbers that follow from phases are worked out as the analyses do.
"""

from __future__ import annotations

from collections.abc import Mapping

from build import measurements
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.report import PHASES

Values = Mapping[str, float]

_STALLS = ("data_wait", "checkpoint", "evaluation", "logging", "gc")
_QUIET = {  # what no typical run suffers from unless a test says so
    "ddp.world": 1, "model.double": 0, "model.convolutions": 0, "model.recurrent": 0, "model.attention": 0,
    "amp.scaler": 0, "optimizer.fused": 0, "optimizer.can_fuse": 1, "optimizer.foreach_off": 0,
    "step.count": 300, "step.passes": 1, "step.micro_batches": 1,
    "compile.used": 0, "compile.frames": 0, "compile.late": 0, "compile.late_frac": 0, "compile.run_frac": 0,
    "run.complete": 0, "checkpoint.count": 0, "evaluation.count": 0, "logging.calls": 0.02,
    "gc.collections": 0.001, "gc.full_frac": 0.2, "gc.asked_frac": 0, "gc.threshold": 700,
    "device.placed": 0, "device.traced": 0,
    "host.throttled_frac": 0, "host.memory_frac": 0.35, "host.memory_available_bytes": 60e9,
    "host.swap_in_bytes_per_s": 0, "host.major_faults_per_s": 0, "host.memory_stall_frac": 0,
    "host.rss_growth_bytes_per_s": 0,
}  # fmt: skip
_LOADER = {  # a map-style loader that keeps up
    "input.loaders": 1, "input.iterable": 0, "input.prefetch_factor": 2, "input.pin_memory": 1,
    "input.persistent_workers": 1, "input.starved_frac": 0, "input.worker_busy_frac": 0.6, "input.epochs": 1,
    "input.epoch_gap_frac": 0, "input.renewed_frac": 0, "input.receive_s": 0.0005, "input.batch_queued_s": 0,
}  # fmt: skip

FACTS: Mapping[str, Values] = {
    "image": {  # ResNet-50 in float32 on one GPU, JPEG files, 8 cores and 8 workers
        **_QUIET, **_LOADER, "device.is_cuda": 1, "device.is_cpu": 0, "device.memory_frac": 0.75,
        "device.utilisation_frac": 0.97, "model.parameters": 25.6e6, "model.parameter_bytes": 102.2e6,
        "model.convolutions": 53, "model.modules": 151, "optimizer.tensors": 161, "input.batch_size": 128,
        "input.workers": 8, "input.sample_s": 0.008, "input.batch_s": 1.0, "input.batch_cpu_s": 0.95,
        "input.batch_blocked_s": 0.05, "input.cpu_frac": 0.95, "input.blocked_frac": 0.05,
        "input.batch_cv_frac": 0.06, "input.collate_frac": 0.02, "input.transform_frac": 0.4,
        "input.slowest_transform_frac": 0.3, "input.hotspot_frac": 0.3, "input.read_bytes": 14e6,
        "input.steps_per_epoch": 10_000,
        "host.usable_cores": 8, "host.torch_threads": 8, "host.backward_nodes": 480, "host.dispatch_s": 0.008,
        "compute.cores": 1,
    },
    "llm": {  # fine-tuning 1.3e9 parameters in bfloat16 on 8 GPUs, AdamW, tokens from a memory map
        **_QUIET, **_LOADER, "device.is_cuda": 1, "device.is_cpu": 0, "device.memory_frac": 0.8, "ddp.world": 8,
        "ddp.used": 1, "ddp.comm_hook": 0, "ddp.bucket_view": 1, "ddp.find_unused": 0, "comm.exchanges": 1,
        "comm.transfer_frac": 0.02, "straggler.cost_frac": 0.01, "straggler.constant": 0, "straggler.input_frac": 0,
        "device.utilisation_frac": 0.98, "model.parameters": 1.3e9, "model.parameter_bytes": 2.6e9,
        "model.attention": 24, "model.modules": 340, "optimizer.tensors": 292, "input.batch_size": 4,
        "input.workers": 2, "input.sample_s": 0.0004, "input.batch_s": 0.002, "input.batch_cpu_s": 0.002,
        "input.batch_blocked_s": 0, "input.cpu_frac": 1.0, "input.blocked_frac": 0, "input.batch_cv_frac": 0.1,
        "input.collate_frac": 0.1, "input.read_bytes": 65536, "input.steps_per_epoch": 5000,
        "host.usable_cores": 96, "host.torch_threads": 12, "host.backward_nodes": 1100, "host.dispatch_s": 0.02,
        "compute.cores": 1,
    },
    "tabular": {  # a multilayer perceptron on the CPU, rows taken one by one in the training process
        **_QUIET, **_LOADER, "device.is_cuda": 0, "device.is_cpu": 1, "model.parameters": 1.2e6,
        "model.parameter_bytes": 4.8e6, "model.modules": 12, "optimizer.tensors": 10, "input.batch_size": 512,
        "input.workers": 0, "input.pin_memory": 0, "input.persistent_workers": 0, "input.sample_s": 4e-6,
        "input.batch_s": 0.0025, "input.batch_cpu_s": 0.0025, "input.batch_blocked_s": 0, "input.cpu_frac": 1.0,
        "input.blocked_frac": 0, "input.batch_cv_frac": 0.1, "input.collate_frac": 0.2, "input.read_bytes": 0,
        "input.steps_per_epoch": 400, "host.usable_cores": 8, "host.torch_threads": 8, "host.backward_nodes": 24,
        "host.dispatch_s": 0.0004, "compute.cores": 6,
    },
    "gan": {  # a convolutional generator and discriminator on one GPU, small images held in memory
        **_QUIET, **_LOADER, "device.is_cuda": 1, "device.is_cpu": 0, "device.memory_frac": 0.4,
        "device.utilisation_frac": 0.9, "model.parameters": 6.3e6, "model.parameter_bytes": 25.2e6,
        "model.convolutions": 10, "model.modules": 34, "optimizer.tensors": 40, "input.batch_size": 64,
        "input.workers": 4, "input.sample_s": 0.0002, "input.batch_s": 0.014, "input.batch_cpu_s": 0.014,
        "input.batch_blocked_s": 0, "input.cpu_frac": 1.0, "input.blocked_frac": 0, "input.batch_cv_frac": 0.05,
        "input.collate_frac": 0.08, "input.transform_frac": 0.5, "input.slowest_transform_frac": 0.3,
        "input.hotspot_frac": 0.3,
        "input.read_bytes": 8e5, "input.steps_per_epoch": 800, "step.micro_batches": 3, "host.usable_cores": 8,
        "host.torch_threads": 8, "host.backward_nodes": 180, "host.dispatch_s": 0.002, "compute.cores": 1,
    },
    "rl": {  # an actor-critic on the CPU: the loop steps its environments itself
        **_QUIET, "device.is_cuda": 0, "device.is_cpu": 1, "model.parameters": 7e4, "model.parameter_bytes": 2.8e5,
        "model.modules": 10, "optimizer.tensors": 12, "input.loaders": 0, "input.workers": 0,
        "input.epoch_gap_frac": 0, "host.usable_cores": 8, "host.torch_threads": 8, "host.backward_nodes": 60,
        "host.dispatch_s": 0.0005, "compute.cores": 2,
    },
}  # fmt: skip
LOOPS: Mapping[str, Values] = {
    "image": {"h2d": 0.004, "forward": 0.07, "backward": 0.14, "optimizer": 0.003, "sync": 0.002, "other": 0.003},
    "llm": {
        "h2d": 0.001, "forward": 0.14, "backward": 0.29, "optimizer": 0.02, "communication": 0.01, "sync": 0.002,
        "other": 0.005,
    },
    "tabular": {"forward": 0.002, "backward": 0.004, "optimizer": 0.0004, "other": 0.0001},
    "gan": {"h2d": 0.0003, "forward": 0.012, "backward": 0.022, "optimizer": 0.001, "sync": 0.0005, "other": 0.001},
    "rl": {"forward": 0.0012, "backward": 0.0016, "optimizer": 0.0002, "other": 0.0002},
}  # fmt: skip


def typical(run: str, phases: Values, facts: Values) -> Measurements:
    """Return the measurements of ``run`` with some ``phases`` (seconds per step) and ``facts`` changed."""
    seconds = {**dict.fromkeys(PHASES, 0.0), **LOOPS[run], **phases}
    given = {**FACTS[run], **facts}
    mean = sum(seconds.values())
    model = seconds["forward"] + seconds["backward"]
    found = {"step.mean_s": mean, "step.time_s": mean}
    for name, spent in seconds.items():
        found |= {f"step.{name}_s": spent, f"step.{name}_frac": spent / mean}
    found["step.busy_s"] = mean - sum(seconds[name] for name in _STALLS)
    found["input.sampler_s"] = found["input.sampler_frac"] = 0.0
    found["input.wait_frac"] = found["input.cost_frac"] = seconds["data_wait"] / mean
    found["logging.frac"] = seconds["logging"] / mean
    found["compute.model_frac"] = model / mean
    found["compute.frac"] = (model + seconds["optimizer"]) / mean
    found["host.dispatch_frac"] = min(model, given["host.dispatch_s"]) / mean
    found["host.node_s"] = model / given["host.backward_nodes"]
    found["host.tiny_node_s"] = given["host.dispatch_s"] / given["host.backward_nodes"]
    found["optimizer.tensor_s"] = seconds["optimizer"] / given["optimizer.tensors"]
    # Nothing was called again after the training, as with --no-experiments.
    found |= {
        f"replay.{change}_covered_frac": 0.0 for change in ("bf16", "channels_last", "aligned", "batch")
    }
    return measurements({**found, **given})
