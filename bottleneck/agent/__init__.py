"""The only code of ours inside the training process: standard library and torch, nothing else.

The folder is copied into each run's boot folder under the name in ``PACKAGE`` and may land in a foreign
environment, so it imports nothing of ours outside itself. Until the script imports torch, this module is all
that is loaded: it waits on the import system and costs next to nothing in processes that never train.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # importing typing would cost every Python process of the run several milliseconds
if TYPE_CHECKING:
    from typing import Any

PACKAGE = "_trainbottleneck_agent"


class Watch:
    """A meta path finder that calls back once a module of interest has been executed.

    It finds nothing itself: it asks the finders behind it and learns from the spec they return when the import
    has ended. No frame of ours is below a module that is being executed, so the traceback of an import that
    fails is the one Python prints without us.
    """

    def __init__(self) -> None:
        """Start with nothing to wait for."""
        self.waiting: dict[str, list[Any]] = {}
        self.busy = False

    def leave(self) -> None:
        """Wait for nothing any more and leave the import system."""
        self.waiting.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def when(self, name: str, call: Any) -> None:
        """Call ``call(module)`` after ``name`` is imported, at once where it already is."""
        module = sys.modules.get(name)
        if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
            call(module)
        else:
            self.waiting.setdefault(name, []).append(call)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec the other finders give, its end awaited, or None for all other names."""
        if self.busy or name not in self.waiting:
            return None
        self.busy = True
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self.busy = False
        if spec is not None:
            self._await(spec)
        return spec

    def _ask_others(self, name: str, path: Any, target: Any) -> Any:
        """Return the first spec found by the finders other than this one."""
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec = find(name, path, target)
            if spec is not None:
                return spec
        return None

    def _await(self, spec: Any) -> None:
        """Call back once ``spec``'s module is imported: importlib then sets ``spec._initializing`` to False."""
        plain, arrived = type(spec), self._arrived

        class Awaited(plain):  # type: ignore[misc,valid-type]
            @property
            def _initializing(spec) -> bool:
                return bool(spec.__dict__.get("_initializing", False))

            @_initializing.setter
            def _initializing(spec, value: bool) -> None:
                spec.__dict__["_initializing"] = value
                if not value:
                    spec.__class__ = plain
                    arrived(spec.name)

        try:
            spec.__class__ = Awaited
        except TypeError:
            self.waiting.pop(spec.name, None)  # a spec of another make: go without this hook

    def _arrived(self, name: str) -> None:
        """Make the calls that wait for ``name``, unless its import failed; a later attempt may succeed."""
        module = sys.modules.get(name)
        for call in self.waiting.pop(name, ()) if module is not None else ():
            try:
                call(module)
            except Exception as error:
                report("import of " + name, error)


WATCH = Watch()
CONFIG: dict[str, Any] = {}


def report(where: str, error: BaseException) -> None:
    """Append one line about a failure of ours to the run folder; never raise."""
    try:
        with open(CONFIG["run"] + "/agent-errors.log", "a", encoding="utf-8", errors="replace") as log:
            log.write(f"{where}: {type(error).__name__}: {error}\n")
    except Exception:
        return


def boot(config: dict[str, Any]) -> None:
    """Wait for torch; called by the generated ``sitecustomize`` with the run's settings."""
    CONFIG.update(config)
    sys.meta_path.insert(0, WATCH)
    if config.get("scratch"):
        from . import protect

        protect.protect(config, WATCH)
    if config.get("trial"):
        from . import trial

        trial.begin(config, WATCH)
    if config.get("overrides"):
        from . import overrides

        overrides.boot(config)
    WATCH.when("torch", _torch_arrived)


def _torch_arrived(torch: Any) -> None:
    """Install every hook; the import of torch has just ended."""
    if CONFIG.get("trial"):
        from . import trial

        trial.install(torch, CONFIG, WATCH)
        return
    from . import install

    install.install(torch, CONFIG, WATCH)
