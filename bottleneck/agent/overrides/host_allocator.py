"""What the C library does with memory that tensors on the host have freed."""

from __future__ import annotations

import ctypes
import os
from typing import Any

from ..hooks import Hooks
from .base import Override, Refused, Tell

# malloc.h of glibc: the parameters of mallopt.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1  # bytes free at the end of the heap before they go back: the largest int
_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


class HostAllocator(Override):
    """Keeps freed memory in the process instead of giving it back to the kernel at each step.

    glibc returns large blocks, and the free end of its heap, to the kernel; the next step gets other pages, which the
    kernel clears one by one as they are touched. What the user has set in the environment stays.
    """

    name = "host_allocator"
    known = ("keep",)

    def check(self) -> None:
        """Read the setting."""
        if not self.switch("keep"):
            raise Refused("host_allocator: there is nothing to set")

    def boot(self) -> None:
        """Tell the C library. May raise ``Refused``."""
        set_already = [name for name in _VARIABLES if os.environ.get(name)]
        if set_already:
            raise Refused(f"the environment sets {set_already[0]} already")
        if any(name in os.environ.get("LD_PRELOAD", "") for name in ("jemalloc", "tcmalloc", "mimalloc")):
            raise Refused("another allocator is preloaded")
        library = ctypes.CDLL(None) if os.name == "posix" else None
        if library is None or not hasattr(library, "gnu_get_libc_version"):
            raise Refused("this C library is not glibc, whose allocator this sets")
        if not (library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, _NEVER)):
            raise Refused("the C library did not take the settings")

    def install(self, torch: Any, hooks: Hooks, tell: Tell) -> None:
        """Tell what was set."""
        tell.applied("malloc keeps freed memory (M_MMAP_MAX=0, M_TRIM_THRESHOLD=2147483647)", "", 0)
