"""The processes of a run: all of them, or one at a time where there are thousands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import RecordError
from ..model.ranks import RankDigest
from ..model.record import Failure, ProcessRecord
from .trace import read_process

_MOST = 200_000  # folders looked at; 16,384 ranks with ten workers each are fewer
_MOST_KEPT = 256  # helpers of kept ranks and ranks that took no step
_MOST_FAILURES = 100


class Condensing(Protocol):
    """What to keep of each process where there are many (see ``analyze/ranks/condense.py``)."""

    def expect(self, processes: int) -> bool:
        """Return whether so many processes have to be condensed."""

    def digest(self, process: ProcessRecord) -> RankDigest | None:
        """Return what is kept of a process that trained, None of any other."""

    def keep(self, digests: Iterable[RankDigest]) -> tuple[str, ...]:
        """Return the keys of the processes to keep whole."""


@dataclass(frozen=True, slots=True)
class _Helper:
    """A process that did not train: enough to tell later whose it was."""

    path: Path
    pid: int
    parents: tuple[int, int]
    host: str
    rank: int | None


def read(
    folder: Path, failures: list[Failure], condensing: Condensing | None = None
) -> tuple[list[ProcessRecord], tuple[RankDigest, ...]]:
    """Return the processes of a run, and digests of all ranks where there are too many to keep whole.

    What can't be read, and what processes told of their own failures, is added to ``failures``.
    """
    paths = [path for path in sorted(folder.glob("p*-*"))[:_MOST] if not path.is_symlink() and path.is_dir()]
    if condensing is None or not condensing.expect(len(paths)):
        return list(_each(paths, failures)), ()
    return _condensed(paths, failures, condensing)


def _each(paths: Iterable[Path], failures: list[Failure]) -> Iterator[ProcessRecord]:
    """Yield each process's record; one that can't be read becomes a failure."""
    for path in paths:
        try:
            process = read_process(path)
        except RecordError as error:
            _add(failures, Failure(collector="record", reason=str(error)))
            continue
        if process is not None and process.header:
            for event in process.told("failure"):
                collector, reason = str(event.data.get("collector")), str(event.data.get("reason"))
                _add(failures, Failure(collector=collector, reason=reason))
            yield process


def _add(failures: list[Failure], failure: Failure) -> None:
    """Add a failure once; a thousand ranks that fail alike say it once."""
    if len(failures) < _MOST_FAILURES and failure not in failures:
        failures.append(failure)


def _condensed(
    paths: list[Path], failures: list[Failure], condensing: Condensing
) -> tuple[list[ProcessRecord], tuple[RankDigest, ...]]:
    """Return the processes worth keeping whole, and digests of all that trained."""
    digests: list[RankDigest] = []
    helpers: list[_Helper] = []
    where = {path.name: path for path in paths}
    for process in _each(paths, failures):
        digest = condensing.digest(process)
        if digest is None:
            helpers.append(_helper(process, where[process.key]))
        else:
            digests.append(digest)
    kept = set(condensing.keep(digests))
    owners = {(digest.host, digest.pid) for digest in digests if digest.key in kept}
    ranks = {digest.rank for digest in digests}
    wanted = [where[key] for key in sorted(kept)]
    wanted += [
        helper.path
        for helper in helpers
        if any((helper.host, parent) in owners for parent in helper.parents)
        or (helper.rank is not None and helper.rank not in ranks)
    ][:_MOST_KEPT]
    return list(_each(wanted, [])), tuple(digests)


def _helper(process: ProcessRecord, path: Path) -> _Helper:
    """Return what is remembered of a process that did not train."""
    maker = process.header.get("maker")
    parents = (process.ppid, maker if isinstance(maker, int) else process.ppid)
    host = str(process.header.get("host", ""))
    return _Helper(path=path, pid=process.pid, parents=parents, host=host, rank=process.rank)
