"""What removing the planted cause of an example really gains, measured by running both scripts in turn.

``python tests/planted/measure_gain.py examples/checkpoint --pairs 3`` prints one JSON object: median and mean
step seconds of ``train.py`` and ``fixed.py``, and the gain ``1 - fixed / train`` of the means with its range
over the pairs. Means, because a cause that strikes every tenth step is absent from a median.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class StepTimes:
    """Step times of one run after its warm-up, in seconds."""

    median_s: float
    mean_s: float


def step_times(stamps: list[float], warmup: int) -> StepTimes:
    """Return median and mean of the times between ``stamps`` (seconds), the first ``warmup`` steps left out.

    Raises ValueError when nothing is left after the warm-up.
    """
    gaps = [end - start for start, end in itertools.pairwise(stamps[warmup - 1 :])]
    if not gaps:
        raise ValueError(f"{len(stamps)} steps are too few for a warm-up of {warmup}")
    return StepTimes(median_s=statistics.median(gaps), mean_s=statistics.fmean(gaps))


def gains(pairs: list[tuple[StepTimes, StepTimes]]) -> list[float]:
    """Return ``1 - fixed / train`` of the mean step times, one per pair of (train, fixed)."""
    return [1 - fixed.mean_s / train.mean_s for train, fixed in pairs]


def run(script: Path, steps: int, warmup: int) -> StepTimes:
    """Run ``script`` for ``steps`` steps and return its step times; stderr is shown where it fails."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times"
        command = [sys.executable, str(script), "--steps", str(steps), "--timing", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{script} ended with code {done.returncode}\n{done.stderr}")
        return step_times([float(line) for line in file.read_text().split()], warmup)


def measure(folder: Path, pairs: int, steps: int, warmup: int) -> dict[str, object]:
    """Run ``train.py`` and ``fixed.py`` in turn, the order changing with every pair, and return the summary.

    Without ``fixed.py`` (nothing to remove) ``train.py`` runs against itself: the gain is the noise.
    """
    train, fixed = folder / "train.py", folder / "fixed.py"
    scripts = (train, fixed if fixed.exists() else train)
    measured: list[tuple[StepTimes, StepTimes]] = []
    for number in range(pairs):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        times = {which: run(scripts[which], steps, warmup) for which in order}
        measured.append((times[0], times[1]))
        print(f"{folder.name}: pair {number + 1} of {pairs}", file=sys.stderr, flush=True)
    return summary(folder.name, measured)


def summary(name: str, measured: list[tuple[StepTimes, StepTimes]]) -> dict[str, object]:
    """Return what is printed: medians over the pairs, and the gain's median, least and greatest."""
    gain = gains(measured)
    return {
        "example": name,
        "pairs": len(measured),
        "train": asdict(_middle([train for train, _ in measured])),
        "fixed": asdict(_middle([fixed for _, fixed in measured])),
        "gain": round(statistics.median(gain), 4),
        "gain_range": [round(min(gain), 4), round(max(gain), 4)],
    }


def _middle(times: list[StepTimes]) -> StepTimes:
    return StepTimes(
        median_s=round(statistics.median(time.median_s for time in times), 6),
        mean_s=round(statistics.median(time.mean_s for time in times), 6),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="+", help="examples/<name>")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="steps of each run")
    parser.add_argument("--warmup", type=int, default=20, help="steps left out at the start")
    args = parser.parse_args()
    if args.warmup < 1 or args.steps <= args.warmup:
        parser.error("--warmup must be at least 1 and less than --steps")
    for folder in args.folder:
        print(json.dumps(measure(folder, args.pairs, args.steps, args.warmup)), flush=True)


if __name__ == "__main__":
    main()
