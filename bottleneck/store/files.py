"""JSON files of a run: written whole or not at all, read with a bound."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import RecordError

_MAX_JSON = 32 << 20


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as strict JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, default=str))


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all: a temporary file, then a rename."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix="." + path.name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_json(path: Path) -> Any:
    """Return the JSON in ``path``.

    Raises:
        RecordError: It is missing, too large, or not JSON.
    """
    try:
        if path.stat().st_size > _MAX_JSON:
            raise RecordError(f"{path}: larger than {_MAX_JSON >> 20} MiB, so not one of ours")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{path}: can't be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not valid JSON ({error})") from error
