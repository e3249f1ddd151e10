"""Fetch original files: each address in turn, until one has the file with the known digest.

A server whose answer is silent, slow or endless is given up after a known time or size.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from vaedis._files import replacing
from vaedis._support.text import plain
from vaedis.data.originals.catalog import Original
from vaedis.data.originals.disk import DataError, offline, progress, writing

# so many bytes must arrive in each such time
WINDOW_SECONDS = 20
WINDOW_BYTES = 1 << 16
LARGEST_BYTES = 1_000_000_000  # of a file of unknown size; published ones have a third of that
_CHUNK = 1 << 14


class _Unavailable(Exception):
    """An address does not have the file; the message is a short phrase."""


def source_url(source: str | os.PathLike[str]) -> str:
    """Return a folder or the URL of one as a URL; a ValueError does not repeat the address."""
    source = os.fspath(source)
    if source.strip() and "://" not in source:
        return Path(source).expanduser().resolve().as_uri()
    try:
        parts = urlsplit(source)
        is_plain = bool(parts.hostname) and parts.port != 0 and not set("@?#") & set(source)
    except ValueError:
        is_plain = False
    # the error must not show a password, wherever it is in the address
    if not (source.startswith("file://") or (is_plain and parts.scheme in ("http", "https"))):
        raise ValueError(
            "The source of data must be a folder, or a file://, http:// or https:// URL "
            "with a host and without user name, '?' and '#'."
        )
    return source


def fetch(
    original: Original, folder: Path, *, source: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Put a file into a folder, unless it is there with the right digest; return facts on it.

    A file with another digest stays until the right one replaces it, or a DataError is raised.
    """
    path = folder / original.file
    urls = original.urls
    if source is not None:
        urls = (f"{source_url(source).rstrip('/')}/{original.file}",)
    algorithm, _, digest = original.digest.partition(":")
    problems = []
    with writing(f"{original.file} into {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and _digest(path, algorithm) == digest:
            return _describe(path)
        for url in urls:
            if offline() and not url.startswith("file://"):
                problems.append("VAEDIS_OFFLINE forbids to ask for it")
                break
            try:
                with replacing(path) as file:
                    _copy(url, file, original)
            except _Unavailable as problem:
                problems.append(f"{plain(url)}: {problem}")
            else:
                return _describe(path) | {"url": url}
    raise DataError(
        f"{original.file} cannot be had: {'; '.join(problems)}; try again, or get it yourself "
        "and name its folder with: vaedis data prepare --from FOLDER."
    )


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _describe(path: Path) -> dict[str, Any]:
    return {"file": path.name, "size": path.stat().st_size, "sha256": _digest(path, "sha256")}


def _copy(url: str, file: IO[bytes], original: Original) -> None:
    """Copy what an address has; raise `_Unavailable` unless it is the original."""
    algorithm, _, expected = original.digest.partition(":")
    largest = LARGEST_BYTES if original.size is None else original.size
    digest = hashlib.new(algorithm)
    n_bytes = 0
    n_bytes_before = 0
    window_start = time.monotonic()
    with progress(original.file, original.size) as advance:
        for chunk in _chunks(url):
            n_bytes += len(chunk)
            if n_bytes > largest:
                raise _Unavailable(f"the file there has more than {largest:,} bytes")
            if time.monotonic() - window_start > WINDOW_SECONDS:
                if n_bytes - n_bytes_before < WINDOW_BYTES:
                    limit = f"less than {WINDOW_BYTES:,} bytes arrived in {WINDOW_SECONDS:g} s"
                    raise _Unavailable(limit)
                n_bytes_before = n_bytes
                window_start = time.monotonic()
            file.write(chunk)
            digest.update(chunk)
            advance(len(chunk))
    if digest.hexdigest() != expected:
        raise _Unavailable(f"the file there has another {algorithm} sum, or is cut short")


def _chunks(url: str) -> Iterator[bytes]:
    """Yield the content of a file or of a server's answer."""
    try:
        # as it is: urllib asks for no encoding and undoes none
        request = Request(url, headers={"User-Agent": "vaedis"})
        with urlopen(request, timeout=WINDOW_SECONDS) as response:
            while chunk := response.read1(_CHUNK):
                yield chunk
    except Exception as problem:
        if isinstance(problem, HTTPError):
            problem.close()  # it is the answer, with its connection
        reason = str(problem).partition("\n")[0] or type(problem).__name__
        raise _Unavailable(plain(reason, 100)) from problem
