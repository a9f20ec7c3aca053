"""Changes made to an unmodified training at run time: what a trial tries, and what a recipe asks for.

Nothing here is imported unless the run's settings name overrides. Nothing is undone at the end, as the process is
disposable, but every patch goes through ``Hooks`` like all others. They are in place before what measures is, so
that the changed code is what is timed.
"""

from __future__ import annotations

import atexit
import importlib
from collections.abc import Mapping
from typing import Any

from .. import report
from ..hooks import Hooks
from .base import Override, Refused, Tell

# The modules by the name of their override; each has one sub-class of Override that bears the name.
MODULES: dict[str, str] = {
    "loader": "loader",
    "threads": "threads",
    "affinity": "affinity",
    "gc": "collector",
    "optimizer": "optimizer",
    "zero_grad": "zero_grad",
    "allocator": "allocator",
    "host_allocator": "host_allocator",
    "dynamo": "dynamo",
    "cadence": "cadence",
    "channels_last": "channels_last",
    "autocast": "autocast",
    "matmul": "matmul",
    "float32": "float32",
    "compile": "compile",
    "compile_optimizer": "compile_optimizer",
    "cudnn": "cudnn",
    "sdpa": "sdpa",
    "checkpointing": "checkpointing",
    "non_blocking": "non_blocking",
    "eval_no_grad": "eval_no_grad",
    "ddp": "ddp",
    "no_sync": "no_sync",
    "anomaly": "anomaly",
}

_booted: dict[str, Override | str] = {}  # by name; the text is why there is none


def boot(config: Mapping[str, Any]) -> None:
    """Make the overrides of ``config["overrides"]`` and let them act before torch is imported. Never raises.

    Several changes of one override are one: the settings of a later one are added, and win.
    """
    wanted: dict[str, dict[str, float]] = {}
    for change in config.get("overrides") or ():
        wanted.setdefault(str(change["override"]), {}).update(change.get("settings") or {})
    for name, settings in wanted.items():
        _booted[name] = _boot(name, settings)


def install(torch: Any, hooks: Hooks, recorder: Any, config: Mapping[str, Any]) -> None:
    """Put the patches of all overrides in place and tell those that refused. Never raises."""
    if not _booted:
        boot(config)
    for name, override in _booted.items():
        tell = Tell(recorder, name)
        atexit.register(tell.close)
        if isinstance(override, str):
            tell.refused(override, "", 0)
        else:
            _install(override, torch, hooks, tell)


def find(name: str) -> type[Override]:
    """Return the class of the override called ``name``.

    Raises:
        Refused: There is none.
    """
    if name not in MODULES:
        raise Refused(f"there is no override called {name}")
    module = importlib.import_module("." + MODULES[name], __name__)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, Override) and value.name == name:
            return value
    raise Refused(f"there is no override called {name}")


def _boot(name: str, settings: Mapping[str, float]) -> Override | str:
    """Return the override called ``name`` after it booted, or why there is none."""
    try:
        override = find(name)(settings)
        override.boot()
    except Refused as refusal:
        return str(refusal)
    except Exception as error:
        report("override " + name, error)
        return f"failed: {type(error).__name__}: {error}"
    return override


def _install(override: Override, torch: Any, hooks: Hooks, tell: Tell) -> None:
    """Install one override; what it refuses is told, and costs that override only."""
    try:
        override.install(torch, hooks, tell)
    except Refused as refusal:
        tell.refused(str(refusal), "", 0)
    except Exception as error:
        report("override " + override.name, error)
        tell.refused(f"failed: {type(error).__name__}: {error}", "", 0)


__all__ = ["MODULES", "boot", "find", "install"]
