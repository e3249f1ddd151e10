"""Write reports where a user asks for them, without harm to what lies there."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from vaedis._support.text import plain


def check_outputs(outputs: Iterable[Path], inputs: Sequence[Path] = ()) -> None:
    """Refuse places that no report can be written to, before any work begins.

    Parameters
    ----------
    outputs : iterable of Path
        Plain files, new or to be replaced; or streams: devices such as ``/dev/null`` and
        ``/dev/stdout``, and FIFOs.
    inputs : sequence of Path
        Files and folders that are read, of which none may be written to.

    Raises
    ------
    ValueError
        If a folder is missing, a place is neither a plain file nor a stream, is an input, or is
        named twice.
    """
    targets: list[Path] = []
    for output in outputs:
        target = _target(output)
        if _is_within(target or Path(os.path.realpath(output)), inputs):
            raise ValueError(
                f"{_shown(output)} is read, and would be overwritten by the report; name another file."
            )
        if target is None:
            continue
        if target in targets:
            raise ValueError(
                f"{_shown(output)} is named for two reports; name another file for one of them."
            )
        targets.append(target)


def write_output(path: Path, content: bytes) -> None:
    """Write a report to a stream, or as a plain file that is either the old one or the whole new one.

    A file that is replaced keeps its mode and, where that is permitted, its owner; a new one gets
    the mode that the umask leaves.

    Parameters
    ----------
    path : Path
        A link is followed to the file that it names.
    content : bytes

    Raises
    ------
    ValueError
        As `check_outputs` does.
    OSError
        If it cannot be written.
    """
    target = _target(path)
    if target is None:
        _stream(path, content)
    else:
        _replace(target, content)


def is_stdout(path: Path) -> bool:
    """Tell whether a path is another name of standard output, where that is a file or a pipe."""
    return _descriptor(path) == 1


def _target(path: Path) -> Path | None:
    """The plain file that a path names, which need not exist; None for a stream."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise ValueError(
            f"There is no folder {_shown(folder)} to write {_shown(Path(path.name))} into; make it first."
        )
    if _descriptor(path) is not None:
        return None
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise ValueError(
                f"{_shown(path)} is a link to a file that is not there; remove it or name another file."
            ) from None
        target = folder.resolve() / path.name
    except OSError as problem:
        raise ValueError(
            f"{_shown(path)} cannot be written to ({problem.strerror}); name another file."
        ) from None
    else:
        if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
            return None
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "neither a plain file nor a stream"
            raise ValueError(f"{_shown(path)} is {kind}; name a file to write the report to.")
        target = path.resolve()
    if not os.access(target.parent, os.W_OK):
        raise ValueError(
            f"{_shown(target.parent)} may not be written into; name a file in another folder."
        )
    return target


def _descriptor(path: Path) -> int | None:
    """Which of this process's outputs a path is another name of: 1, 2 or None. Devices, which can
    be opened anew, are none.
    """
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            status = path.stat()
            if not stat.S_ISCHR(status.st_mode) and os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


def _is_within(target: Path, inputs: Sequence[Path]) -> bool:
    """Whether an existing file is one of the inputs, by whatever name, or lies in a folder among
    them.
    """
    if not target.exists():
        return False
    for given in inputs:
        if not os.path.exists(given):
            continue
        if target.samefile(given) or (given.is_dir() and target.is_relative_to(given.resolve())):
            return True
    return False


def _stream(path: Path, content: bytes) -> None:
    descriptor = _descriptor(path)
    try:
        if descriptor is None:
            with path.open("wb", buffering=0) as file:
                _write_all(file.fileno(), content)
            return
        # not opened anew, since that would begin at the start of a file that this process writes to
        # already
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        _write_all(descriptor, content)
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(path)) from problem


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _replace(target: Path, content: bytes) -> None:
    old = target.stat() if target.exists() else None
    temporary = target.with_name(f".vaedis-{secrets.token_hex(8)}.tmp")
    try:
        # nobody reads more of it than of the old one, at no time
        with open(
            os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if old is None else 0o600
            ),
            "wb",
        ) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if old is not None:
            if hasattr(os, "chown"):
                with contextlib.suppress(PermissionError):
                    os.chown(temporary, old.st_uid, old.st_gid)
            temporary.chmod(stat.S_IMODE(old.st_mode))
        temporary.replace(target)
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(target)) from problem
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _shown(path: Path) -> str:
    return plain(str(path), 300)
