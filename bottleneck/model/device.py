"""What a device did, as a profiler tells it: one row is one kernel, copy or fill."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Work(IntEnum):
    """What kind of work a row is."""

    COMPUTE = 1  # any kernel that is no communication
    COMMUNICATION = 2  # a kernel of NCCL, RCCL or their like
    COPY_IN = 3  # host to device
    COPY_OUT = 4  # device to host
    COPY_WITHIN = 5  # within a device, or between two
    FILL = 6  # memset


COPIES = (Work.COPY_IN, Work.COPY_OUT, Work.COPY_WITHIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWork:
    """The work of one process's device as columns of equal length, by start.

    Times are nanoseconds on the clock of the process's spans.

    Attributes:
        start_ns: When the device began it, int64, shape (n,).
        end_ns: When it was done, int64, shape (n,).
        kind: ``Work``, uint8, shape (n,).
        stream: Number of its stream, int64, shape (n,).
        launch_ns: Start of the host's call that asked for it, -1 where that is not known, int64, shape (n,).
        launched_ns: End of that call, -1 where not known, int64, shape (n,).
        bytes: Bytes copied or filled, -1 where not known, int64, shape (n,).
        pageable: 1 where host memory took part that was not pinned, 0 where it was, -1 unknown, int8, shape (n,).
        name: Index into ``names``, uint32, shape (n,).
        names: The texts that ``name`` points to.
        lost_ns: Starts of launching calls whose work is missing in the trace, int64, shape (m,).
    """

    start_ns: npt.NDArray[np.int64]
    end_ns: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    stream: npt.NDArray[np.int64]
    launch_ns: npt.NDArray[np.int64]
    launched_ns: npt.NDArray[np.int64]
    bytes: npt.NDArray[np.int64]
    pageable: npt.NDArray[np.int8]
    name: npt.NDArray[np.uint32]
    names: tuple[str, ...]
    lost_ns: npt.NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.kind)

    def where(self, mask: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> DeviceWork:
        """Return the rows that ``mask`` selects, in the same order (or in the order of indices)."""
        return DeviceWork(
            start_ns=self.start_ns[mask],
            end_ns=self.end_ns[mask],
            kind=self.kind[mask],
            stream=self.stream[mask],
            launch_ns=self.launch_ns[mask],
            launched_ns=self.launched_ns[mask],
            bytes=self.bytes[mask],
            pageable=self.pageable[mask],
            name=self.name[mask],
            names=self.names,
            lost_ns=self.lost_ns,
        )

    def of(self, *kinds: Work) -> DeviceWork:
        """Return the rows of the given kinds."""
        return self.where(self.is_of(*kinds))

    def is_of(self, *kinds: Work) -> npt.NDArray[np.bool_]:
        """Return which rows are of the given kinds, shape (n,)."""
        chosen = np.zeros(256, bool)
        chosen[list(kinds)] = True
        found: npt.NDArray[np.bool_] = chosen[self.kind]
        return found
