"""Every measurement: id, unit, meaning. Rules may name these and nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from ..model.measurement import MeasurementSpec, Unit
from ..model.report import PHASES
from .device_catalogue import OF_DEVICE
from .ranks.named import OF_RANKS

# What experiments take away (verify/plan.py), in words.
RESOURCES: Mapping[str, str] = {
    "input": "loading data: batches seen before came again",
    "transfer": "copying batches to the device",
    "logging": "logging",
    "checkpoint": "checkpoints",
    "evaluation": "evaluating",
    "gc": "garbage collection",
    "sync": "waiting for the device in the script's own lines",
    "collectives": "exchanging gradients",
    "anomaly": "autograd's anomaly detection",
}

_TABLE: Mapping[str, tuple[tuple[str, Unit, str], ...]] = {
    "steps": (
        ("step.count", "count", "Steps the statistics rest on, warm-up and disturbed steps left out"),
        ("step.warmup", "count", "Steps left out at the start because the run had not settled"),
        ("step.time_s", "s", "Median wall time of a step"),
        ("step.mean_s", "s", "Mean wall time of a step, with stalls spread over the steps between them"),
        ("step.p95_s", "s", "95th percentile of a step's wall time"),
        ("step.cv_frac", "frac", "Standard deviation of step time over its mean"),
        ("step.drift_frac", "frac", "Step time in the last third over the first third, minus one"),
        ("step.passes", "count", "Backward passes in a step (median)"),
        (
            "step.micro_batches",
            "count",
            "Batches that a step learns from (median): a closure's passes count once",
        ),
        ("step.busy_s", "s", "Mean step time less waiting for data, checkpoints, evaluation, logging and gc"),
    ),
    "phases": tuple(
        row
        for phase in PHASES
        for row in (
            (f"step.{phase}_s", "s", f"Mean time per step in phase {phase}"),
            (f"step.{phase}_frac", "frac", f"Share of the mean step spent in phase {phase}"),
        )
    ),
    "account": (
        ("run.wall_s", "s", "Wall time of the training process, first to last"),
        ("run.startup_frac", "frac", "Share of the run before the first step"),
        ("run.startup_s", "s", "Time from the start of the process to the first step"),
        ("run.complete", "bool", "The script came to its own end (it was not stopped or killed)"),
    ),
    "loader": (
        ("input.loaders", "count", "Training loaders seen; 0 where the loop makes its batches itself"),
        ("input.workers", "count", "num_workers of the training loader"),
        ("input.prefetch_factor", "count", "prefetch_factor of the training loader"),
        ("input.batch_size", "count", "Samples in a batch"),
        ("input.pin_memory", "bool", "pin_memory of the training loader"),
        ("input.persistent_workers", "bool", "persistent_workers of the training loader"),
        ("input.iterable", "bool", "The training data set is an IterableDataset"),
        ("input.wait_frac", "frac", "Share of the mean step spent waiting for or making the next batch"),
        (
            "input.cost_frac",
            "frac",
            "Share of the step that making batches costs: the wait, or what went away without it; without the sampler",
        ),
        ("input.starved_frac", "frac", "Share of requests that found no batch ready (with workers)"),
        ("input.ready_batches", "count", "Batches ready when one was asked for, mean (with workers)"),
        ("input.receive_s", "s", "Time to take over a batch that was ready, median (with workers)"),
        (
            "input.sampler_s",
            "s",
            "Time to draw the indices of a batch, mean; draws of under 20 us count as none",
        ),
        ("input.sampler_frac", "frac", "The same over the mean step"),
        ("input.batch_s", "s", "Wall time one process needs to make a batch, mean"),
        ("input.batch_cpu_s", "s", "CPU time of the thread that makes a batch, mean"),
        (
            "input.batch_blocked_s",
            "s",
            "Time making a batch is neither computing nor waiting for a core: I/O",
        ),
        ("input.batch_queued_s", "s", "Time making a batch waits for a core, mean"),
        ("input.cpu_frac", "frac", "CPU time over wall time while making a batch"),
        ("input.blocked_frac", "frac", "Blocked time over wall time while making a batch"),
        ("input.sample_s", "s", "Wall time to make one sample, without collate"),
        ("input.collate_s", "s", "Wall time to collate a batch, mean"),
        ("input.collate_frac", "frac", "Collate over the time to make a batch"),
        ("input.transform_frac", "frac", "Timed transforms over the time to make a batch"),
        ("input.slowest_transform_s", "s", "Time per sample in the slowest transform"),
        (
            "input.hotspot_frac",
            "frac",
            "Costliest code over the time to make a batch: a transform, or a function of the script",
        ),
        ("input.slowest_transform_frac", "frac", "Slowest transform over the time to make a batch"),
        ("input.batch_cv_frac", "frac", "Spread of the time to make a batch: standard deviation over mean"),
        ("input.read_bytes", "bytes", "Bytes read while making a batch, mean"),
        ("input.read_bytes_per_s", "bytes_per_s", "Bytes read per second of making batches, by one process"),
        ("input.worker_busy_frac", "frac", "Share of the workers' time spent making batches"),
        ("input.epochs", "count", "Iterators of the training loader that were started"),
        ("input.epoch_gap_s", "s", "Extra wait to start an epoch: iterator, workers and first batch, mean"),
        ("input.epoch_gap_frac", "frac", "Epoch starts over the wall time of the steps"),
        ("input.steps_per_epoch", "count", "Steps between two starts of the training loader, mean"),
        (
            "input.renewed_frac",
            "frac",
            "Epoch starts after the first step that were the first ever over their loader, over all of them",
        ),
    ),
    "loop": (
        (
            "loop.own_frac",
            "frac",
            "Share of the mean step in the script's own code outside all phases, logging and batches left out",
        ),
    ),
    "stalls": (
        ("checkpoint.count", "count", "Checkpoints saved"),
        ("checkpoint.each_s", "s", "Time of one checkpoint, mean"),
        ("checkpoint.interval_steps", "count", "Steps between two checkpoints, mean"),
        ("checkpoint.bytes", "bytes", "Size of one checkpoint, mean"),
        ("evaluation.count", "count", "Evaluations during training"),
        ("evaluation.each_s", "s", "Time of one evaluation, mean"),
        ("evaluation.interval_steps", "count", "Steps between two evaluations, mean"),
        ("evaluation.grad_frac", "frac", "Share of evaluation forwards that ran with gradients enabled"),
        ("logging.frac", "frac", "Share of the mean step in logging calls, timed or sampled"),
        ("logging.calls", "count", "Timed logging calls per step"),
        ("gc.collections", "count", "Garbage collections per step that took over 0.1 ms"),
        ("gc.max_s", "s", "Longest garbage collection"),
        ("gc.full_frac", "frac", "Share of gc time in full collections (generation 2)"),
        (
            "gc.asked_frac",
            "frac",
            "Share of the time of full collections that the script asked for (gc.collect)",
        ),
        (
            "gc.threshold",
            "count",
            "New objects after which the collector looks at the youngest; 0: it is off",
        ),
    ),
    "compilation": (
        ("compile.used", "bool", "torch.compile compiled at least one frame"),
        ("compile.frames", "count", "Compilations of a frame"),
        ("compile.total_s", "s", "Time spent compiling"),
        ("compile.run_frac", "frac", "Time spent compiling over the time since the first step began"),
        ("compile.late", "count", "Compilations after warm-up: recompiles"),
        ("compile.late_frac", "frac", "Time recompiling over the time of the measured steps"),
        ("compile.again", "count", "Compilations of code that had been compiled before"),
        ("compile.size_frac", "frac", "Part of these for which the size of a tensor had changed"),
        (
            "compile.dropped",
            "count",
            "Functions that run uncompiled since they were compiled again too often",
        ),
        ("compile.breaks", "count", "Places at which compiled graphs break"),
    ),
    "host": (
        ("host.usable_cores", "count", "Cores this run may use: affinity and cgroup quota"),
        ("host.torch_threads", "count", "Threads of one operator (torch.get_num_threads)"),
        ("host.anomaly", "bool", "Anomaly detection of autograd was on while training"),
        ("host.cpu_frac", "frac", "CPU use of the machine over its cores"),
        ("host.trainer_cores", "count", "Cores the training process keeps busy, mean"),
        ("host.tree_cores", "count", "Cores the training process and its workers keep busy, mean"),
        ("host.memory_frac", "frac", "Peak memory in use over the limit that applies"),
        ("host.memory_available_bytes", "bytes", "Least memory available"),
        ("host.trainer_rss_bytes", "bytes", "Peak resident memory of the training process"),
        ("host.workers_rss_bytes", "bytes", "Peak resident memory of its children together"),
        ("host.rss_growth_bytes_per_s", "bytes_per_s", "Growth of the tree's resident memory after warm-up"),
        ("host.swap_in_bytes_per_s", "bytes_per_s", "Swapped in, mean over the measured part"),
        ("host.faults_per_step", "count", "Pages that the kernel gave the training process in a step, mean"),
        ("host.major_faults_per_s", "per_s", "Page faults of the tree that went to the disk"),
        ("host.memory_stall_frac", "frac", "Share of time some task waited for memory (pressure stall)"),
        ("host.io_stall_frac", "frac", "Share of time some task waited for I/O (pressure stall)"),
        ("host.throttled_frac", "frac", "Share of time the cgroup's CPU quota held the run back"),
        ("host.steal_frac", "frac", "Share of CPU time taken by other machines on the same host"),
        ("host.disk_read_bytes_per_s", "bytes_per_s", "Read from disks by the machine"),
        ("host.disk_write_bytes_per_s", "bytes_per_s", "Written to disks by the machine"),
        ("host.net_bytes_per_s", "bytes_per_s", "Sent and received by the machine"),
        ("host.power_w", "count", "Power of the processors by their own counters (RAPL), mean, watts"),
        ("host.foreign_cores", "count", "Cores that processes outside this run keep busy"),
    ),
    "operators": (
        ("host.backward_nodes", "count", "Autograd nodes in one step's backward graph"),
        (
            "host.dispatch_s",
            "s",
            "Host cost of issuing one step's operators, at this machine's cost of a tiny one",
        ),
        ("host.dispatch_frac", "frac", "That cost over the mean step"),
        ("host.node_s", "s", "Forward and backward time per autograd node"),
        ("host.tiny_node_s", "s", "The same for an operator on one element: this machine's floor"),
    ),
    "model": (
        ("device.is_cuda", "bool", "The model is on a CUDA device"),
        ("device.is_cpu", "bool", "The model is on the CPU"),
        ("model.parameters", "count", "Parameters that are updated"),
        ("model.parameter_bytes", "bytes", "Their size"),
        ("model.double", "bool", "Parameters are float64"),
        ("model.convolutions", "count", "Convolution modules"),
        ("model.recurrent", "count", "Recurrent modules, cells included"),
        ("model.attention", "count", "Attention modules"),
        ("model.modules", "count", "Modules in all"),
        ("optimizer.tensors", "count", "Parameter tensors the optimizers update in a step"),
        ("optimizer.fused", "bool", "The optimizer runs fused"),
        ("optimizer.can_fuse", "bool", "All optimizers are of classes that PyTorch can run fused"),
        ("optimizer.foreach_off", "bool", "The optimizer was told not to use its multi-tensor path"),
        ("optimizer.tensor_s", "s", "Optimizer time per parameter tensor"),
        ("amp.scaler", "bool", "A GradScaler is in use"),
        ("amp.skipped", "count", "Optimizer steps skipped because of infinite gradients"),
        ("ddp.world", "count", "Number of ranks"),
    ),
    **OF_RANKS,
    "compute": (
        ("compute.frac", "frac", "Share of the mean step in forward, backward and optimizer"),
        ("compute.model_frac", "frac", "Share of the mean step in forward and backward"),
        ("compute.cores", "count", "Cores busy in the training process while it computes, estimated"),
    ),
    "predict": (
        ("predict.reproduction_err_frac", "frac", "Simulated over measured mean step of this run, minus one"),
        (
            "predict.best_workers",
            "count",
            "Fewest workers within 1 % of the shortest step, simulated where the run can be reproduced",
        ),
    ),
    "ceilings": (
        *(
            row
            for resource, words in RESOURCES.items()
            for row in (
                (f"ceiling.{resource}_s", "s", f"Mean step measured without {words}"),
                (f"ceiling.{resource}_frac", "frac", f"Share of the step that went away without {words}"),
            )
        ),
        (
            "bracket.input_frac",
            "frac",
            "Most that making batches costs, by the part of a delay a step notices",
        ),
        ("ceiling.loader_batch_s", "s", "Time per batch of the training loader alone, at full speed"),
    ),
    **OF_DEVICE,
}

CATALOGUE: Mapping[str, MeasurementSpec] = {
    identifier: MeasurementSpec(id=identifier, unit=unit, meaning=meaning, given_by=analysis)
    for analysis, rows in _TABLE.items()
    for identifier, unit, meaning in rows
}

# Texts that rules and mitigations may put into sentences; they take no part in conditions.
LABELS: Mapping[str, str] = {
    "compile.why": "What was compiled again most often, and which condition had changed",
    "compile.uncompiled": "The function that the compiler gave up on",
    "compile.broke": "The first place at which a compiled graph breaks",
    "device.repeated": "How many operators a pass a loop in the model issues, and for which line",
    "device.unused_line": "The line of the script that most gradients without use are made for",
    "device.constant_place": "Where most of what never changes is computed: module and line",
    "device.largest": "The operators that limit the device most, with their share",
    "input.hotspot": "Where making a batch spends most time: transform, function or line",
    "input.hotspot_cost": "What that costs, in words",
    "input.sampler": "Class of the sampler that draws the indices of batches",
    "input.maker": "Who makes the batches: '2 workers', 'the training process itself'",
    "logging.hotspot": "Where logging spends most time",
    "other.hotspot": "The function that `other` is mostly made of",
    "optimizer.name": "Class of the optimizer",
    "model.name": "Class of the model",
    "step.definition": "What a step is in this run",
    "comm.groups": "The operations that hold ranks longest, and the groups they run on",
    "straggler.who": "The rank the others wait for: 'rank 3', 'now one rank, now another'",
    "straggler.why": "What makes it late",
    "straggler.since": "Since when it is late",
}
