"""Phases are told apart by any eye, on light and on dark paper."""

from __future__ import annotations

import itertools
import re

import numpy as np
import numpy.typing as npt
import pytest
from trainbottleneck.model.report import PHASES
from trainbottleneck.resources import folder

Vector = npt.NDArray[np.float64]

# Complete dichromacy, linear RGB: Machado, Oliveira and Fernandes 2009, severity 1.0.
VISIONS = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# sRGB to XYZ under D65, and that white.
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def _linear(colour: str) -> Vector:
    """Return "#rrggbb" as linear RGB, 0-1."""
    value = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _lab(rgb: Vector) -> Vector:
    """Return linear RGB as CIE L*a*b*, in which distances are about as large as they look."""
    xyz = XYZ @ np.clip(rgb, 0, 1) / WHITE
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("paper", ["light", "dark"])
@pytest.mark.parametrize("vision", VISIONS)
def test_no_two_phases_look_alike(paper: str, vision: str) -> None:
    style = (folder("templates") / "report.css").read_text(encoding="utf-8")
    seen = {}
    for phase in PHASES:
        found = re.search(rf"--{phase}: light-dark\((#\w{{6}}), (#\w{{6}})\)", style)
        assert found is not None
        seen[phase] = _lab(VISIONS[vision] @ _linear(found.group(1 if paper == "light" else 2)))
    # 2.3 is a just noticeable difference; small areas side by side need several of them.
    near = [
        pair
        for pair in itertools.combinations(PHASES, 2)
        if np.linalg.norm(seen[pair[0]] - seen[pair[1]]) < 18
    ]
    assert near == []
