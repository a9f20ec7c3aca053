"""Finds the modules a script trains and lets overrides act around the calls of them.

A root is a module with trainable parameters that is called outermost, outside of a backward pass. The wrapper is on
``Module._call_impl``, below the ``__call__`` that the measuring hooks wrap, so neither sees the other. At first all
modules carry it; once no new root has come for a while, it stays on the classes of roots that an override has to
be called around, and on no other.

The first call of a root in each mode is an attempt: where it fails with overrides in place they are undone, random
numbers and buffers are put back, and the call is made again as the script wrote it.
"""

from __future__ import annotations

import sys
import threading
import types
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import dynamo, report
from ..hooks import Hooks, dress
from .around import AroundRoots, first_lines
from .attempt import Kept

_QUIET = (
    64  # outermost calls without a new root until the wrapper moves: some twenty steps of a net and its loss
)


class OtherCall:
    """What runs in place of a module's own call (``Module._compiled_call_impl``), with all overrides around it."""

    def __init__(self, module: Any, call: Callable[..., Any]) -> None:
        """Run ``call``; the module owns this object."""
        self.module = weakref.ref(module)
        self.call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it as a root where it is called outermost."""
        module = self.module()
        if module is None or _state.inside or _graph_task() != -1:
            return self.call(*args, **kwargs)
        return _outermost(module, self.call, args, kwargs)


class _State(threading.local):
    """Per thread: inside the call of a root."""

    inside = False


class _Root:
    """What is known of one module that is called outermost."""

    __slots__ = ("active", "begun", "joined", "tried")

    def __init__(self) -> None:
        """Start with no override acting."""
        self.active: list[AroundRoots] = []
        self.joined: list[AroundRoots] = []  # whose ``settled`` is still to come
        self.begun = False
        self.tried: set[tuple[bool, bool]] = set()


_UNKNOWN = _Root()  # a module left as it is
_UNKNOWN.begun = True


class _Calls:
    """All roots of this process and the overrides that act on them."""

    def __init__(self, torch: Any, hooks: Hooks) -> None:
        """Put the wrapper on all modules."""
        self.torch = torch
        self.hooks = hooks
        self.clients: list[AroundRoots] = []
        self.roots: weakref.WeakKeyDictionary[Any, _Root] = weakref.WeakKeyDictionary()
        self.classes: set[type] = set()
        self.armed = True
        self.quiet = 0
        hooks.patch(torch.nn.Module, "_call_impl", dress(call_impl, _original))

    def run(
        self, module: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Call a module that is outermost, with what overrides do around it."""
        root = self._root(module)
        mode = (bool(module.training), self.torch.is_grad_enabled())
        begins = not root.begun and mode == (True, True)
        if not begins and not root.active:
            return call(*args, **kwargs)
        if not begins and mode in root.tried:
            return self._through(root, module, call, args, kwargs)
        kept = self._kept(module)
        if kept is None:
            return call(*args, **kwargs)
        if begins:
            self._begin(root, module, args, kwargs)
            call = _call_of(module, call)
        root.tried.add(mode)
        return self._attempt(root, module, call, args, kwargs, kept)

    def _root(self, module: Any) -> _Root:
        """Return what is known of a module, from now on if it is new."""
        try:
            root = self.roots.get(module)
            if root is None:
                return self.roots.setdefault(module, self._meet(module))
        except Exception as error:  # it can't be hashed, or has parameters of its own kind
            report("override: outermost", error)
            return _UNKNOWN
        if self.armed:
            self._count()
        return root

    def _kept(self, module: Any) -> Kept | None:
        """Return what a call may change, None where it can't be read: while a CUDA graph is recorded."""
        try:
            return Kept(self.torch, module)
        except Exception as error:
            report("override: attempt", error)
            return None

    def _meet(self, module: Any) -> _Root:
        """Return what to know of a module never seen outermost before."""
        root = _Root()
        if not _trains(self.torch, module):
            root.begun = True
            return root
        self.quiet = 0
        for client in self.clients:
            if client.evaluates and client.around:
                root.active.append(client)
                self._stay(type(module))
        return root

    def _begin(self, root: _Root, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let every override change a root that is about to train."""
        if any(map(self.torch.nn.parameter.is_lazy, module.parameters())):
            return  # its parameters come with this call: the next one begins
        dynamo.keep_out()
        root.begun = True
        for client in self.clients:
            if client.evaluates or not client.tell.attempt(
                partial(_first, client, module, args, kwargs), False
            ):
                continue
            root.joined.append(client)
            if client.around:
                root.active.append(client)
                self._stay(type(module))

    def _attempt(
        self,
        root: _Root,
        module: Any,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        kept: Kept,
    ) -> Any:
        """Call a root; where that fails, undo all overrides and call it as it was."""
        try:
            result = self._through(root, module, call, args, kwargs)
        except Exception as error:
            if not root.joined and not root.active:
                raise
            self._withdraw(root, module, error)
        else:
            self._settle(root, module)
            return result
        kept.restore()
        return types.MethodType(_original, module)(*args, **kwargs)

    def _through(
        self,
        root: _Root,
        module: Any,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Call a root between what its overrides do before and after."""
        entered: list[AroundRoots] = []
        done = False
        try:
            for client in tuple(root.active):
                inputs = client.tell.attempt(partial(client.before, module, args, kwargs), None)
                if inputs is None:
                    self._drop(root, module, client)
                    continue
                args, kwargs = inputs
                entered.append(client)
            result = call(*args, **kwargs)
            for client in reversed(entered):
                result = client.tell.attempt(partial(client.after, module, result), result)
            done = True
            return result
        finally:
            for client in reversed(entered):
                client.tell.attempt(partial(client.leave, module, done), None)

    def _settle(self, root: _Root, module: Any) -> None:
        """Tell the overrides that a root's first call went well."""
        joined, root.joined = root.joined, []
        for client in joined:
            if not client.tell.attempt(partial(_settled, client, module), False):
                self._drop(root, module, client)

    def _withdraw(self, root: _Root, module: Any, error: Exception) -> None:
        """Undo every override of a root whose call raised ``error``."""
        reason = f"the model's call fails with it: {first_lines(error)}"
        for client in {id(one): one for one in (*root.active, *root.joined)}.values():
            self._drop(root, module, client)
            client.tell.refused(reason)

    def _drop(self, root: _Root, module: Any, client: AroundRoots) -> None:
        """Let ``client`` act on a root no more."""
        root.active = [one for one in root.active if one is not client]
        root.joined = [one for one in root.joined if one is not client]
        client.tell.attempt(partial(client.undo, module), None)

    def _stay(self, cls: type) -> None:
        """Note that roots of ``cls`` need the wrapper also when other modules lose it."""
        if cls not in self.classes:
            self.classes.add(cls)
            if not self.armed:
                self.hooks.patch(cls, "_call_impl", call_impl)

    def _count(self) -> None:
        """Move the wrapper to the classes of roots once no new root has come for a while."""
        self.quiet += 1
        owner = self.torch.nn.Module
        if self.quiet < _QUIET or vars(owner).get("_call_impl") is not call_impl:
            return
        self.armed = False
        owner._call_impl = _original
        for cls in self.classes:
            self.hooks.patch(cls, "_call_impl", call_impl)
        _tell_dynamo(call_impl, _original)


_state = _State()
_calls: _Calls | None = None
_original: Callable[..., Any]
_is_compiling: Callable[[], bool]
_graph_task: Callable[[], int]


def call_impl(self: Any, *args: Any, **kwargs: Any) -> Any:
    """``Module._call_impl``; calls inside of a root's, in a backward pass or under Dynamo pass as they are."""
    if _is_compiling() or _state.inside or _graph_task() != -1:
        return _original(self, *args, **kwargs)
    return _outermost(self, types.MethodType(_original, self), args, kwargs)


def _outermost(module: Any, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a module that is outermost in this thread."""
    if _calls is None:
        return call(*args, **kwargs)
    _state.inside = True
    try:
        return _calls.run(module, call, args, kwargs)
    finally:
        _state.inside = False


def follow(torch: Any, hooks: Hooks, client: AroundRoots) -> None:
    """Let ``client`` act on roots, putting the wrapper in place for the first one."""
    global _calls, _original, _is_compiling, _graph_task
    if _calls is None:
        _is_compiling = dynamo.is_compiling(torch)
        _graph_task = torch._C._current_graph_task_id
        _original = torch.nn.Module._call_impl
        hooks.on_undo(_forget)
        _calls = _Calls(torch, hooks)
        dynamo.keep_out()
    _calls.clients.append(client)


def _forget() -> None:
    """Act on no root any more; the wrapper is gone when this is called."""
    global _calls
    _calls = None
    _tell_dynamo(call_impl, _original)


def plain_call(module: Any) -> Callable[..., Any]:
    """Return the module's own call, hooks included, without any override around it."""
    return types.MethodType(_original, module)


def _first(client: AroundRoots, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Let ``client`` change the root; return True where it did not raise."""
    client.first(module, args, kwargs)
    return True


def _settled(client: AroundRoots, module: Any) -> bool:
    """Tell ``client`` that the first call went well; return True where it agrees."""
    client.settled(module)
    return True


def _call_of(module: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """Return what runs for ``module`` after its overrides had their say: compiled code, or ``call``."""
    other = module._compiled_call_impl
    return other.call if isinstance(other, OtherCall) else call


def _trains(torch: Any, module: Any) -> bool:
    """Return whether ``module`` is what a script trains: no loss, metric, transform, replica or scripted code."""
    if getattr(module, "_is_replica", False) or isinstance(module, torch.jit.ScriptModule):
        return False
    return any(parameter.requires_grad for parameter in module.parameters())


def _tell_dynamo(known: Any, now: Any) -> None:
    """Let Dynamo take its short way again: it keeps the ``_call_impl`` that it found when it was imported.

    Private names of torch: where they are gone, tracing a module takes a longer way to the same result.
    """
    for name in ("torch._dynamo.utils", "torch._dynamo.variables.nn_module"):
        found = sys.modules.get(name)
        if found is not None and getattr(found, "unpatched_nn_module_call_impl", None) is known:
            found.unpatched_nn_module_call_impl = now  # type: ignore[attr-defined]
