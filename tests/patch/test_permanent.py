"""A recipe made permanent: known arguments of known calls are edited."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from trainbottleneck.model.trial import Change
from trainbottleneck.patch import Site, changed_settings, make_permanent

from .scripts import BOTH, FILE, IMPORTS, new_body, patched


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a = DataLoader(ds)\n", "a = DataLoader(ds, num_workers=4, persistent_workers=True)\n"),
        (
            "a = DataLoader(ds, num_workers=0)\n",
            "a = DataLoader(ds, num_workers=4, persistent_workers=True)\n",
        ),
        (
            "a = DataLoader(ds, 8, True, None, None, 0)\n",
            "a = DataLoader(ds, 8, True, None, None, 4, persistent_workers=True)\n",
        ),
        ("a = DataLoader(ds, 8,)\n", "a = DataLoader(ds, 8, num_workers=4, persistent_workers=True,)\n"),
        (
            "a = DataLoader(ds, num_workers=(0))\n",
            "a = DataLoader(ds, num_workers=(4), persistent_workers=True)\n",
        ),
        ("a = DataLoader((ds))\n", "a = DataLoader((ds), num_workers=4, persistent_workers=True)\n"),
        (
            "a = DataLoader(num_workers = 0, dataset = ds)",
            "a = DataLoader(num_workers = 4, dataset = ds, persistent_workers=True)",
        ),
        (
            "if 1:\n    a = DataLoader(Photographs(everything), batch_size=128, shuffle=True)  # all\n",
            "if 1:\n    a = DataLoader(Photographs(everything), batch_size=128, shuffle=True,\n"
            f"                   {BOTH})  # all\n",
        ),
        (
            "a = DataLoader(\n    ds,\n    batch_size=8,  # as in the paper\n)\n",
            "a = DataLoader(\n    ds,\n    batch_size=8,  # as in the paper\n"
            "    num_workers=4,\n    persistent_workers=True,\n)\n",
        ),
        (
            "a = DataLoader(\n\tds,\n\tbatch_size=8  # as in the paper\n)\n",
            "a = DataLoader(\n\tds,\n\tbatch_size=8,  # as in the paper\n"
            "\tnum_workers=4,\n\tpersistent_workers=True\n)\n",
        ),
        (
            "a = DataLoader(ds, batch_size=8,\n               shuffle=True)  # all\n",
            f"a = DataLoader(ds, batch_size=8,\n               shuffle=True, {BOTH})  # all\n",
        ),
        (
            "a = DataLoader(ds, \\\n  batch_size=8 \\\n  )\n",
            "a = DataLoader(ds, \\\n  batch_size=8, num_workers=4, persistent_workers=True \\\n  )\n",
        ),
        (
            "a = DataLoader(\n  # all of it\n  ds  # here\n  # no workers\n  , num_workers=0\n)\n",
            f"a = DataLoader(\n  # all of it\n  ds  # here\n  # no workers\n  , {BOTH}\n)\n",
        ),
        (
            'a = DataLoader(ds, collate_fn=f"({0}", num_workers=0)\n',
            'a = DataLoader(ds, collate_fn=f"({0}", num_workers=4, persistent_workers=True)\n',
        ),
        (
            "é = DataLoader(dä, sampler='漢字', num_workers=0); b = 1\n",
            "é = DataLoader(dä, sampler='漢字', num_workers=4, persistent_workers=True); b = 1\n",
        ),
        (
            "a = torch.utils.data.DataLoader(ds)\n",
            "a = torch.utils.data.DataLoader(ds, num_workers=4, persistent_workers=True)\n",
        ),
        (
            "a = DataLoader(ds, persistent_workers=True, num_workers=1)\n",
            "a = DataLoader(ds, persistent_workers=True, num_workers=4)\n",
        ),
        (
            "a = DataLoader(ds, num_workers=0, **more)\n",
            None,
        ),
    ],
)
def test_arguments_are_set_and_the_layout_stays(before: str, after: str | None) -> None:
    patch = patched(before, line=5 if before.startswith("if") else 4)
    if after is not None:
        assert new_body(patch) == after
        assert patch.additions == ()
    else:  # what is written out can be replaced; what may be in the mapping can't be added
        assert new_body(patch) == "a = DataLoader(ds, num_workers=4, **more)\n"
        (left,) = patch.additions
        assert left.reason == "the call takes **more, which may hold it"
        assert left.lines == ("persistent_workers=True",)


def test_the_diff_and_the_edits_say_what_was_done() -> None:
    patch = patched("a = DataLoader(ds, num_workers=0)")
    assert patch.diff == (
        "--- a/train.py\n+++ b/train.py\n@@ -1,4 +1,4 @@\n import gc\n import torch\n"
        " from torch.utils.data import DataLoader\n-a = DataLoader(ds, num_workers=0)\n"
        "\\ No newline at end of file\n+a = DataLoader(ds, num_workers=4, persistent_workers=True)\n"
        "\\ No newline at end of file\n"
    )
    found = [(one.mitigations, one.line, one.setting, one.before, one.after) for one in patch.edits]
    assert found == [
        (("m",), 4, "num_workers", "0", "4"),
        (("m",), 4, "persistent_workers", None, "True"),
    ]


def test_what_is_so_already_changes_nothing() -> None:
    patch = patched("a = DataLoader(ds, num_workers=4, persistent_workers=True)\n")
    assert (patch.files, patch.diff, patch.edits, patch.additions) == ({}, "", (), ())


@pytest.mark.parametrize(
    ("override", "settings", "before", "after"),
    [
        ("optimizer", {"fused": 1.0}, "AdamW(p, lr=1e-3)", "AdamW(p, lr=1e-3, fused=True)"),
        ("optimizer", {"fused": 1.0}, "SGD(p, 0.1, foreach=True)", "SGD(p, 0.1, foreach=None, fused=True)"),
        ("optimizer", {"fused": 1.0}, "SGD(p, 0.1, foreach=False)", "SGD(p, 0.1, foreach=False, fused=True)"),
        ("optimizer", {"foreach": 1.0}, "Adagrad(p, 1, 0, 0, 0, 1, False)", "Adagrad(p, 1, 0, 0, 0, 1, True)"),
        ("optimizer", {"fused": 1.0}, "Adam(q for q in p)", "Adam((q for q in p), fused=True)"),
        ("optimizer", {"fused": 1.0}, "Adam((q for q in p))", "Adam((q for q in p), fused=True)"),
        ("threads", {"intra": 8.0}, "torch.set_num_threads(1)", "torch.set_num_threads(8)"),
        ("gc", {"threshold": 100000.0}, "gc.set_threshold(700, 10)", "gc.set_threshold(100000, 10)"),
        ("zero_grad", {"set_to_none": 1.0}, "opt.zero_grad(set_to_none=False)", "opt.zero_grad(set_to_none=True)"),
        ("zero_grad", {"set_to_none": 1.0}, "self.opt.zero_grad(False)", "self.opt.zero_grad(True)"),
        ("zero_grad", {"set_to_none": 1.0}, "opt.zero_grad()", "opt.zero_grad(set_to_none=True)"),
        ("non_blocking", {}, "x, y = x.to(dev), 1", "x, y = x.to(dev, non_blocking=True), 1"),
        ("non_blocking", {}, "x = x.cuda()", "x = x.cuda(non_blocking=True)"),
        ("non_blocking", {}, "x = x.cuda(0, False)", "x = x.cuda(0, True)"),
        ("compile", {"dynamic": 1.0}, "n = torch.compile(n, dynamic=False)", "n = torch.compile(n, dynamic=True)"),
        ("compile", {"reduce_overhead": 1.0}, "n.compile()", 'n.compile(mode="reduce-overhead")'),
        (
            "ddp",
            {"bucket_cap_mb": 100.0, "gradient_as_bucket_view": 1.0},
            "d = torch.nn.parallel.DistributedDataParallel(net, [0])",
            "d = torch.nn.parallel.DistributedDataParallel(net, [0],\n"
            + " " * len("d = torch.nn.parallel.DistributedDataParallel(")
            + "bucket_cap_mb=100, gradient_as_bucket_view=True)",
        ),
    ],
)  # fmt: skip
def test_other_known_calls(override: str, settings: Mapping[str, float], before: str, after: str) -> None:
    package = "torch.optim." if override == "optimizer" else ""
    patch = patched(package + before, override, settings)
    assert new_body(patch) == package + after
    assert patch.additions == ()


@pytest.mark.parametrize(
    "imports",
    [
        "from torch.utils.data import DataLoader as Loader\n",
        "from torch.utils.data import dataloader\nLoader = 0\n",
        "from torch.utils import data as Loaders\n",
        "import torch.utils.data as tud\n",
        "from torch.utils.data import *\n",
        "from torch.utils import data\nfor data in (): pass\n",
    ],
)
def test_torchs_own_call_is_known_by_any_name(imports: str) -> None:
    name = {
        "Loader\n": "Loader", "= 0\n": "dataloader.DataLoader", "Loaders\n": "Loaders.DataLoader",
        "tud\n": "tud.DataLoader", "*\n": "DataLoader", "pass\n": "data.DataLoader",
    }  # fmt: skip
    (call,) = {value for end, value in name.items() if imports.endswith(end)}
    line = imports.count("\n") + 1
    patch = patched(f"a = {call}(ds)\n", settings={"num_workers": 2.0}, line=line, imports=imports)
    assert new_body(patch, imports) == f"a = {call}(ds, num_workers=2)\n"


def test_of_nested_calls_the_one_that_begins_in_the_line_is_meant() -> None:
    patch = patched("a = both(DataLoader(\n  ds), DataLoader(es))\n", settings={"pin_memory": 1.0}, line=5)
    assert new_body(patch) == "a = both(DataLoader(\n  ds), DataLoader(es, pin_memory=True))\n"


def test_only_the_settings_changed_at_a_site_are_set_there_and_sites_of_one_call_are_one() -> None:
    recipe = [
        Change(
            mitigation="dl_workers",
            override="loader",
            settings={"num_workers": 2.0, "persistent_workers": 1.0},
        ),
        Change(
            mitigation="dl_pin_memory", override="loader", settings={"pin_memory": 1.0, "num_workers": 3.0}
        ),
    ]
    sites = [
        Site(override="loader", file=FILE, line=4, settings=("num_workers",)),
        Site(override="loader", file=FILE, line=4, settings=("num_workers", "pin_memory")),
        Site(override="loader", file=FILE, line=5, settings=("persistent_workers",)),
    ]
    body = "a = DataLoader(ds)\nb = DataLoader(es, num_workers=1)\n"
    patch = make_permanent(recipe, sites, {FILE: (IMPORTS + body).encode()})
    assert new_body(patch) == (
        "a = DataLoader(ds, num_workers=3, pin_memory=True)\n"
        "b = DataLoader(es, num_workers=1, persistent_workers=True)\n"
    )
    assert {one.mitigations for one in patch.edits} == {("dl_workers", "dl_pin_memory")}


@pytest.mark.parametrize("sites", [("num_workers",), ("num_workers", "persistent_workers"), ()])
def test_what_a_call_has_anyway_is_not_written_unless_the_script_had_another(sites: tuple[str, ...]) -> None:
    recipe = [
        Change(mitigation="m", override="loader", settings={"num_workers": 2.0, "persistent_workers": 0.0})
    ]
    said = ", persistent_workers=True" if "persistent_workers" in sites else ""
    known = [Site(override="loader", file=FILE, line=4, settings=sites)] if sites else []
    patch = make_permanent(recipe, known, {FILE: (IMPORTS + f"a = DataLoader(ds{said})\n").encode()})
    if sites:
        assert new_body(patch) == f"a = DataLoader(ds{said.replace('True', 'False')}, num_workers=2)\n"
        assert patch.additions == ()
    else:
        assert [one.lines for one in patch.additions] == [("DataLoader(..., num_workers=2)",)]


def test_the_settings_of_a_site_are_read_from_what_the_override_told() -> None:
    told = "num_workers 0 -> 4, persistent_workers False -> True"
    assert changed_settings("loader", told) == ("num_workers", "persistent_workers")
    assert changed_settings("optimizer", "AdamW: fused None -> True, foreach True -> None") == (
        "fused",
        "foreach",
    )
    assert changed_settings("threads", "set_num_threads(1) -> 8") == ()
    assert changed_settings("nothing", "a 1 -> 2") == ()


def test_signatures_are_those_of_the_torch_at_hand() -> None:
    torch = pytest.importorskip("torch")
    import inspect

    from trainbottleneck.patch.calls import FUNCTIONS

    owners = {**vars(torch.optim), "DataLoader": torch.utils.data.DataLoader}
    owners["DistributedDataParallel"] = torch.nn.parallel.DistributedDataParallel
    for known in (one for name in ("loader", "ddp", "optimizer") for one in FUNCTIONS[name].values()):
        parameters = inspect.signature(owners[known.name]).parameters
        positional = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
        for keyword, index in known.places.values():
            if keyword == "in_order" and keyword not in parameters:
                continue  # came with 2.6
            assert keyword in parameters, known.name
            if known.most > 50:
                assert index == (positional.index(keyword) if keyword in positional else None), (
                    known.name,
                    keyword,
                )
