"""What torch.compile needs to be of use, and how a module is compiled in place."""

from __future__ import annotations

import importlib.util
import os
import shutil
import types
from collections.abc import Callable
from typing import Any

from .outermost import plain_call

_CXX = ("g++", "clang++", "cl")  # what Inductor looks for where CXX is not set


def lacks(torch: Any, kind: str, backend: str) -> str:
    """Return why nothing can be compiled for devices of this kind here, or nothing."""
    try:
        from torch._dynamo.eval_frame import check_if_dynamo_supported

        check_if_dynamo_supported()
    except ImportError:
        return "this torch has no Dynamo that we know"
    except RuntimeError as error:
        return str(error).splitlines()[0]
    if backend != "inductor":
        return ""
    if kind == "cpu":
        compilers = (os.environ.get("CXX", ""), *_CXX)
        return "" if any(shutil.which(one) for one in compilers if one) else "there is no C++ compiler here"
    if kind != "cuda":
        return f"it was not tried on {kind}"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed"
    if torch.version.cuda and torch.cuda.get_device_capability() < (7, 0):  # Volta, what Triton asks for
        return "this GPU is too old for Triton (compute capability below 7.0)"
    return ""


def compiled(torch_compile: Callable[..., Any], module: Any, **options: Any) -> Any:
    """Return compiled code for the module's own call.

    Dynamo starts at the script's ``forward``. A forward of torch's own (``nn.Sequential``) it never starts at, so a
    frame that it does not skip is put before that.
    """
    call = plain_call(module)
    if str(getattr(type(module).forward, "__module__", "")).startswith("torch."):
        from torch._dynamo.external_utils import wrap_inline

        call = (
            wrap_inline(types.MethodType(type(module).forward, module))
            if _bare(module)
            else wrap_inline(call)
        )
    return torch_compile(call, **options)


def _bare(module: Any) -> bool:
    """Return whether calling the module does no more than its forward."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return "forward" not in vars(module) and not any(getattr(module, name, None) for name in hooks)


def frames(torch: Any) -> int:
    """Return how many frames Dynamo has compiled in this process."""
    from torch._dynamo.utils import counters

    return int(counters["frames"]["ok"])


def blocks(module: Any) -> list[Any]:
    """Return the largest group of equal blocks in a model: those that together hold most of its parameters.

    Blocks are equal where their class and the shapes of their parameters are; a group has two at least, and blocks
    have parts of their own, so that there is something to fuse.
    """
    groups: dict[Any, list[Any]] = {}
    for one in module.modules():
        if one is module or next(one.children(), None) is None:
            continue
        shapes = tuple((name, tuple(parameter.shape)) for name, parameter in one.named_parameters())
        if shapes and callable(getattr(one, "forward", None)) and not _is_list(one):
            groups.setdefault((type(one), shapes), []).append(one)
    equal = [group for group in groups.values() if len(group) > 1]
    return max(equal, key=_size, default=[])


def _is_list(module: Any) -> bool:
    """Return whether a module only holds others and is never called."""
    return type(module).__name__ in ("ModuleList", "ModuleDict")


def _size(group: list[Any]) -> int:
    """Return the number of parameters that a group holds."""
    return sum(parameter.numel() for one in group for parameter in one.parameters())
