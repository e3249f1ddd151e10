"""What attacks on readers share: a table of files to read, and memory that is bounded while they
are read.
"""

import resource
import sys

import pytest

# what a reader may take beyond what the process has: torch and its kin map far more than they use
_ALLOWED = 2**30


@pytest.fixture
def bounded():
    """Let the process have at most 1 GiB more of addresses, so that what asks for more fails."""
    if not sys.platform.startswith("linux"):
        pytest.skip("memory is bounded by Linux")
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + _ALLOWED, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
