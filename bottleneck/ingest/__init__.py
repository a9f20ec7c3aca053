"""Foreign traces -> record: `torch.profiler` (Chrome, Kineto) traces, read as a stream.

`blocks` (bytes) -> `events` (JSON, whatever its end) -> `columns` (what is kept) -> `loop` and `device` (host and
device in our own words, by `vocabulary`) -> `record`.
"""

from .record import load_traces, looks_like_trace

__all__ = ["load_traces", "looks_like_trace"]
