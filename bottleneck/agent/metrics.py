"""Notes the plain numbers a script logs, so that two runs are compared by quality as well as by time.

A number that lies on a device is not read: that would make the host wait. Its name is noted, to say why it is missing.
"""

from __future__ import annotations

import atexit
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from . import Watch, kinds
from .hooks import Hooks, dress
from .recorder import Recorder, now

Read = Callable[[tuple[Any, ...], Mapping[str, Any]], Iterator[tuple[Any, Any, Any]]]

_MOST_NAMES = 128  # a histogram's every bin may have a name; quality has a few
_WHOLE = 1000  # values of a name kept one by one; from there on ever fewer, 250 for each doubling
_MORE = 250
_DEEPEST = 3  # dictionaries in a dictionary that is logged
_LAST_STEP = 1 << 60
_LARGEST = 1 << 1000  # a float holds more, but not much
_as_float, _as_bits = struct.Struct("<d").pack, struct.Struct("<q").unpack


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], place: int, name: str) -> Any:
    """Return an argument given by place or by name, None where it is not given."""
    return args[place] if len(args) > place else kwargs.get(name)


def _flat(values: Any, step: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[Any, Any, Any]]:
    """Yield what a dictionary holds; the names of dictionaries within are joined by dots, as W&B does."""
    for name, value in list(values.items()) if isinstance(values, Mapping) else ():
        if isinstance(value, Mapping) and depth < _DEEPEST:
            yield from _flat(value, step, f"{prefix}{name}.", depth + 1)
        else:
            yield f"{prefix}{name}", value, step


def _scalar(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Read ``SummaryWriter.add_scalar(tag, scalar_value, global_step)``."""
    if len(args) >= 4:
        yield args[1], args[2], args[3]
        return
    yield tuple(_argument(args, kwargs, *at) for at in ((1, "tag"), (2, "scalar_value"), (3, "global_step")))


def _scalars(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Read ``SummaryWriter.add_scalars(main_tag, tag_scalar_dict, global_step)``."""
    tag = _argument(args, kwargs, 1, "main_tag")
    step = _argument(args, kwargs, 3, "global_step")
    return _flat(_argument(args, kwargs, 2, "tag_scalar_dict"), step, f"{tag}/")


def _run(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Read ``wandb.Run.log(data, step)``."""
    return _flat(_argument(args, kwargs, 1, "data"), _argument(args, kwargs, 2, "step"))


def _metric(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Read ``MlflowClient.log_metric(run_id, key, value, timestamp, step)``."""
    yield tuple(_argument(args, kwargs, *at) for at in ((2, "key"), (3, "value"), (5, "step")))


def _batch(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Read ``MlflowClient.log_batch(run_id, metrics)``."""
    for one in _argument(args, kwargs, 2, "metrics") or ():
        yield one.key, one.value, one.step


def _table(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Read ``log_metrics(metrics_dict, step)`` of Lightning's writer of CSV files."""
    return _flat(_argument(args, kwargs, 1, "metrics_dict"), _argument(args, kwargs, 2, "step"))


def _trainer(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
    """Read ``transformers.Trainer.log(logs)``, whatever it reports to."""
    return _flat(_argument(args, kwargs, 1, "logs"), getattr(args[0].state, "global_step", None))


# Calls whose time is taken anyway (``stalls``).
READERS: dict[str, Read] = {
    "SummaryWriter.add_scalar": _scalar,
    "SummaryWriter.add_scalars": _scalars,
    "Run.log": _run,
    "MlflowClient.log_metric": _metric,
    "MlflowClient.log_batch": _batch,
}
# Calls that are only listened to: they run callbacks of the script, which are more than logging.
_LISTENED = (
    ("lightning.fabric.loggers.csv_logs", "_ExperimentWriter", "log_metrics", _table),
    ("lightning_fabric.loggers.csv_logs", "_ExperimentWriter", "log_metrics", _table),
    ("transformers.trainer", "Trainer", "log", _trainer),
)


class _Kept:
    """What is remembered of one name."""

    __slots__ = ("limit", "number", "pending", "seen", "stride", "written")

    def __init__(self, number: int) -> None:
        """Start with every value kept; ``number`` stands for the name in the record."""
        self.number = number
        self.seen = self.written = 0
        self.stride, self.limit = 1, _WHOLE
        self.pending: tuple[int, int, int, int] | None = None


class Metrics:
    """The numbers of one process, thinned out: 10^6 values of one name leave 3,500 in the record."""

    def __init__(self, torch: Any, recorder: Recorder) -> None:
        """Write to ``recorder``."""
        self.recorder = recorder
        self.tensor = torch.Tensor
        self.plain = (torch.Tensor, torch.nn.Parameter)
        self.kept: dict[str, _Kept] = {}
        self.owner = os.getpid()
        self.off = self.full = False

    def install(self, hooks: Hooks, watch: Watch) -> None:
        """Listen to the calls no one times, and write the last values when the process ends."""
        for module, cls, name, read in _LISTENED:
            watch.when(
                module,
                lambda found, at=(cls, name, read): self._listen(getattr(found, at[0], None), at, hooks),
            )
        atexit.register(self.finish)
        hooks.on_undo(lambda: atexit.unregister(self.finish))

    def _listen(self, owner: Any, at: tuple[str, str, Read], hooks: Hooks) -> None:
        """Note what each call of a method logs."""
        original: Any = getattr(owner, at[1], None)
        if original is None:
            return

        def log(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self.note(at[2], args, kwargs)
            return result

        hooks.patch(owner, at[1], dress(log, original))

    def note(self, read: Read, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Write the numbers of one call; what is no number is passed over."""
        if self.off:
            return
        try:
            at = now()
            for name, value, step in read(args, kwargs):
                if type(name) is str:
                    self._take(at, name, value, step)
        except Exception as error:
            self.off = self.recorder.failed("metrics", error)

    def _take(self, at: int, name: str, value: Any, step: Any) -> None:
        """Write one value, or hold it back where many of its name are there already."""
        flags, number = 0, value
        if type(value) is not float:
            if isinstance(value, self.tensor) and value.device.type != "cpu":
                flags, number = kinds.UNREAD, 0.0
            else:
                number = self._number(value)
        kept = None if number is None else self.kept.get(name) or self._new(name)
        if kept is None:
            return
        if type(step) is not int:
            step = self._number(step)
        taken = int(step) if step is not None and 0 <= step < _LAST_STEP else -1
        row = (at, flags, _as_bits(_as_float(number))[0], taken)
        kept.seen += 1
        if kept.seen % kept.stride:
            kept.pending = row
        else:
            self._write(kept, row)

    def _new(self, name: str) -> _Kept | None:
        """Return what is remembered of a new name; None for more names than are kept."""
        if len(self.kept) >= _MOST_NAMES:
            if not self.full:
                self.full = True
                reason = f"more than {_MOST_NAMES} names were logged"
                self.recorder.event("failure", collector="metrics", reason=reason)
            return None
        kept = self.kept[name] = _Kept(self.recorder.name(name))
        return kept

    def _number(self, value: Any) -> float | None:
        """Return a plain number, a NumPy scalar or a tensor of one element on the CPU; None for all else."""
        kind = type(value)
        if kind is float:
            return float(value)
        if kind is int:
            return float(value) if -_LARGEST < value < _LARGEST else None
        if kind in self.plain:
            one = value.device.type == "cpu" and value.numel() == 1 and not value.is_complex()
            return float(value.item()) if one else None
        if kind.__module__ == "numpy" and getattr(value, "size", 0) == 1 and value.dtype.kind in "fiu":
            return float(value.item())
        return None

    def _write(self, kept: _Kept, row: tuple[int, int, int, int]) -> None:
        """Write one value."""
        at, flags, bits, step = row
        self.recorder.span(kinds.METRIC, at, at, flags, kept.number, bits, step)
        kept.pending = None
        kept.written += 1
        if kept.written >= kept.limit:
            kept.stride *= 2
            kept.limit += _MORE

    def finish(self) -> None:
        """Write the last value of every name."""
        pending = [kept for kept in self.kept.values() if kept.pending is not None]
        if os.getpid() != self.owner or not pending:
            return
        for kept in pending:
            if kept.pending is not None:
                self._write(kept, kept.pending)
        self.recorder.flush()
