"""Compiles the model in place, or changes how the script compiles it."""

from __future__ import annotations

from typing import Any, ClassVar

from ..hooks import Hooks, dress
from . import compiler
from .around import AroundRoots
from .base import Refused, Tell, by_library
from .outermost import OtherCall
from .wrapped import device_of, inside, is_ddp, is_sharded


class Compile(AroundRoots):
    """Compiles roots at their first training call as ``Module.compile`` does: no new names, no other objects.

    Where the script compiles by itself, nothing is added; the settings then change what it asked for.
    """

    name = "compile"
    known = ("dynamic", "reduce_overhead", "regional")
    backend: ClassVar[str] = "inductor"  # tests take one that generates no code

    def check(self) -> None:
        """Look at the switches. May raise ``Refused``."""
        self.dynamic = self.switch("dynamic")
        self.reduce = self.switch("reduce_overhead")
        self.regional = self.switch("regional")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Wait for the first root, and see what the script compiles."""
        super().install(torch, hooks, tell)
        self.scripted = False
        self.changed: dict[int, list[Any]] = {}
        self.before_frames = 0
        original = self.original = torch.compile

        def compile(model: Any = None, **options: Any) -> Any:
            if not _is_asked(torch, model):
                return original(model, **options)
            self.scripted = True
            decided = tell.attempt(lambda: self._change(model, dict(options)), None)
            if decided is None:
                return original(model, **options)
            return decided[0] if decided[0] is not None else original(model, **decided[1])

        hooks.patch(torch, "compile", dress(compile, original))

    def first(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Compile a root. May raise ``Refused``."""
        kind = device_of(module).type
        reason = compiler.lacks(self.torch, kind, self.backend) or self._objection(module, kind)
        if reason:
            raise Refused(reason)
        model = inside(self.torch, module)
        self.before_frames = compiler.frames(self.torch)
        options = {"backend": self.backend, "dynamic": self.dynamic}
        if self.reduce:
            options["mode"] = "reduce-overhead"
        chosen = self._blocks(model) if self.regional else [model]
        self.changed[id(module)] = chosen
        for one in chosen:
            code = compiler.compiled(self.original, one, **options)
            one._compiled_call_impl = OtherCall(one, code)

    def settled(self, module: Any) -> None:
        """Tell of the change, unless nothing could be compiled. May raise ``Refused``."""
        if compiler.frames(self.torch) == self.before_frames:
            raise Refused("Dynamo found nothing in the model that it can compile")
        chosen = self.changed.pop(id(module))
        names = (
            f"{len(chosen)} blocks {type(chosen[0]).__name__}" if self.regional else type(chosen[0]).__name__
        )
        self.tell.applied(f"{names} compiled{self._words()}")

    def undo(self, module: Any) -> None:
        """Run the modules as they are."""
        for one in self.changed.pop(id(module), ()):
            one._compiled_call_impl = None

    def _words(self) -> str:
        """Return the settings in words."""
        words = [
            text
            for text, on in (
                ("shapes dynamic", self.dynamic),
                ("shapes static", self.dynamic is False),
                ("with CUDA graphs", self.reduce),
            )
            if on
        ]
        return (": " + ", ".join(words)) if words else ""

    def _objection(self, module: Any, kind: str) -> str:
        """Return why this root is not to be compiled, or nothing."""
        if self.scripted or _is_compiled(module):
            return "the script compiles by itself"
        if type(module).__name__ == "DataParallel":
            return "DataParallel copies the model to each GPU at every step"
        if is_sharded(module):
            return "FSDP is to be compiled before it shards: an edit of the script"
        if self.reduce and kind != "cuda":
            return "CUDA graphs need a GPU"
        if is_ddp(self.torch, module) and getattr(module, "static_graph", False):
            return "DDP has a static graph, which compiled code does not keep"
        return ""

    def _blocks(self, model: Any) -> list[Any]:
        """Return the blocks to compile. May raise ``Refused``."""
        found = compiler.blocks(model)
        if not found:
            raise Refused("the model has no group of equal blocks")
        return found

    def _change(self, model: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        """Return what the script's ``torch.compile`` gives instead, None to leave it; or other options for it.

        Raises:
            Refused: The settings do not fit what it asks for.
        """
        if self.dynamic is None and not self.reduce and not self.regional:
            raise Refused("the script compiles by itself")
        if self.dynamic is not None:
            if options.get("dynamic") is self.dynamic:
                raise Refused(f"the script compiles with dynamic={self.dynamic} already")
            options["dynamic"] = self.dynamic
        if self.reduce:
            self._graphs(options)
        given = self._regions(model, options) if self.regional else None
        self.tell.applied("torch.compile" + (" for blocks only" if self.regional else "") + self._words())
        return given, options

    def _graphs(self, options: dict[str, Any]) -> None:
        """Ask for CUDA graphs. May raise ``Refused``."""
        if not self.torch.cuda.is_available():
            raise Refused("CUDA graphs need a GPU")
        if options.get("options") or options.get("backend", "inductor") != "inductor":
            raise Refused("the script chooses options or another backend, which leave no room for a mode")
        if options.get("mode") == "reduce-overhead":
            raise Refused("the script compiles with mode=reduce-overhead already")
        options["mode"] = "reduce-overhead"

    def _regions(self, model: Any, options: dict[str, Any]) -> Any:
        """Compile the blocks of a model and return what stands for the compiled model. May raise ``Refused``."""
        module = model if isinstance(model, self.torch.nn.Module) else getattr(model, "__self__", None)
        if not isinstance(module, self.torch.nn.Module):
            raise Refused("the script compiles a function: which blocks it calls is not known")
        for one in self._blocks(inside(self.torch, module)):
            code = compiler.compiled(self.original, one, **options)
            one._compiled_call_impl = OtherCall(one, code)
        if module is not model:
            return model  # Module.compile: its own call, as it is
        from torch._dynamo.external_utils import wrap_inline

        # It has a compiled model's names and compiles nothing itself; what it is made of can be pickled.
        return self.torch._dynamo.OptimizedModule(model, wrap_inline)


def _is_asked(torch: Any, model: Any) -> bool:
    """Return whether the script wants this compiled: a model, or a function of its own; libraries compile theirs."""
    return isinstance(getattr(model, "__self__", model), torch.nn.Module) or not by_library()


def _is_compiled(module: Any) -> bool:
    """Return whether a part of ``module`` is compiled."""
    return any(
        one._compiled_call_impl is not None or type(one).__name__ == "OptimizedModule"
        for one in module.modules()
    )
