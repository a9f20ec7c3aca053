"""What trials found, beside the run they were made for: ``trials.json``, rewritten whole after each pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..errors import RecordError
from ..model.record import Failure
from ..model.trial import Trial
from .files import read_json, write_json

NAME = "trials.json"
_SCHEMA = 1


def write_trials(run: Path, trials: Sequence[Trial]) -> None:
    """Write ``trials`` into the folder ``run``, in place of what was there.

    Raises:
        OSError: It can't be written.
    """
    write_json(run / NAME, {"schema": _SCHEMA, "trials": [_plain(one) for one in trials]})


def read_trials(run: Path) -> tuple[Trial, ...]:
    """Return the trials kept in the folder ``run``; none where there was none yet.

    Raises:
        RecordError: The file is damaged, or a newer version wrote it.
    """
    path = run / NAME
    if not path.exists():
        return ()
    told = read_json(path)
    if not isinstance(told, dict) or told.get("schema") != _SCHEMA:
        raise RecordError(f"{path}: not trials that this version can read; move it away to try again")
    try:
        return tuple(msgspec.convert(told.get("trials"), list[Trial], strict=False))
    except msgspec.ValidationError as error:
        raise RecordError(f"{path}: damaged ({error}); move it away to try again") from error


def load_trials(run: Path, failures: list[Failure]) -> tuple[Trial, ...]:
    """Return the trials kept in ``run``; a damaged file becomes a failure, as the run itself is readable."""
    try:
        return read_trials(run)
    except RecordError as error:
        failures.append(Failure(collector="trials", reason=str(error)))
        return ()


def _plain(trial: Trial) -> Any:
    """Return a trial as JSON's own types."""
    return msgspec.to_builtins(trial)
