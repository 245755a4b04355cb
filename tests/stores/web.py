"""A real web server on 127.0.0.1 for tests of whatever reads from one."""

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Page:
    """What a path answers.

    Attributes:
        status: of the answer; 206 is chosen by itself where ranges are understood.
        headers: sent as well.
        ranges: understand ``Range``.
        says_length: send Content-Length.
        cut: send so many bytes fewer than announced.
        held: the second half of the body waits for it.
    """

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    ranges: bool = True
    says_length: bool = True
    cut: int = 0
    knows_head: bool = True
    held: threading.Event | None = None


@dataclass
class Web:
    """The server's pages, by path, and what it was asked."""

    port: int
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    scheme: str = "http"

    def put(self, path: str, body: bytes = b"", **more: Any) -> str:  # noqa: ANN401 - fields of `Page`
        """Publish a page and return its URL."""
        self.pages[path] = Page(body, **more)
        return self.url(path)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def redirect(self, path: str, target: str, status: int = 302) -> str:
        """Publish a redirect and return its URL."""
        return self.put(path, status=status, headers={"Location": target})


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        web = self.server.web
        web.asked.append((self.command, self.path, dict(self.headers.items())))
        page = web.pages.get(self.path, Page(status=404))
        if self.command == "HEAD" and not page.knows_head:
            page = Page(status=501)
        self._answer(page)

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _answer(self, page: Page) -> None:
        status, body, extra = page.status, page.body, dict(page.headers)
        wanted = self.headers.get("Range", "")
        if page.ranges and status == 200 and wanted:
            status, body = self._part(body, wanted, extra)
        self.send_response(status)
        for name, value in extra.items():
            self.send_header(name, value)
        if page.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            half = len(body) // 2
            with contextlib.suppress(OSError):
                self.wfile.write(body[:half])
                if page.held is not None:
                    page.held.wait(60)
                self.wfile.write(body[half : len(body) - page.cut])

    def _part(
        self, body: bytes, wanted: str, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start = int(first)
        stop = min(int(last) + 1 if last else len(body), len(body))
        if start >= len(body):
            return 416, b"no"
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        return 206, body[start:stop]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    web: Web

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up on purpose here."""


@contextlib.contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """Run a web server for the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    web = server.web = Web(server.server_address[1], scheme="https" if tls else "http")
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
