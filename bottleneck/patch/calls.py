"""The calls whose arguments are known, and how to find the one that was changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .source import Source

SWITCH = "on"  # stands for the setting of an override that has none: it is on
Place = tuple[str, "int | None"]  # keyword, and which positional argument it is


@dataclass(frozen=True, slots=True)
class Known:
    """A call of torch's.

    Attributes:
        name: As a reader knows it.
        places: For each setting of an override its keyword and position, None where it has to be named.
        most: Positional arguments beyond which it may be another overload.
    """

    name: str
    places: Mapping[str, Place]
    most: int = 99


# Signatures of PyTorch 2.4 to 2.13; a test compares them with the one at hand.
_LOADER = Known(
    "DataLoader",
    {
        "num_workers": ("num_workers", 5),
        "pin_memory": ("pin_memory", 7),
        "prefetch_factor": ("prefetch_factor", None),
        "persistent_workers": ("persistent_workers", None),
        "in_order": ("in_order", None),
    },
)
# What a call has that does not say it, of settings that advice may turn off: nobody needs to write that.
DEFAULTS: Mapping[str, Mapping[str, float]] = {"loader": {"persistent_workers": 0.0}}
_DDP = Known(
    "DistributedDataParallel",
    {name: (name, None) for name in ("bucket_cap_mb", "gradient_as_bucket_view", "static_graph")},
    most=5,  # what comes sixth depends on the version
)
_COMPILE = Known("compile", {"dynamic": ("dynamic", None), "reduce_overhead": ("mode", None)}, most=1)
# Optimizers with the position of what need not be named; fused exists where it is listed.
_POSITIONS: Mapping[str, Mapping[str, int | None]] = {
    "Adadelta": {"foreach": 5, "capturable": None},
    "Adagrad": {"foreach": 6, "fused": None},
    "Adam": {"foreach": None, "capturable": None, "fused": None},
    "AdamW": {"foreach": None, "capturable": None, "fused": None},
    "Adamax": {"foreach": 5, "capturable": None},
    "ASGD": {"foreach": 6, "capturable": 9},
    "NAdam": {"foreach": None, "capturable": None},
    "RAdam": {"foreach": None, "capturable": None},
    "RMSprop": {"foreach": 8, "capturable": 7},
    "Rprop": {"foreach": None, "capturable": None},
    "SGD": {"foreach": None, "fused": None},
}
OPTIMIZERS: Mapping[str, Known] = {
    name: Known(name, {setting: (setting, index) for setting, index in places.items()})
    for name, places in _POSITIONS.items()
}
# By the override: full names of functions and classes, their part before and after any sub-module.
FUNCTIONS: Mapping[str, Mapping[tuple[str, str], Known]] = {
    "loader": {("torch.utils.data", "DataLoader"): _LOADER},
    "ddp": {("torch.nn.parallel", "DistributedDataParallel"): _DDP},
    "optimizer": {("torch.optim", name): known for name, known in OPTIMIZERS.items()},
    "threads": {
        ("torch", "set_num_threads"): Known("torch.set_num_threads", {"intra": ("", 0)}),
        ("torch", "set_num_interop_threads"): Known("torch.set_num_interop_threads", {"inter": ("", 0)}),
    },
    "anomaly": {
        ("torch.autograd", "set_detect_anomaly"): Known(
            "torch.autograd.set_detect_anomaly", {"mode": ("mode", 0)}
        )
    },
    "gc": {("gc", "set_threshold"): Known("gc.set_threshold", {"threshold": ("", 0)})},
    "compile": {("torch", "compile"): _COMPILE},
}
METHODS: Mapping[str, Mapping[str, Known]] = {
    "compile": {"compile": _COMPILE},  # of a module
    "zero_grad": {"zero_grad": Known("zero_grad", {"set_to_none": ("set_to_none", 0)})},
    # Beyond the device the arguments of to() may be a type, a flag or another tensor.
    "non_blocking": {
        "to": Known("to", {SWITCH: ("non_blocking", None)}, most=1),
        "cuda": Known("cuda", {SWITCH: ("non_blocking", 1)}),
    },
}


# Overrides that may tell of a change at a line that holds no such call: the script's loop, or a step.
ALSO_ELSEWHERE = frozenset(("compile", "gc", "threads"))


def editable(override: str) -> tuple[str, ...]:
    """Return the settings of an override that are arguments of a call known here."""
    known = [*FUNCTIONS.get(override, {}).values(), *METHODS.get(override, {}).values()]
    return tuple(dict.fromkeys(name for one in known for name in one.places))


def find_call(source: Source, override: str, line: int) -> tuple[ast.Call, Known] | str:
    """Return the call of ``override`` that stands at ``line`` and what is known of it, or why there is none."""
    names = _Names(source.tree)
    quoted = {id(node) for text in ast.walk(source.tree) if _is_text(text) for node in ast.walk(text)}
    found = [
        (node, known)
        for node in ast.walk(source.tree)
        if id(node) not in quoted
        if isinstance(node, ast.Call) and node.lineno <= line <= (node.end_lineno or node.lineno)
        if (known := names.known(override, node.func)) is not None
    ]
    # A frame's line is that of the call's first line, or of the method's name in a chain over several lines.
    for exact in (
        [one for one in found if one[0].lineno == line],
        [one for one in found if one[0].func.end_lineno == line],
        found,
    ):
        if len(exact) == 1:
            return exact[0]
        if exact:
            return f"line {line} makes {len(exact)} such calls, and which one was changed is not told"
    return f"line {line} does not make the call itself, or not one whose arguments are known"


def _is_text(node: ast.AST) -> bool:
    """Return whether a node is an f-string: Python before 3.12 does not know where in it a call stands."""
    return isinstance(node, ast.JoinedStr)


class _Names:
    """What the names of a module stand for, by its imports."""

    def __init__(self, tree: ast.Module) -> None:
        """Read the imports and what else binds names."""
        self.imported = dict(_imports(tree))
        self.bound = set(_bound(tree))

    def known(self, override: str, func: ast.expr) -> Known | None:
        """Return what is known of calling ``func``, None where it is none of the calls of ``override``."""
        dotted = self._dotted(func)
        if isinstance(func, ast.Attribute) and func.attr in METHODS.get(override, {}):
            owner = func.value.id if isinstance(func.value, ast.Name) else ""
            if not self.imported.get(owner, "torch").startswith("torch"):
                return None  # re.compile
            return METHODS[override][func.attr]
        if dotted is None:
            return None
        for (package, name), known in FUNCTIONS.get(override, {}).items():
            if dotted == name or (dotted.startswith(package + ".") and dotted.endswith("." + name)):
                return known
        return None

    def _dotted(self, func: ast.expr) -> str | None:
        """Return the full name of what is called, the bare name where a star import may have brought it."""
        parts: list[str] = []
        while isinstance(func, ast.Attribute):
            parts.append(func.attr)
            func = func.value
        if not isinstance(func, ast.Name) or (not parts and func.id in self.bound):
            return None  # a module's name, such as data, is often bound again somewhere else
        first = self.imported.get(func.id, func.id)
        return ".".join([first, *reversed(parts)])


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield every name that an assignment, a definition or a parameter binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield (name, full name of what it stands for) of every import; relative ones begin with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname or first, alias.name if alias.asname else first)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                yield (alias.asname or alias.name, f"{base}.{alias.name}")
