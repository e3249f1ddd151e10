"""Fetch the originals: several mirrors, resumed, checked against a known sum, and never half-written.

What arrives grows in ``<file>.part``, which the next attempt, the next mirror or the next process goes on with. Only when it is complete
and its sum is right does it get its name. Needs the extra ``data``.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from vaedis.data._benchmarks import Original
from vaedis.data._disk import DataError, offline, plain_os_errors, progress, sync_folder

CONNECT_SECONDS, STALL_SECONDS = 10, 60
"""How long a server may take to answer, and then to send the next byte."""

PAUSES = (2, 10)
"""Seconds before the second and third attempt at one mirror, where trying again can help."""

_CHUNK = 1 << 16
_WORTH_IT = 1 << 20  # an attempt that brought a mebibyte may be followed by as many as if it were the first


class _Refused(Exception):
    """A mirror does not have the file, or not in full; the message is a short phrase."""


class _Interrupted(_Refused):
    """As before, but another attempt may succeed."""


def places(original: Original, source: str | os.PathLike[str] | None = None) -> list[str]:
    """Return the URLs at which to look for a file.

    Parameters
    ----------
    original : Original
    source : str or path, optional
        A folder, or the URL of one (``file://``, ``http://``, ``https://``): the only place to look. By default the folder that
        ``VAEDIS_DATA_SOURCE`` names, if it does, and then the file's own addresses.
    """
    first = source if source is not None else os.environ.get("VAEDIS_DATA_SOURCE")
    found = []
    if first:
        text = str(first)
        base = text if "://" in text else Path(text).expanduser().resolve().as_uri()
        if urlsplit(base).scheme not in ("file", "http", "https"):
            raise ValueError(f"The source of data must be a folder, or a file://, http:// or https:// URL, not {text!r}.")
        found.append(f"{base.rstrip('/')}/{original.file}")
    return found if source is not None else [*found, *original.urls]


def is_local(url: str) -> bool:
    """Tell whether a URL is a file on this machine."""
    return urlsplit(url).scheme == "file"


def local_path(url: str) -> Path:
    """Return the path of a ``file://`` URL."""
    return Path(url2pathname(urlsplit(url).path))


def fetch(original: Original, folder: Path, *, source: str | os.PathLike[str] | None = None, patient: bool = True) -> dict[str, Any]:
    """Put a file into a folder, unless it is there already and its sum is right.

    The caller holds the folder's lock (`_prepare.locked`).

    Parameters
    ----------
    original : Original
    folder : Path
        Made if it is not there.
    source : str or path, optional
        The only place to look, as in `places`.
    patient : bool
        Try a mirror again when it fails in a way that may pass.

    Returns
    -------
    dict
        With ``file``, ``size``, ``sha256`` and, if it was fetched, ``url``.

    Raises
    ------
    DataError
        If no mirror has the file, its sum is wrong everywhere, or it cannot be written.
    ImportError
        If the extra ``data`` is not installed.
    """
    pooch = _pooch()
    path, part = folder / original.file, folder / f"{original.file}.part"
    with plain_os_errors(f"{original.file} into {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        # what pooch left behind when it was killed
        for stray in folder.glob("tmp????????"):
            stray.unlink()
        if path.exists() and pooch.hashes.hash_matches(path, original.digest):
            return describe(path)
        path.unlink(missing_ok=True)
        reasons = []
        urls = places(original, source)
        forbidden = offline() and not all(map(is_local, urls))
        for url in filter(is_local, urls) if forbidden else urls:
            # a part that another mirror began may be what made the sum wrong, so that is tried once more from nothing
            for fresh in (False, True) if part.exists() else (True,):
                if fresh:
                    part.unlink(missing_ok=True)
                try:
                    pooch.retrieve(url, original.digest, original.file, folder, downloader=_Resuming(part, original, patient))
                except _Refused as why:
                    reasons.append(f"{_host(url)}: {why}")
                    break
                except ValueError:
                    if fresh:
                        reasons.append(f"{_host(url)}: the file there has another {original.digest.partition(':')[0]} sum")
                    continue
                sync_folder(folder)
                return describe(path) | {"url": url}
        if forbidden:
            reasons.append("VAEDIS_OFFLINE forbids to ask for it")
        kept = " (what has arrived is kept, and will be resumed)" if part.exists() else ""
        raise DataError(
            f"{original.file} cannot be had: {'; '.join(reasons)}{kept}; {'unset that' if forbidden else 'try again'}, "
            "or get the file yourself and name its folder with: vaedis data prepare --from FOLDER."
        )


def _pooch() -> ModuleType:
    with warnings.catch_warnings():
        # in a notebook, tqdm asks for widgets as soon as pooch is imported; no bar of pooch's is ever shown
        warnings.simplefilter("ignore")
        import pooch
    pooch.get_logger().setLevel("ERROR")
    return pooch


def describe(path: Path) -> dict[str, Any]:
    """Return the name, size and SHA-256 sum of a file."""
    return {"file": path.name, "size": path.stat().st_size, "sha256": _pooch().file_hash(str(path), "sha256")}


def remote_size(original: Original, source: str | os.PathLike[str] | None = None) -> int | None:
    """Return how large a file is: as known, as it lies on this machine, or as its server says; None where nobody does."""
    for url in places(original, source):
        if is_local(url):
            with contextlib.suppress(OSError):
                return local_path(url).stat().st_size
        elif original.size is not None:
            return original.size
        elif not offline():
            import requests

            with contextlib.suppress(requests.RequestException, ValueError, KeyError):
                answer = requests.head(url, timeout=(CONNECT_SECONDS, CONNECT_SECONDS), allow_redirects=True, headers=_PLAIN)
                if answer.ok:
                    return int(answer.headers["Content-Length"])
    return original.size


# else some servers say that a .gz is a compressed something else, and it would be unpacked on the way
_PLAIN = {"Accept-Encoding": "identity"}


class _Resuming:
    """What pooch calls to download a file: it lets the part grow until it is complete, and then hands it over."""

    def __init__(self, part: Path, original: Original, patient: bool):
        self.part, self.original, self.pauses = part, original, PAUSES if patient else ()

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        tries = 0
        while True:
            before = self._have()
            try:
                self._copy_file(url) if is_local(url) else self._request(url)
                break
            except _Interrupted:
                tries = 0 if self._have() - before >= _WORTH_IT else tries + 1
                if tries > len(self.pauses) or not self.pauses:
                    raise
                time.sleep(self.pauses[max(tries - 1, 0)])
        with self.part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(self.part, output_file)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _copy_file(self, url: str) -> None:
        path = local_path(url)
        if not path.is_file():
            raise _Refused(f"there is no {path}")
        with path.open("rb") as source:
            self._append(iter(lambda: source.read(_CHUNK), b""), 0, path.stat().st_size)

    def _request(self, url: str) -> None:
        import requests
        from urllib3.exceptions import HTTPError

        have = self._have()
        ask = _PLAIN | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with requests.get(url, stream=True, timeout=(CONNECT_SECONDS, STALL_SECONDS), headers=ask) as answer:
                if answer.status_code == 416:
                    # nothing lies behind what is there: either it is complete, which the sum will tell, or it is another file's
                    if answer.headers.get("Content-Range", "").rpartition("/")[2] == str(have):
                        return
                    self.part.unlink()
                    raise _Interrupted("another file lies there than the one that was begun")
                if answer.status_code in (408, 429) or answer.status_code >= 500:
                    raise _Interrupted(f"{answer.status_code} {answer.reason}")
                if not answer.ok:
                    raise _Refused(f"{answer.status_code} {answer.reason}")
                start = _range_start(answer) if answer.status_code == 206 else 0
                if start not in (0, have):
                    raise _Refused("it answers with another part of the file than was asked for")
                length = answer.headers.get("Content-Length")
                total = start + int(length) if length and length.isdigit() else None
                # the raw stream, since requests would unpack what is meant to stay packed
                self._append(answer.raw.stream(_CHUNK, decode_content=False), start, total)
        except requests.Timeout:
            raise _Interrupted("it did not answer in time") from None
        except requests.ConnectionError:
            raise _Interrupted("no connection") from None
        except requests.RequestException as problem:
            raise _Refused(type(problem).__name__) from None
        except HTTPError as problem:
            stalled = "Timeout" in type(problem).__name__
            raise _Interrupted("it stopped sending" if stalled else "the connection broke") from None

    def _append(self, chunks: Iterator[bytes], start: int, total: int | None) -> None:
        """Write chunks to the part from `start` on; raise `_Interrupted` if they end before, and `_Refused` if they go beyond, `total`."""
        expected = self.original.size if total is None else total
        if self.original.size is not None and expected != self.original.size:
            raise _Refused(f"the file there has {expected:,} bytes and not {self.original.size:,}")
        with self.part.open("ab") as file, progress(self.original.file, expected, start) as told:
            file.truncate(start)
            for chunk in chunks:
                file.write(chunk)
                told(len(chunk))
                if expected is not None and file.tell() > expected:
                    file.truncate(start)
                    raise _Refused(f"more than {expected:,} bytes arrived")
            if expected is not None and file.tell() < expected:
                raise _Interrupted(f"only {file.tell():,} of {expected:,} bytes arrived")


def _range_start(answer: Any) -> int:
    """Where the part that a server sends begins; -1 if it does not say."""
    start = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    return int(start) if start.isdigit() else -1


def _host(url: str) -> str:
    return str(local_path(url).parent) if is_local(url) else urlsplit(url).netloc
