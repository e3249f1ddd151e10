"""End the command with one line if it is interrupted while libraries are still loading.

This module is imported before all of them.
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
    """Tell whether this process is ``vaedis`` or ``python -m`` one of its packages."""
    packages = {"vaedis", "vaedis_companion"}
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name == "-m":  # until Python knows the file of the module
        return bool(packages & set(sys.orig_argv))
    if program.name == "__main__.py":
        return program.parent.name in packages
    return program.stem == "vaedis"


# another handler means that whoever started this process has decided otherwise
if _is_the_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
