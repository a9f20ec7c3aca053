"""Runs the checks of the modules named as arguments; prints what went wrong in each, as JSON, in the last line."""

from __future__ import annotations

import importlib
import json
import sys
import traceback

import torch
from changed import load_agent


def main() -> None:
    """Run every check, each with random numbers of its own."""
    load_agent()
    torch.set_num_threads(1)
    failures: dict[str, str] = {}
    for module in map(importlib.import_module, sys.argv[1:]):
        for name, check in list(vars(module).items()):
            if name.startswith("check_"):
                torch.manual_seed(0)
                try:
                    check()
                    failures[name] = ""
                except Exception:
                    failures[name] = traceback.format_exc()
    print(json.dumps(failures))


if __name__ == "__main__":
    main()
