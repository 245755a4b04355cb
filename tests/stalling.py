"""Peers that begin a transfer and then do nothing."""

import socket

from tests.server import Server


def stalled_download(server: Server, image_id: str) -> socket.socket:
    """Ask for an image's data and read none of them."""
    return begin(server, f"GET /v2/images/{image_id}/file HTTP/1.1\r\n", "")


def stalled_upload(
    server: Server, image_id: str, framing: str = "Content-Length: 9999"
) -> socket.socket:
    """Announce an image's data and send a part of them."""
    request = f"PUT /v2/images/{image_id}/file HTTP/1.1\r\n"
    headers = f"Content-Type: application/octet-stream\r\n{framing}\r\n"
    peer = begin(server, request, headers)
    chunked = framing.startswith("Transfer-Encoding")
    peer.sendall(b"1000\r\n" if chunked else b"")
    peer.sendall(bytes(1000))
    return peer


def begin(server: Server, request: str, headers: str) -> socket.socket:
    """Open a connection and send a request without its body."""
    peer = socket.socket()
    peer.settimeout(60)
    # A small window, so that the kernel cannot take the whole answer for its reader.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(("127.0.0.1", server.port))
    identity = "".join(
        f"{name}: {value}\r\n" for name, value in server.client().headers.items()
    )
    peer.sendall(f"{request}Host: x\r\n{identity}{headers}\r\n".encode())
    return peer
