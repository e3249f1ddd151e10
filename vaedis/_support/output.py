"""Write reports where a user asks for them, without harm to what is there."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from vaedis._files import write_atomically
from vaedis._support.text import plain


def check_outputs(outputs: Iterable[Path], inputs: Sequence[Path] = ()) -> None:
    """Raise a ValueError if a path cannot take a report, is an input, or is named twice.

    An output is a plain file, new or to be replaced, or a stream: a FIFO, or a device such as
    ``/dev/stdout``. An input is a file or a folder that is read.
    """
    targets: list[Path] = []
    for output in outputs:
        target = _target(output)
        if _is_input(target or Path(os.path.realpath(output)), inputs):
            raise ValueError(
                f"{_shown(output)} is read, and would be overwritten by the report; "
                "name another file."
            )
        if target in targets:
            raise ValueError(f"{_shown(output)} is named for two reports; name two files.")
        if target is not None:
            targets.append(target)


def write_output(path: Path, content: bytes) -> None:
    """Write a report to a stream, or as a file that is complete or not there.

    A link is followed to the file that it names. A ValueError is that of `check_outputs`; an
    OSError names the path that cannot be written to.
    """
    target = _target(path)
    try:
        if target is None:
            _write_stream(path, content)
        else:
            write_atomically(target, content)
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(target or path)) from problem


def is_stdout(path: Path) -> bool:
    """Tell whether a path is another name of standard output, where that is a file or a pipe."""
    return _descriptor(path) == 1


def _target(path: Path) -> Path | None:
    """Return the plain file that a path names, which need not exist; None for a stream."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(f"There is no folder {_shown(folder)} to write a report into; make it.")
    if _descriptor(path) is not None:
        return None
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise ValueError(
                f"{_shown(path)} is a link to a file that is not there; name another file."
            ) from None
        mode = stat.S_IFREG
    except OSError as problem:
        raise ValueError(
            f"{_shown(path)} cannot be written to ({problem.strerror}); name another file."
        ) from None
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        return None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "neither a plain file nor a stream"
        raise ValueError(f"{_shown(path)} is {kind}; name a file to write the report to.")
    target = path.resolve()
    if not os.access(target.parent, os.W_OK):
        raise ValueError(f"{_shown(target.parent)} may not be written into; name another folder.")
    return target


def _descriptor(path: Path) -> int | None:
    """Return 1 or 2 if a path names that output of this process, and it is no device."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            status = path.stat()
            if not stat.S_ISCHR(status.st_mode) and os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


def _is_input(target: Path, inputs: Sequence[Path]) -> bool:
    """Tell whether an existing file is an input, by whatever name, or in a folder of inputs."""
    if not target.exists():
        return False
    for path in filter(os.path.exists, inputs):
        if target.samefile(path) or (path.is_dir() and target.is_relative_to(path.resolve())):
            return True
    return False


def _write_stream(path: Path, content: bytes) -> None:
    descriptor = _descriptor(path)
    if descriptor is None:
        with path.open("wb", buffering=0) as file:
            _write_all(file.fileno(), content)
        return
    # by its descriptor: a file that is opened anew would be overwritten from its start
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    _write_all(descriptor, content)


def _write_all(descriptor: int, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[os.write(descriptor, remaining) :]


def _shown(path: Path) -> str:
    return plain(str(path), 300)
