"""A run directory as a whole: ``run.json`` of the command, a folder per process, samples and stacks beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RecordError
from ..model.record import Failure, Outcome, ProcessRecord, RunRecord, Stacks, SystemSample
from .deep import load_deep, load_roofline
from .files import read_json
from .processes import Condensing, read
from .samples import NAME, load_samples
from .stacks import load_stacks
from .trials import load_trials

SCHEMA = 1
RUN_FILE = "run.json"
AGENT_ERRORS = "agent-errors.log"
_MOST = 1 << 60  # no count, size or time of ours is larger
_MAX_ERRORS = 64 << 10  # each hook writes five lines at most


def load(folder: Path, condensing: Condensing | None = None) -> RunRecord:
    """Return the record in ``folder``; what is missing or damaged in it is left out and named in ``failures``.

    Args:
        folder: A run directory.
        condensing: What to keep of each rank where there are many; None to keep every process whole.

    Raises:
        RecordError: There is no run in ``folder``, or a newer version wrote it.
    """
    run = _run_file(folder)
    failures = [
        Failure(collector=str(f["collector"]), reason=str(f["reason"])) for f in _list(run, "failures")
    ]
    failures += _agent_failures(folder)
    found, ranks = read(folder, failures, condensing)
    processes = tuple(sorted(found, key=lambda p: (_time(p.header, "monotonic_ns"), p.key)))
    system, stacks = _samples(folder, failures), _stacks(folder, failures)
    trials = load_trials(folder, failures)
    deep, roofline = load_deep(folder, failures), load_roofline(folder, failures)
    return RunRecord(
        schema=int(run["schema"]),
        run_id=str(run.get("run_id", folder.name)),
        tool_version=str(run.get("tool_version", "unknown")),
        started=str(run.get("started", "")),
        command=_command(run),
        environment=_environment(run),
        outcome=_outcome(run, processes),
        processes=processes,
        system=system,
        stacks=stacks,
        deep=deep,
        roofline=roofline,
        failures=tuple(failures),
        ranks=ranks,
        trials=trials,
        overhead={key: float(value) for key, value in _mapping(run, "overhead").items() if _is_number(value)},
    )


def _run_file(folder: Path) -> Mapping[str, Any]:
    """Return ``run.json``, checked as far as everything else relies on it."""
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such run directory")
    if not (folder / RUN_FILE).is_file():
        raise RecordError(f"{folder}: holds no {RUN_FILE}; name a directory written by `bottleneck diagnose`")
    run = read_json(folder / RUN_FILE)
    if not isinstance(run, dict) or type(run.get("schema")) is not int or run["schema"] < 1:
        raise RecordError(f"{folder / RUN_FILE}: not a run of ours (no schema number)")
    if run["schema"] > SCHEMA:
        raise RecordError(
            f"{folder / RUN_FILE}: schema {run['schema']}, this version reads up to {SCHEMA}; upgrade bottleneck"
        )
    return run


def _mapping(run: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return ``run[key]`` where it is a mapping, else an empty one."""
    value = run.get(key)
    return value if isinstance(value, dict) else {}


def _command(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the command; ``argv`` is a list of texts whatever the file says."""
    command = dict(_mapping(run, "command"))
    argv = command.get("argv")
    command["argv"] = [str(word) for word in argv] if isinstance(argv, list) else []
    return command


def _environment(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the environment without sections that are no mappings and paths that are no list."""
    about = dict(_mapping(run, "environment"))
    for key in ("cpu", "memory", "python", "os", "disk", "variables"):
        about[key] = _mapping(about, key)
    paths = about.get("library_paths")
    about["library_paths"] = [str(path) for path in paths] if isinstance(paths, list) else []
    return about


def _is_number(value: Any) -> bool:
    """Return whether ``value`` is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return -_MOST < value < _MOST


def _time(told: Mapping[str, Any], key: str) -> int:
    """Return a monotonic time, 0 where it is missing or none."""
    value = told.get(key)
    return int(value) if value is not None and _is_number(value) else 0


def _list(run: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the mappings in the list ``run[key]``."""
    value = run.get(key)
    wanted = {"collector", "reason"}
    return [v for v in value if isinstance(v, dict) and wanted <= set(v)] if isinstance(value, list) else []


def _agent_failures(folder: Path) -> list[Failure]:
    """Return why an agent did not start or stopped recording: what it could tell only beside its record."""
    path = folder / AGENT_ERRORS
    try:
        with path.open("rb") as file:
            lines = file.read(_MAX_ERRORS).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    told = dict.fromkeys(line for line in lines if line.startswith(("recorder: ", "boot: ")))
    return [Failure(collector=line.split(": ")[0], reason=line.split(": ", 1)[1][:500]) for line in told][:20]


def _outcome(run: Mapping[str, Any], processes: tuple[ProcessRecord, ...]) -> Outcome:
    """Return how the run ended; where the command itself was killed, time ends with the last span."""
    told = _mapping(run, "outcome")
    start, end, code = _time(told, "start_ns"), _time(told, "end_ns"), told.get("exit_code")
    last = max((int(p.spans.end_ns.max()) for p in processes if len(p.spans)), default=start)
    return Outcome(
        exit_code=code if isinstance(code, int) else None,
        signal=str(told["signal"]) if told.get("signal") else None,
        stopped_by_us=bool(told.get("stopped_by_us", False)),
        start_ns=start,
        end_ns=max(start, end or last),
    )


def _samples(folder: Path, failures: list[Failure]) -> tuple[SystemSample, ...]:
    """Return the samples of the machine; what is damaged becomes a failure."""
    if not (folder / NAME).is_file():
        return ()
    try:
        found, problem = load_samples(folder / NAME)
    except RecordError as error:
        found, problem = (), str(error)
    if problem:
        failures.append(Failure(collector="system", reason=problem))
    return found


def _stacks(folder: Path, failures: list[Failure]) -> tuple[Stacks, ...]:
    """Return the stack windows; one that can't be read becomes a failure."""
    found = []
    for path in sorted(folder.glob("stacks-*.json"))[:64]:
        try:
            found.append(load_stacks(path))
        except RecordError as error:
            failures.append(Failure(collector="stacks", reason=str(error)))
    return tuple(found)
