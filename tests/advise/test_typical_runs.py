"""What a good engineer would be told first, second and third about a typical run, for every bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from trainbottleneck import rulebook
from trainbottleneck.advise.engine import advise
from trainbottleneck.diagnose.engine import judge
from trainbottleneck.model.finding import Finding
from trainbottleneck.model.measurement import Measurements
from trainbottleneck.model.report import FAMILY_OF

from .typical import FACTS, typical

BOOK = rulebook.load()
RULED = {rule.bottleneck for rule in BOOK.bottlenecks.values()}


@dataclass(frozen=True)
class Row:
    """One typical run with one bottleneck.

    Attributes:
        run: Which of the five.
        bottleneck: What holds it up.
        story: What is wrong with it, as somebody would tell it.
        told: Ids of the first three pieces of advice.
        phases: Seconds per step that differ from those of the untroubled run.
        facts: Other measurements that differ.
        share: Of the step, where no rule speaks of the bottleneck yet and the finding is made by hand.
    """

    run: str
    bottleneck: str
    story: str
    told: tuple[str, str, str]
    phases: Mapping[str, float]
    facts: Mapping[str, float]
    share: float | None = None


TABLE = (
    Row(
        "image",
        "dataloader",
        "short epochs, each of which starts eight workers anew",
        ("dl_persistent_workers", "offline_preprocess", "gpu_augmentation"),
        {"data_wait": 0.09},
        {
            "input.persistent_workers": 0,
            "input.epochs": 5,
            "input.steps_per_epoch": 60,
            "input.epoch_gap_s": 5.0,
            "input.epoch_gap_frac": 0.26,
            "input.starved_frac": 0.02,
            "device.utilisation_frac": 0.6,
        },
    ),
    Row(
        "image",
        "dataloader",
        "short epochs, each of which makes its loader anew",
        ("loader_once", "offline_preprocess", "gpu_augmentation"),
        {"data_wait": 0.09},
        {
            "input.persistent_workers": 1,
            "input.epochs": 5,
            "input.steps_per_epoch": 60,
            "input.epoch_gap_s": 5.0,
            "input.epoch_gap_frac": 0.26,
            "input.renewed_frac": 1,
            "input.starved_frac": 0.02,
            "device.utilisation_frac": 0.6,
        },
    ),
    Row(
        "rl",
        "dataloader",
        "environments step one after the other while the policy waits",
        ("batch_maker_to_loader", "data_echoing", "batched_dataset_access"),
        {"data_wait": 0.01},
        {},
    ),
    Row(
        "image",
        "cpu_preprocessing",
        "two workers on eight cores decode and crop",
        ("dl_workers", "offline_preprocess", "gpu_augmentation"),
        {"data_wait": 0.3},
        {
            "input.workers": 2,
            "input.starved_frac": 0.98,
            "input.worker_busy_frac": 0.99,
            "device.utilisation_frac": 0.4,
        },
    ),
    Row(
        "gan",
        "cpu_preprocessing",
        "eight workers on eight cores, and still too slow",
        ("gpu_augmentation", "offline_preprocess", "slowest_transform"),
        {"data_wait": 0.09},
        {
            "step.micro_batches": 2,
            "input.workers": 8,
            "input.starved_frac": 0.98,
            "input.worker_busy_frac": 0.99,
            "input.sample_s": 0.008,
            "input.batch_s": 0.5,
            "input.batch_cpu_s": 0.49,
            "input.cpu_frac": 0.97,
            "device.utilisation_frac": 0.3,
        },
    ),
    Row(
        "tabular",
        "cpu_preprocessing",
        "rows are fetched and collated one by one in the training process",
        ("dl_workers", "batched_dataset_access", "data_echoing"),
        {"data_wait": 0.025},
        {"input.sample_s": 4e-5, "input.batch_s": 0.025, "input.batch_cpu_s": 0.0245, "input.cpu_frac": 0.98},
    ),
    Row(
        "image",
        "storage",
        "small files on a shared file system, 21 GB in all",
        ("dl_workers", "nvme_staging", "ram_cache"),
        {"data_wait": 0.4},
        {
            "input.workers": 4,
            "input.starved_frac": 0.98,
            "input.worker_busy_frac": 0.99,
            "input.batch_s": 2.4,
            "input.batch_cpu_s": 0.5,
            "input.batch_blocked_s": 1.9,
            "input.cpu_frac": 0.21,
            "input.blocked_frac": 0.79,
            "input.steps_per_epoch": 1500,
            "device.utilisation_frac": 0.3,
        },
    ),
    Row(
        "image",
        "h2d_transfer",
        "float32 images from pageable memory",
        ("async_h2d_prefetch", "input_normalization", "dl_pin_memory"),
        {"h2d": 0.04},
        {"input.pin_memory": 0, "device.h2d_exposed_frac": 0.15},
    ),
    Row(
        "image",
        "compute",
        "nothing is wrong, in float32",
        ("amp_mixed_precision", "channels_last", "colout"),
        {},
        {},
    ),
    Row(
        "llm",
        "compute",
        "nothing is wrong, in bfloat16",
        ("lora", "seq_length_warmup", "layer_freezing"),
        {},
        {},
    ),
    Row(
        "tabular",
        "compute",
        "nothing is wrong, on the CPU",
        ("layer_freezing", "selective_backprop", "budgeted_lr_schedule"),
        {},
        {},
    ),
    Row(
        "image",
        "memory_bandwidth",
        "norms and activations in float32 fill half of the step",
        ("amp_mixed_precision", "torch_compile", "channels_last"),
        {},
        {
            "device.placed": 1,
            "device.bandwidth_frac": 0.5,
            "device.avoidable_frac": 0.5,
            "device.maths_frac": 0.3,
            "device.overhead_frac": 0.05,
        },
    ),
    Row(
        "llm",
        "memory_capacity",
        "the GPUs are full, so the batch is small",
        # Recomputing activations is not among them: arithmetic limits already, and would grow by a fifth.
        ("allocator_config", "ddp_view_static", "cpu_offload"),
        {},
        {"device.memory_frac": 0.97, "memory.retries": 3, "ddp.bucket_view": 0, "ddp.find_unused": 0},
    ),
    Row(
        "llm",
        "optimizer",
        "AdamW without fused=True after every small batch",
        ("fused_optimizer", "lora", "grad_accumulation"),
        {"optimizer": 0.09},
        {},
    ),
    Row(
        "tabular",
        "optimizer",
        "an update tensor by tensor",
        ("fused_optimizer", "grad_accumulation", "batch_size_up"),
        {"optimizer": 0.003},
        {"optimizer.foreach_off": 1},
    ),
    Row(
        "gan",
        "host_overhead",
        "many small kernels on small images",
        ("torch_compile", "cuda_graphs", "vectorised_forward"),
        {"forward": 0.004, "backward": 0.006},
        {"host.dispatch_s": 0.005, "host.backward_nodes": 400},
    ),
    Row(
        "rl",
        "host_overhead",
        "a loop over time steps inside the loss",
        ("vectorised_forward", "torch_compile", "batch_size_up"),
        {},
        {"host.dispatch_s": 0.0018, "host.backward_nodes": 220},
    ),
    Row(
        "tabular",
        "host_overhead",
        "batches of 32 rows",
        ("torch_compile", "fused_optimizer", "batch_size_up"),
        {"forward": 0.0006, "backward": 0.0009},
        {"host.dispatch_s": 0.0009, "host.backward_nodes": 60, "input.batch_size": 32},
    ),
    Row(
        "gan",
        "sync",
        "both losses are read and printed in every step",
        ("fewer_item_syncs", "async_h2d_prefetch", "buffered_logging"),
        {"sync": 0.009, "h2d": 0.001, "logging": 0.0006},
        {"device.idle_sync_frac": 0.2},
    ),
    Row(
        "llm",
        "gc",
        "gc.collect() in every step, against memory that grows",
        ("drop_explicit_collect", "gc_freeze"),
        {"gc": 0.06},
        {"gc.collections": 1.0, "gc.full_frac": 0.98, "gc.asked_frac": 1.0},
    ),
    Row(
        "llm",
        "gc",
        "low thresholds, from a time when memory was short",
        ("gc_threshold", "gc_freeze"),
        {"gc": 0.06},
        {"gc.collections": 1.0, "gc.full_frac": 0.98, "gc.asked_frac": 0.0, "gc.threshold": 20},
    ),
    Row(
        "llm",
        "compilation",
        "every new sequence length compiles again",
        ("compile_dynamic_shapes", "compile_cache", "compile_regional"),
        {},
        {
            "compile.used": 1,
            "compile.frames": 40,
            "compile.late": 30,
            "compile.late_frac": 0.3,
            "compile.run_frac": 0.4,
            "compile.total_s": 120,
        },
    ),
    Row(
        "image",
        "host_memory",
        "sixteen workers push the machine into swap",
        ("fewer_workers", "stop_host_leak", "worker_memory_sharing"),
        {"data_wait": 0.009},
        {
            "input.workers": 16,
            "host.memory_frac": 0.97,
            "host.memory_available_bytes": 1e9,
            "host.swap_in_bytes_per_s": 4e7,
            "host.major_faults_per_s": 4000,
            "host.memory_stall_frac": 0.3,
            "host.rss_growth_bytes_per_s": 3e6,
        },
    ),
    Row(
        "llm",
        "communication",
        "four micro-batches, and gradients are exchanged after each",
        ("ddp_no_sync", "grad_accumulation", "lora"),
        {"communication": 0.16},
        {"step.micro_batches": 4, "comm.exchanges": 4, "comm.transfer_frac": 0.25},
    ),
    Row(
        "llm",
        "straggler",
        "one rank has the long sequences",
        ("rank_load_balance", "length_bucketing_packing", "larger_batch_lr_scaling"),
        {"communication": 0.12},
        {"straggler.cost_frac": 0.2, "straggler.constant": 1, "straggler.input_frac": 0},
    ),
    Row(
        "llm",
        "checkpoint",
        "15.6 GB are written every two hundred steps",
        ("checkpoint_interval", "async_checkpoint", "checkpoint_smaller"),
        {"checkpoint": 0.12},
        {
            "checkpoint.count": 4,
            "checkpoint.each_s": 24.0,
            "checkpoint.interval_steps": 200,
            "checkpoint.bytes": 15.6e9,
        },
    ),
    Row(
        "image",
        "evaluation",
        "the whole validation set every two hundred steps, with gradients",
        ("eval_log_cadence", "eval_larger_batches", "eval_no_grad"),
        {"evaluation": 0.1},
        {
            "evaluation.count": 4,
            "evaluation.each_s": 20.0,
            "evaluation.interval_steps": 200,
            "evaluation.grad_frac": 1.0,
        },
    ),
    Row(
        "gan",
        "logging",
        "grids of images and both losses in every step",
        ("buffered_logging", "background_logging", "fewer_item_syncs"),
        {"logging": 0.02, "sync": 0.002},
        {"logging.calls": 3},
    ),
)
NAMES = [f"{row.run}, {row.bottleneck}: {row.story}" for row in TABLE]


def found(row: Row, given: Measurements) -> tuple[Finding, ...]:
    """Return the findings: those of the shipped rules, or one made by hand where no rule speaks yet."""
    if row.share is None:
        return judge(given, BOOK.bottlenecks.values())
    family = FAMILY_OF[row.bottleneck]
    one = Finding(
        rule=row.bottleneck,
        bottleneck=row.bottleneck,
        family=family,
        state="fires",
        title="",
        share=row.share,
    )
    return (one,)


def test_every_bottleneck_and_every_run_is_in_the_table() -> None:
    assert {row.bottleneck for row in TABLE} == set(FAMILY_OF)
    assert {row.run for row in TABLE} == set(FACTS)
    assert len(set(NAMES)) == len(TABLE)


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_the_rules_see_what_is_wrong(row: Row) -> None:
    assert (row.share is None) is (row.bottleneck in RULED), "a rule speaks of it now: let it"
    assert found(row, typical(row.run, row.phases, row.facts))[0].bottleneck == row.bottleneck


@pytest.mark.parametrize("row", TABLE, ids=NAMES)
def test_a_good_engineer_would_be_told_these_three_first(row: Row) -> None:
    given = typical(row.run, row.phases, row.facts)
    advice, rejected = advise(found(row, given), given, BOOK.mitigations.values())
    assert tuple(one.id for one in advice[:3]) == row.told
    assert all(row.bottleneck in BOOK.mitigations[one.id].addresses for one in advice[:3])
    assert all(one.reason for one in rejected)


@pytest.mark.parametrize("run", FACTS)
def test_nothing_needs_repair_in_an_untroubled_run(run: str) -> None:
    firing = [one for one in judge(typical(run, {}, {}), BOOK.bottlenecks.values()) if one.state == "fires"]
    assert {one.bottleneck for one in firing} <= {"compute"}
