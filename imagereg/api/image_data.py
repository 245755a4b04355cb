"""Views of image data.  Source: contract api-images 15 and 16; compute-fetch C-15."""

from collections.abc import Callable, Sequence
from functools import partial

from flask import Response

from imagereg.api import bodies
from imagereg.api.front_end import REDIRECT_HEADER
from imagereg.api.services import Call
from imagereg.images.data import Incoming
from imagereg.images.ranges import parse_content_range, parse_range
from imagereg.model import Image
from imagereg.stores.driver import BlobReader

#: ``X-Image-Redirect: allow`` asks for a signed URL of the store instead of data.
ASK_HEADER = "X-Image-Redirect"


def upload(call: Call) -> Response:
    """Take an image's data."""
    size, store = call.body
    incoming = Incoming(bodies.chunks(call.request), size, store)
    call.services.data.upload(call.grant, incoming)
    return Response(status=204)


def download(call: Call) -> Response:
    """Send an image's data, or one range of them."""
    image = call.grant.image
    call.services.downloads.check_in_use(call.grant)
    tag = _entity_tag(image)
    if tag and _listed(call.request.headers.get("If-None-Match", "")) & {tag, "*"}:
        return Response(status=304, headers={"ETag": tag})
    elsewhere = _redirected(call)
    if elsewhere is not None:
        return elsewhere
    part: list[range] = []
    reader = call.services.downloads.open(
        call.grant,
        _chooser(call, tag, part),
        call.body,
        is_sent=call.request.method == "GET",
    )
    if reader is None:
        response = Response(status=204)
        del response.headers["Content-Type"]
        return response
    place = call.services.front_end.place_of(call.request, image, reader)
    if place is not None:
        reader.close()
        return _handed_over(image, place)
    return _sent(reader, image, part)


def _sent(reader: BlobReader, image: Image, part: Sequence[range]) -> Response:
    """Return the answer that has the bytes, which are one ``part`` if that is given."""
    response = Response(
        reader,  # which the server sends in the best way it knows
        200,
        mimetype="application/octet-stream",
        direct_passthrough=True,
    )
    response.call_on_close(reader.close)
    response.content_length = reader.size
    response.headers["Accept-Ranges"] = "bytes"
    _describe(response, image)
    if part:
        size = image.size if image.size is not None else part[0].stop
        response.status_code = 206
        response.headers["Content-Range"] = (
            f"bytes {part[0].start}-{part[0].stop - 1}/{size}"
        )
    return response


def _redirected(call: Call) -> Response | None:
    """Return the answer that sends the client to the store itself, if it may go.

    The URL is signed for GET alone.  The client repeats ``Range`` there.
    """
    if call.request.method != "GET":
        return None
    is_asked = call.request.headers.get(ASK_HEADER, "").strip().lower() == "allow"
    downloads = call.services.downloads
    url = downloads.redirect_url(call.grant, call.body, is_asked=is_asked)
    if url is None:
        return None
    response = Response(status=307)
    del response.headers["Content-Type"]
    response.headers["Location"] = url
    # The URL is a key, so nobody keeps it or passes it on.
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _handed_over(image: Image, place: str) -> Response:
    """Return the answer by which the front end sends a file.

    It minds ``Range`` itself, which is known to be good.
    """
    response = Response(mimetype="application/octet-stream")
    response.headers[REDIRECT_HEADER] = place
    _describe(response, image)
    return response


def _describe(response: Response, image: Image) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    if image.checksum:
        response.headers["Content-MD5"] = image.checksum
    tag = _entity_tag(image)
    if tag:
        response.headers["ETag"] = tag


def _entity_tag(image: Image) -> str | None:
    """Return the ETag of the data, or None while nothing is known of them."""
    if not image.os_hash_algo or not image.os_hash_value:
        return None
    return f'"{image.os_hash_algo}:{image.os_hash_value}"'


def _listed(header: str) -> frozenset[str]:
    """Return the entity tags of a header; weak ones compare like strong ones here."""
    tags = (tag.strip() for tag in header.split(","))
    return frozenset(tag.removeprefix("W/") for tag in tags)


def _chooser(
    call: Call, tag: str | None, part: list[range]
) -> Callable[[int], range] | None:
    """Return what picks the range that the headers ask for; it is kept in ``part``."""
    headers = call.request.headers
    if "If-Range" in headers and headers["If-Range"].strip() != tag:
        # The client's part belongs to other data: it gets the whole (RFC 9110, 13.1.5).
        return None
    if "Range" in headers:
        parse = partial(parse_range, headers["Range"])
    elif "Content-Range" in headers:
        parse = partial(parse_content_range, headers["Content-Range"])
    else:
        return None

    def choose(size_bytes: int) -> range:
        part[:] = [parse(size_bytes)]
        return part[0]

    return choose
