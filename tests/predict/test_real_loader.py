"""The recursion against the loader it describes."""

from __future__ import annotations

import random
import sys
import time
from typing import Any

import pytest

torch_data = pytest.importorskip("torch.utils.data")

from trainbottleneck.predict.loader import Pipeline, step_time  # noqa: E402

MEAN_S, CV, LOOP_S = 0.03, 0.5, 0.012


class Sleeper(torch_data.Dataset):  # type: ignore[misc, name-defined]
    """A data set whose batches take gamma-distributed times without using a core."""

    def __len__(self) -> int:
        """Return how many batches there are."""
        return 240

    def __getitem__(self, index: int) -> int:
        """Sleep, the same for the same index."""
        shape = 1 / CV**2
        time.sleep(random.Random(index).gammavariate(shape, MEAN_S / shape))
        return index


@pytest.mark.skipif(sys.platform != "linux", reason="starts workers by fork")
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_recursion_gives_the_step_of_a_real_loader(workers: int) -> None:
    options: dict[str, Any] = {"multiprocessing_context": "fork"} if workers else {}
    loader = torch_data.DataLoader(Sleeper(), batch_size=1, num_workers=workers, **options)
    times = []
    for _ in loader:
        time.sleep(LOOP_S)
        times.append(time.perf_counter())
        if len(times) == 120:
            break
    measured = (times[-1] - times[20]) / (len(times) - 21)
    pipeline = Pipeline(
        workers=workers, prefetch=2, cpu_s=0.0, io_s=MEAN_S, cv=CV, step_s=LOOP_S, receive_s=0.0003, cores=8
    )
    # 100 batches of this spread: their mean is off by up to 10 % (two standard errors)
    assert step_time(pipeline) == pytest.approx(measured, rel=0.15)
