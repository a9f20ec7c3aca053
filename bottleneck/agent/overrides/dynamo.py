"""Compilation left out: ``torch.compile`` is there, and what it returns runs as it was."""

from __future__ import annotations

import os
from typing import Any

from ..hooks import Hooks, dress
from .base import Override, Refused, Tell

_VARIABLES = ("TORCHDYNAMO_DISABLE", "TORCH_COMPILE_DISABLE")


class Dynamo(Override):
    """Runs compiled functions and modules eagerly.

    The variables that switch Dynamo off make ``torch.compile`` return its argument: the module loses the prefix
    ``_orig_mod.`` in its state_dict, and checkpoints no longer fit. A stance leaves all objects as they are.
    """

    name = "dynamo"
    known = ("disable",)

    def check(self) -> None:
        """Read the setting."""
        if not self.switch("disable"):
            raise Refused("dynamo: there is nothing to set")

    def boot(self) -> None:
        """Refuse where nothing is compiled anyway."""
        for name in _VARIABLES:
            if os.environ.get(name, "0") not in ("", "0"):
                raise Refused(f"{name} is set already")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Take the stance once something is to be compiled. May raise ``Refused``."""
        stance = getattr(torch.compiler, "set_stance", None)
        if stance is None:
            raise Refused("this torch can't run what is compiled eagerly (2.6 can)")
        original = torch.compile

        def compile(*args: Any, **kwargs: Any) -> Any:
            compiled = original(*args, **kwargs)
            tell.attempt(lambda: _stand(stance, tell), None)
            return compiled

        hooks.patch(torch, "compile", dress(compile, original))


def _stand(stance: Any, tell: Tell) -> None:
    """Run eagerly from now on."""
    stance("force_eager")
    tell.applied("torch.compile: runs eagerly")
