"""Times what torch.compile compiles, and tells what it compiled, why again, and where a graph broke.

Dynamo keeps facts of its last 64 compilations. They are read when the next one begins, and when the record is written
outside of what is compiled: within, Dynamo would compile what writes them.
"""

from __future__ import annotations

import re
import sys
from typing import Any

from . import Watch, kinds
from .dynamo import outside_of_compiled
from .hooks import Hooks
from .recorder import Recorder, now

_MOST = 500  # facts told of one process: code that is compiled in each step must not fill the record
_LONGEST = 300  # characters of a reason: it can show a whole list of guards
_LIMIT = re.compile(r"(recompile|cache)\w*[ _]*(size)?[ _]*limit|limit ?exceeded|limit ?hit", re.IGNORECASE)


class Compiling:
    """Listens to Dynamo; compilations nest, and only the outermost is timed."""

    def __init__(self, recorder: Recorder) -> None:
        """Tell ``recorder``."""
        self.recorder = recorder
        self._is_outside = outside_of_compiled()
        self.depth = self.start = self.told = 0
        self.last: Any = None

    def begin(self, *args: Any) -> None:
        """Note when a compilation begins."""
        if self.depth == 0:
            self.look()
            self.start = now()
        self.depth += 1

    def finish(self, *args: Any) -> None:
        """Record a compilation that ends."""
        self.depth = max(0, self.depth - 1)
        if self.depth == 0 and self.start:
            self.recorder.span(kinds.COMPILE, self.start, now())

    def look_outside(self) -> None:
        """Look where Dynamo compiles nothing that is called from here."""
        if self._is_outside():
            self.look()

    def look(self) -> None:
        """Tell what was compiled since the last look."""
        try:
            for metrics in self._new():
                if self.told < _MOST and getattr(metrics, "is_forward", None) is not False:
                    self.told += 1
                    self.recorder.event("compiled", **_facts(metrics))
        except Exception as error:
            self.recorder.failed("compiling", error)

    def _new(self) -> list[Any]:
        """Return the facts that Dynamo has added, oldest first."""
        kept = getattr(sys.modules.get("torch._dynamo.utils"), "_compilation_metrics", None)
        if not kept or kept[-1] is self.last:
            return []
        known, self.last = self.last, kept[-1]
        found: list[Any] = []
        for metrics in reversed(list(kept)):
            if metrics is known:
                break
            found.append(metrics)
        return found[::-1]


def _facts(metrics: Any) -> dict[str, Any]:
    """Return which code was compiled, for the how manieth time, and why it was compiled again or not at all.

    Names of a ``torch._dynamo.utils.CompilationMetrics`` that a version of torch lacks are told as empty.
    """
    frame, _, number = str(getattr(metrics, "compile_id", "") or "").strip("[]").rpartition("/")
    failed = (
        f"{getattr(metrics, 'fail_type', None) or ''} {getattr(metrics, 'fail_reason', None) or ''}".strip()
    )
    reason = str(getattr(metrics, "recompile_reason", None) or "").strip()
    return {
        "frame": frame,
        "number": int(number) if number.isdecimal() else 0,
        "name": str(getattr(metrics, "co_name", None) or ""),
        "file": str(getattr(metrics, "co_filename", None) or ""),
        "line": int(getattr(metrics, "co_firstlineno", None) or 0),
        "reason": reason.partition("\n")[0][:_LONGEST],
        "failed": failed.partition("\n")[0][:_LONGEST],
        "gave_up": bool(failed and _LIMIT.search(failed)),
    }


def install(hooks: Hooks, recorder: Recorder, watch: Watch) -> None:
    """Listen once Dynamo is imported."""
    watch.when("torch._dynamo.callback", lambda found: _listen(found, hooks, Compiling(recorder)))


def _listen(module: Any, hooks: Hooks, compiling: Compiling) -> None:
    """Be called when a compilation begins and ends, and when the record is written."""
    handler = module.callback_handler
    handler.register_start_callback(compiling.begin)
    handler.register_end_callback(compiling.finish)
    compiling.recorder.at_flush.append(compiling.look_outside)
    hooks.on_undo(lambda: handler.remove_start_callback(compiling.begin))
    hooks.on_undo(lambda: handler.remove_end_callback(compiling.finish))
    hooks.on_undo(lambda: compiling.recorder.at_flush.remove(compiling.look_outside))
