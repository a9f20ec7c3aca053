"""What else differs between two sides and could explain a difference of time."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import PurePath

from .. import units
from ..analyze.catalogue import CATALOGUE
from ..model.comparison import Difference, Sort
from ..model.report import Report
from .facts import finite, number, samples
from .sides import SAME, Group

_Told = Callable[[Report], str | None]

# Facts of the environment that can change the time of a step, with how.
_ENVIRONMENT: tuple[tuple[Sort, str, str, str], ...] = (
    ("hardware", "accelerators", "GPU", "computes everything that is not on the host"),
    ("hardware", "machine", "processor", "runs the loop, the loader's workers and models without a GPU"),
    ("hardware", "cores", "usable cores", "limit workers and threads"),
    ("hardware", "memory_bytes", "memory", "what is left of it caches the data set's files"),
    ("hardware", "filesystem", "file system", "data and checkpoints lie on it"),
    ("software", "torch", "torch", "other kernels and defaults"),
    ("software", "cuda", "CUDA", "other kernels"),
    ("software", "python", "Python", "runs the loop and the loader's workers"),
)
# Settings of the script that change the time of a step: what the report measured or read of them.
_SETTINGS = (
    "input.workers",
    "input.prefetch_factor",
    "input.pin_memory",
    "input.persistent_workers",
    "input.iterable",
    "step.micro_batches",
    "host.torch_threads",
    "optimizer.fused",
    "optimizer.foreach_off",
    "amp.scaler",
    "model.double",
    "compile.used",
    "device.is_cuda",
    "ddp.bucket_view",
    "ddp.static_graph",
    "ddp.find_unused",
    "ddp.comm_hook",
)


def differences(before: Group, after: Group) -> tuple[Difference, ...]:
    """Return what differs: first what makes the work itself another, then settings, command, machine, software."""
    return (
        *_workload(before, after),
        *_settings(before, after),
        *_command(before, after),
        *_environment(before, after),
        *_variables(before, after),
    )


def not_the_same_work(found: Sequence[Difference]) -> list[str]:
    """Return a sentence for each difference that makes the steps different work."""
    return [
        f"Not the same work: {row.name} {row.before} and {row.after}. {row.why}."
        for row in found
        if row.sort == "workload"
    ]


def _told(group: Group, tell: _Told) -> str | None:
    """Return what the runs of a side tell, in words; None where one can't."""
    found = [tell(one.report) for one in group.facts]
    if any(text is None for text in found):
        return None
    counts = Counter(text for text in found if text is not None)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{text} ({count} of {len(found)} runs)" for text, count in sorted(counts.items()))


def _row(before: Group, after: Group, sort: Sort, name: str, tell: _Told, why: str = "") -> list[Difference]:
    """Return the difference in what both sides tell, where both do and it is not the same."""
    old, new = _told(before, tell), _told(after, tell)
    if old is None or new is None or old == new:
        return []
    return [Difference(sort=sort, name=name, before=old, after=new, why=why)]


def _count(identifier: str) -> _Told:
    """Return what tells a measurement of a report as a plain number, or as yes and no."""

    def tell(report: Report) -> str | None:
        value = number(report, identifier)
        return None if value is None else units.show(value, CATALOGUE[identifier].unit)

    return tell


def _workload(before: Group, after: Group) -> list[Difference]:
    """Return differences of model, batch and ranks: with one of these, steps are different work."""
    rows = _row(before, after, "workload", "parameters", _count("model.parameters"), "The models differ")
    taken = [[samples(one.report) for one in group.facts] for group in (before, after)]
    known = [[value for value in side if value] for side in taken]
    if all(known) and abs(known[0][0] / known[1][0] - 1) > SAME:
        rows += _row(
            before,
            after,
            "workload",
            "samples in a step",
            lambda report: None if (found := samples(report)) is None else units.count(found),
            "Times are compared per sample; larger batches also change how training converges",
        )
    rows += _row(before, after, "workload", "ranks", _count("ddp.world"), "More ranks share the work")
    return rows


def _settings(before: Group, after: Group) -> list[Difference]:
    """Return differences of what the script set."""
    return [
        row
        for identifier in _SETTINGS
        for row in _row(before, after, "settings", CATALOGUE[identifier].meaning, _count(identifier))
    ]


def _environment(before: Group, after: Group) -> list[Difference]:
    """Return differences of machine and software."""
    rows: list[Difference] = []
    for sort, key, name, why in _ENVIRONMENT:

        def tell(report: Report, key: str = key) -> str | None:
            value = report.environment.get(key)
            if value is None:
                return None
            if key == "memory_bytes":
                return units.size(size) if (size := finite(value)) is not None else None
            return ", ".join(str(part) for part in value) if isinstance(value, (list, tuple)) else str(value)

        rows += _row(before, after, sort, name, tell, why)
    return rows


def _variables(before: Group, after: Group) -> list[Difference]:
    """Return differences of environment variables that change speed."""
    every = [_of(one.report) for group in (before, after) for one in group.facts]
    rows: list[Difference] = []
    for name in sorted({name for one in every for name in one}):

        def tell(report: Report, name: str = name) -> str | None:
            return _of(report).get(name, "not set")

        rows += _row(before, after, "variables", name, tell)
    return rows


def _of(report: Report) -> dict[str, str]:
    """Return the variables of a report that were recorded."""
    told = report.environment.get("variables")
    rows = [str(row).partition("=") for row in told] if isinstance(told, (list, tuple)) else []
    return {name: value for name, _, value in rows}


def _command(before: Group, after: Group) -> list[Difference]:
    """Return the words in which the commands differ, a flag beside its value."""
    old, new = (_words(group.facts[0].report) for group in (before, after))
    if not old or not new or old == new:
        return []
    taken: tuple[list[str], list[str]] = ([], [])
    for tag, i, j, k, m in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        flag = [old[i - 1]] if i and old[i - 1].startswith("-") and not _flags(old[i:j], new[k:m]) else []
        for words, part in zip(taken, (old[i:j], new[k:m]), strict=True):
            words.extend([*flag, *part])
    texts = [" ".join(words) or "without" for words in taken]
    return [Difference(sort="command", name="arguments", before=texts[0], after=texts[1])]


def _flags(*parts: Sequence[str]) -> bool:
    """Return whether a part begins with a flag of its own."""
    return any(part and part[0].startswith("-") for part in parts)


def _words(report: Report) -> list[str]:
    """Return the command without its interpreter; of the script only its name."""
    argv = report.run.get("command")
    words = [str(word) for word in argv] if isinstance(argv, (list, tuple)) else []
    if words and PurePath(words[0]).name.startswith("python"):
        words = words[1:]
    script = str(report.run.get("script") or "")
    return [
        PurePath(word).name if word == script or (at == 0 and word.endswith(".py")) else word
        for at, word in enumerate(itertools.islice(words, 200))
    ]
