"""Measures again where a comparison of measured times failed: tests marked ``timing``.

A measured time is a sample. A defect has to show twice on a quiet machine, so that chance is squared. While other
programs, or other machines of the same host, have the cores, a failure says nothing of the code and does not count:
a test that only fails then is skipped as not judged. What was repeated, and how busy others were, is told at the end
of the run: a test that needs it often is to be mended. Where such a test compares what no time can change, it does so
within ``exactly()``, and the first failure counts.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

_BUSY = 0.10  # of the cores' time: one program on one of two cores takes half of it
_CONVICT = 2  # failures on a quiet machine
_ATTEMPTS = 3  # of one test
# Of one run of pytest: once that is spent, what failed while others had the cores is not repeated.
_REPEATS_S = 600.0
_NOT_BUSY = (3, 4)  # idle and iowait in /proc/stat's first line
_SHORT_S = 1.0  # the machine's clock of CPU time ticks a hundred times a second: less tells nothing
_STOLEN = 7
_TICKS = os.sysconf("SC_CLK_TCK")

told: list[str] = []
_repeated_s = [0.0]
_shared: list[float] = []  # how busy others were during each set-up that tests share


class Inexact(AssertionError):
    """What no disturbance explains is not as it has to be."""


@contextmanager
def exactly() -> Iterator[None]:
    """Within, what is asserted does not depend on time: a failure counts at once, however busy others are."""
    try:
        yield
    except AssertionError as error:
        raise Inexact(str(error)) from error


def _of_all() -> tuple[float, float]:
    """Return CPU seconds that all programs of this machine and its hypervisor, and the latter alone, have taken.

    0 off Linux.
    """
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    except OSError:
        return 0.0, 0.0
    taken = sum(int(field) for place, field in enumerate(fields) if place not in _NOT_BUSY)
    return taken / _TICKS, int(fields[_STOLEN]) / _TICKS


def _of_ours() -> float:
    """Return CPU seconds of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def _others() -> Iterator[float]:
    """Yield once, then the share of the cores' time that others have taken since; 0 where that was just now.

    A test that mostly sleeps leaves a hypervisor little to take, and loses as much of the rest: its part of the time
    in which any program wanted to run counts, too.
    """
    began, ours, (all_before, stolen_before) = time.monotonic(), _of_ours(), _of_all()
    yield 0.0
    passed, (taken, stolen) = time.monotonic() - began, _of_all()
    taken, stolen = taken - all_before, stolen - stolen_before
    shares = [(taken - (_of_ours() - ours)) / passed / (os.cpu_count() or 1)] if passed > _SHORT_S else []
    shares += [stolen / taken] if taken > _SHORT_S else []
    yield min(1.0, max(0.0, *shares, 0.0))


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Iterator[None]:
    """Note how busy others were while what several tests share was measured."""
    others = _others()
    next(others)
    try:
        return (yield)
    finally:
        if fixturedef.scope != "function":
            _shared.append(next(others))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Mark the report of a failure that time does not explain."""
    report = yield
    report.inexact = call.excinfo is not None and call.excinfo.errisinstance(Inexact)
    return report


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test marked ``timing``, again where it failed; report the last attempt only."""
    if item.get_closest_marker("timing") is None:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _judged(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    if nextitem is None or nextitem.path != item.path:
        _shared.clear()
    return True


def _judged(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Return the reports of the last attempt: failed where that counts, skipped where no failure could be judged."""
    busy: list[float] = []
    while True:
        others, began = _others(), time.monotonic()
        next(others)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        _repeated_s[0] += time.monotonic() - began if busy else 0.0
        if not any(report.failed for report in reports) or any(report.inexact for report in reports):
            return reports
        busy.append(max(next(others), *_shared, 0.0))
        if sum(one <= _BUSY for one in busy) >= _CONVICT:
            return reports
        if len(busy) >= _ATTEMPTS or (busy[-1] > _BUSY and _repeated_s[0] > _REPEATS_S):
            return [_not_judged(report, busy) for report in reports]
        told.append(f"{item.nodeid}: failed while others had {busy[-1]:.0%} of the cores, measured again")
        item.session._setupstate.teardown_exact(None)  # what it shares with others was measured then, too
        _shared.clear()
        item._initrequest()  # type: ignore[attr-defined]


def _not_judged(report: pytest.TestReport, busy: Sequence[float]) -> pytest.TestReport:
    """Return ``report`` as skipped if it failed, with how much of the cores others had in each attempt."""
    if report.failed:
        reason = f"not judged: failed while others had {', '.join(f'{one:.0%}' for one in busy)} of the cores"
        told.append(f"{report.nodeid}: {reason}")
        path, line, _ = report.location
        report.outcome, report.longrepr = "skipped", (path, line or 0, f"Skipped: {reason}")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was measured again."""
    if told:
        terminalreporter.section("measured again")
        for line in told:
            terminalreporter.line(line)
