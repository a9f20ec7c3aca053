"""What a data set can bear: more workers, workers that stay, and workers at all."""

from __future__ import annotations

import os
import random
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

_DEPTH = 3  # a data set in a wrapper in a wrapper, or a transform in a Compose in a data set
_MOST = 2000  # attributes looked at
_OPAQUE = (type, ModuleType, FunctionType, MethodType, BuiltinFunctionType)
_PLAIN = (str, bytes, int, float, bool, type(None))

Snapshot = list[tuple[str, Any, int]]


def is_sharded(dataset: Any, worker_init_fn: Any) -> bool:
    """Return whether a stream asks which worker it is in, itself or in what each worker runs first.

    Nothing else is known to keep two workers from delivering the same samples. Looked at is the code of ``__iter__``,
    and of the methods and functions it names.
    """
    calls = (getattr(type(dataset), "__iter__", None), worker_init_fn)
    return any("get_worker_info" in _names_below(call, dataset, set()) for call in calls)


def draws_itself(dataset: Any, torch: Any, depth: int = _DEPTH) -> bool:
    """Return whether a data set makes its samples with a generator it holds: each worker's copy draws the same."""
    calls = [getattr(type(dataset), name, None) for name in ("__getitem__", "__getitems__", "__iter__")]
    names = set().union(*(_names_below(call, dataset, set()) for call in calls))
    found = getattr(dataset, "__dict__", {})
    if any(name in names and isinstance(value, _generators(torch)) for name, value in found.items()):
        return True
    inner = [value for value in found.values() if isinstance(value, torch.utils.data.Dataset)]
    return depth > 0 and any(draws_itself(one, torch, depth - 1) for one in inner)


def _generators(torch: Any) -> tuple[type, ...]:
    """Return the classes of random generators."""
    numpy = sys.modules.get("numpy.random")
    return random.Random, torch.Generator, *((numpy.Generator, numpy.RandomState) if numpy else ())


def _names_below(call: Any, dataset: Any, seen: set[CodeType]) -> set[str]:
    """Return the names in the code of ``call``, and of the methods and functions of the script it names."""
    call = getattr(call, "func", call)  # functools.partial
    function = getattr(call, "__func__", call)
    code = getattr(function, "__code__", None)
    if not isinstance(code, CodeType) or code in seen:
        return set()
    seen.add(code)
    names = _names(code)
    scope = getattr(function, "__globals__", {})
    found = [getattr(type(dataset), name, None) or scope.get(name) for name in names]
    return names.union(*(_names_below(one, dataset, seen) for one in found if _is_function(one)))


def _is_function(value: Any) -> bool:
    """Return whether ``value`` is Python code of the script's, not torch's."""
    function = getattr(value, "__func__", value)
    return isinstance(function, FunctionType) and not function.__module__.startswith("torch.")


def _names(code: CodeType) -> set[str]:
    """Return the names that a function and those defined inside it use."""
    names = set(code.co_names) | set(code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names(constant)
    return names


def holds_device_tensors(dataset: Any, torch: Any) -> bool:
    """Return whether tensors on a device are among the attributes of a data set: worker processes can't use them."""
    values = [value for _, value, _ in snapshot(dataset)]
    for value in list(values):
        if isinstance(value, (list, tuple)):
            values += value[:4]  # lists of samples are of one sort
        elif isinstance(value, dict):
            values += [one for one, _ in zip(value.values(), range(4), strict=False)]
    return any(isinstance(value, torch.Tensor) and value.device.type != "cpu" for value in values)


def snapshot(dataset: Any) -> Snapshot:
    """Return the attributes of a data set, and of the objects in them, as they are now.

    What is written into an array or a list without changing its length is not seen.
    """
    found: Snapshot = []
    _collect(dataset, "", _DEPTH, found)
    return found


def _collect(value: Any, path: str, depth: int, found: Snapshot) -> None:
    """Append the attributes of ``value`` to ``found``, depth first."""
    for name, one in list(getattr(value, "__dict__", {}).items()):
        if len(found) >= _MOST:
            return
        length = len(one) if isinstance(one, (list, tuple, dict, set)) else -1
        found.append((f"{path}.{name}", one, length))
        if depth and not isinstance(one, _OPAQUE):
            _collect(one, f"{path}.{name}", depth - 1, found)
        if depth and isinstance(one, (list, tuple)):
            for number, item in enumerate(one[:8]):  # transforms in a Compose, parts of a ConcatDataset
                if not isinstance(item, (*_OPAQUE, *_PLAIN)):
                    _collect(item, f"{path}.{name}[{number}]", depth - 1, found)


def changed(before: Snapshot, now: Snapshot) -> str:
    """Return the name of an attribute that is not what it was, "" where all are."""
    if len(before) != len(now):
        return _first_new({path for path, _, _ in before} ^ {path for path, _, _ in now})
    for (path, old, length), (other, new, size) in zip(before, now, strict=True):
        same = old is new or (isinstance(old, _PLAIN) and type(old) is type(new) and old == new)
        if path != other or length != size or not same:
            return path.lstrip(".")
    return ""


def _first_new(paths: set[str]) -> str:
    """Return one of ``paths``, the same at every call."""
    return min(paths, default="its attributes").lstrip(".")


def can_start_afresh() -> bool:
    """Return whether a new interpreter could import the script without running the training a second time.

    Spawned workers do that. Only the guard that the documentation of ``multiprocessing`` asks for prevents it.
    """
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    try:
        with open(os.fspath(file or ""), encoding="utf-8", errors="replace") as source:
            text = source.read()
    except OSError:
        return False
    return "__name__" in text and "__main__" in text
