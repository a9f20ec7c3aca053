"""What every override has in common: checked settings, refusing with a reason, and telling what was changed where."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, TypeVar

from .. import late, report
from ..hooks import Hooks

Result = TypeVar("Result")
Place = tuple[str, int]  # file and line

_AGENT = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STANDARD = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_SCRIPT, _LIBRARY, _TORCH = range(3)  # whose a frame is
_owners: dict[str, tuple[int, str]] = {}  # owner and absolute path: a stack is walked at every changed call


class Refused(Exception):
    """The override does not fit; the text says why in one line."""


class Override:
    """One change made to a training from inside its process. Sub-classes name it and patch.

    Attributes:
        name: What recipes call it.
        known: The names of its settings.
        settings: The numbers given, all finite; switches are 0 or 1.
    """

    name: ClassVar[str] = ""
    known: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: Mapping[str, float]) -> None:
        """Check the settings and call ``check``.

        Raises:
            Refused: A setting has no meaning here, or its value is not one it can have.
        """
        for name, value in settings.items():
            if name not in self.known:
                raise Refused(f"{self.name} has no setting called {name}")
            if not isinstance(value, (int, float)) or not math.isfinite(value):
                raise Refused(f"{self.name}: {name} has to be a number, not {value!r}")
        self.settings = dict(settings)
        self.check()

    def check(self) -> None:
        """Look at the values before anything is changed. May raise ``Refused``."""

    def boot(self) -> None:
        """Act before torch is imported: environment variables. May raise ``Refused``."""

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Put patches in place, in the moment the import of torch has ended. May raise ``Refused``."""

    def whole(self, name: str, least: int = 0) -> int | None:
        """Return a setting as a whole number of at least ``least``, None where it was not given.

        Raises:
            Refused: It is no such number.
        """
        value = self.settings.get(name)
        if value is None:
            return None
        if value != int(value) or value < least:
            raise Refused(f"{self.name}: {name} has to be a whole number from {least} on, not {value:g}")
        return int(value)

    def switch(self, name: str) -> bool | None:
        """Return a setting as a switch, None where it was not given.

        Raises:
            Refused: It is neither 0 nor 1.
        """
        value = self.settings.get(name)
        if value is None:
            return None
        if value not in (0, 1):
            raise Refused(f"{self.name}: {name} has to be 0 or 1, not {value:g}")
        return bool(value)


class Tell:
    """Writes what one override did into the record: at once what is new, and the counts at the end.

    An event is written when its (state, file, line, detail) is first seen, with a count of 1, so that it is there
    whatever ends the process. ``close`` writes those seen more often again: the last event of a kind has its count.
    """

    def __init__(self, recorder: Any, name: str) -> None:
        """Tell ``recorder`` about the override ``name``."""
        self.recorder = recorder
        self.name = name
        self.counts: dict[tuple[str, str, str, int], int] = {}
        self.owner = os.getpid()

    def applied(self, detail: str, file: str | None = None, line: int = 0) -> None:
        """Tell that a call was changed; the script's call is looked up where ``file`` is not given."""
        self._count("applied", detail, file, line)

    def refused(self, reason: str, file: str | None = None, line: int = 0) -> None:
        """Tell that a call was left as it is, and why."""
        self._count("refused", reason, file, line)

    def attempt(self, call: Callable[[], Result], otherwise: Result, place: Place | None = None) -> Result:
        """Return what ``call()`` does, or ``otherwise`` where it refuses or fails: the reason is told.

        What runs inside the script's calls goes through here: a failure of ours must not become the script's.
        """
        try:
            return call()
        except Refused as refusal:
            self.refused(str(refusal), *(place or (None, 0)))
        except Exception as error:
            if not late.keep(error):
                report("override " + self.name, error)
                self.refused(f"failed: {type(error).__name__}: {error}", *(place or (None, 0)))
        return otherwise

    def close(self) -> None:
        """Write the counts of what was seen more than once; forked children leave that to their parent."""
        if os.getpid() == self.owner:
            for key, count in self.counts.items():
                if count > 1:
                    self._write(key, count)

    def _count(self, state: str, detail: str, file: str | None, line: int) -> None:
        """Count one occurrence and write the first one."""
        if file is None:
            file, line = where()
        key = (state, detail, file, line)
        self.counts[key] = count = self.counts.get(key, 0) + 1
        if count == 1:
            self._write(key, 1)

    def _write(self, key: tuple[str, str, str, int], count: int) -> None:
        """Write one event."""
        state, detail, file, line = key
        self.recorder.event(
            "override", name=self.name, state=state, count=count, detail=detail, file=file, line=line
        )


def where() -> Place:
    """Return file and line of the call under way: the script's own, else the nearest library's beside torch.

    Returns:
        An absolute path and a line from 1 on; ("", 0) where only torch and we are running.
    """
    nearest: Place = ("", 0)
    for owner, file, line in _stack():
        if owner == _SCRIPT:
            return file, line
        nearest = nearest if nearest[0] else (file, line)
    return nearest


def by_library() -> bool:
    """Return whether the call under way is made by an installed library, not by the script itself."""
    return next((owner == _LIBRARY for owner, _, _ in _stack()), False)


def _stack() -> Iterator[tuple[int, str, int]]:
    """Yield owner, file and line of the frames below us that are neither torch's nor ours, nearest first."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        known = _owners.get(file)
        if known is None:
            known = _owners[file] = _owner(file), os.path.abspath(file)
        if known[0] != _TORCH:
            yield *known, frame.f_lineno
        frame = frame.f_back


def _owner(file: str) -> int:
    """Return whose code a file is; what has no file (``<frozen ...>``) and our own counts as torch: never shown."""
    path = os.path.abspath(file)
    if (
        file.startswith("<")
        or path.startswith(_AGENT)
        or (f"{os.sep}torch{os.sep}" in path and _is_torch(path))
    ):
        return _TORCH
    if any(part in path for part in _INSTALLED) or path.startswith(_STANDARD):
        return _LIBRARY
    return _SCRIPT


def _is_torch(path: str) -> bool:
    """Return whether a file belongs to the torch that is imported."""
    file = getattr(sys.modules.get("torch"), "__file__", None)
    return bool(file) and path.startswith(os.path.dirname(os.path.abspath(str(file))) + os.sep)
