"""Write reports where a user asks for them, without harm to what is there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from vaedis._files import write_atomically
from vaedis._support.text import plain


def check_outputs(outputs: Iterable[Path], inputs: Sequence[Path] = ()) -> None:
    """Raise a ValueError if a path cannot take a report, is read as input, or is named twice."""
    targets: list[Path] = []
    for output in outputs:
        target = _target(output)
        if any(_holds(path, target) for path in inputs):
            raise ValueError(
                f"{_shown(output)} is read, and would be overwritten by the report; "
                "name another file."
            )
        if target in targets:
            raise ValueError(f"{_shown(output)} is named for two reports; name two files.")
        targets.append(target)


def write_output(path: Path, content: bytes) -> None:
    """Write a file that is complete or not there; a link is followed to the file that it names.

    A ValueError is that of `check_outputs`; an OSError names the path.
    """
    target = _target(path)
    try:
        write_atomically(target, content)
    except OSError as problem:
        raise OSError(problem.errno, problem.strerror, str(target)) from problem


def _target(path: Path) -> Path:
    """Return the plain file that a path names, which need not exist."""
    try:
        if path.exists() and (not path.is_file() or _is_stream(path)):
            raise ValueError(f"{_shown(path)} is no plain file; name a file for the report.")
        target = path.resolve()
    except (OSError, RuntimeError) as problem:
        raise ValueError(f"{_shown(path)} cannot be written to: {problem}.") from None
    if path.is_symlink() and not target.exists():
        raise ValueError(f"{_shown(path)} is a link to no file; name another file.")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise ValueError(
            f"there is no folder {_shown(target.parent)} that may be written into; "
            "make it, or name another."
        )
    return target


def _is_stream(path: Path) -> bool:
    """Tell whether a file is this process's standard output or error, as /dev/stdout may be."""
    for descriptor in (1, 2):
        try:
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                return True
        except OSError:  # it is closed
            continue
    return False


def _holds(path: Path, target: Path) -> bool:
    """Tell whether an input is an existing file, by whatever name, or a folder that holds it."""
    if not path.exists() or not target.exists():
        return False
    return target.samefile(path) or target.is_relative_to(path.resolve())


def _shown(path: Path) -> str:
    return plain(str(path), 300)
