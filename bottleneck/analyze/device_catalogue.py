"""What is measured of the device: its use, the operators that ran on it, and what they would cost otherwise."""

from __future__ import annotations

from collections.abc import Mapping

from ..model.measurement import Unit

# What calls are made again with when a run has ended (agent/replay), in words.
REPLAYED: Mapping[str, str] = {
    "float32": "float64 operators in float32",
    "bf16": "operators in bfloat16 as under autocast, casts included",
    "channels_last": "operators on pictures with the channels innermost",
    "tf32": "float32 products with TF32",
    "aligned": "products whose widths are multiples of what the machine likes",
    "batch": "operators on twice the batch, per sample",
    "fused": "updates by the fused optimizer",
    "foreach": "updates by the multi-tensor optimizer",
}

OF_DEVICE: Mapping[str, tuple[tuple[str, Unit, str], ...]] = {
    "devices": (
        ("device.utilisation_frac", "frac", "Time the GPU ran at least one kernel, by NVML, mean"),
        ("device.memory_frac", "frac", "Peak GPU memory in use over its size"),
        ("device.power_w", "count", "GPU power, mean, watts"),
        ("device.throttled_frac", "frac", "Share of samples in which the GPU's clock was held back"),
    ),
    "device_marks": (
        ("device.forward_s", "s", "Device time of forward in an update, gaps included, by events"),
        ("device.backward_s", "s", "Device time of backward in an update, gaps included, by events"),
        (
            "device.optimizer_s",
            "s",
            "Device time from the end of backward to that of the optimizer's step, by events",
        ),
        ("device.update_s", "s", "Device time from one update to the next, by events"),
        ("device.lag_s", "s", "How long after the host the device comes to the end of an update, at least"),
    ),
    "window": (("device.traced", "bool", "A profiler saw what the GPU did"),),
    "device_time": (
        ("device.busy_frac", "frac", "Share of the steps in which the device ran a kernel or a copy"),
        ("device.idle_frac", "frac", "Share of the steps in which the device ran nothing"),
        ("device.compute_frac", "frac", "Share of the steps in which a computing kernel ran"),
        ("device.idle_input_frac", "frac", "Share in which the device idled while the host waited for data"),
        (
            "device.idle_sync_frac",
            "frac",
            "Share in which the device idled because a synchronising call had let its queue run dry",
        ),
        ("device.idle_host_frac", "frac", "Share in which the device idled until the host issued more work"),
        ("device.idle_queue_frac", "frac", "Share in which the device idled although work was queued"),
        ("device.copy_frac", "frac", "Share of the steps in which a copy ran"),
        ("device.copy_exposed_frac", "frac", "Share in which a copy ran and no kernel"),
        ("device.h2d_exposed_frac", "frac", "Share in which a copy to the device ran and no kernel"),
        ("device.comm_frac", "frac", "Share of the steps in which a communication kernel ran"),
        ("device.comm_exposed_frac", "frac", "Share in which communication ran and no computing kernel"),
        ("device.comm_overlap_frac", "frac", "Part of the communication that ran beside computing kernels"),
        ("device.kernels_per_step", "count", "Kernels in a step, mean"),
        ("device.kernel_median_s", "s", "Run time of a kernel, median"),
        ("device.kernel_mean_s", "s", "Run time of a kernel, mean"),
        ("device.launch_queue_s", "s", "Time from a kernel's launch to its start, median"),
        ("device.launch_s", "s", "Time of the host in calls that launch kernels and copies, per step"),
        ("device.sync_calls", "count", "Calls in a step that make the host wait for the device"),
        ("device.sync_wait_s", "s", "Time of the host in those calls, per step"),
        ("device.h2d_bytes", "bytes", "Copied to the device in a step"),
        ("device.h2d_bytes_per_s", "bytes_per_s", "Rate of copies to the device while they ran"),
        ("device.h2d_pageable_frac", "frac", "Part of the time of copies to the device from pageable memory"),
    ),
    "roofline": (
        ("device.placed", "bool", "The operators of a step were placed under this machine's roofs"),
        (
            "device.maths_frac",
            "frac",
            "Share of the mean step in operators of model and loop that arithmetic limits",
        ),
        (
            "device.bandwidth_frac",
            "frac",
            "Share of the mean step in operators of model and loop that memory limits",
        ),
        ("device.loop_frac", "frac", "Share of the mean step in operators outside modules that do real work"),
        (
            "device.avoidable_frac",
            "frac",
            "Share of the mean step in memory traffic that need not be: chains, access by index, small batches",
        ),
        (
            "device.attention_frac",
            "frac",
            "Share of the mean step in passes over attention scores that are written out",
        ),
        (
            "device.again_frac",
            "frac",
            "Share of the mean step in operators that forward did before (activation checkpointing)",
        ),
        (
            "device.retained_frac",
            "frac",
            "Share of the mean step in parts of backward that an earlier pass of the step had been through",
        ),
        ("device.recurrent_frac", "frac", "Part of a step's operators that GRU, LSTM and RNN layers issue"),
        (
            "device.unused_grad_frac",
            "frac",
            "Share of the mean step in gradients that reach nothing an optimizer updates",
        ),
        (
            "device.constant_frac",
            "frac",
            "Share of the mean step in operators of the model and the loop that make what they made in the step before",
        ),
        ("device.unused_grads", "count", "Numbers in the parameters that get gradients but no update"),
        (
            "device.repeated_frac",
            "frac",
            "Share of the mean step in issuing small operators of the model that recur within one pass: loops",
        ),
        (
            "device.padded_frac",
            "frac",
            "Part of the positions that are padding in every sample of their batch",
        ),
        ("device.ignored_frac", "frac", "Part of the targets that the loss ignores"),
        (
            "device.padding_frac",
            "frac",
            "Share of the mean step spent on positions that are padding in every sample",
        ),
        (
            "device.scores_frac",
            "frac",
            "Share of the mean step spent on scores whose targets the loss ignores",
        ),
        (
            "device.overhead_frac",
            "frac",
            "Share of the mean step in forward and backward that is no operator's work: Python and dispatch",
        ),
        ("device.unplaced_frac", "frac", "Share of the mean step in model operators far from both roofs"),
        ("device.mfu_frac", "frac", "FLOPs of a step over what the whole machine could do in its time"),
        ("device.maths_rate_frac", "frac", "Rate in arithmetic-limited operators over the probed rate"),
        ("device.bandwidth_rate_frac", "frac", "Rate in memory-limited operators over the probed bandwidth"),
        ("device.flops_per_step", "count", "Floating-point operations of a step, products and attention"),
        ("device.flops_per_s", "per_s", "Those per second of the mean step"),
        (
            "device.bytes_per_step",
            "bytes",
            "Bytes of all operands of a step; interval down to distinct memory",
        ),
        ("device.operators", "count", "Operators in a step, below autograd"),
        ("device.double_frac", "frac", "Share of the mean step in float64 operators of the model"),
        (
            "device.double_cost",
            "count",
            "Rate in float32 over that in float64: operators called again, or probed",
        ),
        (
            "device.threads_frac",
            "frac",
            "Rate of products with the training's threads over that with all cores",
        ),
        (
            "device.threads_bandwidth_frac",
            "frac",
            "Bandwidth with the training's threads over that with all cores",
        ),
        ("device.peak_flops_per_s", "per_s", "Probed rate of products in the dtype the model uses most"),
        ("device.peak_bytes_per_s", "bytes_per_s", "Probed bandwidth of memory"),
        ("host.fault_s", "s", "Probed time until a fresh page of memory can be used"),
        ("device.launch_probe_s", "s", "Probed host time of the smallest operator"),
        (
            "optimizer.floor_frac",
            "frac",
            "Time the update's bytes need at the probed bandwidth, over its time",
        ),
        ("memory.weights_bytes", "bytes", "Parameters that are trained"),
        ("memory.gradients_bytes", "bytes", "Gradients at the end of a step"),
        ("memory.optimizer_bytes", "bytes", "State of the optimizers"),
        ("memory.peak_bytes", "bytes", "Most memory the device's allocator gave out"),
        ("memory.rest_bytes", "bytes", "Peak less weights, gradients and state: activations and temporaries"),
        ("memory.retries", "count", "Times the allocator ran out and emptied its cache"),
        ("memory.fragmented_frac", "frac", "Device memory held in pieces too small to use, over its size"),
    ),
    "replay": (
        ("replay.covered_frac", "frac", "Part of the operators' time that was called again and took as long"),
        *(
            row
            for change, words in REPLAYED.items()
            for row in (
                (f"replay.{change}_saved_s", "s", f"Time of a step saved by {words}, called again"),
                (f"replay.{change}_left_frac", "frac", f"Time of {words} over that as captured"),
                (
                    f"replay.{change}_covered_frac",
                    "frac",
                    f"Part of what would change that was tried: {words}",
                ),
            )
        ),
    ),
}
