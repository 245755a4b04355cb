"""Requests as bytes: what a test sends that no polite HTTP library would.

`Client` is for ordinary conversations; `raw` writes whatever it is given to the
socket and can hang up in the middle.
"""

import http.client
import json
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

Headers = Mapping[str, str]
Document = dict[str, Any]


def as_(
    user: str = "alice",
    project: str = "project-a",
    roles: Iterable[str] = ("member", "reader"),
) -> dict[str, str]:
    """Return the headers a front end sends for a caller it has confirmed."""
    return {
        "X-Identity-Status": "Confirmed",
        "X-User-Id": user,
        "X-Project-Id": project,
        "X-Roles": ",".join(roles),
    }


ADMIN = as_("admin", "project-admin", ("admin", "member", "reader"))


@dataclass(frozen=True)
class Answer:
    """What the server said, read to the end.

    Attributes:
        headers: names in lower case; a repeated header is joined with commas.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Document:
        """Return the body, a JSON object."""
        document: Document = json.loads(self.body)
        return document


class Client:
    """One caller's conversation with the server at ``base``.

    A new connection serves each request, so that tests do not depend on order.
    """

    def __init__(
        self, base: str, headers: Headers | None = None, timeout_s: float = 60
    ) -> None:
        self.base = base
        self.headers = dict(as_() if headers is None else headers)
        self.timeout_s = timeout_s

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | Iterable[bytes] | None = None,
        headers: Headers | None = None,
        document: object = None,
    ) -> Answer:
        """Send one request and return its answer.

        Bytes are sent with their length, any other iterable in chunks, each of
        its items one chunk; ``document`` is sent as JSON.
        """
        sent = {"Accept": "*/*", **self.headers}
        if document is not None:
            body = json.dumps(document).encode()
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        chunked = body is not None and not isinstance(body, bytes)
        if chunked:
            sent["Transfer-Encoding"] = "chunked"
        connection = self.connect()
        try:
            # An early answer is still an answer, although it breaks the pipe.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, sent, encode_chunked=chunked)
            return read(connection)
        finally:
            connection.close()

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection to the server."""
        url = urlsplit(self.base)
        return http.client.HTTPConnection(
            url.hostname or "", url.port, timeout=self.timeout_s
        )

    def get(self, path: str, **headers: str) -> Answer:
        """Read ``path``; ``headers`` write `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("GET", path, headers=named)

    def create(self, **fields: object) -> Document:
        """Create an image record and return its document."""
        fields = {"disk_format": "raw", "container_format": "bare", **fields}
        answer = self.request("POST", "/v2/images", document=fields)
        assert answer.status == 201, answer
        return answer.json()

    def show(self, image_id: str) -> Document:
        """Return the document of an image."""
        answer = self.get(f"/v2/images/{image_id}")
        assert answer.status == 200, answer
        return answer.json()

    def upload(self, image_id: str, body: bytes | Iterable[bytes]) -> Answer:
        """Send image data: bytes with their length, an iterable in chunks."""
        return self.request(
            "PUT",
            f"/v2/images/{image_id}/file",
            body=body,
            headers={"Content-Type": "application/octet-stream"},
        )

    def download(self, image_id: str, **headers: str) -> Answer:
        """Read image data."""
        return self.get(f"/v2/images/{image_id}/file", **headers)


def read(connection: http.client.HTTPConnection) -> Answer:
    """Return the whole answer that is due on ``connection``."""
    reply = connection.getresponse()
    headers: dict[str, str] = {}
    for name, value in reply.getheaders():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return Answer(reply.status, headers, reply.read())


class End(Enum):
    """What the peer does after its last byte."""

    READ = "waits for the answer"
    SHUT = "closes its sending half, then waits for the answer"
    CLOSE = "closes"
    RESET = "resets the connection"


def head(method: str, path: str, headers: Headers) -> bytes:
    """Return a request head, its headers exactly as given."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def raw(base: str, pieces: Iterable[bytes], end: End = End.READ) -> bytes:
    """Send ``pieces`` as they are, end as told, and return what came back.

    Nothing comes back from a peer that closes or resets.  A server that leaves the
    connection open after its answer runs into a `TimeoutError`.
    """
    url = urlsplit(base)
    with socket.create_connection((url.hostname or "", url.port or 80), 60) as peer:
        for piece in pieces:
            try:
                peer.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                break  # An early answer is still an answer.
        if end is End.RESET:
            # Lingering for zero seconds turns close into a reset.
            peer.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        if end in (End.RESET, End.CLOSE):
            return b""
        if end is End.SHUT:
            peer.shutdown(socket.SHUT_WR)
        return b"".join(received(peer))


def received(peer: socket.socket) -> Iterator[bytes]:
    """Yield what the server sends until it closes."""
    while True:
        try:
            piece = peer.recv(65536)
        except ConnectionResetError:
            return
        if not piece:
            return
        yield piece
