"""Request bodies: JSON documents, and image data that is never held whole.

The server hands over a truncated body with a Content-Length as if it ended there,
so bytes are counted here.

Source: contract api-images 1.3 and 15.1; DATAPATH 1 and 2.
"""

from collections.abc import Iterator

import orjson
from flask import Request

from imagereg.errors import Invalid, TooLarge, TransferBroken

#: How much to ask the server for at a time: its parser copies what is left of a
#: sized body on every smaller read, and hands out a chunked one piece by piece.
SIZED_READ = 1024 * 1024
CHUNKED_READ = 64 * 1024


def is_chunked(request: Request) -> bool:
    """Return whether the body comes in chunks."""
    return "chunked" in request.headers.get("Transfer-Encoding", "").lower()


def has_body(request: Request) -> bool:
    """Return whether the client sends a body.  Source: contract api-images 1.3."""
    if request.content_length:
        return True
    return is_chunked(request) and request.method in ("POST", "PUT", "PATCH")


def chunks(request: Request) -> Iterator[bytes]:
    """Yield the body as it comes in.

    Raises:
        TransferBroken: the client went away, stalled, or sent a malformed body.
    """
    stream = request.environ["wsgi.input"]
    size = None if is_chunked(request) else request.content_length or 0
    step = CHUNKED_READ if size is None else SIZED_READ
    received = 0
    while size is None or received < size:
        try:
            chunk: bytes = stream.read(
                step if size is None else min(step, size - received)
            )
        except OSError as error:
            message = f"the body broke off after {received} bytes"
            raise TransferBroken(message) from error
        if not chunk:
            break
        received += len(chunk)
        yield chunk
    if size is not None and received != size:
        message = f"the body broke off after {received} of {size} bytes"
        raise TransferBroken(message)


def json_document(request: Request, longest: int) -> object:
    """Return the body as JSON, whatever its content type.

    ``longest`` is ``[oslo_middleware] max_request_body_size``, in bytes.

    Raises:
        Invalid: no body, or not JSON.
        TooLarge: longer than ``longest``.
    """
    if not has_body(request):
        raise Invalid("a request body is required")
    if (request.content_length or 0) > longest:
        raise TooLarge(f"the request body is longer than {longest} bytes")
    body = bytearray()
    for chunk in chunks(request):
        body += chunk
        if len(body) > longest:
            raise TooLarge(f"the request body is longer than {longest} bytes")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the request body is not valid JSON: {error}") from error
