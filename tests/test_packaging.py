"""The package installs under its own import name and leaves pandas and xarray alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel of the checkout, offline, with the setuptools of this environment."""
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--quiet",
        "-w",
        str(out),
        ".",
    ]
    subprocess.run(command, cwd=_copy(out / "source"), check=True, capture_output=True)
    return next(out.glob("*.whl"))


def _copy(to: Path) -> Path:
    """Copy what belongs to the package, so that the build leaves nothing in the checkout."""
    import shutil

    for name in ("bottleneck", "rules", "templates"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, to / name)
    return to


def _run(code: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, PYTHONPATH=str(path))
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel as pip would, into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_a_wheel_holds_every_module_rule_and_template(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for source, prefix, pattern in (
        ("bottleneck", "trainbottleneck", "**/*.py"),
        ("rules", "trainbottleneck/rules", "**/*.yaml"),
        ("templates", "trainbottleneck/templates", "*.*"),
    ):
        for path in (ROOT / source).glob(pattern):
            if "__pycache__" not in path.parts and path.name != "README.md":
                assert f"{prefix}/{path.relative_to(ROOT / source).as_posix()}" in names
    assert not any(name.startswith("bottleneck/") for name in names)


def test_a_wheel_finds_its_rules_and_templates(installed: Path, tmp_path: Path) -> None:
    code = (
        "import trainbottleneck.rulebook as r, trainbottleneck.resources as f; "
        "print(r.__file__); assert r.load([r.shipped()]).mitigations; "
        "assert (f.folder('templates')/'report.css').is_file()"
    )
    done = _run(code, installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))


def test_pandas_and_xarray_stay_silent_and_correct_beside_us(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    code = (
        "import trainbottleneck, importlib.util as u, pandas as pd, xarray as xr, numpy as np; "
        "assert u.find_spec('bottleneck') is None, 'an importable package called bottleneck'; "
        "assert pd.Series([1.0, np.nan, 3.0]).sum() == 4.0; "
        "x = xr.DataArray([1.0, np.nan, 3.0], dims='t'); assert float(x.mean()) == 2.0"
    )
    done = _run(code, installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_the_command_runs_as_a_module_from_a_checkout(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bottleneck", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("bottleneck, version")


@pytest.mark.parametrize("arguments", [[], ["rules"]])
def test_without_a_command_the_help_text_is_shown_as_it_is(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "trainbottleneck", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout + done.stderr).startswith("Usage: ")
    assert "\nCommands:\n" in done.stdout + done.stderr


def test_every_folder_of_the_package_is_listed_for_the_build() -> None:
    import re

    listed = set(
        re.findall(r'"(trainbottleneck[.\w]*)",', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    )
    folders = {
        p.parent.relative_to(ROOT / "bottleneck").as_posix().replace("/", ".")
        for p in (ROOT / "bottleneck").rglob("*.py")
    }
    wanted = {"trainbottleneck" + ("" if f == "." else f".{f}") for f in folders if "__pycache__" not in f}
    assert wanted | {"trainbottleneck.rules", "trainbottleneck.templates"} == listed
