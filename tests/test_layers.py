"""The invariants of ARCHITECTURE.md, held by reading the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import trainbottleneck

PACKAGE = Path(trainbottleneck.__file__).parent
# What a layer may import besides itself, the standard library and `model`.
ALLOWED = {
    "model": set(),
    "agent": set(),
    "store": {"errors"},
    "verify": set(),
    "collect": {"errors", "store", "version", "agent", "verify"},
    "analyze": {"units", "errors", "verify", "intervals"},
    "ingest": {"errors", "version", "intervals"},
    "diagnose": {"analyze", "units", "errors"},
    "predict": {"analyze", "units"},
    "advise": {"analyze", "diagnose", "predict", "units", "errors"},
    "compare": {"analyze", "verify", "units"},
    "patch": set(),
    "render": {"units", "errors", "resources"},
}
PURE = ("verify", "analyze", "diagnose", "predict", "advise", "compare", "patch")
# Modules through which a file, a clock, the environment or the machine could be reached.
IMPURE = {
    "os",
    "io",
    "time",
    "pathlib",
    "subprocess",
    "datetime",
    "socket",
    "platform",
    "psutil",
    "shutil",
    "sys",
}
TORCH_USERS = {"agent", "integrations"}


def _files(*layers: str) -> Iterator[tuple[str, Path]]:
    for layer in layers or sorted(path.name for path in PACKAGE.iterdir() if path.is_dir()):
        for path in sorted((PACKAGE / layer).rglob("*.py")):
            yield layer, path


def _imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield (dotted name, is ours) of every import in a file; ours are given from the package's root."""
    parts = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, False) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = parts[: len(parts) - node.level + 1]
            if node.module:
                yield ".".join((*base, node.module)), True
            else:
                yield from ((".".join((*base, alias.name)), True) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", False


@pytest.mark.parametrize(
    ("layer", "path"), list(_files(*ALLOWED)), ids=lambda value: str(value).rsplit("/", 1)[-1]
)
def test_a_layer_imports_only_what_lies_left_of_it(layer: str, path: Path) -> None:
    for name, ours in _imports(path):
        if ours:
            assert name.split(".")[0] in ALLOWED[layer] | {layer, "model"} - (
                {"model"} if layer == "agent" else set()
            ), f"{path.name} imports {name}"


def test_no_file_imports_the_package_by_an_absolute_name() -> None:
    for _, path in _files():
        for name, ours in _imports(path):
            assert ours or name.split(".")[0] not in {"bottleneck", "trainbottleneck"}, f"{path}: {name}"


def test_only_the_agent_and_the_integrations_import_torch() -> None:
    for layer, path in _files():
        if layer not in TORCH_USERS:
            assert all(name.split(".")[0] != "torch" for name, ours in _imports(path) if not ours), path


def test_the_agent_imports_nothing_but_the_standard_library_and_torch() -> None:
    import sys

    for _, path in _files("agent"):
        for name, ours in _imports(path):
            assert ours or name.split(".")[0] in {*sys.stdlib_module_names, "torch"}, f"{path.name}: {name}"


@pytest.mark.parametrize(
    ("layer", "path"), list(_files(*PURE)), ids=lambda value: str(value).rsplit("/", 1)[-1]
)
def test_pure_layers_reach_no_file_clock_or_machine(layer: str, path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & IMPURE, path
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = {alias.name for alias in node.names}
            pure_paths = node.module == "pathlib" and names <= {"PurePath", "PurePosixPath"}
            assert pure_paths or (node.module or "").split(".")[0] not in IMPURE, (
                f"{path.name}: {node.module}"
            )
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "input", "exec", "eval", "__import__"}, (
                f"{path.name}:{node.lineno}"
            )
        elif (
            isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
        ):
            assert node.attr == "Random", (
                f"{path.name}:{node.lineno}: only generators with a seed of their own"
            )


def test_files_stay_small() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, path


def test_every_public_function_and_class_says_what_it_is() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_the_agents_numbers_are_the_readers_numbers() -> None:
    from trainbottleneck.agent import PACKAGE as AGENT
    from trainbottleneck.agent import kinds
    from trainbottleneck.model import code
    from trainbottleneck.model.span import Flag, Kind

    assert {kind.name: kind.value for kind in Kind} == {kind.name: getattr(kinds, kind.name) for kind in Kind}
    flags = {name: value for name, value in vars(Flag).items() if name.isupper()}
    assert flags == {name: getattr(kinds, name) for name in flags}
    assert code.AGENT == AGENT


def test_every_measurement_is_given_by_some_analysis() -> None:
    import re

    from trainbottleneck.analyze.catalogue import CATALOGUE

    text = "".join(
        path.read_text(encoding="utf-8")
        for _, path in _files("analyze", "predict")
        if path.name not in ("catalogue.py", "named.py")
    )
    given = set(re.findall(r'"([a-z0-9]+\.[a-z0-9_]+)"', text))
    built = {f"step.{p}_{u}" for p in re.findall(r'"([a-z0-9_]+)"', text) for u in ("s", "frac")}
    built |= {f"input.{name}" for name in re.findall(r'"([a-z_]+)"', text)}
    changes = re.findall(r'"([a-z0-9_]+)"', text)
    built |= {
        f"replay.{change}_{what}" for change in changes for what in ("saved_s", "left_frac", "covered_frac")
    }
    assert set(CATALOGUE) - given - built - _phases() == set()


def _phases() -> set[str]:
    from trainbottleneck.model.report import PHASES

    return {f"step.{phase}_{unit}" for phase in PHASES for unit in ("s", "frac")}
