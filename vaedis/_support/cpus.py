"""Count the processors that this process may use."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Return how many processors this process may keep busy, at least 1.

    That is the smallest of what its affinity (``taskset``, a cpuset) and the quotas of its
    container or job allow.

    >>> usable_cpus() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):
        limits = [len(os.sched_getaffinity(0))]
    else:
        limits = [os.cpu_count() or 1]
    for folder in _groups():
        quota = _quota(folder)
        if quota is not None:
            limits.append(math.ceil(quota))
    return max(1, min(limits))


def _groups() -> set[Path]:
    """Return the folders of this process's control groups and of those around them."""
    folders = {_CGROUP, _CGROUP / "cpu"}  # in a container, its own group is the top
    with contextlib.suppress(OSError, ValueError):
        for line in _OWN_GROUPS.read_text().splitlines():
            number, controllers, path = line.split(":", 2)
            group = PurePosixPath(path.strip("/"))
            is_version_2 = number == "0"
            if ".." in group.parts:  # outside of what a container sees
                continue
            if is_version_2 or "cpu" in controllers.split(","):
                top = _CGROUP if is_version_2 else _CGROUP / "cpu"
                folders.update(top / folder for folder in (group, *group.parents))
    return folders


def _quota(folder: Path) -> float | None:
    """Return how many processors a control group of version 2 or 1 allows; None for no limit."""
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        limit, period = (folder / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        limit = (folder / "cpu.cfs_quota_us").read_text()
        period = (folder / "cpu.cfs_period_us").read_text()
        return int(limit) / int(period) if int(limit) > 0 else None
    return None
