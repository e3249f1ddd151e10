"""Fetch the originals: several addresses in turn, checked against a known digest, and never
half-written.

What arrives lies in ``<file>.part`` and gets its name only when it is complete and its digest is
right; what breaks off starts anew. A server that is silent, slow or endless is left after a known
time or size. Needs the extra ``data``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import re
import threading
import time
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from urllib.request import url2pathname

from vaedis._support.text import plain
from vaedis.data.originals.catalog import Original
from vaedis.data.originals.containers import require
from vaedis.data.originals.disk import DataError, offline, plain_os_errors, progress, sync_folder

CONNECT_SECONDS = 10
"""How long a server may take to accept a connection."""

WINDOW_SECONDS, WINDOW_BYTES = 20, 1 << 16
"""In each such time so many bytes must arrive, the header and the last bytes apart, or the server is left."""

PAUSES = (1, 4)
"""Seconds before the second and third attempt at one address, where trying again can help."""

LARGEST_BYTES = 1_000_000_000
"""Of a file whose size is not known; the published ones have a third of it at most."""

_CHUNK = 1 << 16
_REDIRECTS = 10
# else some servers say that a .gz is a compressed something else, and it would be unpacked on the
# way
_HEADERS = {"Accept-Encoding": "identity"}


class _Refused(Exception):
    """An address does not have the file, or not in full; the message is a short phrase."""


class _Interrupted(_Refused):
    """As before, but another attempt may succeed."""


def places(original: Original, source: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the URLs at which to look for a file.

    Parameters
    ----------
    original : Original
    source : str or path, optional
        A folder, or the URL of one (``file://``, ``http://``, ``https://``): the only place to
        look. By default the folder that ``VAEDIS_DATA_SOURCE`` names, if it does, and then the
        file's own addresses.

    Raises
    ------
    ValueError
        If the source is empty or no such URL. The message does not repeat a user name or a
        password.
    """
    given = source if source is not None else os.environ.get("VAEDIS_DATA_SOURCE") or None
    own = [] if source is not None else list(original.urls)
    if given is None:
        return own
    return [f"{check_source(given).rstrip('/')}/{original.file}", *own]


def check_source(source: str | os.PathLike[str]) -> str:
    """Return a folder or URL as a URL, or raise a ValueError as `places` does."""
    source = os.fspath(source)
    if not source.strip():
        raise ValueError(
            "The source of data is empty; name a folder, or a file://, http:// or https:// URL."
        )
    if "://" not in source:
        return Path(source).expanduser().resolve().as_uri()
    wanted = "The source of data must be a folder, or a file://, http:// or https:// URL"
    try:
        parts = urlsplit(source)
        complete = parts.scheme == "file" or (bool(parts.hostname) and parts.port != 0)
    except ValueError:
        raise ValueError(f"{wanted}, and the address given has no valid host and port.") from None
    if parts.scheme not in ("file", "http", "https"):
        raise ValueError(f"{wanted}, not {public(source)!r}.")
    if not complete or parts.query or parts.fragment:
        raise ValueError(
            f"{wanted}, with a host and without '?' and '#'; write %3F and %23 where they belong to a name."
        )
    return source


def public(url: str) -> str:
    """Return a URL to print or to store: without user name and password, and without control
    characters.
    """
    return plain(re.sub(r"://.*@", "://", url, flags=re.DOTALL))


def is_local(url: str) -> bool:
    """Tell whether a URL is a file on this machine."""
    return urlsplit(url).scheme == "file"


def local_path(url: str) -> Path:
    """Return the path of a ``file://`` URL."""
    return Path(url2pathname(urlsplit(url).path))


def fetch(
    original: Original,
    folder: Path,
    *,
    source: str | os.PathLike[str] | None = None,
    patient: bool = True,
) -> dict[str, Any]:
    """Put a file into a folder, unless it is there already and its digest is right.

    The caller holds the folder's lock (`_prepare.locked`). A file of that name with another digest
    stays until the right one replaces it.

    Parameters
    ----------
    original : Original
    folder : Path
        Made if it is not there.
    source : str or path, optional
        The only place to look, as in `places`.
    patient : bool
        Try an address again when it fails in a way that may pass.

    Returns
    -------
    dict
        With ``file``, ``size``, ``sha256`` and, if it was fetched, ``url``.

    Raises
    ------
    DataError
        If no address has the file, its digest is wrong everywhere, or it cannot be written.
    ValueError
        If the source is no folder and no URL.
    ImportError
        If the extra ``data`` is not installed.
    """
    path, part = folder / original.file, folder / f"{original.file}.part"
    urls = places(original, source)
    forbidden = offline() and not all(map(is_local, urls))
    reasons = []
    with plain_os_errors(f"{original.file} into {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists() and matches(path, original.digest):
            return describe(path)
        try:
            for url in filter(is_local, urls) if forbidden else urls:
                try:
                    _try(url, part, original, PAUSES if patient else ())
                except _Refused as why:
                    reasons.append(f"{_host(url)}: {why}")
                    continue
                os.replace(part, path)
                sync_folder(folder)
                return describe(path) | {"url": public(url)}
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    if forbidden:
        reasons.append("VAEDIS_OFFLINE forbids to ask for it")
    raise DataError(
        f"{original.file} cannot be had: {'; '.join(reasons)}; {'unset that' if forbidden else 'try again'}, "
        "or get the file yourself and name its folder with: vaedis data prepare --from FOLDER."
    )


def matches(path: Path, digest: str) -> bool:
    """Tell whether a file has a digest, given as ``"sha256:…"`` or ``"md5:…"``."""
    algorithm, _, expected = digest.partition(":")
    return _digest(path, algorithm) == expected


def describe(path: Path) -> dict[str, Any]:
    """Return the name, size and SHA-256 digest of a file."""
    return {"file": path.name, "size": path.stat().st_size, "sha256": _digest(path, "sha256")}


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def remote_size(original: Original, source: str | os.PathLike[str] | None = None) -> int | None:
    """Return how large a file is: as it lies on this machine, or as is known; None where neither
    is. No server is asked.
    """
    for url in filter(is_local, places(original, source)):
        with contextlib.suppress(OSError):
            return local_path(url).stat().st_size
    return original.size


def _try(url: str, part: Path, original: Original, pauses: tuple[float, ...]) -> None:
    """Make the part the whole file with the right digest, in as many attempts as there are pauses
    and one.
    """
    for pause in (*pauses, None):
        try:
            _attempt(url, part, original)
            return
        except _Interrupted:
            if pause is None:
                raise
            time.sleep(pause)


def _attempt(url: str, part: Path, original: Original) -> None:
    # a new file, since a link that bears this name must not be followed
    part.unlink(missing_ok=True)
    with part.open("xb") as file:
        _copy(local_path(url), file, original) if is_local(url) else _download(url, file, original)
        file.flush()
        os.fsync(file.fileno())
    if not matches(part, original.digest):
        raise _Refused(f"the file there has another {original.digest.partition(':')[0]} sum")


def _copy(path: Path, file: Any, original: Original) -> None:
    if not path.is_file():
        raise _Refused(f"there is no {plain(str(path))}")
    _write(_local_chunks(path), path.stat().st_size, file, original)


def _local_chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
    except OSError as problem:
        raise _Refused(f"{plain(path.name)} cannot be read there ({problem.strerror})") from None


def _download(url: str, file: Any, original: Original) -> None:
    require("requests")
    answer = _Answer(url)
    try:
        _write(answer.chunks(), answer.size, file, original)
    finally:
        answer.given_up.set()


def _write(chunks: Iterator[bytes], size: int | None, file: Any, original: Original) -> None:
    """Write chunks to a file; raise `_Interrupted` if they end before, and `_Refused` if they go
    beyond, the size that is expected.
    """
    if original.size is not None and size is not None and size != original.size:
        raise _Refused(f"the file there has {size:,} bytes and not {original.size:,}")
    expected = size if original.size is None else original.size
    most = LARGEST_BYTES if original.size is None else original.size
    if expected is not None and expected > most:
        raise _Refused(f"the file there has {expected:,} bytes, and the original at most {most:,}")
    arrived = 0
    with progress(original.file, expected) as advance:
        for chunk in chunks:
            arrived += len(chunk)
            if arrived > most:
                raise _Refused(f"more than {most:,} bytes arrived")
            file.write(chunk)
            advance(len(chunk))
    if expected is not None and arrived < expected:
        raise _Interrupted(f"the connection broke: only {arrived:,} of {expected:,} bytes arrived")


class _Answer:
    """A server's answer, received in a thread of its own.

    A server can hold the thread for ever, by a header that never ends; the thread that asks only
    waits for a known time. A thread that was left ends with the connection or with the process, and
    holds a few chunks at most.

    Parameters
    ----------
    url : str

    Attributes
    ----------
    size : int or None
        Of the body in bytes, as the server says.
    given_up : threading.Event
        Set it to end the thread.
    """

    def __init__(self, url: str):
        self.given_up = threading.Event()
        self._arrived: queue.Queue[bytes | _Refused | int | None] = queue.Queue(maxsize=16)
        self._until = time.monotonic() + WINDOW_SECONDS
        # the thread itself waits longer, so that the window decides
        threading.Thread(target=self._receive, args=(url, 2 * WINDOW_SECONDS), daemon=True).start()
        size = self._next(f"it did not answer in {WINDOW_SECONDS:g} s")
        self.size = size if isinstance(size, int) and size >= 0 else None

    def chunks(self) -> Iterator[bytes]:
        """Yield the body; raise `_Refused` when it breaks off or comes too slowly."""
        missing = WINDOW_BYTES
        too_slow = f"it sent less than {WINDOW_BYTES:,} bytes in {WINDOW_SECONDS:g} s"
        while isinstance(chunk := self._next(too_slow), bytes):
            missing -= len(chunk)
            if missing <= 0:
                missing = WINDOW_BYTES
                self._until = time.monotonic() + WINDOW_SECONDS
            yield chunk

    def _next(self, too_slow: str) -> bytes | int | None:
        """Return the size, a chunk, or None at the end; raise `_Refused` with `too_slow` when the
        time is over.
        """
        try:
            item = self._arrived.get(timeout=max(0.0, self._until - time.monotonic()))
        except queue.Empty:
            self.given_up.set()
            raise _Refused(too_slow) from None
        if isinstance(item, _Refused):
            raise item
        return item

    def _receive(self, url: str, patience: float) -> None:
        try:
            with _request(url, patience) as answer:
                length = answer.headers.get("Content-Length", "")
                self._put(int(length) if length.isascii() and length.isdigit() else -1)
                # the raw stream, since requests would unpack what is meant to stay packed
                while not self.given_up.is_set() and (
                    chunk := answer.raw.read(_CHUNK, decode_content=False)
                ):
                    self._put(chunk)
            self._put(None)
        except Exception as problem:
            self._put(_phrase(problem))

    def _put(self, item: bytes | _Refused | int | None) -> None:
        while not self.given_up.is_set():
            with contextlib.suppress(queue.Full):
                return self._arrived.put(item, timeout=0.5)


def _request(url: str, patience: float) -> Any:
    """Ask for a file; follow redirections to http and https, whose own content is not read."""
    import requests

    session = requests.Session()
    for _ in range(_REDIRECTS):
        request = session.prepare_request(requests.Request("GET", url, headers=_HEADERS))
        settings = session.merge_environment_settings(url, {}, True, None, None)
        # by the adapter, since the session itself reads the content of a redirection, however large
        # it is
        answer = session.get_adapter(url).send(
            request, timeout=(CONNECT_SECONDS, patience), **settings
        )
        if answer.status_code == 200:
            return answer
        answer.close()
        if not answer.is_redirect:
            passing = answer.status_code in (408, 429) or answer.status_code >= 500
            raise (_Interrupted if passing else _Refused)(
                plain(f"{answer.status_code} {answer.reason}".strip(), 100)
            )
        url = urljoin(url, answer.headers["Location"])
        if urlsplit(url).scheme not in ("http", "https"):
            raise _Refused("it redirects to an address that is neither http nor https")
    raise _Refused(f"it redirects more than {_REDIRECTS} times")


def _phrase(problem: BaseException) -> _Refused:
    """Say in a few words what went wrong between here and a server."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    if isinstance(problem, _Refused):
        return problem
    causes = []
    cause: BaseException | None = problem
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if isinstance(problem, requests.exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" in str(problem):
            return _Refused("its certificate is not valid")
        return _Refused("it does not answer in TLS, as https:// asks for")
    if isinstance(problem, requests.ConnectTimeout):
        return _Interrupted("no connection")
    if isinstance(problem, requests.ReadTimeout | ReadTimeoutError):
        return _Refused("it sent nothing for too long")
    # a server that closes the connection without a word is both
    if any(
        isinstance(cause, ConnectionResetError | BrokenPipeError | IncompleteRead)
        for cause in causes
    ):
        return _Interrupted("the connection broke")
    if any(isinstance(cause, HTTPException) for cause in causes):
        return _Refused("it does not answer in HTTP, as http:// asks for")
    if isinstance(problem, requests.ConnectionError):
        return _Interrupted("no connection")
    if isinstance(problem, requests.RequestException | ValueError):
        return _Refused(f"it cannot be asked ({type(problem).__name__})")
    return _Interrupted("the connection broke")


def _host(url: str) -> str:
    return plain(str(local_path(url).parent)) if is_local(url) else urlsplit(public(url)).netloc
