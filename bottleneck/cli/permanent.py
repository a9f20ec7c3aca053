"""Reads the files a recipe was applied to, and writes their edited text: never without keeping the original."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model.trial import Change
from ..patch import Patch, Site, changed_settings, make_permanent

_LARGEST = 4 << 20  # bytes: no script that somebody wrote is larger


def make_patch(recipe: Sequence[Change], told: Iterable[Mapping[str, Any]], root: Path) -> Patch:
    """Return what makes ``recipe`` permanent, from what the overrides ``told`` of the calls they changed.

    Only the user's own files are edited: not those of the interpreter and of installed packages.
    """
    sites = [
        Site(
            override=str(one.get("name")),
            file=str(one.get("file") or ""),
            line=int(one.get("line") or 0),
            settings=changed_settings(str(one.get("name")), str(one.get("detail", ""))),
        )
        for one in told
    ]
    names = {one.file for one in sites if one.file}
    return make_permanent(recipe, sites, dict(_read(names)), str(root))


def _read(names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of the files that are the user's own and can be read."""
    installed = tuple(
        os.path.realpath(path) + os.sep
        for path in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix + "/lib")
    )
    for name in sorted(names):
        path = Path(name)
        real = os.path.realpath(path)
        if "site-packages" in path.parts or real.startswith(installed):
            continue
        try:
            if path.stat().st_size <= _LARGEST:
                yield name, path.read_bytes()
        except OSError:
            continue


def write_patch(patch: Patch, where: Path) -> Iterator[tuple[Path, Path]]:
    """Edit the files of ``patch``; yield each with the place where its original is kept, below ``where``.

    Raises:
        OSError: A file can't be written; it is whole, old or new.
    """
    for name, text in patch.files.items():
        path = Path(name)
        kept = _free(where / "original" / path.name)
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(path.read_bytes())
        fresh = path.with_name(f".{path.name}.bottleneck")
        fresh.write_bytes(text)
        fresh.chmod(path.stat().st_mode & 0o7777)
        fresh.replace(path)
        yield path, kept


def _free(path: Path) -> Path:
    """Return ``path``, or it with a number where something is there."""
    number, found = 2, path
    while found.exists():
        found, number = path.with_name(f"{path.stem}-{number}{path.suffix}"), number + 1
    return found
