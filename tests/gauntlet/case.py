"""The cases of the gauntlet, as their files tell them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

Kind = Literal["cause", "healthy", "decoy", "compound"]
HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
FIXED = ("--fixed",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One training and what is known about it.

    Attributes:
        name: Its name, unique.
        what: What holds it up, or why it looks as if something did; one line.
        kind: ``cause``: one thing planted. ``healthy``: nothing. ``decoy``: a profile screams and the fix does
            nothing. ``compound``: two things planted, the second is the next wall.
        expect: Bottlenecks that are a right answer, the best first. Of ``healthy`` and ``decoy`` those that a healthy
            verdict may name as the limit.
        then: Of ``compound``, right answers for the next wall.
        structure: Of the training loop: plain, trainer, lightning, accumulation, ...
        doses: Arguments per dose, ``strong`` first. Of ``healthy`` the same twice, as ``strong`` and ``again``.
        fixed: Arguments that take the cause away; of decoys those that apply what the profile suggests.
        after_first: Of ``compound``, arguments that take only the first wall away.
        script: train.py; ``fixed_script`` where the fix is another file.
        ranks: Number of processes under torchrun.
        warm_s: Seconds that are left out at the start when the truth is measured.
        ci: Whether continuous integration runs it.
        requires: Packages that it needs in an environment of its own.
        disturbed: The case itself keeps a foreign program busy.
        partial: The fix leaves a part of the resource in use, so that the ceiling lies beyond it.
        override: Mitigation that ``prove`` can try and that does what ``fixed`` does.
    """

    name: str
    what: str
    kind: Kind
    expect: tuple[str, ...]
    then: tuple[str, ...] = ()
    structure: str = "plain"
    doses: Mapping[str, tuple[str, ...]]
    fixed: tuple[str, ...] = FIXED
    after_first: tuple[str, ...] = ()
    script: Path
    fixed_script: Path
    ranks: int = 1
    warm_s: float = 1.5
    ci: bool = False
    override: str | None = None
    environment: Mapping[str, str]
    requires: tuple[str, ...] = ()
    disturbed: bool = False
    partial: bool = False


def cases(names: Sequence[str] = ()) -> tuple[Case, ...]:
    """Return the cases by name, or only ``names``; an unknown one raises KeyError with what there is."""
    found = {one.name: one for one in (*_examples(), *_own())}
    unknown = [name for name in names if name not in found]
    if unknown:
        raise KeyError(f"no case {unknown[0]!r}; there are {', '.join(sorted(found))}")
    return tuple(found[name] for name in names or sorted(found))


def _own() -> list[Case]:
    """Return the cases beside this file."""
    return [_read(path) for folder in ("cases", "real") for path in sorted((HERE / folder).glob("*.yaml"))]


def _read(path: Path) -> Case:
    told: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    script = path.parent / told.pop("script", path.stem + ".py")
    for key in ("expect", "then", "fixed", "after_first", "requires"):
        if key in told:
            told[key] = tuple(told[key])
    doses = {name: tuple(words) for name, words in told.pop("doses", {"strong": ()}).items()}
    environment = told.pop("environment", {})
    if told["kind"] == "healthy":
        doses = _twice(doses["strong"])
    return Case(
        name=path.stem, script=script, fixed_script=script, doses=doses, environment=environment, **told
    )


def _twice(words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Return the doses of a healthy training: a false alarm is chance, which shows in more than one run."""
    return {"strong": words, "again": words}


def _examples() -> list[Case]:
    """Return the examples of the user, which are the gauntlet's core."""
    return [_example(path.parent) for path in sorted(EXAMPLES.glob("*/expected.yaml"))]


def _example(folder: Path) -> Case:
    told = yaml.safe_load((folder / "expected.yaml").read_text(encoding="utf-8"))
    train, fixed = folder / "train.py", folder / "fixed.py"
    first = (folder / "README.md").read_text(encoding="utf-8").splitlines()[0]
    words = _endless(folder)
    return Case(
        name="example_" + folder.name,
        what=first,
        kind="cause" if fixed.exists() else "healthy",
        expect=(told["bottleneck"], *(told["also_accept"] or ())),
        doses={"strong": words} if fixed.exists() else _twice(words),
        fixed=(),
        script=train,
        fixed_script=fixed if fixed.exists() else train,
        ranks=told.get("ranks", 1),
        override=told.get("override"),
        partial=told.get("partial", False),
        environment={},
    )


def _endless(folder: Path) -> tuple[str, ...]:
    """Return the options with which an example trains on until it is stopped, as trainings do."""
    if folder.name == "compilation":  # compiling costs a short run most
        return ()
    common = folder / "common.py"
    text = (common if common.exists() else folder / "train.py").read_text(encoding="utf-8")
    return tuple(
        word for option in ("--steps", "--epochs") if f'"{option}"' in text for word in (option, "100000")
    )
