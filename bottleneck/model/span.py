"""What the agent writes: one span is one thing that one thread did, with its start and its end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Kind(IntEnum):
    """What a span is. The numbers are the file format; a test keeps ``agent/kinds.py`` equal."""

    NEXT = 1  # one next() on a loader's iterator; a = batches ready when asked (-1 unknown), b = loader id
    ITER = 2  # creation of a loader's iterator (workers start here); b = loader id
    FORWARD = 3  # outermost module call; a = modules id of the root, flags below
    BACKWARD = 4  # one run of the autograd engine
    OPTIMIZER = 5  # outermost optimizer.step; b = optimizer id
    SCALER = 6  # GradScaler.step or update; a = 1 where the step was skipped
    TRANSFER = 7  # host to device or back; a = bytes
    SYNC = 8  # the host waited for the device (item, cpu, synchronize)
    COLLECTIVE = 9  # a torch.distributed call or a wait for one; a = bytes, b = sequence << 16 | group
    SAVE = 10  # torch.save and its like; a = bytes written
    LOG = 11  # logging, TensorBoard, W&B, progress bars
    GC = 12  # one garbage collection; a = generation, b = 2: somebody asked for it, 1: nobody did, 0: not known
    COMPILE = 13  # torch.compile at work on one frame
    ZERO_GRAD = 14  # optimizer.zero_grad
    BATCH = 15  # a worker (or the main process) made one batch; a = samples, b = thread CPU ns
    COLLATE = 16  # collate_fn inside BATCH; a = samples
    TRANSFORM = 17  # all calls of one transform within one batch; a = calls, b = total ns
    BATCH_IO = 18  # beside BATCH: a = bytes read by this thread, b = ns it waited for a core
    MARK = 19  # explicit step mark of the in-code API
    GAP = 20  # spans left out here to keep the record bounded; a = optimizer steps inside
    PAUSE = 21  # our own work inside the training process (counted as overhead, in no phase)
    FUNCTION = 22  # reserved for named calls a trial wraps
    DDP_TIMING = (
        23  # DDP's own clock of one backward pass; a = ns exchanging, b = ns of that beside computing
    )
    LOSS = 24  # a backward pass in a trial; a = bits of the loss as a 64-bit float, b = optimizer steps before it
    METRIC = 25  # a number the script logged; a = its bits as a 64-bit float, b = the step it gave or -1
    SAMPLE = 26  # the sampler drew the indices of a batch, and took long; b = loader id
    # The device passed the end of a phase (its kind is in the flags); a = host ns when that was put into the queue,
    # b = ns of the device's own clock since the first
    DEVICE = 27


class Flag:
    """Bits of a span's ``flags``; which of them apply depends on the kind."""

    TRAINING = 1  # FORWARD: the root module was in training mode
    GRAD = 2  # FORWARD: gradients were enabled
    FIRST = 4  # NEXT: first of its iterator
    STOP = 8  # NEXT: ended with StopIteration
    RAISED = 16  # any: ended with an exception
    PINNED = 32  # TRANSFER: the source was pinned
    NON_BLOCKING = 64  # TRANSFER: asked for non_blocking; COLLECTIVE: returned before it was done
    UNCLOCKED = 128  # BATCH: its CPU time was not read
    WAIT = 128  # COLLECTIVE: a wait for one that was launched earlier, a = ns ago
    APART = 128  # DEVICE: phases before it were not marked
    UNREAD = 128  # METRIC: it lay on a device, where reading it would have made the host wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Spans:
    """The spans of one process as columns of equal length, in order of their end.

    Attributes:
        start_ns: Monotonic nanoseconds (CLOCK_MONOTONIC), int64, shape (n,).
        end_ns: The same clock, int64, shape (n,).
        kind: ``Kind``, uint8, shape (n,).
        flags: ``Flag`` bits, uint8, shape (n,).
        thread: Small number of the thread within its process; 0 is the main thread, uint16, shape (n,).
        name: Index into ``names``, uint32, shape (n,).
        a: First argument, int64, shape (n,); its meaning depends on the kind.
        b: Second argument, int64, shape (n,).
        names: The texts that ``name`` points to.
    """

    start_ns: npt.NDArray[np.int64]
    end_ns: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    flags: npt.NDArray[np.uint8]
    thread: npt.NDArray[np.uint16]
    name: npt.NDArray[np.uint32]
    a: npt.NDArray[np.int64]
    b: npt.NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Return the number of spans."""
        return len(self.kind)

    def where(self, mask: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Spans:
        """Return the spans that ``mask`` selects, in the same order (or in the order of indices)."""
        return Spans(
            start_ns=self.start_ns[mask],
            end_ns=self.end_ns[mask],
            kind=self.kind[mask],
            flags=self.flags[mask],
            thread=self.thread[mask],
            name=self.name[mask],
            a=self.a[mask],
            b=self.b[mask],
            names=self.names,
        )

    def of(self, *kinds: Kind) -> Spans:
        """Return the spans of the given kinds."""
        chosen = np.zeros(256, bool)
        chosen[list(kinds)] = True
        return self.where(chosen[self.kind])
