"""From the record of a run to its target, to start the same script again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .redact import HIDDEN
from .target import Target

_SAY_IT = "name the command again: bottleneck prove RUN -- {form}"


def target_of(command: Mapping[str, Any], run: Path) -> tuple[Target, Path]:
    """Return what was run, and the folder it was started in.

    Args:
        command: As the record of the run tells it.
        run: Its folder, for errors.

    Raises:
        UsageError: A secret was left out of the record, or script, interpreter or folder are gone.
    """
    argv = tuple(str(word) for word in command.get("argv") or ())
    if not argv:
        raise UsageError(
            f"{run}: the record does not say what was run; {_SAY_IT.format(form='TARGET [ARGS]')}"
        )
    if any(HIDDEN in word for word in argv):
        raise UsageError(
            f"{run}: the command held a secret, which is not in the record; "
            + _SAY_IT.format(form="TARGET [ARGS]")
        )
    folder = Path(str(command.get("folder") or Path.cwd()))
    if not folder.is_dir():
        raise UsageError(f"{folder}: the script was started there, and the folder is gone")
    form, script = str(command.get("form", "script")), str(command.get("script", ""))
    if form == "script" and not (folder / script).exists():
        raise UsageError(f"{folder / script}: the script of {run} is gone")
    if not os.access(argv[0], os.X_OK):
        raise UsageError(f"{argv[0]}: the program that ran {run} is gone")
    python = Path(argv[0]) if form in ("script", "module") else None
    return Target(argv=argv, form=form, script=script, python=python), folder
