"""Exchanges gradients once per update where a script accumulates them over several backward passes."""

from __future__ import annotations

import sys
import weakref
from functools import partial
from typing import Any

from ..hooks import Hooks, dress
from .base import Override, Refused, Tell

_SAME = 3  # updates with the same number of passes before it counts as the script's way


class _Module:
    """What was seen of one DDP module.

    Attributes:
        passes: Training calls since the last update.
        counts: Passes of each update seen so far.
        number: Passes per update, 0 until it is known.
        off: The module is left as it is.
        told: The change was told.
    """

    __slots__ = ("counts", "number", "off", "passes", "told")

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.passes = self.number = 0
        self.counts: list[int] = []
        self.off = self.told = False


class NoSync(Override):
    """Does what ``no_sync()`` does around all but the last training call of an update.

    An update that comes earlier than expected exchanges what was accumulated by itself, and ends the override.
    """

    name = "no_sync"

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch DDP's forward and wait for updates. May raise ``Refused``."""
        if not torch.distributed.is_available():
            raise Refused("this torch has no torch.distributed")
        self.torch, self.tell = torch, tell
        self.modules: weakref.WeakKeyDictionary[Any, _Module] = weakref.WeakKeyDictionary()
        owner = self.owner = torch.nn.parallel.DistributedDataParallel
        original = owner.forward

        def forward(module: Any, *args: Any, **kwargs: Any) -> Any:
            if module.training and torch.is_grad_enabled():
                tell.attempt(partial(self._before_call, module), None)
                if self._is_over():
                    self.handle.remove()
                    if owner.forward is patched:
                        owner.forward = original
            return original(module, *args, **kwargs)

        patched = dress(forward, original)
        hooks.patch(owner, "forward", patched)
        self.handle = sys.modules["torch.optim.optimizer"].register_optimizer_step_pre_hook(self._before_step)
        hooks.on_undo(self.handle.remove)

    def _before_call(self, module: Any) -> None:
        """Count a training call and set whether its backward exchanges. May raise ``Refused``."""
        one = self.modules.get(module)
        if one is None:
            one = self.modules[module] = _Module()
        if one.off:
            return
        if not one.number and not module.require_backward_grad_sync:
            one.off = True
            raise Refused("the script leaves exchanges out by itself")
        one.passes += 1
        if one.number:
            last = one.passes % one.number == 0
            module.require_backward_grad_sync = last
            if not one.told:
                one.told = True
                self.tell.applied(f"gradients are exchanged once in {one.number} passes")

    def _is_over(self) -> bool:
        """Return whether every module is left as it is."""
        return all(one.off for one in self.modules.values())

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Look at what was accumulated for an update that is about to be made."""
        for module, one in list(self.modules.items()):
            if one.passes and not one.off and self._updates(optimizer, module):
                self.tell.attempt(partial(self._end_update, module, one), None)

    def _end_update(self, module: Any, one: _Module) -> None:
        """Learn from an update, or see to it that it has all gradients. May raise ``Refused``."""
        passes, one.passes = one.passes, 0
        if not one.number:
            one.counts.append(passes)
            if len(one.counts) == _SAME:
                self._decide(module, one)
            return
        if passes % one.number == 0:
            return
        one.off = True
        module.require_backward_grad_sync = True
        self._exchange(module)
        raise Refused(f"an update came after {passes} passes instead of {one.number}")

    def _decide(self, module: Any, one: _Module) -> None:
        """Act from the next pass on, where the updates seen are alike. May raise ``Refused``."""
        one.off = True
        if len(set(one.counts)) > 1:
            raise Refused(f"the number of passes per update varies: {', '.join(map(str, one.counts))}")
        if one.counts[0] == 1:
            raise Refused("there is one backward pass per update")
        if getattr(module, "static_graph", False):
            raise Refused("DDP has a static graph, which wants every pass to be alike")
        if module._comm_hooks:
            raise Refused("a communication hook keeps state from pass to pass")
        one.off, one.number = False, one.counts[0]

    def _updates(self, optimizer: Any, module: Any) -> bool:
        """Return whether ``optimizer`` updates parameters of ``module``."""
        first = next((one for one in module.parameters() if one.requires_grad), None)
        return any(one is first for group in optimizer.param_groups for one in group["params"])

    def _exchange(self, module: Any) -> None:
        """Average the gradients over the ranks, as the passes left out would have done."""
        distributed = self.torch.distributed
        world = distributed.get_world_size(module.process_group)
        for parameter in module.parameters():
            if parameter.requires_grad and parameter.grad is not None:
                parameter.grad.div_(world)
                distributed.all_reduce(parameter.grad, group=module.process_group)
