"""What each override changes in a training, what it refuses and why."""

from __future__ import annotations

import pytest

from .checks import names, results


@pytest.mark.parametrize("check", names("loader_checks"))
def test_loaders(check: str) -> None:
    assert results().get(check, "did not run") == ""


@pytest.mark.parametrize("check", names("training_checks"))
def test_optimizers_memory_and_cadence(check: str) -> None:
    assert results().get(check, "did not run") == ""
