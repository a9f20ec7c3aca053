"""What the sample reports find and advise."""

from __future__ import annotations

from trainbottleneck.model.finding import Evidence, Finding, Interval
from trainbottleneck.model.mitigation import Advice, Rejected
from trainbottleneck.model.trial import Change

WORKERS = """\
loader = DataLoader(
    dataset,
    batch_size=32,
    shuffle=True,
    num_workers=6,            # usable cores are 8: two stay with the training process
    persistent_workers=True,  # keep them from epoch to epoch
    prefetch_factor=2,
)
"""

_WAIT = Evidence(
    id="step.data_wait_frac",
    value=0.71,
    unit="frac",
    meaning="Share of the mean step spent in phase data_wait",
    samples=214,
    given_by="phases",
    interval=(0.69, 0.73),
)
_BATCH = Evidence(
    id="input.batch_cpu_s",
    value=0.0579,
    unit="s",
    meaning="CPU time of the thread that makes a batch, mean",
    samples=214,
    given_by="loader",
    interval=(0.0571, 0.0588),
)
_CPU = Evidence(
    id="input.cpu_frac",
    value=0.98,
    unit="frac",
    meaning="CPU time over wall time while making a batch",
    samples=214,
    given_by="loader",
)

FINDINGS = (
    Finding(
        rule="cpu_preprocessing",
        bottleneck="cpu_preprocessing",
        family="input",
        state="fires",
        title="Augmentation in Python keeps the training waiting",
        severity="critical",
        share=0.69,
        share_basis="simulation",
        text="Making a batch takes 58 ms, 98 % of it computing, in the training process itself. "
        "`RandomRotation` takes 66 % of that.",
        evidence=(_WAIT, _BATCH, _CPU),
        false_positives=("The first epoch fills a cache that later epochs read.",),
        sources=("PyTorch performance tuning guide", "https://pytorch.org/docs/stable/data.html"),
    ),
    Finding(
        rule="logging_stall",
        bottleneck="logging",
        family="stall",
        state="fires",
        title="Metrics are written on every step",
        severity="minor",
        share=0.03,
        share_basis="phase",
        text="Logging calls take 2.5 ms of every step.",
        evidence=(
            Evidence(
                id="logging.frac",
                value=0.03,
                unit="frac",
                meaning="Share of the mean step in logging calls, timed or sampled",
                samples=214,
                given_by="stalls",
            ),
        ),
    ),
    Finding(
        rule="storage",
        bottleneck="storage",
        family="input",
        state="silent",
        title="Reading samples keeps the training waiting",
        text="Blocked time is 1 % of making a batch.",
    ),
    Finding(
        rule="gc_pauses",
        bottleneck="gc",
        family="host",
        state="silent",
        title="Garbage collection interrupts steps",
    ),
    Finding(
        rule="device_throttled",
        bottleneck="compute",
        family="device",
        state="unknown",
        title="The GPU's clock is held back",
        missing=("device.throttled_frac",),
    ),
)

ADVICE = (
    Advice(
        id="dataloader_workers",
        title="Make batches in 6 worker processes",
        bottleneck="cpu_preprocessing",
        kind="system",
        taxonomy=None,
        shen={"category": "system", "section": "7.3"},
        currency="time_per_step",
        speedup=Interval(low=2.9, likely=3.4, high=3.5),
        basis="simulation",
        effort="config",
        numerics="identical",
        risk=("Random numbers of augmentations are drawn in the workers: seed them with `worker_init_fn`.",),
        summary="Six processes make batches ahead while the model computes. With 58 ms per batch and 24 ms "
        "of computing, three would nearly do; six leave room for slow batches.",
        snippet=WORKERS,
        evidence=(
            (
                "Workers took ImageNet training from 310 to 1,150 images per second",
                "MLPerf reference",
                "found",
            ),
        ),
        sources=("https://pytorch.org/docs/stable/data.html#multi-process-data-loading",),
        next_wall="compute",
        changes=(
            Change(
                mitigation="dataloader_workers",
                override="loader",
                settings={"num_workers": 6.0, "persistent_workers": 1.0},
            ),
        ),
    ),
    Advice(
        id="offline_preprocess",
        title="Rotate once, offline, and store the result",
        bottleneck="cpu_preprocessing",
        kind="system",
        taxonomy=None,
        shen={"category": "data", "section": "3.2"},
        currency="time_per_step",
        speedup=Interval(low=1.6, likely=2.1, high=2.4),
        basis="bracket",
        effort="medium",
        numerics="semantics",
        risk=("Every epoch sees the same rotation.", "The stored set needs 2.4 GiB."),
        summary="What does not have to be random is done once.",
        snippet="python make_rotated.py --out data/rotated",
        sources=("Shen et al., table 5",),
    ),
    Advice(
        id="progressive_resizing",
        title="Start with small images and grow them",
        bottleneck="cpu_preprocessing",
        kind="algorithmic",
        taxonomy={
            "component": "data",
            "subcomponent": "training data",
            "action": "reorder",
            "mechanism": "dynamic, domain knowledge",
        },
        shen={"category": "data", "section": "3.1"},
        currency="time_per_step",
        speedup=Interval(low=1.1, likely=1.3, high=1.5),
        basis="literature",
        effort="small",
        numerics="semantics",
        risk=("Accuracy may drop where detail matters.",),
        summary="Early epochs learn from images of half the side: a quarter of the pixels to rotate.",
        snippet="size = 112 if epoch < 0.6 * epochs else 224",
        evidence=(("ResNet-50 trains 1.3 times faster at equal accuracy", "Bartoldson et al. 2023", "seed"),),
    ),
    Advice(
        id="augment_on_device",
        title="Rotate whole batches on the device",
        bottleneck="cpu_preprocessing",
        kind="system",
        taxonomy=None,
        shen=None,
        currency="time_per_step",
        speedup=None,
        basis="unknown",
        effort="small",
        numerics="changed",
        risk=(),
        summary="One call on a tensor of a batch takes the place of a Python call per sample.",
        snippet="",
    ),
    Advice(
        id="budgeted_lr_schedule",
        title="Let the learning rate end at zero when the budget does",
        bottleneck="cpu_preprocessing",
        kind="algorithmic",
        taxonomy={
            "component": "optimization",
            "subcomponent": "training algorithm",
            "action": "reorder",
            "mechanism": "static, domain knowledge",
        },
        shen={"category": "budgeted", "section": "6.2"},
        currency="number_of_steps",
        speedup=Interval(low=1.1, likely=1.4, high=2.0),
        basis="literature",
        effort="config",
        numerics="semantics",
        risk=("A schedule that is cut short is worse than none.",),
        summary="A linear decay to zero over the steps that are left reaches the same loss earlier.",
        snippet="sched = torch.optim.lr_scheduler.LinearLR(opt, 1.0, 0.0, total_iters=steps)",
        evidence=(
            ("Budget-aware schedules match full training in half the steps", "Li et al. 2020", "found"),
        ),
    ),
)

REJECTED = (
    Rejected(
        id="pin_memory",
        title="Page-locked batches (`pin_memory`)",
        bottleneck="cpu_preprocessing",
        reason="The model is on the CPU: nothing is copied.",
    ),
    Rejected(
        id="ram_cache",
        title="Keep the data set in memory",
        bottleneck="cpu_preprocessing",
        reason="Reading takes 1 % of making a batch.",
    ),
)
