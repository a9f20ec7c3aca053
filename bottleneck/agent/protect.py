"""Keeps the script's files as they are from its first line on: where it is run to be measured, and not to train."""

from __future__ import annotations

import os
import sys
from typing import Any

from . import Watch, report
from .hooks import Hooks

REFUSED_CODE = 97  # no exit code of Python's, the shell's or a signal's


def protect(config: dict[str, Any], watch: Watch) -> None:
    """Send all that the script writes to ``config["scratch"]``; end the process where that can't be done."""
    from .ablation.redirect import Redirect

    try:
        Redirect(Hooks(), config["run"], config["scratch"]).start(watch.when)
    except Exception as error:
        report("protect", error)
        sys.stderr.write(f"bottleneck: the script's files can't be kept safe: {error}\n")
        sys.stderr.flush()
        os._exit(REFUSED_CODE)  # better no measurement than a file overwritten
