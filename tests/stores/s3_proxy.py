"""A proxy in front of a real S3 service, which breaks what it is told to break."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK_BYTES = 64 * 1024

ERROR = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code>'
    b"<Message>the secret is testing</Message></Error>"
)


@dataclass
class Fault:
    """What goes wrong with the requests that match.

    Attributes:
        method: of the request.
        text: stands somewhere in its path or query.
        times: how many requests it befalls.
        status: answered without asking the service.
        cut_request: the connection ends after so many bytes of the request's body.
        cut_answer: the connection ends after so many bytes of the answer's body.
        lose_answer: the service does it, and the connection ends without a word.
        headers: replace those of the answer.
        held: the answer waits for it.
    """

    method: str
    text: str = ""
    times: int = 1
    status: int | None = None
    code: str = "InternalError"
    cut_request: int | None = None
    cut_answer: int | None = None
    lose_answer: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    held: threading.Event | None = None


@dataclass
class Proxy:
    """A running proxy.

    Attributes:
        host: name and port.
        asked: method and path of each request, in order.
        bodies: bytes of request bodies that were passed on.
    """

    host: str
    upstream: str
    faults: list[Fault] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault_of(self, method: str, path: str) -> Fault:
        """Note a request and return what befalls it."""
        with self.lock:
            self.asked.append((method, path))
            for fault in self.faults:
                if fault.times and fault.method == method and fault.text in path:
                    fault.times -= 1
                    return fault
        return Fault(method)

    def count(self, method: str, text: str = "") -> int:
        """Return how many such requests there were."""
        return sum(each == method and text in path for each, path in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "_Server"

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_GET(self) -> None:
        proxy = self.server.proxy
        fault = proxy.fault_of(self.command, self.path)
        with contextlib.suppress(OSError, http.client.HTTPException):
            if fault.cut_request is not None:
                self._pass_body(None, fault.cut_request)
                self.close_connection = True
            elif fault.status is not None:
                self._pass_body(None)
                self._refuse(fault)
            else:
                self._forward(proxy, fault)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - the library's names

    def _forward(self, proxy: Proxy, fault: Fault) -> None:
        service = http.client.HTTPConnection(proxy.upstream, timeout=60)
        try:
            service.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    service.putheader(name, value)
            service.endheaders()
            self._pass_body(service)
            self._answer(service.getresponse(), fault)
        finally:
            service.close()

    def _pass_body(
        self, service: http.client.HTTPConnection | None, limit: int | None = None
    ) -> None:
        if "Transfer-Encoding" in self.headers:
            self._pass_chunks(service)
            return
        left = int(self.headers.get("Content-Length", 0))
        left = left if limit is None else min(left, limit)
        while left:
            block = self.rfile.read(min(left, BLOCK_BYTES))
            if not block:
                raise ConnectionError
            left -= len(block)
            if service is not None:
                service.send(block)
                with self.server.proxy.lock:
                    self.server.proxy.bodies += len(block)

    def _pass_chunks(self, service: http.client.HTTPConnection | None) -> None:
        """Pass on a chunked body, as boto3 sends one that ends in a checksum."""
        left = 1
        while left:
            line = self.rfile.readline()
            left = int(line, 16)
            chunk = line + self.rfile.read(left + 2)
            if service is not None:
                service.send(chunk)

    def _answer(self, answer: http.client.HTTPResponse, fault: Fault) -> None:
        if fault.held is not None:
            fault.held.wait(60)
        if fault.lose_answer:
            answer.read()
            self.close_connection = True
            return
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"connection", "transfer-encoding"}:
                self.send_header(name, fault.headers.get(name, value))
        body_of_unknown_length = answer.getheader("Content-Length") is None
        if body_of_unknown_length:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        left = fault.cut_answer if fault.cut_answer is not None else 1 << 60
        while left and (block := answer.read(min(left, BLOCK_BYTES))):
            self.wfile.write(block)
            left -= len(block)
        if fault.cut_answer is not None:
            self.close_connection = True

    def _refuse(self, fault: Fault) -> None:
        body = ERROR % fault.code.encode()
        self.send_response_only(fault.status or 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: Proxy

    def __init__(self) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def hang_up(self) -> None:
        """End the connections that clients keep."""
        for connection in tuple(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections break on purpose here."""


@contextlib.contextmanager
def s3_proxy(upstream: str, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """Run a proxy in front of ``upstream``, a host and port, for the block."""
    server = _Server()
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.proxy = Proxy(f"127.0.0.1:{server.server_address[1]}", upstream)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
    )
    thread.start()
    try:
        yield server.proxy
    finally:
        server.shutdown()
        server.server_close()
        server.hang_up()
        thread.join()
