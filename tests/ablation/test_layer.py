"""The layer above the real files behaves as the file system does, and leaves the real files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHILD = """
import json, os, random, shutil, sys
from pathlib import Path
from trainbottleneck.agent.ablation.redirect import Redirect
from trainbottleneck.agent.hooks import Hooks

plain, layered, run, seed = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
NAMES = ["a", "b", "d", "d/x", "d/y", "e", "e/f", "e/f/g", "new", "new/1", "l"]

def read(root, rnd):
    return (root / rnd.choice(NAMES)).read_text()
def write(root, rnd):
    (root / rnd.choice(NAMES)).write_text(str(rnd.random()))
def append(root, rnd):
    with open(root / rnd.choice(NAMES), "a") as file:
        file.write("more"); return file.tell()
def change(root, rnd):
    with open(root / rnd.choice(NAMES), "r+") as file:
        file.seek(1); file.write("Z")
def new(root, rnd):
    with open(root / rnd.choice(NAMES), "x") as file:
        file.write("x")
def mkdir(root, rnd):
    os.mkdir(root / rnd.choice(NAMES))
def makedirs(root, rnd):
    os.makedirs(root / rnd.choice(NAMES), exist_ok=rnd.random() < 0.5)
def unlink(root, rnd):
    (root / rnd.choice(NAMES)).unlink(missing_ok=rnd.random() < 0.5)
def rmdir(root, rnd):
    os.rmdir(root / rnd.choice(NAMES))
def rmtree(root, rnd):
    shutil.rmtree(root / rnd.choice(NAMES))
def replace(root, rnd):
    os.replace(root / rnd.choice(NAMES), root / rnd.choice(NAMES))
def rename(root, rnd):
    (root / rnd.choice(NAMES)).rename(root / rnd.choice(NAMES))
def copy(root, rnd):
    shutil.copy(root / rnd.choice(NAMES), root / rnd.choice(NAMES)); return None
def link(root, rnd):
    os.link(root / rnd.choice(NAMES), root / rnd.choice(NAMES))
def symlink(root, rnd):
    os.symlink(rnd.choice(["a", "d"]), root / "l")
def truncate(root, rnd):
    os.truncate(root / rnd.choice(NAMES), 2)
def listing(root, rnd):
    return sorted(os.listdir(root / rnd.choice(NAMES)))
def walk(root, rnd):
    return sorted((os.path.relpath(f, root), sorted(d), sorted(n)) for f, d, n in os.walk(root))
def globbing(root, rnd):
    return sorted(str(p.relative_to(root)) for p in root.glob("*/*"))
def looks(root, rnd):
    path = root / rnd.choice(NAMES)
    return path.exists(), path.is_dir(), path.is_file(), os.path.islink(path), path.is_file() and path.stat().st_size
def opens(root, rnd):
    flags = rnd.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_WRONLY | os.O_CREAT,
                        os.O_WRONLY | os.O_CREAT | os.O_EXCL, os.O_RDWR | os.O_TRUNC, os.O_WRONLY | os.O_APPEND])
    fd = os.open(root / rnd.choice(NAMES), flags)
    try:
        return os.write(fd, b"123") if flags & (os.O_WRONLY | os.O_RDWR) else os.read(fd, 100).decode()
    finally:
        os.close(fd)

OPERATIONS = [read, write, append, change, new, mkdir, makedirs, unlink, rmdir, rmtree, replace, rename, copy, link,
              symlink, truncate, listing, walk, globbing, looks, opens]

def attempt(operation, root, state):
    rnd = random.Random(state)
    try:
        return operation(root, rnd)
    except OSError as error:
        return type(error).__name__, error.errno

redirect = Redirect(Hooks(), str(run), str(run / "scratch"))
redirect.start(lambda name, call: None)
plain_run = Redirect.__new__(Redirect)
rnd = random.Random(seed)
for number in range(400):
    operation, state = rnd.choice(OPERATIONS), rnd.random()
    found = attempt(operation, layered, state)
    print(json.dumps([number, operation.__name__, state, found]))
redirect.hooks.undo()
"""


def _make(root: Path) -> None:
    root.mkdir()
    (root / "a").write_text("content of a")
    (root / "d").mkdir()
    (root / "d" / "x").write_text("content of x")
    (root / "e" / "f").mkdir(parents=True)
    (root / "e" / "f" / "g").write_text("content of g")


def _tree(root: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def _is_error(answer: Any) -> bool:
    return isinstance(answer, list) and len(answer) == 2 and str(answer[0]).endswith("Error")


def _answers(folder: Path, seed: int, layered: bool) -> tuple[list[Any], dict[str, Any]]:
    """Return what 400 random operations gave, on the layer or on plain files, and the real files after them."""
    root = folder / ("layered" if layered else "plain")
    run = folder / f"run-{layered}"
    _make(root)
    run.mkdir()
    child = CHILD if layered else CHILD.replace("redirect.start(lambda name, call: None)", "pass")
    command = [sys.executable, "-c", child, str(root), str(root), str(run), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], _tree(root)


@pytest.mark.parametrize("seed", range(6))
def test_random_operations_give_what_plain_files_give_and_change_no_real_file(
    tmp_path: Path, seed: int
) -> None:
    (tmp_path / "untouched").mkdir()
    _make(tmp_path / "untouched" / "tree")
    expected, _ = _answers(tmp_path, seed, layered=False)
    found, after = _answers(tmp_path, seed, layered=True)
    for one, other in zip(expected, found, strict=True):
        if not (_is_error(one[-1]) and _is_error(other[-1])):  # of two reasons to fail, either may be given
            assert one == other
    assert sum(one == other for one, other in zip(expected, found, strict=True)) > 0.9 * len(found)
    assert after == _tree(tmp_path / "untouched" / "tree")
