"""Logging, checkpoints and evaluation only every so often: to see what they cost, never as something to keep.

What is left out is left out as the experiments do it (``ablation``): a checkpoint that is not written is another
name of the last one that was, a pass that is not made ends after a batch that was kept. ``print`` stays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from .. import WATCH
from ..ablation import logs
from ..ablation.arm import Refused as ArmRefused
from ..ablation.arm import Setting
from ..ablation.delivery import Delivery
from ..ablation.evaluation import Evaluation
from ..ablation.saves import Checkpoint
from ..hooks import Hooks, dress
from ..stalls import _LOGGERS, _SAVERS
from .base import Override, Refused, Tell


class Cadence(Override):
    """Leaves out all but every n-th log entry, checkpoint or evaluation; the first of each is always made."""

    name = "cadence"
    known = ("log_every", "checkpoint_every", "evaluate_every")

    def check(self) -> None:
        """Read the settings."""
        every = {name: self.whole(name, 1) for name in self.known}
        self.every = {name: value for name, value in every.items() if value is not None and value > 1}
        if not self.every:
            raise Refused("cadence: there is nothing to leave out")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Stand in front of what is to be left out."""
        order = {"scratch": tell.recorder.run}
        delivery = Delivery(torch, tell.recorder)
        setting = Setting(torch, hooks, tell.recorder, delivery, order, 1)
        if "log_every" in self.every:
            _Logs(self.every["log_every"], hooks, tell).install()
        if "checkpoint_every" in self.every:
            _Saves(setting, self.every["checkpoint_every"], tell).install(torch)
        if "evaluate_every" in self.every:
            delivery.install(hooks)
            _Passes(setting, self.every["evaluate_every"], tell).install(torch)


class _Turns:
    """Counts occurrences of each sort; every n-th, and the first, is due."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.counts: dict[Any, int] = {}

    def is_due(self, sort: Any) -> bool:
        """Count one more of ``sort`` and return whether it is to be made."""
        count = self.counts[sort] = self.counts.get(sort, -1) + 1
        return count % self.every == 0


class _Logs:
    """Calls of loggers return at once where they are not due; each tag of a writer has turns of its own."""

    def __init__(self, every: int, hooks: Hooks, tell: Tell) -> None:
        self.turns = _Turns(every)
        self.hooks, self.tell = hooks, tell
        self.busy = False

    def install(self) -> None:
        """Patch the methods of loggers as their modules arrive."""
        for module, (owner, prefix) in _LOGGERS.items():
            WATCH.when(module, lambda found, o=owner, p=prefix: self._patch(found, o, p))
        for module, owner, method in logs._MORE:
            WATCH.when(module, lambda found, o=owner, m=method: self._patch(found, o, m))

    def _patch(self, module: Any, owner_name: str, prefix: str) -> None:
        """Patch the methods of a class that begin with ``prefix``."""
        owner = getattr(module, owner_name, None)
        for name, original in list(vars(owner).items()) if owner is not None else ():
            if name.startswith(prefix) and callable(original) and not isinstance(original, type):
                self.hooks.patch(owner, name, self._switch(original, f"{owner_name}.{name}"))

    def _switch(self, original: Callable[..., Any], label: str) -> Any:
        """Return ``original``, called only where it is due."""

        def log(*args: Any, **kwargs: Any) -> Any:
            if self.busy:
                return original(*args, **kwargs)
            tag = args[1] if len(args) > 1 and isinstance(args[1], str) else kwargs.get("tag", "")
            if not self.turns.is_due((label, tag)):
                self.tell.applied(f"{label}: one of {self.turns.every} is made")
                return None
            self.busy = True
            try:
                return original(*args, **kwargs)
            finally:
                self.busy = False

        return dress(log, original)


class _Saves(Checkpoint):
    """Savers write nothing where they are not due; files that differ in their numbers only are of one sort."""

    def __init__(self, setting: Setting, every: int, tell: Tell) -> None:
        super().__init__(setting)
        self.turns = _Turns(every)
        self.tell = tell
        self.busy = False
        self.check()

    def install(self, torch: Any) -> None:
        """Patch savers as their modules arrive."""
        for module, names in _SAVERS.items():
            WATCH.when(module, lambda found, names=names: self._patch(found, names, torch))

    def _patch(self, module: Any, names: tuple[str, ...], torch: Any) -> None:
        """Patch the savers of one module; torch.save is known by two names."""
        for name in names:
            original = getattr(module, name, None)
            if original is None:
                continue
            replacement = self._switch(original)
            self.setting.hooks.patch(module, name, replacement)
            if getattr(torch, name, None) is original:
                self.setting.hooks.patch(torch, name, replacement)

    def _switch(self, original: Callable[..., Any]) -> Any:
        """Return ``original``, called only where it is due; savers that call others are one."""

        def save(*args: Any, **kwargs: Any) -> Any:
            if self.busy:
                return original(*args, **kwargs)
            self.busy = True
            try:
                return self._save(original, args, kwargs)
            finally:
                self.busy = False

        return dress(save, original)

    def _is_away(self, sort: str) -> bool:
        """Return whether a checkpoint of this sort is left out; the first one is not asked for."""
        self.turns.counts.setdefault(sort, 0)
        if self.turns.is_due(sort):
            return False
        self.tell.applied(f"checkpoints: one of {self.turns.every} is written")
        return True


class _Passes(Evaluation):
    """Passes over loaders that do not train end after one batch where they are not due."""

    def __init__(self, setting: Setting, every: int, tell: Tell) -> None:
        super().__init__(setting)
        self.turns = _Turns(every)
        self.tell = tell

    def install(self, torch: Any) -> None:
        """Look at every pass, and at every optimizer step."""
        self.prepare()
        owner = torch.utils.data.DataLoader
        original = owner._get_iterator

        def _get_iterator(loader: Any) -> Any:
            self.removed = False
            self.tell.attempt(lambda: self._choose(loader), None)
            return original(loader)

        def after_step(*_: Any) -> None:
            self.setting.delivery.after_step()

        self.setting.hooks.patch(owner, "_get_iterator", dress(_get_iterator, original))
        module = sys.modules["torch.optim.optimizer"]
        self.setting.hooks.on_undo(module.register_optimizer_step_post_hook(after_step).remove)

    def _choose(self, loader: Any) -> None:
        """Shorten the pass that begins where it evaluates and is not due. May raise ``Refused``."""
        delivery = self.setting.delivery
        number = delivery.number_of(loader)
        if number in delivery.training() or not delivery.steps:
            return
        if self.turns.is_due(number):
            return
        self.chosen = set()
        try:
            self.remove()
        except ArmRefused as refusal:
            raise Refused(str(refusal)) from None
        self.tell.applied(f"evaluation: one pass of {self.turns.every} is made")
