"""End the command with one line if it is interrupted while its libraries are still loaded; imported
before all of them.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any


def _end(*_: Any) -> None:
    os.write(2, b"vaedis: interrupted\n")
    os._exit(130)


def loaded() -> None:
    """Give an interrupt its usual meaning again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_the_command() -> bool:
    """Tell whether this process is ``vaedis`` or ``python -m vaedis``; a program that imports the
    package decides itself.
    """
    started = sys.argv[0] if sys.argv else ""
    # Python says -m until it has found what to run, for which it imports the package
    return Path(started).stem == "vaedis" or (
        started == "-m" and bool({"vaedis", "vaedis_companion"} & set(sys.orig_argv))
    )


# unless whoever started this process wants interrupts to be ignored
if _is_the_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
