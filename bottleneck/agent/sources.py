"""Finds the line of the script that called an operator."""

from __future__ import annotations

import sys
import sysconfig
from typing import Any

_SKIPPED = (__name__.rpartition(".")[0], "torch.")
_MOST = 200  # frames looked at: a model of many nested modules takes four frames for each
_LIBRARIES = tuple(
    {path for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))}
)


def line() -> str:
    """Return "file:line" of the innermost frame that is the user's own code; of other libraries' where none is.

    Frames of this package, of torch and of generated code stand for nothing the user wrote; "" where there is no other.
    """
    library = ""
    frame: Any = sys._getframe(1)
    for _ in range(_MOST):
        if frame is None:
            break
        file, module = frame.f_code.co_filename, str(frame.f_globals.get("__name__", ""))
        if not (file.startswith("<") or module == "torch" or module.startswith(_SKIPPED)):
            if not file.startswith(_LIBRARIES) or module == "__main__":
                return f"{file}:{frame.f_lineno}"
            library = library or f"{file}:{frame.f_lineno}"
        frame = frame.f_back
    return library
