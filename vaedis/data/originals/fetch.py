"""Fetch original files: each address in turn, until one has the file with the known digest.

A server that is silent, slow or endless is given up after a known time or size.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from vaedis._files import replacing
from vaedis._support.text import plain
from vaedis.data.originals.catalog import Original
from vaedis.data.originals.disk import DataError, offline, progress, writing

CONNECT_SECONDS = 10
# in each such time so many bytes must arrive, the last ones apart
WINDOW_SECONDS = 20
WINDOW_BYTES = 1 << 16
LARGEST_BYTES = 1_000_000_000  # of a file of unknown size; published ones have a third of that
_CHUNK = 1 << 14
_REDIRECTS = 10


class _Unavailable(Exception):
    """An address does not have the file; the message is a short phrase."""


def addresses(original: Original, source: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the URLs of a file: those that are known, or the one in the given source."""
    if source is None:
        return list(original.urls)
    return [f"{source_url(source).rstrip('/')}/{original.file}"]


def source_url(source: str | os.PathLike[str]) -> str:
    """Return a folder or the URL of one as a URL; a ValueError does not repeat the address.

    >>> source_url("https://example.org/files")
    'https://example.org/files'
    """
    source = os.fspath(source)
    if not source.strip():
        raise ValueError("The source of data is empty; name a folder or a URL.")
    if "://" not in source:
        return Path(source).expanduser().resolve().as_uri()
    try:
        parts = urlsplit(source)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    is_web = has_host and parts.scheme in ("http", "https")
    # the error must not show a password, wherever it is in the address
    if not (is_web or source.startswith("file://")) or parts.query or parts.fragment:
        raise ValueError(
            "The source of data must be a folder, or a file://, http:// or https:// URL "
            "with a host and without '?' and '#'."
        )
    return source


def public(url: str) -> str:
    """Return a URL without user name, password and control characters."""
    return plain(re.sub(r"://.*@", "://", url, flags=re.DOTALL))


def fetch(
    original: Original, folder: Path, *, source: str | os.PathLike[str] | None = None
) -> dict[str, Any]:
    """Put a file into a folder, unless it is there with the right digest.

    Return its ``file``, ``size``, ``sha256`` and, if it was fetched, ``url``. A DataError says what
    each address answered; a file with another digest stays until the right one replaces it.
    """
    path = folder / original.file
    urls = addresses(original, source)
    with writing(f"{original.file} into {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        if path.is_file() and _has_digest(path, original.digest):
            return _describe(path)
        if offline() and not all(map(_is_local, urls)):
            urls, problems = [], ["VAEDIS_OFFLINE forbids to ask for it"]
        else:
            problems = []
        for url in urls:
            try:
                with replacing(path) as file:
                    _copy(url, file, original)
            except _Unavailable as problem:
                problems.append(f"{public(url)}: {problem}")
            else:
                return _describe(path) | {"url": public(url)}
    raise DataError(
        f"{original.file} cannot be had: {'; '.join(problems)}; try again, or get it yourself "
        "and name its folder with: vaedis data prepare --from FOLDER."
    )


def _has_digest(path: Path, digest: str) -> bool:
    algorithm, _, expected = digest.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": path.name, "size": path.stat().st_size, "sha256": sha256}


def _copy(url: str, file: IO[bytes], original: Original) -> None:
    """Copy what an address has; raise `_Unavailable` unless it is the original."""
    with progress(original.file, original.size) as advance:
        transfer = _Transfer(url, file, original, advance)
        transfer.start()
        while transfer.is_alive():
            before = transfer.n_bytes
            transfer.join(WINDOW_SECONDS)
            if transfer.is_alive() and transfer.n_bytes - before < WINDOW_BYTES:
                raise _Unavailable(
                    f"less than {WINDOW_BYTES:,} bytes arrived in {WINDOW_SECONDS:g} s"
                )
        if transfer.problem is not None:
            raise transfer.problem


class _Transfer(threading.Thread):
    """Copies a file and checks its digest, in a thread that can be left.

    A server can hold the thread forever, by a header that never ends. A thread that was left ends
    with its connection, with its next write to the file, which is then closed, or with the process.
    """

    def __init__(
        self, url: str, file: IO[bytes], original: Original, advance: Callable[[int], Any]
    ):
        super().__init__(daemon=True)
        self.url = url
        self.file = file
        self.original = original
        self.advance = advance
        self.n_bytes = 0
        self.problem: Exception | None = None

    def run(self) -> None:
        """Copy the file, and keep what goes wrong in `problem`."""
        try:
            self._copy()
        except Exception as problem:
            self.problem = problem

    def _copy(self) -> None:
        algorithm, _, expected = self.original.digest.partition(":")
        largest = LARGEST_BYTES if self.original.size is None else self.original.size
        digest = hashlib.new(algorithm)
        for chunk in _chunks(self.url, largest):
            self.n_bytes += len(chunk)
            if self.n_bytes > largest:
                raise _Unavailable(f"the file there has more than {largest:,} bytes")
            self.file.write(chunk)
            digest.update(chunk)
            self.advance(len(chunk))
        if digest.hexdigest() != expected:
            raise _Unavailable(f"the file there has another {algorithm} sum")


def _is_local(url: str) -> bool:
    return urlsplit(url).scheme == "file"


def _chunks(url: str, largest: int) -> Iterator[bytes]:
    """Yield the content of a file or of a server's answer."""
    try:
        if _is_local(url):
            yield from _local_chunks(Path(url2pathname(urlsplit(url).path)), largest)
        else:
            with _answer(url) as answer:
                # the raw stream, since requests would unpack what is meant to stay packed
                while chunk := answer.raw.read(_CHUNK, decode_content=False):
                    yield chunk
    except _Unavailable:
        raise
    except Exception as problem:
        raise _Unavailable(_reason(problem)) from problem


def _local_chunks(path: Path, largest: int) -> Iterator[bytes]:
    if not path.is_file():
        raise _Unavailable("there is no such file")
    if path.stat().st_size > largest:
        raise _Unavailable(f"the file there has more than {largest:,} bytes")
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def _answer(url: str) -> Any:
    """Return a server's answer; follow redirections to http and https."""
    import requests

    session = requests.Session()
    # other encodings would be undone on the way
    headers = {"Accept-Encoding": "identity"}
    for _ in range(_REDIRECTS):
        request = session.prepare_request(requests.Request("GET", url, headers=headers))
        settings = session.merge_environment_settings(url, {}, True, None, None)
        # by the adapter, since the session reads the content of a redirection, however large it is
        answer = session.get_adapter(url).send(
            request, timeout=(CONNECT_SECONDS, 2 * WINDOW_SECONDS), **settings
        )
        if answer.status_code == 200:
            return answer
        answer.close()
        if not answer.is_redirect:
            raise _Unavailable(plain(f"{answer.status_code} {answer.reason}".strip(), 100))
        url = urljoin(url, answer.headers["Location"])
        if urlsplit(url).scheme not in ("http", "https"):
            raise _Unavailable("it redirects to an address that is neither http nor https")
    raise _Unavailable(f"it redirects more than {_REDIRECTS} times")


def _reason(problem: Exception) -> str:
    """Say in a few words why an address has no complete answer."""
    import requests

    if isinstance(problem, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(problem):
            return "its certificate is not valid"
        return "it does not answer in TLS, as https:// asks for"
    if isinstance(problem, OSError) and problem.strerror:
        return f"it cannot be read ({problem.strerror})"
    return f"no complete answer ({type(problem).__name__})"
