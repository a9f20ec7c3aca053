"""The examples are complete; their input is cut the same way twice, interrupted or not."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/train.py"))
FAMILIES = {
    "input": {"dataloader", "cpu_preprocessing", "storage", "h2d_transfer"},
    "device": {"compute", "memory_bandwidth", "memory_capacity", "optimizer"},
    "host": {"host_overhead", "sync", "gc", "compilation", "host_memory"},
    "communication": {"communication", "straggler"},
    "stall": {"checkpoint", "evaluation", "logging"},
}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tested_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data() -> ModuleType:
    return load(ROOT / "examples" / "data.py")


def cut(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()
    }


def test_fourteen_examples_are_there() -> None:
    assert len(EXAMPLES) >= 14


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_example_has_its_files_and_a_guarded_main(folder: Path) -> None:
    expected = yaml.safe_load((folder / "expected.yaml").read_text())
    assert set(expected) - {"override", "ranks", "partial"} == {"bottleneck", "family", "also_accept"}
    assert expected["bottleneck"] in FAMILIES[expected["family"]]
    assert len((folder / "README.md").read_text().splitlines()) == 2
    assert (folder / "fixed.py").exists() == (expected["bottleneck"] != "compute")
    for script in folder.glob("*.py"):
        body = ast.parse(script.read_text(), str(script)).body
        if script.name != "common.py":
            assert any(isinstance(node, ast.If) and "__main__" in ast.unparse(node.test) for node in body)


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda path: path.name)
def test_example_knows_nothing_of_the_tool(folder: Path) -> None:
    for script in folder.glob("*.py"):
        assert "bottleneck" not in script.read_text().lower()


def test_photographs_are_cut_the_same_way_twice(data: ModuleType, tmp_path: Path) -> None:
    first = data.photographs(tmp_path / "a", count=2, names=("chelsea", "china"))
    second = data.photographs(tmp_path / "b", count=2, names=("chelsea", "china"))
    assert cut(first) == cut(second)
    assert len(cut(first)) == 5  # two crops of each, and the marker


def test_interrupted_cut_goes_on_where_it_stopped(data: ModuleType, tmp_path: Path) -> None:
    folder = data.photographs(tmp_path, count=2, names=("chelsea",))
    whole = cut(folder)
    kept = folder / "chelsea" / "000.jpg"
    written = kept.stat().st_mtime_ns
    (folder / ".complete").unlink()
    (folder / "chelsea" / "001.jpg").unlink()
    data.photographs(tmp_path, count=2, names=("chelsea",))
    assert cut(folder) == whole
    assert kept.stat().st_mtime_ns == written


def test_crops_of_one_photograph_differ(data: ModuleType, tmp_path: Path) -> None:
    folder = data.photographs(tmp_path, count=3, names=("flower",))
    assert len({path.read_bytes() for path in folder.glob("*/*.jpg")}) == 3


def test_digits_are_scikit_learns(data: ModuleType, tmp_path: Path) -> None:
    images, labels = data.digits(tmp_path)
    assert images.shape == (1797, 8, 8) and labels.shape == (1797,)
    assert float(images.min()) == 0 and float(images.max()) == 1
    again, _ = data.digits(tmp_path)  # from the file this time
    assert (again == images).all()


def test_missing_package_ends_in_one_line(data: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit) as caught:
        data.sources()
    message = str(caught.value)
    assert "scikit-image" in message and "pip install 'trainbottleneck[examples]'" in message
    assert "\n" not in message


def test_text_is_long_and_the_same_twice(data: ModuleType) -> None:
    assert len(data.topics()) > 300_000
    assert data.topics() == data.topics()
    assert data.library(3) == data.library(3) and len(data.library(3)) == 3
