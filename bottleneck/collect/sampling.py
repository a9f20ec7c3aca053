"""The thread of the command (never of the training) that samples the machine while training runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from ..model.record import Failure, SystemSample
from ..store.samples import NAME, SampleLog, halve

PERIOD_S = 0.5
# We may take this share of one core for looking: a slower machine is looked at less often.
_SHARE = 0.01
# Not slower than this, or a run of a minute would have too few samples to say anything.
_SLOWEST_S = 10.0
# Readings kept in memory, each a float of 24 bytes and its place in a dictionary: about 20 MB.
_READINGS_KEPT = 200_000


class _Sampler(Protocol):
    def sample(self, time_ns: int) -> SystemSample: ...


class _Devices(Protocol):
    def read(self) -> tuple[Mapping[str, float], ...]: ...


class SamplerThread:
    """Samples every ``period_s`` into a list and into ``system.jsonl`` of the run directory.

    Attributes:
        samples: What is kept in memory, in order; every second one is dropped as it grows too large.
        failures: Why nothing is written or sampled any more.
        cpu_s: CPU time of this thread so far, seconds.
        period_s: Time between two samples at present, seconds.
    """

    def __init__(
        self,
        sampler: _Sampler,
        run_dir: Path,
        devices: _Devices | None = None,
        period_s: float = PERIOD_S,
    ) -> None:
        """Prepare; nothing is sampled before ``start``."""
        self._sampler = sampler
        self._devices = devices
        self._path = run_dir / NAME
        self._base_s = self.period_s = period_s
        self._cost_s = 0.0
        self._kept = 0
        self._log: SampleLog | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bottleneck-system", daemon=True)
        self.samples: list[SystemSample] = []
        self.failures: list[Failure] = []
        self.cpu_s = 0.0

    def start(self) -> None:
        """Start sampling."""
        try:
            self._log = SampleLog(self._path)
        except OSError as error:
            self._fail(f"system samples are not kept on disk: {error.strerror or error}")
        try:
            self._thread.start()
        except RuntimeError as error:
            self._fail(f"the system was not sampled: {error}")

    def stop(self) -> None:
        """Take a last sample, end the thread (within 2 s) and close the file."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(2.0)
        if self._log is not None and not self._thread.is_alive():
            self._log.close()
            self._log = None

    def _fail(self, reason: str) -> None:
        self.failures.append(Failure(collector="system", reason=reason))

    def _run(self) -> None:
        try:
            while True:
                ended = self._stop.is_set()
                started = time.thread_time()
                self._take()
                self.cpu_s = time.thread_time()
                self._adapt(self.cpu_s - started)
                if ended:
                    return
                self._stop.wait(self.period_s)
        except Exception as error:  # a sampler that fails must not take the command with it
            self._fail(f"sampling the system stopped: {type(error).__name__}: {error}")

    def _take(self) -> None:
        sample = self._sampler.sample(time.perf_counter_ns())
        if self._devices is not None:
            devices = self._devices.read()
            sample = SystemSample(
                time_ns=sample.time_ns,
                machine=sample.machine,
                processes=sample.processes,
                devices=tuple(devices),
            )
        self._keep(sample)
        self._write(sample)

    def _keep(self, sample: SystemSample) -> None:
        self.samples.append(sample)
        self._kept += _size(sample)
        if self._kept > _READINGS_KEPT:
            self.samples[:] = halve(self.samples)
            self._kept = sum(_size(kept) for kept in self.samples)

    def _write(self, sample: SystemSample) -> None:
        if self._log is None:
            return
        try:
            if self._log.append(sample):
                self._base_s *= 2
        except OSError as error:
            self._fail(f"system samples stopped being written: {error.strerror or error}")
            log, self._log = self._log, None
            with contextlib.suppress(OSError):
                log.close()

    def _adapt(self, cost_s: float) -> None:
        """Choose the next period; a single slow sample counts for a quarter only."""
        self._cost_s = cost_s if self._cost_s == 0 else 0.75 * self._cost_s + 0.25 * cost_s
        slowest = max(_SLOWEST_S, self._base_s)
        self.period_s = min(max(self._base_s, self._cost_s / _SHARE), slowest)


def _size(sample: SystemSample) -> int:
    """Return how many readings a sample holds."""
    parts = (sample.machine, *sample.processes.values(), *sample.devices)
    return sum(len(part) for part in parts)
