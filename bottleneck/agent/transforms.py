"""Times each transform of a composed list (torchvision's Compose and everything built like it)."""

from __future__ import annotations

from typing import Any

from . import kinds
from .hooks import Hooks, dress
from .model_calls import STATE
from .recorder import Recorder, now

_HOLDERS = ("transform", "transforms", "target_transform", "dataset", "datasets", "pipeline")
_MAX_CLASSES = 50
_MAX_DEPTH = 4  # Subset -> data set -> StandardTransform -> Compose


class Transforms:
    """The transforms found so far and what they cost in the batch under way."""

    def __init__(self, recorder: Recorder, hooks: Hooks) -> None:
        """Record with ``recorder``; patch through ``hooks``."""
        self.recorder = recorder
        self.hooks = hooks
        self.patched: set[type] = set()
        self.costs: dict[int, list[int]] = {}
        self.names: dict[type, int] = {}
        self.inner = 0  # ns spent in transforms that the one under way called

    def find(self, dataset: Any) -> None:
        """Patch the classes in every composed list below ``dataset``; never reads a sample."""
        self._walk(dataset, 0)

    def _walk(self, holder: Any, depth: int) -> None:
        """Follow the attributes that by convention hold transforms."""
        attributes = getattr(holder, "__dict__", None)
        if depth > _MAX_DEPTH or not isinstance(attributes, dict):
            return
        for name in _HOLDERS:
            held = attributes.get(name)
            if isinstance(held, (list, tuple)):
                for item in held[:_MAX_CLASSES]:
                    self._patch(type(item))
                    self._walk(item, depth + 1)
            elif held is not None:
                self._walk(held, depth + 1)

    def _patch(self, cls: type) -> None:
        """Time the calls of ``cls``; functions can't be patched, stacks name those, modules are timed already."""
        torch_module = any(base.__module__ == "torch.nn.modules.module" for base in cls.__mro__)
        call = cls.__dict__.get("__call__")
        if cls in self.patched or torch_module or not callable(call) or len(self.patched) >= _MAX_CLASSES:
            return
        if not cls.__flags__ & (1 << 9):  # Py_TPFLAGS_HEAPTYPE: built-in classes can't be patched
            return
        self.patched.add(cls)

        def __call__(transform: Any, *args: Any, **kwargs: Any) -> Any:
            if not STATE.making_batch:
                return call(transform, *args, **kwargs)
            return self.timed(call, transform, args, kwargs)

        self.hooks.patch(cls, "__call__", dress(__call__, call))

    def timed(self, call: Any, transform: Any, args: Any, kwargs: Any) -> Any:
        """Return ``call(transform, ...)``; its own time, without transforms it calls, joins the batch's costs."""
        outer, self.inner = self.inner, 0
        start = now()
        try:
            return call(transform, *args, **kwargs)
        finally:
            elapsed = now() - start
            self._add(transform, elapsed - self.inner)
            self.inner = outer + elapsed

    def _add(self, transform: Any, elapsed_ns: int) -> None:
        """Add one call of ``transform`` to the batch under way. Never raises."""
        try:
            cls = type(transform)
            name = self.names.get(cls)
            if name is None:
                name = self.names[cls] = self.recorder.name(describe_class(cls))
            cost = self.costs.setdefault(name, [0, 0])
            cost[0] += 1
            cost[1] += elapsed_ns
        except Exception as error:
            self.recorder.failed("transforms", error)

    def flush(self, start: int, end: int) -> None:
        """Write one span per transform of the batch that has just been made."""
        if not self.costs:
            return
        costs, self.costs = self.costs, {}
        for name, (calls, elapsed_ns) in costs.items():
            self.recorder.span(kinds.TRANSFORM, start, end, 0, name, calls, elapsed_ns)


def describe_class(cls: type) -> str:
    """Return "RandomRotation (data.py:41)": the class and the first line of what it runs."""
    for method in ("forward", "transform", "__call__"):
        function = cls.__dict__.get(method)
        code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
        if code is not None:
            return f"{cls.__name__} ({code.co_filename}:{code.co_firstlineno})"
    return cls.__name__
