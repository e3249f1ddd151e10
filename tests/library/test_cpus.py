import os
import subprocess
import sys

import pytest

from vaedis._support.cpus import usable_cpus


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_only_processors_that_this_process_may_use_count():
    assert 1 <= usable_cpus() <= len(os.sched_getaffinity(0))
    one = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
        "from vaedis._support.cpus import usable_cpus; print(usable_cpus())"
    )
    done = subprocess.run([sys.executable, "-c", one], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
