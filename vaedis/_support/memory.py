"""Memory that the allocator of this process keeps for itself."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep up to 256 MiB that a training step frees, for the next step.

    It gives free memory at the end of its heap back to the system, which a step does again and
    again; every page must then be zeroed anew, for up to a third of the time. Heaps of other
    threads do so more often still, so all threads share one. The settings are the whole process's:
    only commands call this, the library never does. Other allocators are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest value that it takes
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        mallopt(_M_ARENA_MAX, 1)
