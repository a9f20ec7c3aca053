"""Which implementation torch's own optimizers use: one kernel for all parameters, or few."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import Any

from .. import late
from ..hooks import Hooks, dress
from .base import Override, Refused, Tell

_FOREACH_TOO = (
    "cpu",
)  # torch takes foreach=True there as well: fewer calls from Python, the same arithmetic


class Optimizer(Override):
    """Sets ``fused``, ``foreach`` or ``capturable`` of the optimizers in ``torch.optim``.

    Sub-classes by others are left alone: what they do in ``step`` is not known. The groups keep their keys, and so
    does ``state_dict``; a checkpoint that is loaded brings its own values, which are replaced as well.
    """

    name = "optimizer"
    known = ("fused", "foreach", "capturable")

    def check(self) -> None:
        """Read the settings."""
        wanted = {name: self.switch(name) for name in self.known}
        self.wanted = {name: value for name, value in wanted.items() if value is not None}
        if not self.wanted:
            raise Refused("optimizer: there is nothing to set")
        if self.wanted.get("fused") and self.wanted.get("foreach"):
            raise Refused("optimizer: fused and foreach exclude each other")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Patch the constructor of every optimizer in ``torch.optim``."""
        self.torch, self.tell = torch, tell
        base = torch.optim.Optimizer
        for owner in {value for value in vars(torch.optim).values() if isinstance(value, type)}:
            if issubclass(owner, base) and owner is not base:
                self._patch(owner, hooks)

    def _patch(self, owner: Any, hooks: Hooks) -> None:
        """Change the arguments of ``owner(...)`` where they fit."""
        original = owner.__init__
        signature = inspect.signature(original)
        nothing: dict[str, Any] = {}

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            bound = None
            if type(self_) is owner:
                bound = self.tell.attempt(lambda: _bind(signature, self_, args, kwargs), None)
            if bound is None:
                original(self_, *args, **kwargs)
                return
            changes = self.tell.attempt(lambda: self._changes(owner, bound.arguments, signature), nothing)
            if changes:
                self._make(self_, original, bound, changes)
            else:
                original(*bound.args, **bound.kwargs)

        hooks.patch(owner, "__init__", dress(__init__, original))

    def _changes(self, owner: Any, given: Mapping[str, Any], signature: Any) -> dict[str, Any]:
        """Return the arguments to replace; nothing where all are as wanted. May raise ``Refused``."""
        changes: dict[str, Any] = {
            name: value for name, value in self.wanted.items() if self._effective(name, given) != value
        }
        for name in changes:
            if name not in signature.parameters:
                raise Refused(f"{owner.__name__} has no {name}")
        if not changes:
            return {}
        if given.get("differentiable"):
            raise Refused("the optimizer is differentiable")
        if changes.get("fused") and _is_clipped_by_lightning():
            raise Refused("Lightning does not clip gradients under mixed precision for fused optimizers")
        self._check_parameters(given["params"], changes)
        if changes.get("fused") and given.get("foreach"):
            changes["foreach"] = None
        if changes.get("foreach") and given.get("fused"):
            raise Refused("the script's optimizer is fused, which is more than foreach")
        return changes

    def _effective(self, name: str, given: Mapping[str, Any]) -> bool:
        """Return what an argument amounts to: left out, foreach is what torch chooses for some devices."""
        value = given.get(name)
        if name == "foreach" and value is None and not given.get("fused"):
            devices = self.torch.utils._foreach_utils._get_foreach_kernels_supported_devices()
            return all(one.device.type in devices for one in _tensors(given["params"]))
        return bool(value)

    def _check_parameters(self, groups: list[Any], changes: Mapping[str, Any]) -> None:
        """Refuse parameters that an implementation does not take."""
        for group in groups:
            if isinstance(group, dict) and not changes.keys().isdisjoint(group):
                raise Refused("a parameter group chooses the implementation itself")
        for name, value in changes.items():
            devices = self._devices(name) if value else ()
            for one in _tensors(groups) if value else ():
                if not one.is_floating_point():
                    raise Refused(f"{name} takes floating point parameters only")
                if one.device.type not in devices:
                    raise Refused(f"{name} is not there for parameters on {one.device.type}")

    def _devices(self, name: str) -> tuple[str, ...]:
        """Return the kinds of devices for which torch has the implementation."""
        support = self.torch.utils._foreach_utils
        if name == "fused":
            return tuple(support._get_fused_kernels_supported_devices())
        found = tuple(support._get_foreach_kernels_supported_devices())
        return found + _FOREACH_TOO if name == "foreach" else found

    def _make(self, optimizer: Any, original: Any, bound: Any, changes: dict[str, Any]) -> None:
        """Make the optimizer with the changes, or as the script wants it where torch does not take them."""
        before = {name: bound.arguments.get(name) for name in changes}
        groups = [(one, dict(one)) for one in bound.arguments["params"] if isinstance(one, dict)]
        bound.arguments.update(changes)
        try:
            original(*bound.args, **bound.kwargs)
        except Exception as error:
            late.keep(error)
            for group, content in groups:  # torch writes its defaults into them
                group.clear()
                group.update(content)
            _restore(bound, before)
            optimizer.__dict__.clear()
            original(*bound.args, **bound.kwargs)  # a mistake of the script is raised here again
            self.tell.refused(f"torch does not take it: {type(error).__name__}: {error}")
            return
        text = ", ".join(f"{name} {old} -> {changes[name]}" for name, old in before.items())
        self.tell.applied(f"{type(optimizer).__name__}: {text}")
        self.tell.attempt(lambda: _keep(optimizer, changes), None)


def _is_clipped_by_lightning() -> bool:
    """Return whether a Trainer below us clips gradients under mixed precision: it raises for fused optimizers.

    Source:
        Lightning, MixedPrecision.clip_gradients: optimizers that unscale gradients themselves are an error.
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(("lightning.", "pytorch_lightning.")):
            trainer = frame.f_locals.get("trainer")
            if getattr(trainer, "gradient_clip_val", None):
                return "mixed" in str(getattr(trainer, "precision", ""))
        frame = frame.f_back
    return False


def _bind(signature: Any, optimizer: Any, args: Any, kwargs: Any) -> Any:
    """Return the arguments by name, iterators over parameters made lists; None where the call is a mistake."""
    try:
        bound = signature.bind(optimizer, *args, **kwargs)
    except TypeError:
        return None
    params = bound.arguments.get("params")
    if params is None or hasattr(params, "requires_grad"):
        return None  # a tensor alone: torch says what is wrong with it
    params = bound.arguments["params"] = list(params)
    for group in params:
        if isinstance(group, dict) and not hasattr(group.get("params"), "requires_grad"):
            group["params"] = list(group["params"])
    return bound


def _restore(bound: Any, before: Mapping[str, Any]) -> None:
    """Give ``bound`` the arguments of the script."""
    for name, value in before.items():
        if value is None:
            bound.arguments.pop(name, None)
        else:
            bound.arguments[name] = value


def _tensors(groups: list[Any]) -> list[Any]:
    """Return the parameters in the first argument of an optimizer."""
    found: list[Any] = []
    for group in groups:
        inner = group["params"] if isinstance(group, dict) else [group]
        for one in inner if isinstance(inner, list) else [inner]:
            found.append(one[1] if isinstance(one, tuple) else one)  # (name, parameter)
    return found


def _keep(optimizer: Any, changes: Mapping[str, Any]) -> None:
    """Let checkpoints, which hold the values of the run that wrote them, bring the changed ones."""

    def before_load(_: Any, state: dict[str, Any]) -> dict[str, Any]:
        return {**state, "param_groups": [{**group, **changes} for group in state["param_groups"]]}

    optimizer.register_load_state_dict_pre_hook(before_load)
