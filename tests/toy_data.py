"""A data set of 256 images in one file, to be downloaded from a server in this process that can be
told to misbehave.
"""

import contextlib
import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from vaedis.data import prepare
from vaedis.data.originals import catalog, fetch, readers
from vaedis.data.originals.catalog import Benchmark, Original

IMAGES = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 1), dtype=np.uint8)
CONTENT = IMAGES.tobytes()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = "toy.bin"
SLOW = ("stalled", "silent", "dripping")


def original(
    *urls: str, size: int | None = len(CONTENT), digest: str = f"sha256:{SHA256}", file: str = FILE
) -> Original:
    return Original(file, digest, size, urls)


def benchmark(*urls: str) -> Benchmark:
    return Benchmark(
        "toy", {"row": 16, "column": 16}, (32, 32, 1), (0.25,), (0.5,), (original(*urls),)
    )


def read(path: Path, *, wait_for: Path | None = None):
    """Read the toy's file as the readers of `vaedis.data.originals.readers` do; after the first
    block, wait for a file to appear.
    """
    images = np.frombuffer(Path(path).read_bytes(), np.uint8).reshape(IMAGES.shape)
    for start in range(0, len(images), 64):
        while start and wait_for is not None and not wait_for.exists():
            time.sleep(0.01)
        yield images[start : start + 64]


@contextlib.contextmanager
def serving(monkeypatch):
    """Start a server, allow the network, and wait for no server that is slow on purpose; for the
    others as long as it takes.
    """
    copy = fetch._copy

    def known(url, *args):
        slow = any(f"/{how}/" in url for how in SLOW)
        monkeypatch.setattr(fetch, "WINDOW_SECONDS", 0.3 if slow else 600)
        copy(url, *args)

    monkeypatch.setattr(fetch, "_copy", known)
    monkeypatch.setenv("VAEDIS_OFFLINE", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    try:
        yield server
    finally:
        server.close()


def install(monkeypatch, folder: Path, *urls: str, **options):
    """Make the toy known as a data set like the four, with an empty cache; `options` are those of
    `read`.
    """
    monkeypatch.setenv("VAEDIS_DATA", str(folder))
    monkeypatch.setitem(catalog.BENCHMARKS, "toy", benchmark(*urls))
    monkeypatch.setitem(prepare.STORED_ORIGINS, "toy", ("original",))
    monkeypatch.setitem(readers.READERS, "toy", lambda paths, sizes: read(*paths, **options))


class Server:
    """Answers GET requests for any file, as its path says: what comes before the file's name names a
    method.

    Attributes
    ----------
    asked : list of str
        The path of each request.
    """

    def __init__(self):
        self.asked: list[str] = []
        self.let_go = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
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
        return sum(path.startswith(f"/{how}/") for path in self.asked)

    def close(self):
        self.let_go.set()
        self.http.shutdown()
        self.http.server_close()

    def send(
        self,
        request,
        body: bytes,
        *,
        status: int = 200,
        promised: int | None = None,
        **headers: str,
    ):
        request.send_response(status)
        request.send_header("Content-Length", str(len(body) if promised is None else promised))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(body)

    def keep_sending(self, request, content: bytes, pause: float = 0.0):
        """Send the same again and again, until the other side has had enough or the test ends."""
        while not self.let_go.wait(pause):
            request.wfile.write(content)
            request.wfile.flush()

    # what a path may start with

    def good(self, request):
        self.send(request, CONTENT)

    def packed(self, request):
        """A server that takes a compressed file for compressed on the way."""
        self.send(request, CONTENT, Content_Encoding="gzip")

    def truncated(self, request):
        self.send(request, CONTENT[: len(CONTENT) // 2], promised=len(CONTENT))

    def wrong(self, request):
        self.send(request, bytes(len(CONTENT)))

    def page(self, request):
        """What a portal shows in the place of a file."""
        self.send(request, b"<html>Log in first.</html>")

    def missing(self, request):
        request.send_error(404)

    def broken(self, request):
        request.send_error(500)

    def stalled(self, request):
        """Sends half of the file, and then nothing until the test ends."""
        request.send_response(200)
        request.send_header("Content-Length", str(len(CONTENT)))
        request.end_headers()
        request.wfile.write(CONTENT[: len(CONTENT) // 2])
        self.let_go.wait(20)
        request.close_connection = True

    def silent(self, request):
        self.let_go.wait(20)
        request.close_connection = True

    def dripping(self, request):
        self.send(request, b"", promised=len(CONTENT))
        self.keep_sending(request, b"x", 0.02)

    def endless(self, request):
        """A body of no stated size that does not end."""
        request.send_response(200)
        request.end_headers()
        self.keep_sending(request, bytes(1 << 16))

    def partial(self, request):
        """Sends a part that nobody asked for, and does not say which."""
        self.send(request, CONTENT[1000:], status=206)

    def escaping(self, request):
        request.wfile.write(
            b"HTTP/1.1 404 \x1b]0;title\x07\x1b[31mred\r\nContent-Length: 0\r\n\r\n"
        )

    def moved(self, request):
        self.send(request, b"", status=302, Location=self.url("good"))

    def no_http(self, request):
        request.wfile.write(b"SSH-2.0-server\r\n")

    def circular(self, request):
        self.send(request, b"", status=302, Location=self.url("circular"))

    def to_a_file(self, request):
        self.send(request, b"", status=302, Location="file:///etc/hostname")
