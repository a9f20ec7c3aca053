"""Tells the user's own code from libraries, by path."""

from __future__ import annotations

from collections.abc import Iterable

AGENT = "_trainbottleneck_agent"  # the agent's package name in a trained process (``agent/__init__.py``)


def is_users(file: str, library_paths: Iterable[str]) -> bool:
    """Return whether ``file`` is the user's own code.

    It is not where it lies under one of ``library_paths`` (the standard library and the package
    folders of the interpreter that trains), in any folder called site-packages or dist-packages, in the
    agent's, or where it is no file at all ("<frozen importlib>", "<string>").
    """
    path = file.replace("\\", "/")
    if not path or path.startswith("<") or AGENT in path:
        return False
    if "/site-packages/" in path or "/dist-packages/" in path:
        return False
    return not any(path.startswith(folder.replace("\\", "/").rstrip("/") + "/") for folder in library_paths)
