"""The overrides the agent can make of a running script: their settings, and what each does to the results.

The classes stand in ``agent/overrides``, which other environments load without us; a test holds the two together.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .trial import Change

Numerics = Literal["identical", "reordered", "changed"]
Kind = Literal["switch", "count", "number"]

SEVERITY: tuple[Numerics, ...] = ("identical", "reordered", "changed")  # the least first


@dataclass(frozen=True, slots=True)
class Setting:
    """One number of an override.

    Attributes:
        kind: "switch" is 0 or 1, "count" a whole number, "number" any finite one.
        numerics: What it does to the results where it is not 0.
        least: The smallest number that means something.
    """

    kind: Kind
    numerics: Numerics = "identical"
    least: float = 0.0


@dataclass(frozen=True, slots=True)
class Override:
    """What one override may be told.

    Attributes:
        numerics: What it does to the results whatever its settings.
        settings: By name.
        what_if: It shows what a choice of the script costs and is no way to make the choice: never a proof.
    """

    numerics: Numerics = "identical"
    settings: Mapping[str, Setting] = field(default_factory=dict)
    what_if: bool = False


_SWITCH = Setting("switch")
_OTHER_ORDER = Setting("switch", "reordered")
_OTHER_NUMBERS = Setting("switch", "changed")
_COUNT = Setting("count")
_AT_LEAST_ONE = Setting("count", least=1)
_THREADS = Setting("count", "reordered", 1)  # sums are split among threads

OVERRIDES: Mapping[str, Override] = {
    "loader": Override(
        settings={
            "num_workers": _COUNT,
            "prefetch_factor": _AT_LEAST_ONE,
            "persistent_workers": _SWITCH,
            "pin_memory": _SWITCH,
            "in_order": _SWITCH,
        }
    ),
    "threads": Override(settings={"intra": _THREADS, "inter": _THREADS}),
    "affinity": Override(settings={"cores": _AT_LEAST_ONE}),
    "gc": Override(settings={"freeze": _SWITCH, "threshold": _AT_LEAST_ONE}),
    "optimizer": Override(
        settings={"fused": _OTHER_ORDER, "foreach": _OTHER_ORDER, "capturable": _OTHER_ORDER}
    ),
    # A gradient of None skips the update that a gradient of zero gives to momentum and weight decay.
    "zero_grad": Override(settings={"set_to_none": _OTHER_NUMBERS}),
    "allocator": Override(
        settings={
            "expandable_segments": _SWITCH,
            "max_split_size_mb": _AT_LEAST_ONE,
            "roundup_power2_divisions": _AT_LEAST_ONE,
            "garbage_collection_threshold": Setting("number"),
        }
    ),
    "host_allocator": Override(settings={"keep": _SWITCH}),
    "dynamo": Override(settings={"disable": _OTHER_ORDER}),
    "cadence": Override(
        settings={
            "log_every": _AT_LEAST_ONE,
            "checkpoint_every": _AT_LEAST_ONE,
            "evaluate_every": _AT_LEAST_ONE,
        },
        what_if=True,
    ),
    "channels_last": Override("reordered"),
    "autocast": Override("changed", {"bf16": _OTHER_NUMBERS}),
    "matmul": Override("changed", {"tf32": _OTHER_NUMBERS, "precision": Setting("count", "changed")}),
    "float32": Override("changed"),
    "compile": Override(
        "reordered", {"dynamic": _OTHER_ORDER, "reduce_overhead": _OTHER_ORDER, "regional": _OTHER_ORDER}
    ),
    "compile_optimizer": Override("reordered"),
    "cudnn": Override(settings={"benchmark": _OTHER_NUMBERS}),
    "sdpa": Override(
        "reordered",
        {"flash": _OTHER_ORDER, "efficient": _OTHER_ORDER, "math": _OTHER_ORDER, "cudnn": _OTHER_ORDER},
    ),
    "checkpointing": Override(settings={"off": _SWITCH}),
    "non_blocking": Override(),
    "eval_no_grad": Override(),
    "ddp": Override(
        settings={
            "bucket_cap_mb": Setting("count", "reordered", 1),
            "gradient_as_bucket_view": _SWITCH,
            "static_graph": _SWITCH,
            "fp16_hook": _OTHER_NUMBERS,
            "bf16_hook": _OTHER_NUMBERS,
        }
    ),
    "no_sync": Override("reordered"),
    "anomaly": Override(settings={"mode": _SWITCH}),
}


def numerics(change: Change) -> Numerics:
    """Return what ``change`` does to the results: the worst of its override and of the settings that are not 0.

    Raises:
        KeyError: There is no such override or setting.
    """
    override = OVERRIDES[change.override]
    given = [override.settings[name].numerics for name, value in change.settings.items() if value]
    return max([override.numerics, *given], key=SEVERITY.index)


def fault(override: str, settings: Mapping[str, float]) -> str | None:
    """Return what is wrong with an override's name or settings in a few words, None where nothing is."""
    known = OVERRIDES.get(override)
    if known is None:
        return f"there is no override {_quoted(override, OVERRIDES)}"
    for name, value in settings.items():
        setting = known.settings.get(name)
        if setting is None:
            return f"{override} has no setting {_quoted(name, known.settings)}"
        wrong = _wrong_value(setting, value)
        if wrong:
            return f"{override}.{name} {wrong}"
    return None


def _wrong_value(setting: Setting, value: float) -> str | None:
    """Return why ``value`` is none that ``setting`` can have."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return "has to be a number"
    if setting.kind == "switch":
        return None if value in (0, 1) else f"has to be 0 or 1, not {value:g}"
    if setting.kind == "count" and value != int(value):
        return f"has to be a whole number, not {value:g}"
    return None if value >= setting.least else f"has to be at least {setting.least:g}, not {value:g}"


def _quoted(name: str, known: Iterable[str]) -> str:
    """Return ``name`` in quotes, and the nearest of ``known`` where one is near."""
    near = difflib.get_close_matches(name[:80], list(known), n=1, cutoff=0.6)
    return f"{name[:80]!a}" + (f"; did you mean {near[0]!r}?" if near else "")
