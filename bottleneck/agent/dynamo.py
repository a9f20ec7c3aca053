"""Keeps TorchDynamo from tracing our frames: inside a region that broke its graph it would compile them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from . import PACKAGE


def is_compiling(torch: Any) -> Callable[[], bool]:
    """Return the function that tells whether Dynamo traces the caller.

    It folds both to a constant; ``is_compiling`` also asks two functions more, which every module call would pay for.
    """
    found: Callable[[], bool] = getattr(torch.compiler, "is_dynamo_compiling", torch.compiler.is_compiling)
    return found


def outside_of_compiled() -> Callable[[], bool]:
    """Return the function that tells whether what the caller calls runs as it is, seen by no compiler.

    Private interface of torch: where it lacks it, nothing is taken for being outside.
    """
    try:
        from torch._C._dynamo.eval_frame import get_eval_frame_callback
    except ImportError:
        return lambda: False
    return lambda: get_eval_frame_callback() is None


def keep_out() -> None:
    """Mark every function of this package as "run as it is; what it calls is decided by itself".

    ``module_call`` is still inlined where Dynamo traces through a module call; the mark concerns frames that
    start on their own. Private interface of torch: its absence costs spans of compiled steps, nothing else.
    """
    try:
        from torch._C._dynamo.eval_frame import (
            _FrameAction,
            _FrameExecStrategy,
            set_code_exec_strategy,
        )
    except ImportError:
        return
    skip = _FrameExecStrategy(_FrameAction.SKIP, _FrameAction.DEFAULT)
    for code in _codes():
        set_code_exec_strategy(code, skip)


def _codes() -> Iterator[CodeType]:
    """Yield the code of every function of this package, those defined inside others included."""
    for name, module in list(sys.modules.items()):
        if name == PACKAGE or name.startswith(PACKAGE + "."):
            for value in list(vars(module).values()):
                yield from _below(value)


def _below(value: Any) -> Iterator[CodeType]:
    """Yield the code of a function, of a class's methods, and of what they define inside."""
    if isinstance(value, type):
        for member in list(vars(value).values()):
            yield from _below(getattr(member, "__func__", member) if not isinstance(member, type) else None)
    elif isinstance(value, FunctionType) and value.__module__.startswith(PACKAGE):
        yield from _nested(value.__code__)


def _nested(code: CodeType) -> Iterator[CodeType]:
    """Yield ``code`` and all code objects among its constants."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
