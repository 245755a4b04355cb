"""A real forward proxy on 127.0.0.1, which looks names up in a table of its own."""

import contextlib
import http.client
import select
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class ForwardProxy:
    """What the proxy knows, and what it was asked.

    Attributes:
        names: host -> the address that it finds for it; others it takes as they are.
        account: ``user:password`` without which it answers 407.
        asked: method, target and headers of each request.
    """

    port: int
    names: dict[str, str] = field(default_factory=dict)
    account: str = ""
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_CONNECT(self) -> None:
        if not self._is_admitted():
            return
        host, _, port = self.path.rpartition(":")
        with self._connect(host, int(port)) as far:
            self.send_response(200)
            self.end_headers()
            self._relay(far)

    def do_GET(self) -> None:
        if not self._is_admitted():
            return
        url = urlsplit(self.path)
        with self._connect(url.hostname or "", url.port or 80) as far:
            lines = [f"{self.command} {url.path} HTTP/1.1", "Connection: close"]
            lines += [
                f"{name}: {value}"
                for name, value in self.headers.items()
                if name.lower() not in ("connection", "proxy-authorization")
            ]
            far.sendall("\r\n".join([*lines, "", ""]).encode())
            while data := far.recv(65536):
                self.wfile.write(data)
        self.close_connection = True

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def _is_admitted(self) -> bool:
        proxy = self.server.proxy
        proxy.asked.append((self.command, self.path, dict(self.headers.items())))
        wanted = f"Basic {b64encode(proxy.account.encode()).decode()}"
        if not proxy.account or self.headers["Proxy-Authorization"] == wanted:
            return True
        self.send_response(http.client.PROXY_AUTHENTICATION_REQUIRED)
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def _connect(self, host: str, port: int) -> socket.socket:
        found = self.server.proxy.names.get(host, host).strip("[]")
        return socket.create_connection((found, port), timeout=30)

    def _relay(self, far: socket.socket) -> None:
        other = {self.connection: far, far: self.connection}
        while True:
            for ready in select.select(list(other), [], [], 30)[0]:
                data = ready.recv(65536)
                if not data:
                    self.close_connection = True
                    return
                other[ready].sendall(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: ForwardProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up, and servers are away, on purpose here."""


@contextlib.contextmanager
def forward_proxy() -> Iterator[ForwardProxy]:
    """Run a proxy for the block."""
    server = _Server(("127.0.0.1", 0), _Handler)
    proxy = server.proxy = ForwardProxy(server.server_address[1])
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
