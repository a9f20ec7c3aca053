"""What taking the planted cause away really gains: both versions run in turn, as fresh processes, without the tool.

The order within pairs changes with every pair. Pairs go on until the ratio is known well enough or ``MOST`` are
measured; one in which the hypervisor took the cores does not count, whatever it says. The statistics are a paired t
interval on the logarithm of the ratio: plain on purpose, and other than what the tool itself uses.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LEAST, MOST = 3, 6  # pairs; with two the t interval is 12.7 standard errors wide
TRIED = 10  # pairs, those that do not count among them
STOLEN = (
    0.05  # of the cores' time: it falls on either arm by chance, and a twentieth is what a ceiling is held to
)
ARM_S = 3.0  # steps of 5 to 150 ms: 20 to 600 of them
LEAST_STEPS = 20
LIMIT_S = 60.0  # an arm that has not got its steps by then is stuck
# Known well enough: within 3 % of the step, or within a tenth of what is gained.
NEAR, NEAR_OF_GAIN = 0.03, 0.1
# Two-sided 95 % quantiles of Student's t by degrees of freedom (any table).
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571}


class Disturbed(Exception):
    """Other programs, or the hypervisor, had the cores for so long that nothing could be tried."""


class NoSteps(Exception):
    """An arm gave no steps to time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One process: seconds per step and per sample after its warm-up."""

    step_s: float
    sample_s: float
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Both versions of a case.

    Attributes:
        step_s: Seconds per step as given, geometric mean over pairs.
        fixed_step_s: The same without the cause.
        speedup: Seconds per sample, given over fixed.
        low, high: Its 95 % interval.
        pairs: How many were measured.
    """

    step_s: float
    fixed_step_s: float
    speedup: float
    low: float
    high: float
    pairs: int


def truth(pairs: Sequence[tuple[Arm, Arm]]) -> Truth:
    """Return what ``pairs`` of (given, fixed) say."""
    logs = [math.log(given.sample_s / fixed.sample_s) for given, fixed in pairs]
    middle, half = statistics.fmean(logs), half_width(logs)
    return Truth(
        step_s=statistics.geometric_mean(given.step_s for given, _ in pairs),
        fixed_step_s=statistics.geometric_mean(fixed.step_s for _, fixed in pairs),
        speedup=math.exp(middle),
        low=math.exp(middle - half),
        high=math.exp(middle + half),
        pairs=len(pairs),
    )


def half_width(logs: Sequence[float]) -> float:
    """Return half the width of the 95 % interval of the mean of ``logs``; infinite for one."""
    if len(logs) < 2:
        return math.inf
    return T95[len(logs) - 1] * statistics.stdev(logs) / math.sqrt(len(logs))


def known(pairs: Sequence[tuple[Arm, Arm]]) -> bool:
    """Return whether more pairs would tell nothing that matters."""
    if len(pairs) < LEAST:
        return False
    logs = [math.log(given.sample_s / fixed.sample_s) for given, fixed in pairs]
    return half_width(logs) <= NEAR + NEAR_OF_GAIN * abs(statistics.fmean(logs))


def measure(
    given: Sequence[str], fixed: Sequence[str], environment: Mapping[str, str], warm_s: float
) -> Truth:
    """Return the truth about two commands, which each write ``--timing``."""
    pairs: list[tuple[Arm, Arm]] = []
    for number in range(TRIED):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        before = cores_time()
        arms = {which: run((given, fixed)[which], environment, warm_s) for which in order}
        if stolen(before, cores_time()) <= STOLEN:
            pairs.append((arms[0], arms[1]))
        if known(pairs) or len(pairs) == MOST:
            break
    if len(pairs) < LEAST:
        raise Disturbed(f"{TRIED - len(pairs)} of {TRIED} pairs did not count: the hypervisor took the cores")
    return truth(pairs)


def cores_time() -> tuple[float, float]:
    """Return what the hypervisor took of the cores since the machine began, and all time; (0, 1) off Linux."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
    except OSError:
        return 0.0, 1.0
    return float(fields[7]), float(sum(map(int, fields)))


def stolen(before: tuple[float, float], after: tuple[float, float]) -> float:
    """Return the share of the cores' time that the hypervisor took between two readings."""
    return (after[0] - before[0]) / max(1.0, after[1] - before[1])


def run(command: Sequence[str], environment: Mapping[str, str], warm_s: float) -> Arm:
    """Run ``command`` until it has given enough steps, end it, and return what they took."""
    with tempfile.TemporaryDirectory() as folder:
        times, log = Path(folder) / "times", Path(folder) / "log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                [*command, "--timing", str(times)],
                stdout=out, stderr=out, cwd=folder, start_new_session=True, env={**os.environ, **environment},
            )  # fmt: skip
            try:
                laps = _follow(process, times, warm_s)
            finally:
                end(process)
        found = arm(laps, warm_s)
        if found is None:
            text = log.read_text(errors="replace")[-2000:]
            raise NoSteps(f"{' '.join(command)}: {len(laps)} steps, code {process.returncode}\n{text}")
        return found


def _follow(process: subprocess.Popen[bytes], times: Path, warm_s: float) -> list[tuple[float, float]]:
    """Return the laps of ``process`` once there are enough, it has ended, or its time is up."""
    latest = time.monotonic() + LIMIT_S
    while process.poll() is None and time.monotonic() < latest:
        time.sleep(0.1)
        laps = read(times)
        warm = after(laps, warm_s)
        if len(warm) > LEAST_STEPS and warm[-1][0] - warm[0][0] >= ARM_S:
            break
    return read(times)


def end(process: subprocess.Popen[bytes]) -> None:
    """End ``process`` and what it started, which is a session of its own."""
    for number, patience in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def read(times: Path) -> list[tuple[float, float]]:
    """Return (seconds, samples) per finished line of ``times``."""
    text = times.read_text() if times.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [
        (float(first), float(rest[0]) if rest else 1.0) for first, *rest in (line.split() for line in lines)
    ]


def after(laps: Sequence[tuple[float, float]], warm_s: float) -> Sequence[tuple[float, float]]:
    """Return the laps from ``warm_s`` after the first on."""
    return [lap for lap in laps if lap[0] - laps[0][0] >= warm_s]


def arm(laps: Sequence[tuple[float, float]], warm_s: float) -> Arm | None:
    """Return the means over ``laps`` after the warm-up; None where fewer than two steps are left.

    Means, because a cause that strikes every tenth step is absent from a median.
    """
    warm = after(laps, warm_s) if laps else []
    if len(warm) < 3:
        return None
    seconds = warm[-1][0] - warm[0][0]
    samples = sum(count for _, count in itertools.islice(warm, 1, None))
    return Arm(step_s=seconds / (len(warm) - 1), sample_s=seconds / samples, steps=len(warm) - 1)
