"""Turn expected failures into HTTP answers, in the form the client asked for.

Unmodified clients depend on the form: one of them crashes on a JSON error that it
did not ask for, and prints the HTML one line by line.

Source: contract api-images 1.5, api-clients 1; ruling D-25.
"""

import html
import math
from collections.abc import Mapping
from http import HTTPStatus

import orjson
from flask import Response, request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from imagereg.errors import (
    Conflict,
    Forbidden,
    Gone,
    HeaderTooLong,
    IdentityUnavailable,
    ImageRegError,
    Invalid,
    NotFound,
    RangeNotSatisfiable,
    StoreUnavailable,
    TooLarge,
    TooManyAttempts,
    Unauthenticated,
    UnsupportedMedia,
)

STATUS: Mapping[type[ImageRegError], int] = {
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Gone: 410,
    TooLarge: 413,
    UnsupportedMedia: 415,
    RangeNotSatisfiable: 416,
    TooManyAttempts: 429,
    HeaderTooLong: 431,
    IdentityUnavailable: 503,
    StoreUnavailable: 503,
}

_HTML = "text/html"
#: When to try again what cannot be done just now, in seconds.
RETRY_AFTER_S = 5

_JSON = "application/json"
_TEXT = "text/plain"


def status_of(error: ImageRegError) -> int:
    """Return the HTTP status of a failure; 500 for one that no client may cause."""
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return 500


def answer(error: ImageRegError, challenge: str) -> Response:
    """Return the HTTP answer to an expected failure.

    ``challenge`` tells those who are nobody how to become somebody (RFC 9110, 11.6.1).
    """
    status = status_of(error)
    if isinstance(error, Unauthenticated):
        return _unauthenticated(challenge)
    response = problem(status, error.message if status < 500 or status == 503 else "")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    if isinstance(error, UnsupportedMedia) and error.accepted:
        response.headers["Accept-Patch"] = ", ".join(error.accepted)
    if isinstance(error, TooManyAttempts | IdentityUnavailable):
        response.headers["Retry-After"] = str(math.ceil(error.wait_s))
    if isinstance(error, RangeNotSatisfiable):
        response.headers["Content-Range"] = f"bytes */{error.size_bytes}"
    return response


def problem(
    status: int, explanation: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an error in the representation that ``Accept`` prefers."""
    title = HTTPStatus(status).phrase
    code = f"{status} {title}"
    accepted = request.headers.get("Accept", "")
    form = _preferred(accepted)
    if form == _JSON:
        document = {"message": explanation, "code": code, "title": title}
        response = Response(orjson.dumps(document), status, mimetype=_JSON)
    elif form == _HTML:
        response = Response(
            _page(code, explanation), status, content_type="text/html; charset=UTF-8"
        )
    else:
        response = Response(
            f"{code}\n\n{explanation}\n\n",
            status,
            content_type="text/plain; charset=UTF-8",
        )
    # What a client sent comes back in the message; no browser may take it for a page.
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.update(headers or {})
    return response


def _preferred(accept: str) -> str:
    if not accept.strip():
        return _TEXT
    accepted = parse_accept_header(accept, MIMEAccept)
    as_html, as_json = accepted.quality(_HTML), accepted.quality(_JSON)
    if not as_html and not as_json:
        return _TEXT
    return _JSON if as_json > as_html else _HTML


def _page(code: str, explanation: str) -> str:
    text = html.escape(explanation)
    return (
        f"<html>\n <head>\n  <title>{code}</title>\n </head>\n <body>\n"
        f"  <h1>{code}</h1>\n  {text}<br /><br />\n\n\n </body>\n</html>\n"
    )


def _unauthenticated(challenge: str) -> Response:
    """Source: ruling U-6."""
    document = {
        "error": {
            "code": 401,
            "title": "Unauthorized",
            "message": "The request you have made requires authentication.",
        }
    }
    return Response(
        orjson.dumps(document),
        401,
        mimetype=_JSON,
        headers={"WWW-Authenticate": challenge},
    )
