"""Times what stops training now and then: checkpoints, logging, garbage collection."""

from __future__ import annotations

import gc
import os
import stat
import sys
from collections.abc import Callable
from typing import Any

from . import Watch, kinds, late
from .hooks import Hooks, dress
from .metrics import READERS, Metrics
from .recorder import Recorder, now

_GC_NS = 100_000  # shorter collections are noise beside a step and would fill the record
_FULL = 2  # the generation of a full collection
_LOG_NS = 20_000  # a filtered-out logging call costs about 1 us

# Calls that write checkpoints or logs, by module: patched once the script imports that module.
_SAVERS = {
    "torch.serialization": ("save",),
    "torch.distributed.checkpoint.state_dict_saver": ("save", "async_save"),
    "safetensors.torch": ("save_file", "save_model"),
    "pickle": ("dump",),
}
_ANYWHERE = ("pickle",)  # pickles also go to buffers and sockets, which is no checkpoint
_ALSO = {"torch.serialization": "torch", "pickle": "_pickle"}  # modules that hold the same function
_LOGGERS = {
    "torch.utils.tensorboard.writer": ("SummaryWriter", "add_"),
    "tensorboardX.writer": ("SummaryWriter", "add_"),
    "wandb.sdk.wandb_run": ("Run", "log"),
    "mlflow.tracking.client": ("MlflowClient", "log_"),
    "tqdm.std": ("tqdm", "refresh"),
    "logging": ("Logger", "handle"),
}


class Removed:
    """What stands in for savers and loggers during an experiment (``ablation``), None nearly always."""

    saves: Callable[..., Any] | None = None
    logs: Callable[..., Any] | None = None


REMOVED = Removed()


class _Timed:
    """Makes functions that record a span around a call; calls nested in one of the same kind belong to it.

    The two inner functions bear the names that stack samples are told apart by (``analyze/stacks.py``).
    """

    def __init__(self, recorder: Recorder, metrics: Metrics) -> None:
        """Record with ``recorder``; ``metrics`` notes the numbers that are logged."""
        self.recorder = recorder
        self.metrics = metrics
        self.saving = False
        self.logging = False

    def saver(self, original: Callable[..., Any], label: str, files_only: bool = False) -> Any:
        """Return ``original`` timed as a checkpoint; ``files_only``: where it writes to a file on disk."""

        def save(*args: Any, **kwargs: Any) -> Any:
            if self.saving or (files_only and _file_of(args, kwargs) is None):
                return original(*args, **kwargs)
            self.saving = True
            start = now()
            try:
                if REMOVED.saves is not None:
                    return REMOVED.saves(original, args, kwargs)
                return original(*args, **kwargs)
            finally:
                self.saving = False
                end = now()
                self.recorder.span(
                    kinds.SAVE, start, end, 0, self.recorder.name(label), _size_of(args, kwargs)
                )

        return dress(save, original)

    def logger(self, original: Callable[..., Any], label: str) -> Any:
        """Return ``original`` timed as logging; calls that end at once (filtered levels) leave no span."""
        read = READERS.get(label)

        def log(*args: Any, **kwargs: Any) -> Any:
            if self.logging:
                return original(*args, **kwargs)
            self.logging = True
            start = now()
            try:
                if REMOVED.logs is not None:
                    return REMOVED.logs(original, args, kwargs)
                result = original(*args, **kwargs)
            finally:
                self.logging = False
                end = now()
                if end - start >= _LOG_NS:
                    self.recorder.span(kinds.LOG, start, end, 0, self.recorder.name(label))
            if read is not None:
                self.metrics.note(read, args, kwargs)
            return result

        return dress(log, original)


def _file_of(args: Any, kwargs: Any) -> os.stat_result | None:
    """Return what is known of the file a save call writes, None where it is none or does not exist yet."""
    target = kwargs.get("f", kwargs.get("filename", kwargs.get("file", args[1] if len(args) > 1 else None)))
    try:
        found = os.stat(target if isinstance(target, (str, os.PathLike)) else target.fileno())
    except (AttributeError, OSError, ValueError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def _size_of(args: Any, kwargs: Any) -> int:
    """Return the bytes of the file a save call wrote, 0 where there is none."""
    found = _file_of(args, kwargs)
    return found.st_size if found is not None else 0


def install(torch: Any, hooks: Hooks, recorder: Recorder, watch: Watch) -> None:
    """Patch savers and loggers as their modules arrive, and listen to gc."""
    metrics = Metrics(torch, recorder)
    metrics.install(hooks, watch)
    timed = _Timed(recorder, metrics)
    for module, names in _SAVERS.items():
        watch.when(module, lambda found, names=names: _patch_savers(found, names, hooks, timed))
    for module, (cls, prefix) in _LOGGERS.items():
        watch.when(module, lambda found, c=cls, p=prefix: _patch_loggers(found, c, p, hooks, timed))
    _listen_to_gc(hooks, recorder)


def _patch_savers(module: Any, names: tuple[str, ...], hooks: Hooks, timed: _Timed) -> None:
    """Patch functions that write checkpoints, also where a second module holds them, as torch does torch.save."""
    also = sys.modules.get(_ALSO.get(module.__name__, ""))
    for name in names:
        original = getattr(module, name, None)
        if original is None:
            continue
        label = f"{module.__name__}.{name}"
        replacement = timed.saver(original, label, module.__name__ in _ANYWHERE)
        hooks.patch(module, name, replacement)
        if getattr(also, name, None) is original:
            hooks.patch(also, name, replacement)


def _patch_loggers(module: Any, cls: str, prefix: str, hooks: Hooks, timed: _Timed) -> None:
    """Patch the methods of ``cls`` that begin with ``prefix``."""
    owner = getattr(module, cls, None)
    for name, original in list(vars(owner).items()) if owner is not None else ():
        if name.startswith(prefix) and callable(original) and not isinstance(original, type):
            hooks.patch(owner, name, timed.logger(original, f"{cls}.{name}"))


def _listen_to_gc(hooks: Hooks, recorder: Recorder) -> None:
    """Record collections; the interpreter calls back before and after each."""
    started, asked = [0], [0]

    def listen(phase: str, info: dict[str, int]) -> None:
        try:
            if phase == "start":
                started[0], asked[0] = now(), _is_asked_for(info)
            elif started[0]:
                end = now()
                if end - started[0] >= _GC_NS:
                    recorder.hold(kinds.GC, started[0], end, info.get("generation", 0), asked[0])
                started[0] = 0
        except BaseException as error:  # Ctrl-C: the interpreter would print it and go on
            late.keep(error)

    gc.callbacks.append(listen)
    late.rescue(hooks, listen)
    hooks.on_undo(lambda: gc.callbacks.remove(listen) if listen in gc.callbacks else None)


def _is_asked_for(info: dict[str, int]) -> int:
    """Return 2 for a full collection that somebody asked for, 1 for one of the interpreter's own, 0 if not known.

    By itself it collects where more objects were made than the threshold says, and tells us before it counts anew: 67
    of 67 times in CPython 3.10 to 3.13, and in none of 40 calls of ``gc.collect``. Later versions count otherwise.
    """
    if info.get("generation") != _FULL or sys.version_info >= (3, 14):
        return 0
    return 1 if gc.get_count()[0] > gc.get_threshold()[0] else 2
