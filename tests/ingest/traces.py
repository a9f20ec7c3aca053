"""Chrome traces for tests, built event by event in the words of 2021 or of today."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from trainbottleneck.ingest import load_traces
from trainbottleneck.model.record import RunRecord

MAIN, AUTOGRAD, PROCESS = 100, 200, 100
NOW = {
    "op": "cpu_op",
    "note": "user_annotation",
    "runtime": "cuda_runtime",
    "kernel": "kernel",
    "copy": "gpu_memcpy",
    "fill": "gpu_memset",
}
OF_2021 = {
    "op": "Operator",
    "note": "Operator",
    "runtime": "Runtime",
    "kernel": "Kernel",
    "copy": "Memcpy",
    "fill": "Memset",
}


class Builder:
    """A trace under construction; times are microseconds."""

    def __init__(self, old: bool = False, zero: float = 1_000_000_000.0, hip: bool = False) -> None:
        """Start an empty trace, in the vocabulary of 2021 where ``old``."""
        self.events: list[dict[str, Any]] = []
        self.about: dict[str, Any] = {"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "Test GPU"}]}
        self._words, self._old, self._zero, self._hip = OF_2021 if old else NOW, old, zero, hip
        self._correlation = 0

    def add(self, word: str, name: str, start: float, took: float, thread: int = MAIN, **args: Any) -> None:
        """Add an event of one of the words in ``NOW``."""
        device = word in ("kernel", "copy", "fill")
        tid: Any = f"stream {args.get('stream', 7)}" if self._old and device else thread
        self.events.append(
            {
                "ph": "X",
                "cat": self._words[word],
                "name": name,
                "pid": 0 if device else PROCESS,
                "tid": str(tid) if self._old else tid,
                "ts": self._zero + start,
                "dur": took,
                "args": args,
            }
        )

    def op(self, name: str, start: float, took: float, thread: int = MAIN) -> None:
        """Add an operator."""
        self.add("op", name, start, took, thread)

    def note(self, name: str, start: float, took: float) -> None:
        """Add an annotation."""
        self.add("note", name, start, took)

    def call(self, name: str, start: float, took: float, thread: int = MAIN) -> int:
        """Add a runtime call and return its correlation number."""
        self._correlation += 1
        self.add("runtime", name, start, took, thread, correlation=self._correlation)
        return self._correlation

    def kernel(
        self,
        start: float,
        took: float,
        launch: float,
        name: str = "gemm",
        thread: int = MAIN,
        stream: int = 7,
    ) -> None:
        """Add a kernel and the call that launched it."""
        number = self.call("hipLaunchKernel" if self._hip else "cudaLaunchKernel", launch, 1, thread)
        self.add("kernel", name, start, took, stream=stream, correlation=number)

    def copy(self, name: str, start: float, took: float, launch: float, size: int, wait: float = 1) -> None:
        """Add a copy and the call that asked for it, which takes ``wait``."""
        number = self.call("cudaMemcpyAsync", launch, wait)
        self.add("copy", name, start, took, stream=7, correlation=number, bytes=size)

    def text(self, pretty: bool = False) -> bytes:
        """Return the trace as JSON, laid out as Kineto does where ``pretty``."""
        whole = {**self.about, "traceEvents": self.events}
        return json.dumps(whole, indent=2 if pretty else None).encode()

    def save(self, path: Path, pretty: bool = False) -> Path:
        """Write the trace to ``path``, compressed where its name says so."""
        text = self.text(pretty)
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
        return path

    def record(self, folder: Path) -> RunRecord:
        """Return the record of this trace alone."""
        return load_traces([self.save(folder / "trace.json")])


def training(
    steps: int = 5, wait: float = 400.0, workers: bool = False, marks: bool = True, **options: Any
) -> Builder:
    """Return a training whose steps take 1000 us when the loader makes its caller wait ``wait`` us.

    Each step: fetch, copy to the device (20 us), forward and backward of three kernels each, optimizer of one.
    The device is busy 300 us after the copy, and the host far ahead of it.
    """
    trace = Builder(**options)
    iterator = "_MultiProcessingDataLoaderIter" if workers else "_SingleProcessDataLoaderIter"
    length = 600 + wait
    for number in range(steps):
        at = number * length
        if marks:
            trace.note(f"ProfilerStep#{number + 3}", at, length)
        trace.note(f"enumerate(DataLoader)#{iterator}.__next__", at + 5, wait - 5)
        at += wait
        trace.op("aten::to", at + 1, 24)
        trace.copy("Memcpy HtoD (Pageable -> Device)", at + 5, 20, at + 3, 4096, wait=20)
        for kernel in range(3):
            trace.op("aten::conv2d", at + 30 + 20 * kernel, 15)
            trace.kernel(at + 100 + 50 * kernel, 50, at + 32 + 20 * kernel)
        trace.op("aten::ones_like", at + 95, 3)
        name = (
            "NllLossBackward"
            if options.get("old")
            else "autograd::engine::evaluate_function: ConvolutionBackward0"
        )
        for kernel in range(3):
            trace.op(name, at + 100 + 20 * kernel, 18, AUTOGRAD)
            trace.kernel(at + 250 + 50 * kernel, 50, at + 102 + 20 * kernel, thread=AUTOGRAD)
        trace.note("Optimizer.step#SGD.step", at + 200, 50)
        trace.kernel(at + 400, 100, at + 210, name="multi_tensor_apply")
    return trace
