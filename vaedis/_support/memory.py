"""Memory that the allocator of this process keeps for itself."""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # of glibc's malloc.h


def keep_memory() -> None:
    """Let glibc keep up to 256 MiB that a training step frees, for the next step.

    The settings are the whole process's, so only commands call this.
    """
    if platform.libc_ver()[0] == "glibc":
        # otherwise each step zeroes its pages anew, for up to a third of the time
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the largest value that it takes
        libc.mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        libc.mallopt(_M_ARENA_MAX, 1)
