"""What the shipped knowledge promises: complete, consistent, runnable, and no figure without support."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from trainbottleneck import rulebook
from trainbottleneck.advise.mitigation import SHOWN, MitigationRule
from trainbottleneck.diagnose.sentence import code_placeholders
from trainbottleneck.model.report import FAMILY_OF

BOOK = rulebook.load()
RULES = sorted(BOOK.mitigations.values(), key=lambda rule: rule.id)
IDS = [rule.id for rule in RULES]
CELLS = BOOK.taxonomy["cells"]
CHILD = Path(__file__).with_name("snippets_child.py")

# The methods collected from both surveys and from practice, by the ids they keep for ever.
COLLECTED = re.findall(
    r"\w+",
    """
    activation_checkpointing alibi_short_context allocator_config amp_mixed_precision async_checkpoint
    async_h2d_prefetch augmentation_multiplicity backprop_free batch_size_up batched_dataset_access
    better_initialization better_optimizer blurpool budgeted_lr_schedule channels_last colout comm_hook_16bit
    compressed_domain_training cpu_offload cpu_threads_affinity cuda_graphs cudnn_benchmark curriculum_learning
    data_augmentation data_distillation data_echoing data_pruning ddp_bucket_size ddp_instead_of_dp ddp_no_sync
    ddp_view_static dl_persistent_workers dl_pin_memory dl_prefetch_factor dl_workers drop_redundant_ops
    early_stopping efficient_attention eval_log_cadence faster_decode fewer_item_syncs ffcv_dali_loader fsdp_zero
    fused_kernels fused_optimizer gc_freeze gpu_augmentation grad_accumulation gradient_shaping
    hw_aware_architecture input_normalization larger_batch_lr_scaling layer_freezing length_bucketing_packing
    local_sgd_stale_gradients lora loss_choice low_rank_structured mixture_of_experts nccl_tuning
    normalization_choice normalizer_free nvme_staging offline_preprocess onebit_adam one_cycle_lr_range
    optimizer_8bit powersgd progressive_growing progressive_regularization progressive_resizing ram_cache
    random_features rank_load_balance sam sdpa_flash second_order_preconditioning selective_backprop
    seq_length_warmup sharded_streaming_format stochastic_depth structured_pruning tensor_shape_alignment
    tf32_matmul token_dropping torch_compile train_larger_stop_early weight_averaging weight_tying
    worker_memory_sharing
    """,
)

# Snippets that cannot run on any CPU with PyTorch alone; they are parsed.
ELSEWHERE = {
    "async_h2d_prefetch": "CUDA streams",
    "comm_hook_16bit": "NCCL",
    "ddp_instead_of_dp": "NCCL and a launcher",
    "ffcv_dali_loader": "ffcv",
    "fsdp_zero": "a device mesh over several ranks",
    "gpu_augmentation": "torchvision",
    "lora": "peft",
    "normalizer_free": "timm",
    "onebit_adam": "deepspeed",
    "optimizer_8bit": "bitsandbytes",
    "sharded_streaming_format": "webdataset",
}
# Snippets that take a model wrapped in DDP, or a process group.
DISTRIBUTED = {
    "ddp_bucket_size", "ddp_no_sync", "ddp_view_static", "local_sgd_stale_gradients", "powersgd",
    "rank_load_balance",
}  # fmt: skip
# What a snippet defines is used as its reader would, so that its body runs as well.
USES = {
    "async_checkpoint": "writer.join(); assert set(torch.load(checkpoint_path)) == set(net.state_dict())",
    "augmentation_multiplicity": "assert next(iter(loader))[0].shape == (4, 3, 32, 32)",
    "background_logging": "listener.stop(); assert 'step 10' in log_path.read_text()",
    "batch_maker_to_loader": "assert len(list(DataLoader(Batches(), batch_size=None))) == 3",
    "batched_dataset_access": "assert [len(b[0]) for b in loader] == [4] * 5",
    "better_optimizer": "p = net.head[0].weight; p.grad = torch.ones_like(p); lion_step(p, torch.zeros_like(p))",
    "blurpool": "assert torch.allclose(Blur(3)(torch.ones(1, 3, 9, 9))[..., 4, 4], torch.ones(1, 3))",
    "buffered_logging": "step = 1; exec(snippet)",
    "channels_last": "assert net(x).shape == (8, 10)",
    "colout": "assert x.shape == (8, 3, 27, 27)",
    "data_echoing": "assert len(list(echoed(loader))) == 2 * len(loader)",
    "efficient_attention": "assert out.shape == q.shape",
    "fixed_shapes": "assert all(b.shape[1] % 64 == 0 for b in loader)",
    "layer_freezing": "assert not net.blocks[0].last.weight.requires_grad and net.norm.weight.requires_grad",
    "length_bucketing_packing": "assert sum(len(b) for b in loader) == len(token_ds)",
    "loss_choice": "loss.backward()",
    "low_rank_structured": "assert layer(torch.ones(2, 64)).shape == (2, 64)",
    "ram_cache": "assert load(1).sum() == 0 and filled[1]",
    "progressive_growing": "assert len(net.blocks) == 8 and net(x).shape == (8, 10)",
    "progressive_resizing": "assert x.shape[-1] == 96 or x.shape[-1] == 128",
    "stochastic_depth": "assert net(x).shape == (8, 10)",
}


def fill(rule: MitigationRule) -> str:
    """Return the snippet with 2 for each number of the run."""
    code = rule.snippet
    for name in code_placeholders(code):
        code = code.replace(f"<<{name}>>", "2")
    return code


def with_use(rule: MitigationRule) -> str:
    """Return the snippet followed by the use of what it defines."""
    code = fill(rule)
    return f"snippet = {code!r}\n{code}\n{USES.get(rule.id, '')}"


def test_every_collected_method_is_there() -> None:
    assert len(COLLECTED) == len(set(COLLECTED)) == 90
    assert set(COLLECTED) <= set(IDS)


def test_every_bottleneck_has_at_least_three_methods() -> None:
    few = {
        name: [rule.id for rule in RULES if name in rule.addresses]
        for name in FAMILY_OF
        if sum(name in rule.addresses for rule in RULES) < 3
    }
    assert few == {}


def test_no_method_makes_worse_what_it_addresses() -> None:
    assert [rule.id for rule in RULES if set(rule.addresses) & set(rule.worsens)] == []


def test_files_are_named_after_their_ids_and_have_cases() -> None:
    names = {path.name for path in (rulebook.shipped() / "mitigations").glob("*.yaml")}
    assert names == {f"{one}{end}" for one in IDS for end in (".yaml", ".test.yaml")}


def test_every_case_holds() -> None:
    results = list(rulebook.run_cases(rulebook.shipped() / "mitigations", BOOK))
    assert {result.rule for result in results} == set(IDS)
    assert [result for result in results if result.failures] == []


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_conditions_are_tested_to_hold_to_fail_and_to_be_unknown(rule: MitigationRule) -> None:
    path = rulebook.shipped() / "mitigations" / f"{rule.id}.test.yaml"
    expected = set(re.findall(r"applies: (true|false|unknown)", path.read_text(encoding="utf-8")))
    assert expected == ({"true", "false", "unknown"} if rule.applies else {"true"})


def test_figures_8_to_12_have_each_subcomponent_under_each_action() -> None:
    subcomponents = [one["id"] for one in BOOK.taxonomy["subcomponents"]]
    for number, action in enumerate(("remove", "restrict", "reorder", "replace", "retrofit"), start=8):
        cells = [cell for cell in CELLS if cell["place"] == f"Figure {number}"]
        assert {cell["action"] for cell in cells} == {action}
        assert sorted(cell["subcomponent"] for cell in cells) == sorted(subcomponents)


def test_tables_of_both_surveys_have_all_their_rows() -> None:
    rows = [(cell["source"], cell["place"]) for cell in CELLS]
    assert rows.count(("bartoldson", "Table 1")) == 6
    assert rows.count(("bartoldson", "Table 2")) == 12
    assert [rows.count(("shen", f"Table {number}")) for number in (2, 3, 4, 5)] == [3, 4, 4, 21]
    assert len({one["library"] for one in BOOK.taxonomy["frameworks"]}) == 16  # Table 6


def test_table_2_has_both_mechanisms_of_each_pair() -> None:
    mechanisms = [
        (cell["subcomponent"], cell["timing"], cell["information"])
        for cell in CELLS
        if (cell["source"], cell["place"]) == ("bartoldson", "Table 2")
    ]
    assert len(set(mechanisms)) == 12


@pytest.mark.parametrize(
    "cell", CELLS, ids=[f"{cell['source']}, {cell['place']}: {cell['example']}" for cell in CELLS]
)
def test_every_cell_leads_to_methods_that_stand_there(cell: dict[str, object]) -> None:
    led = cell["mitigations"]
    assert isinstance(led, list) and led
    rules = [BOOK.mitigations[name] for name in led]
    if cell["source"] == "shen":
        return
    keys = ("component", "subcomponent", "action", "timing", "information")
    wanted = {key: cell[key] for key in keys if key in cell}
    for rule in rules:
        assert any(wanted == {key: getattr(path, key) for key in wanted} for path in rule.paths), rule.id


def test_every_framework_leads_to_methods() -> None:
    for one in BOOK.taxonomy["frameworks"]:
        assert one["mitigations"] and set(one["mitigations"]) <= set(IDS), one["library"]


def test_every_algorithmic_method_is_led_to() -> None:
    led = {name for cell in CELLS for name in cell["mitigations"]}
    # Neither survey names float64 as something to leave; it is the everyday case of restricting precision.
    assert {rule.id for rule in RULES if rule.kind == "algorithmic"} - led == {"float32_parameters"}


def test_every_path_is_in_the_taxonomy() -> None:
    components = {one["id"]: one["subcomponents"] for one in BOOK.taxonomy["components"]}
    actions = {one["id"] for one in BOOK.taxonomy["actions"]}
    timing, information = (
        {one["id"] for one in BOOK.taxonomy["mechanisms"][key]} for key in ("timing", "information")
    )
    for rule in RULES:
        assert (rule.taxonomy is not None) is (rule.kind == "algorithmic"), rule.id
        for path in rule.paths:
            assert path.subcomponent in components[path.component], rule.id
            assert path.action in actions and path.timing in timing and path.information in information, (
                rule.id
            )


def test_taxonomy_explains_what_each_place_does_to_both_currencies() -> None:
    for group in ("components", "subcomponents", "actions"):
        for one in BOOK.taxonomy[group]:
            assert all(len(one[key]) > 10 for key in ("meaning", "time_per_iteration", "iterations")), one[
                "id"
            ]


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_snippet_parses_with_numbers_filled_in(rule: MitigationRule) -> None:
    ast.parse(fill(rule))


def test_snippets_run_on_a_cpu() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("PIL")
    gloo = torch.distributed.is_available() and torch.distributed.is_gloo_available()
    distributed = DISTRIBUTED if gloo else set()
    left_out = set(ELSEWHERE) | (DISTRIBUTED - distributed)
    wanted = {
        "code": {rule.id: with_use(rule) for rule in RULES if rule.id not in left_out},
        "distributed": sorted(distributed),
    }
    done = subprocess.run(
        [sys.executable, str(CHILD)], input=json.dumps(wanted), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == {}


def test_lists_of_snippets_name_methods_that_exist() -> None:
    assert (set(ELSEWHERE) | DISTRIBUTED | set(USES)) <= set(IDS)


def _range_texts(rule: MitigationRule) -> list[str]:
    """Return the range of ``rule`` in the ways a sentence would give it."""
    assert rule.expected.range is not None
    low, high = (f"{value:g}" for value in rule.expected.range)
    pairs = [f"{low}{between}{high}" for between in ("-", " - ", " to ", "x to ", "x-")]
    return [*pairs, f"{high}x", f"{high} x", f"{high} times", f"factor of {high}"]


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_judged_and_recalled_ranges_are_in_no_text(rule: MitigationRule) -> None:
    if rule.expected.range is None or rule.expected.basis in SHOWN:
        return
    assert rule.estimate.model != "literature"
    shown = [rule.title, rule.summary, rule.quality_risk, *rule.risks, *_effect_texts(rule)]
    shown += [claim.claim for claim in rule.evidence if claim.basis not in ("memory", "judgement")]
    assert [(text, bad) for text in shown for bad in _range_texts(rule) if bad in text] == []


def _effect_texts(rule: MitigationRule) -> list[str]:
    """Return the texts on the effect of ``rule``."""
    effect = rule.effect
    return [effect.time_per_iteration, effect.iterations, effect.memory, effect.cost]


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_shown_ranges_rest_on_claims_that_can_be_cited(rule: MitigationRule) -> None:
    if rule.expected.basis in SHOWN:
        assert any(claim.basis in ("seed", "found", "doc", "derived") for claim in rule.evidence)


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_every_method_says_risk_source_and_evidence(rule: MitigationRule) -> None:
    assert rule.risks and rule.sources and rule.evidence
    assert {claim.basis for claim in rule.evidence} <= {"seed", "found", "doc", "derived", "memory"}
    # A title is a line of the report, a summary a paragraph of it.
    assert len(rule.title) <= 100 and 80 <= len(rule.summary) <= 500


@pytest.mark.parametrize("rule", RULES, ids=IDS)
def test_braces_in_titles_are_placeholders(rule: MitigationRule) -> None:
    assert "{" not in re.sub(r"\{[A-Za-z_][A-Za-z0-9_.]*\}", "", rule.title)
    assert rule.title.isascii() and rule.summary.isascii()
