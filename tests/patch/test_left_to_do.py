"""What is not edited: why, where the value comes from, and the lines to write by hand."""

from __future__ import annotations

import ast
from collections.abc import Mapping

import pytest
from trainbottleneck.agent.overrides import find
from trainbottleneck.agent.overrides.base import Refused
from trainbottleneck.model.overrides import OVERRIDES
from trainbottleneck.model.trial import Change
from trainbottleneck.patch import Site, make_permanent

from .scripts import FILE, IMPORTS, WORKERS, new_body, patched


@pytest.mark.parametrize(
    ("body", "line", "reason"),
    [
        ("a = make(ds)\n", 4, "line 4 does not make the call itself, or not one whose arguments are known"),
        (
            "a = DataLoader(ds)\n",
            9,
            "line 9 does not make the call itself, or not one whose arguments are known",
        ),
        (
            "class DataLoader: pass\na = DataLoader(ds)\n",
            5,
            "line 5 does not make the call itself, or not one whose",
        ),
        ("DataLoader = partial(DataLoader)\na = DataLoader(ds)\n", 5, "line 5 does not make the call itself"),
        ("a = mine.DataLoader(ds)\n", 4, "line 4 does not make the call itself"),
        (
            "a, b = DataLoader(ds), DataLoader(es)\n",
            4,
            "line 4 makes 2 such calls, and which one was changed is not told",
        ),
        (
            "a = DataLoader(ds,\n",
            4,
            "the file can't be edited: it is not valid for this Python (SyntaxError)",
        ),
        ("a = '\0'\n", 4, "the file can't be edited: it is not valid for this Python"),
        ("a = DataLoader(ds, timeout=3, num_workers=0)\n", 4, None),
    ],
)
def test_what_can_not_be_told_apart_is_not_edited(body: str, line: int, reason: str | None) -> None:
    patch = patched(body, line=line)
    if reason is None:
        assert len(patch.edits) == 2
        return
    assert patch.files == {} and patch.edits == ()
    (left,) = patch.additions
    assert left.reason.startswith(reason)
    assert left.where == f"in the call that makes the loader (train.py, line {line})"
    assert left.lines == ("DataLoader(..., num_workers=4, persistent_workers=True)",)


@pytest.mark.parametrize(
    ("body", "line", "reason", "where", "write"),
    [
        (
            'p.add_argument("--num-workers", type=int, default=0)\na = DataLoader(ds, num_workers=args.num_workers)\n',
            5,
            "num_workers is args.num_workers, an option of the script: run the script with --num-workers 4, "
            "or change its default",
            "train.py: line 4", "default=4",
        ),
        (
            "N = 0\na = DataLoader(ds, num_workers=N)\n", 5, "num_workers is N, which line 4 sets",
            "train.py: line 4", "N = 4",
        ),
        (
            "def make(n=0):\n    return DataLoader(ds, num_workers=n)\n", 5, "num_workers is n, a parameter of make",
            "train.py: where make is called, or its default in line 4", "n=4",
        ),
        (
            'cfg = {"n": 0}\na = DataLoader(ds, num_workers=cfg["n"])\n', 5,
            'num_workers is cfg["n"], which line 4 sets',
            "train.py: line 4", '"n": 4',
        ),
        (
            "a = DataLoader(ds, num_workers=os.cpu_count() // 2)\n", 4,
            "num_workers is os.cpu_count() // 2, which is worked out", "train.py: line 4", "num_workers=4",
        ),
        (
            "N = 0\nN = 1\na = DataLoader(ds, num_workers=N)\n", 6, "num_workers is N, which is worked out",
            "train.py: line 6", "num_workers=4",
        ),
        (
            "a = DataLoader(*parts)\n", 4, "the call takes *parts, which may hold it", "train.py: line 4",
            "num_workers=4",
        ),
        (
            "a = DataLoader(ds, **more)\n", 4, "the call takes **more, which may hold it",
            "train.py: in more, or in line 4 in its place", "num_workers=4",
        ),
    ],
)  # fmt: skip
def test_a_value_from_elsewhere_is_pointed_to_and_never_replaced(
    body: str, line: int, reason: str, where: str, write: str
) -> None:
    patch = patched(body, line=line)
    assert patch.files == {} and patch.edits == ()
    left = patch.additions[0]
    assert (left.reason, left.where, left.lines) == (reason, where, (write,))


def test_what_needs_workers_waits_for_them() -> None:
    patch = patched(
        "a = DataLoader(ds, pin_memory=False, num_workers=n)\n", settings={**WORKERS, "pin_memory": 1.0}
    )
    assert new_body(patch) == "a = DataLoader(ds, pin_memory=True, num_workers=n)\n"
    assert [one.lines for one in patch.additions] == [("num_workers=4",), ("persistent_workers=True",)]


@pytest.mark.parametrize(
    "body",
    [
        "a = DataLoader(ds, num_workers=3, persistent_workers=True)\n",
        "a = DataLoader(ds, num_workers=3, prefetch_factor=4)\n",
    ],
)
def test_an_edit_that_torch_would_refuse_is_not_made(body: str) -> None:
    patch = patched(body, settings={"num_workers": 0.0})
    assert patch.files == {}
    (left,) = patch.additions
    assert left.reason in ("persistent_workers needs workers", "prefetch_factor needs workers")


def test_a_call_in_a_library_becomes_lines_beside_the_edit_of_the_scripts_own() -> None:
    change = Change(mitigation="m", override="loader", settings={"num_workers": 2.0})
    sites = [
        Site(override="loader", file=FILE, line=4),
        Site(override="loader", file="/usr/lib/trainer.py", line=70),
    ]
    patch = make_permanent([change], sites, {FILE: (IMPORTS + "a = DataLoader(ds)").encode()})
    assert len(patch.edits) == 1
    (left,) = patch.additions
    assert left.reason == "that file is not the script's own"
    assert left.where == "in the call that makes the loader (/usr/lib/trainer.py, line 70)"
    assert left.lines == ("DataLoader(..., num_workers=2)",)


@pytest.mark.parametrize("override", OVERRIDES)
def test_every_override_without_a_call_to_edit_has_lines_of_python(override: str) -> None:
    known = OVERRIDES[override].settings
    try:
        alone = [{}] if find(override)({}) else []
    except Refused:  # there would be nothing to set
        alone = []
    for settings in (*alone, *({name: 1.0} for name in known), dict.fromkeys(known, 1.0)):
        patch = make_permanent([Change(mitigation="m", override=override, settings=settings)], [], {})
        assert len(patch.additions) == (
            settings != {} or override != "ddp"
        )  # which takes nothing and does nothing
        for left in patch.additions:
            assert left.lines and left.where and left.reason == ""
            ast.parse("\n".join(left.lines))


def test_settings_without_an_argument_stay_lines_beside_those_with_one() -> None:
    body = "d = torch.nn.parallel.DistributedDataParallel(net)\n"
    patch = patched(body, "ddp", {"static_graph": 1.0, "bf16_hook": 1.0})
    assert new_body(patch) == "d = torch.nn.parallel.DistributedDataParallel(net, static_graph=True)\n"
    (left,) = patch.additions
    assert left.lines[-1] == "ddp.register_comm_hook(None, default_hooks.bf16_compress_hook)"


@pytest.mark.parametrize(
    ("override", "settings", "body"),
    [
        ("compile", {"dynamic": 1.0}, "out = model(x)\n"),
        ("compile", {"dynamic": 1.0}, "import re\nre.compile('a')\n"),
        ("gc", {"freeze": 1.0, "threshold": 100000.0}, "opt.step()\n"),
    ],
)
def test_a_line_of_the_loop_is_no_call_that_failed_to_be_edited(
    override: str, settings: Mapping[str, float], body: str
) -> None:
    patch = patched(body, override, settings, line=3 + body.count("\n"))
    (left,) = patch.additions
    assert left.reason == "" and "train.py" not in left.where


def test_torch_takes_a_mode_or_options() -> None:
    (left,) = patched("torch.compile(n, options={})\n", "compile", {"reduce_overhead": 1.0}).additions
    assert left.reason == "torch takes a mode or options, not both"


@pytest.mark.parametrize(
    ("override", "settings", "line"),
    [
        ("loader", WORKERS, "dataloader_num_workers=4, dataloader_persistent_workers=True"),
        ("optimizer", {"fused": 1.0}, 'optim="adamw_torch_fused"'),
        ("compile", {}, "torch_compile=True"),
        ("autocast", {"bf16": 1.0}, "bf16=True"),
    ],
)
def test_with_hugging_faces_trainer_its_arguments_are_told(
    override: str, settings: Mapping[str, float], line: str
) -> None:
    patch = patched("args = TrainingArguments(out)\ntrainer.train()\n", override, settings, line=5)
    assert patch.files == {}
    (left,) = patch.additions
    assert left.lines == (f"TrainingArguments(..., {line})",)


def test_what_the_trainer_has_no_argument_for_is_told_in_lines() -> None:
    (left,) = patched("args = TrainingArguments(out)\n", "loader", {"in_order": 0.0}).additions
    assert left.lines == ("DataLoader(..., in_order=False)",)
