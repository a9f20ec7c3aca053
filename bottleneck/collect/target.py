"""What to run: a script, a module, or a launcher's command line, exactly as it would run without us."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..errors import UsageError

_ASK_TORCH = "import importlib.util as u, sys; sys.exit(0 if u.find_spec('torch') else 3)"
_ISOLATING = {"-I", "-E", "-S"}  # switches of Python that ignore PYTHONPATH or sitecustomize


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A command line and what is known about it.

    Attributes:
        argv: What is executed.
        form: "script", "module" or "launcher".
        script: Path of the script, name of the module, or the launcher's name.
        python: Interpreter of scripts and modules; None for launchers, who choose their own.
        notes: What the user should know before it starts, one line each.
    """

    argv: tuple[str, ...]
    form: str
    script: str
    python: Path | None
    notes: tuple[str, ...] = ()


def resolve(module: str | None, words: Sequence[str], python: str | None) -> Target:
    """Return the target named on the command line.

    Args:
        module: Value of ``-m``, or None.
        words: Everything after our options: script or launcher with its arguments.
        python: Value of ``--python``, or None.

    Raises:
        UsageError: It does not exist, can't be run, or its interpreter has no torch.
    """
    if module is not None:
        found, notes = interpreter(python)
        return Target(
            argv=(str(found), "-m", module, *words), form="module", script=module, python=found, notes=notes
        )
    if not words or not words[0]:
        raise UsageError("no target: name a script, `-m module`, or a launcher after `--`")
    if _is_script(words[0]):
        found, notes = interpreter(python)
        return Target(argv=(str(found), *words), form="script", script=words[0], python=found, notes=notes)
    return _launcher(words, python)


def _is_script(word: str) -> bool:
    """Return whether ``word`` is something to hand to Python; complain about what is nothing at all."""
    path = Path(word)
    try:
        exists, is_dir = path.exists(), path.is_dir()
    except (OSError, ValueError) as error:
        raise UsageError(f"{word[:200]!r}: not a usable path ({error})") from error
    if is_dir:
        if (path / "__main__.py").is_file():
            return True
        raise UsageError(f"{word}: is a directory without __main__.py; name the script to run")
    if path.suffix == ".py":
        if not exists:
            raise UsageError(f"{word}: no such script")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{word}: can't be read (permission denied)")
        return True
    if path.suffix == ".ipynb":
        raise UsageError(f"{word}: is a notebook; export it first: jupyter nbconvert --to script {word}")
    return exists and path.is_file() and not os.access(path, os.X_OK) and _looks_like_python(path)


def _looks_like_python(path: Path) -> bool:
    """Return whether a file without the suffix can be Python text; refuse shell scripts and binaries."""
    try:
        head = path.open("rb").read(4096)
    except OSError as error:
        raise UsageError(f"{path}: can't be read ({error.strerror})") from error
    if b"\0" in head:
        raise UsageError(f"{path}: is a binary file, not a Python script")
    if path.suffix in {".sh", ".bash", ".slurm", ".sbatch"}:
        raise UsageError(f"{path}: is a shell script; run it as: bottleneck diagnose -- bash {path}")
    return True


def _launcher(words: Sequence[str], python: str | None) -> Target:
    """Return a launcher's command line, verbatim but for where its program lies."""
    if python is not None:
        raise UsageError("--python goes with a script or -m; a launcher chooses its own interpreter")
    beside = Path(sys.executable).parent / words[0]
    found = shutil.which(words[0]) or (str(beside) if os.access(beside, os.X_OK) else None)
    if found is None:
        raise UsageError(f"{words[0]}: no such script, and no such command on PATH")
    notes = []
    if Path(found).name.startswith("python") and _ISOLATING & set(words[1:4]):
        notes.append("Python's -I, -E and -S keep every tool out: nothing will be measured; leave them away")
    return Target(
        argv=(found, *words[1:]), form="launcher", script=Path(words[0]).name, python=None, notes=tuple(notes)
    )


def interpreter(wanted: str | None) -> tuple[Path, tuple[str, ...]]:
    """Return the interpreter for a script, and notes on the choice.

    ``--python`` first; then the active virtual environment, which is what ``python train.py`` would take; then
    the one this command runs in; then ``python`` on PATH. The first with torch wins.

    Raises:
        UsageError: The wanted one is missing or has no torch, or none has.
    """
    if wanted is not None:
        found = shutil.which(wanted)
        if found is None:
            raise UsageError(f"--python {wanted}: no such interpreter")
        if not has_torch(Path(found)):
            raise UsageError(f"--python {wanted}: has no torch; install it there or name another interpreter")
        return Path(found), ()
    own = Path(sys.executable)
    for candidate in _candidates(own):
        if has_torch(candidate):
            note = () if candidate == own else (f"running it with {candidate}",)
            return candidate, note
    raise UsageError(
        f"no torch in {own} (nor in `python` on PATH); name an interpreter that has it with --python"
    )


def _candidates(own: Path) -> list[Path]:
    """Return the interpreters to try, in order, each once."""
    found = []
    if os.environ.get("VIRTUAL_ENV"):
        found.append(Path(os.environ["VIRTUAL_ENV"]) / "bin" / "python")
    found.append(own)
    found += [Path(path) for path in (shutil.which("python"), shutil.which("python3")) if path]
    same_as_own = {p for p in found if p.parent.resolve() == own.parent.resolve()}
    found = [own if p in same_as_own else p for p in found]
    return [p for p in dict.fromkeys(found) if p.exists()]


def has_torch(python: Path) -> bool:
    """Return whether ``python`` can find torch; torch itself is not imported."""
    if python == Path(sys.executable):
        return find_spec("torch") is not None
    try:
        done = subprocess.run([str(python), "-c", _ASK_TORCH], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
