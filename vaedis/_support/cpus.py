"""How many processors this process may use."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cpus() -> int:
    """Return how many processors this process may keep busy, at least 1.

    That is the least of what the system schedules it on (``taskset``, a cpuset) and what a
    container's quota leaves it; a machine may have more.

    Examples
    --------
    >>> usable_cpus() >= 1
    True
    """
    allowed = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quotas = [_quota(folder) for folder in _groups()]
    return max(1, min([allowed, *(math.ceil(quota) for quota in quotas if quota is not None)]))


def _groups() -> set[Path]:
    """Return the folders of the control groups that this process is in, those around them included:
    each may set a limit.
    """
    # in a container its own group is the top
    folders = {_CGROUP, _CGROUP / "cpu"}
    with contextlib.suppress(OSError, ValueError):
        for line in _OWN_GROUPS.read_text().splitlines():
            number, controls, path = line.split(":", 2)
            group = PurePosixPath(path.strip("/"))
            # version 2 has the number 0; ".." leads out of what a container sees
            if (number == "0" or "cpu" in controls.split(",")) and ".." not in group.parts:
                top = _CGROUP if number == "0" else _CGROUP / "cpu"
                folders.update(top / folder for folder in (group, *group.parents))
    return folders


def _quota(folder: Path) -> float | None:
    """Return the processors that a control group of version 2 or 1 allows, or None if it sets no
    limit.
    """
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        limit, period = (folder / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
        limit = (folder / "cpu.cfs_quota_us").read_text()
        period = (folder / "cpu.cfs_period_us").read_text()
        return int(limit) / int(period) if int(limit) > 0 else None
    return None
