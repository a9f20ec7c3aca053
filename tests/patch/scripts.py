"""A script of a few lines, and the patch of one change to one of its calls."""

from __future__ import annotations

from collections.abc import Mapping

from trainbottleneck.model.trial import Change
from trainbottleneck.patch import Patch, Site, make_permanent

FILE = "/home/me/project/train.py"
WORKERS = {"num_workers": 4.0, "persistent_workers": 1.0}
BOTH = "num_workers=4, persistent_workers=True"
IMPORTS = "import gc\nimport torch\nfrom torch.utils.data import DataLoader\n"


def patched(
    body: str,
    override: str = "loader",
    settings: Mapping[str, float] = WORKERS,
    line: int = 4,
    imports: str = IMPORTS,
) -> Patch:
    """Return the patch for one change of the call in ``line`` of a script."""
    change = Change(mitigation="m", override=override, settings=settings)
    site = Site(override=override, file=FILE, line=line)
    return make_permanent([change], [site], {FILE: (imports + body).encode()}, "/home/me/project")


def new_body(patch: Patch, imports: str = IMPORTS) -> str:
    """Return what a patch makes of the lines after the imports."""
    return patch.files[FILE].decode().removeprefix(imports)
