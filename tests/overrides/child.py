"""Runs all checks of overrides in one process, as importing torch takes longer than most of them."""

from __future__ import annotations

import json
import traceback

import torch
from changed import load_agent


def main() -> None:
    """Run every check and print what went wrong, by module and name, as the last line."""
    load_agent()
    import loader_checks
    import training_checks

    torch.set_num_threads(1)
    failures: dict[str, str] = {}
    for module in (loader_checks, training_checks):
        for name, check in list(vars(module).items()):
            if name.startswith("check_"):
                try:
                    check()
                    failures[name] = ""
                except Exception:
                    failures[name] = traceback.format_exc()
    print(json.dumps(failures))


if __name__ == "__main__":
    main()
