"""Run one notebook with papermill, and end with the build that asked for it.

Standard input is a pipe from the build. However the build ends, also by SIGKILL, its end of the
pipe closes, and this process ends with its kernel, which would go on otherwise.
"""

from __future__ import annotations

import os
import threading


def _end_with_the_build() -> None:
    """Wait until the pipe closes; then end this process and all that it started."""
    import psutil

    while os.read(0, 1024):
        pass
    for child in psutil.Process().children(recursive=True):
        child.kill()
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_build, daemon=True).start()
    from papermill.__main__ import papermill

    papermill()
