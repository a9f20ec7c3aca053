"""What `bottleneck compare` was given, as groups of runs; and where its files go."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import ingest
from ..analyze.ranks.condense import Condenser
from ..compare.facts import Facts, read, unusable
from ..compare.sides import Group
from ..diagnosis import diagnose as make_report
from ..errors import BottleneckError, RecordError, UsageError
from ..model.comparison import FORMAT
from ..model.record import RunRecord
from ..model.report import Report
from ..render import json_report
from ..rulebook import Rulebook
from ..store import RUN_FILE, load

_REPORT = "report.json"
_MOST_BYTES = 64 << 20  # no report of ours is larger


def groups(paths: Sequence[Path], book: Rulebook) -> tuple[Group, ...]:
    """Return what ``paths`` hold, each as one side, lettered in order.

    Raises:
        UsageError: There are too few or too many, or one is no run and no folder of runs.
        RecordError: One can't be read, or holds no run with steps.
    """
    if len(paths) < 2:
        raise UsageError("name two runs, or two folders of runs")
    if len(paths) > len(string.ascii_uppercase):
        raise UsageError(f"{len(paths)} sides, at most {len(string.ascii_uppercase)} can be told apart")
    names = _names(paths)
    letters = string.ascii_uppercase
    return tuple(
        _group(letter, name, path, book) for letter, name, path in zip(letters, names, paths, strict=False)
    )


def _names(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart."""
    every = [path.absolute().parts for path in paths]
    for length in range(1, max(len(parts) for parts in every) + 1):
        names = ["/".join(parts[-length:]) for parts in every]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _group(letter: str, name: str, path: Path, book: Rulebook) -> Group:
    """Return one side: a run, a report, or every run in a folder."""
    runs = _runs(path)
    alone = runs == [path]
    facts: list[Facts] = []
    left_out: dict[str, str] = {}
    for run in runs:
        try:
            facts.append(_facts(run, book))
        except BottleneckError as error:
            if alone:
                raise
            left_out[run.name] = str(error).removeprefix(f"{run}: ")
    if not facts:
        reason = next(iter(left_out.values()))
        raise RecordError(f"{path}: none of its {len(runs)} runs can be compared (the first: {reason})")
    return Group(letter=letter, name=name, facts=tuple(facts), left_out=left_out)


def _runs(path: Path) -> list[Path]:
    """Return the runs that ``path`` stands for."""
    if not path.exists():
        raise UsageError(f"{path}: no such run")
    if path.is_file():
        if ingest.looks_like_trace(path) and not _is_report(path):
            raise UsageError(
                f"{path}: a trace; make a report of it with `bottleneck report`, and name its folder"
            )
        return [path]
    if _is_run(path):
        return [path]
    found = [child for child in sorted(path.iterdir()) if child.is_dir() and _is_run(child)]
    if not found:
        raise UsageError(f"{path}: neither a run nor a folder of runs (no {RUN_FILE}, no {_REPORT})")
    return found


def _is_run(folder: Path) -> bool:
    """Return whether a folder holds a run, or a report at least."""
    return (folder / RUN_FILE).is_file() or (folder / _REPORT).is_file()


def _is_report(path: Path) -> bool:
    """Return whether a file begins as a report of ours does."""
    with path.open("rb") as file:
        head = file.read(200)
    return b'"schema"' in head and b'"verdict"' in head


def _facts(run: Path, book: Rulebook) -> Facts:
    """Return the facts of one run."""
    report, record = _read(run, book)
    reason = unusable(report)
    if reason:
        raise RecordError(f"{run}: {reason}")
    try:
        return read(run.name, report, record)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecordError(
            f"{run}: can't be compared, the record is damaged ({type(error).__name__}: {error})"
        ) from error


def _read(run: Path, book: Rulebook) -> tuple[Report, RunRecord | None]:
    """Return the report on a run, and its record where there is one."""
    if not (run / RUN_FILE).is_file():
        return _report(run / _REPORT if run.is_dir() else run), None
    record = load(run, Condenser())
    try:
        return make_report(record, book), record
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RecordError(
            f"{run}: can't be diagnosed, the record is damaged ({type(error).__name__}: {error})"
        ) from error


def _report(path: Path) -> Report:
    """Return the report in a file."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise RecordError(f"{path}: larger than any report of ours")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecordError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: not a report: not UTF-8") from error
    try:
        return json_report.load(text)
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None


def folder_beside(paths: Sequence[Path]) -> Path:
    """Return a folder for the comparison that does not exist yet, beside the last of ``paths``."""
    last = paths[-1].absolute()
    base = last.with_name(f"{_stem(last)}.compare")
    return next(path for path in _numbered(base) if not path.exists())


def _stem(path: Path) -> str:
    """Return the name of a run; a report's is its folder's."""
    return path.parent.name if path.name == _REPORT else path.name.removesuffix(".json")


def _numbered(base: Path) -> Iterator[Path]:
    """Iterate over ``base``, then over it with a number."""
    yield base
    yield from (base.with_name(f"{base.stem}-{number}{base.suffix}") for number in itertools.count(2))


def refuse_foreign(path: Path) -> None:
    """Raise UsageError where ``path`` holds something that no comparison wrote."""
    try:
        with path.open("rb") as file:
            head = file.read(600)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror}); name another place") from error
    if head and FORMAT.encode() not in head:
        raise UsageError(f"{path}: is there already and is not one of ours; name another place")
