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

    It finds nothing itself: it asks the finders behind it and wraps ``exec_module`` of the loader they return,
    on that one instance, so that ``module.__loader__`` and ``find_spec`` stay what they are.
    """

    def __init__(self) -> None:
        """Start with nothing to wait for."""
        self.waiting: dict[str, list[Any]] = {}
        self.busy = False

    def when(self, name: str, call: Any) -> None:
        """Call ``call(module)`` after ``name`` is imported, at once where it already is."""
        module = sys.modules.get(name)
        if module is not None and not getattr(getattr(module, "__spec__", None), "_initializing", False):
            call(module)
        else:
            self.waiting.setdefault(name, []).append(call)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec the other finders give, its loader wrapped, or None for all other names."""
        if self.busy or name not in self.waiting:
            return None
        self.busy = True
        try:
            spec = self._ask_others(name, path, target)
        finally:
            self.busy = False
        if spec is not None and hasattr(spec.loader, "exec_module"):
            self._wrap(name, spec.loader)
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

    def _wrap(self, name: str, loader: Any) -> None:
        """Make ``loader`` call back after it has executed ``name``, once."""
        original = loader.exec_module

        def exec_module(module: Any) -> None:
            loader.__dict__.pop("exec_module", None)
            original(module)
            for call in self.waiting.pop(name, ()):
                try:
                    call(module)
                except Exception as error:
                    report("import of " + name, error)

        try:
            loader.exec_module = exec_module
        except AttributeError:
            self.waiting.pop(name, None)  # a loader without instance attributes: go without this hook


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
    WATCH.when("torch", _torch_arrived)


def _torch_arrived(torch: Any) -> None:
    """Install every hook; the import of torch has just ended."""
    from . import install

    install.install(torch, CONFIG, WATCH)
