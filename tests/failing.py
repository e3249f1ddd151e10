"""Make the k-th call that writes below a folder fail, for k = 1, 2, … until nothing fails any more.

Counted are `os.open` and `open` for writing, writes to files that `open` returned, `os.write`,
`os.fsync`, `os.replace`, `os.rename` and `os.mkdir`; calls elsewhere, as of libraries that write to
caches of their own, are left alone.
"""

import builtins
import errno
import io
import itertools
import os
from pathlib import Path

import pytest

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Disk:
    """Wraps what writes, and fails at one call.

    Parameters
    ----------
    folder : path
        Calls that concern paths below it are counted.
    fails_at : int
        The call that fails, counted from 1.

    Attributes
    ----------
    calls : list of str
        The calls that were counted, the last of which failed if there are `fails_at` of them.
    """

    def __init__(self, folder, fails_at):
        self.folder, self.fails_at, self.calls = Path(folder).resolve(), fails_at, []

    def install(self, patch):
        real = {
            name: getattr(os, name)
            for name in ("open", "write", "fsync", "replace", "rename", "mkdir")
        }
        real_open = io.open

        def os_open(path, flags, *args, **options):
            if flags & _WRITES:
                self.count("open", path)
            return real["open"](path, flags, *args, **options)

        def opened(file, mode="r", *args, **options):
            if not set(mode) & set("wax+"):
                return real_open(file, mode, *args, **options)
            self.count("open", file)
            return _File(real_open(file, mode, *args, **options), self)

        def counted(name):
            def call(first, *args, **options):
                self.count(name, first)
                return real[name](first, *args, **options)

            return call

        patch.setattr(os, "open", os_open)
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        for name in ("write", "fsync", "replace", "rename", "mkdir"):
            patch.setattr(os, name, counted(name))

    def count(self, name, file):
        """Count a call on a path or a descriptor, and fail if it is its turn."""
        try:
            path = Path(
                os.readlink(f"/proc/self/fd/{file}")
                if isinstance(file, int)
                else os.path.abspath(os.fsdecode(file))
            )
        except (OSError, TypeError):
            return
        if self.folder in (path, *path.parents):
            self.calls.append(name)
            if len(self.calls) == self.fails_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


class _File:
    """A file whose writes are counted."""

    def __init__(self, file, disk):
        self._file, self._disk = file, disk

    def write(self, content):
        self._disk.count("write", self._file.fileno())
        return self._file.write(content)

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *problem):
        self._file.close()

    def __iter__(self):
        return iter(self._file)


def fail_each(folder, start, act, check, errors=(OSError,)):
    """Let each call that writes below a folder fail once.

    Parameters
    ----------
    folder : path
    start : callable
        Brings the folder to its old state.
    act : callable
        What writes. It may raise one of `errors`, or swallow the failure.
    check : callable
        Called as ``check(done)`` after each try, with whether all calls went well, and again after
        a second `act` without a failure.
    errors : tuple of exception types

    Returns
    -------
    list of str
        The calls, of which each failed once.
    """
    for k in itertools.count(1):
        start()
        disk = Disk(folder, k)
        with pytest.MonkeyPatch.context() as patch:
            disk.install(patch)
            try:
                act()
            except errors:
                assert len(disk.calls) >= k, "it failed, but not by the disk"
        failed = len(disk.calls) >= k
        check(done=not failed)
        act()
        check(done=True)
        if not failed:
            return disk.calls
