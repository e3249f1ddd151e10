import os

import pytest

from vaedis._support import cpus as _cpus


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu.max": "100000 0\n"}, 8),
        # outside a container the limit is that of a group further down, or of one around it
        ({"own": "0::/a.slice/b.scope\n", "a.slice/b.scope/cpu.max": "200000 100000\n"}, 2),
        (
            {
                "own": "0::/a.slice/b.scope\n",
                "a.slice/b.scope/cpu.max": "max 100000\n",
                "a.slice/cpu.max": "300000 100000\n",
            },
            3,
        ),
        ({"own": "0::/a.slice\n", "b.slice/cpu.max": "100000 100000\n"}, 8),
        ({"own": "0::/../../b.slice\n", "cpu.max": "400000 100000\n"}, 4),
        (
            {
                "own": "5:memory:/m\n4:cpu,cpuacct:/job\n0::/\n",
                "cpu/job/cpu.cfs_quota_us": "200000\n",
                "cpu/job/cpu.cfs_period_us": "100000\n",
                "cpu/m/cpu.cfs_quota_us": "100000\n",
                "cpu/m/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        ({"own": "nonsense\n0::\n"}, 8),
    ],
)
def test_a_quota_and_a_cpuset_both_count(tmp_path, monkeypatch, files, cpus):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(_cpus, "_CGROUP", tmp_path)
    monkeypatch.setattr(_cpus, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert _cpus.usable_cpus() == cpus
