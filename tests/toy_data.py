"""A data set of 256 images in one file, to be downloaded from a server in this process that can be told to misbehave."""

import contextlib
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from vaedis.data import _benchmarks, _formats, _prepare, download
from vaedis.data._benchmarks import Benchmark, Original

IMAGES = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 1), dtype=np.uint8)
CONTENT = IMAGES.tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = "toy.bin"


def original(*urls: str, size: int | None = len(CONTENT), digest: str = f"sha256:{SHA256}", file: str = FILE) -> Original:
    return Original(file, digest, size, urls)


def benchmark(*urls: str) -> Benchmark:
    return Benchmark("toy", {"row": 16, "column": 16}, (32, 32, 1), (0.25,), (0.5,), ((original(*urls),),))


def read(path: Path, *, block: int = 64, pause: float = 0.0):
    """Read the toy's file as the readers of `vaedis.data._formats` do."""
    images = np.frombuffer(Path(path).read_bytes(), np.uint8).reshape(IMAGES.shape)
    for start in range(0, len(images), block):
        time.sleep(pause)
        yield images[start : start + block]


@contextlib.contextmanager
def serving(monkeypatch):
    """Start a server, allow the network, and have no patience."""
    monkeypatch.setattr(download, "PAUSES", (0, 0))
    monkeypatch.setattr(download, "STALL_SECONDS", 0.3)
    monkeypatch.setenv("VAEDIS_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    try:
        yield server
    finally:
        server.close()


def install(monkeypatch, folder: Path, *urls: str, **options):
    """Make the toy known as a data set like the four, with an empty cache; `options` are those of `read`."""
    monkeypatch.setenv("VAEDIS_DATA", str(folder))
    monkeypatch.setitem(_benchmarks.BENCHMARKS, "toy", benchmark(*urls))
    monkeypatch.setitem(_prepare.STORED_ORIGINS, "toy", ("original",))
    monkeypatch.setitem(_formats.READERS, "toy", lambda path: read(path, **options))


class Server:
    """Answers GET requests for any file, as its path says: what comes before the file's name names a method.

    Attributes
    ----------
    asked : list of (str, str or None)
        Path and Range header of each request.
    """

    def __init__(self):
        self.asked: list[tuple[str, str | None]] = []
        self.let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append((self.path, self.headers["Range"]))
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    getattr(outer, self.path.split("/")[1])(self)

            do_HEAD = do_GET

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, how: str) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/{how}/{FILE}"

    def count(self, how: str) -> int:
        return sum(path.startswith(f"/{how}/") for path, _ in self.asked)

    def close(self):
        self.let_go.set()
        self.http.shutdown()
        self.http.server_close()

    def send(self, request, body: bytes, *, promised: int | None = None, ranges: bool = True, **headers: str):
        asked = request.headers["Range"] if ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if start >= len(CONTENT) and start:
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(CONTENT)}")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        request.send_header("Content-Length", str((len(body) if promised is None else promised) - start))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body[start:])

    # what a path may start with

    def good(self, request):
        self.send(request, CONTENT)

    def plain(self, request):
        """A server that does not know of ranges."""
        self.send(request, CONTENT, ranges=False)

    def packed(self, request):
        """A server that takes a compressed file for compressed on the way."""
        self.send(request, CONTENT, Content_Encoding="gzip")

    def truncated(self, request):
        self.send(request, CONTENT[: len(CONTENT) // 2], promised=len(CONTENT))

    def once_truncated(self, request):
        self.truncated(request) if self.count("once_truncated") == 1 else self.good(request)

    def wrong(self, request):
        self.send(request, bytes(len(CONTENT)), ranges=False)

    def page(self, request):
        """What a portal shows in the place of a file."""
        self.send(request, b"<html>Log in first.</html>", ranges=False)

    def missing(self, request):
        request.send_error(404)

    def broken(self, request):
        request.send_error(500)

    def twice_broken(self, request):
        self.broken(request) if self.count("twice_broken") <= 2 else self.good(request)

    def stalled(self, request):
        """Sends half of the file, and then nothing until the test ends."""
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[: len(CONTENT) // 2])
        self.let_go.wait(20)
        request.close_connection = True
