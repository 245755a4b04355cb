"""Pages of other origins: which browsers may let them call, and with what.

A preflight is answered here, the same for every path, before anything is looked at:
it is no call, passes no gate and tells of nothing but this configuration.

Source: contract config 5, section ``[cors]``; the Fetch standard.
"""

from collections.abc import Callable, Iterable
from typing import Any

from imagereg.api.negotiation import WSGI
from imagereg.settings.sections import Cors

Pairs = list[tuple[str, str]]

ANY = "*"

#: What a page may send without asking, and what Glance's middleware always allows.
_SIMPLE = (
    "accept",
    "accept-language",
    "cache-control",
    "content-language",
    "content-type",
    "expires",
    "last-modified",
    "pragma",
)


class CrossOrigin:
    """WSGI middleware that answers preflights and marks answers for browsers.

    Only installed where ``allowed_origin`` is set.
    """

    def __init__(self, application: WSGI, wanted: Cors) -> None:
        self._application = application
        self._wanted = wanted
        self._origins = frozenset(wanted.allowed_origin)
        self._headers = frozenset(
            {*_SIMPLE, *(name.lower() for name in wanted.allow_headers)}
        )

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer a preflight; hand on anything else and mark its answer."""
        if environ["REQUEST_METHOD"] == "OPTIONS":
            headers = self._preflight(environ)
            start_response("200 OK", [*headers, ("Content-Length", "0")])
            return [b""]
        marks = self._marks(environ)

        def start(status: str, headers: Pairs, *rest: Any) -> Any:  # noqa: ANN401 - as WSGI has it
            return start_response(status, [*headers, *marks], *rest)

        return self._application(environ, start)

    def _preflight(self, environ: dict[str, Any]) -> Pairs:
        """Return the permission that is asked for: all of it, or nothing."""
        permission = self._permission(environ)
        method = environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        asked = environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
        headers = [name.strip().lower() for name in asked.split(",") if name.strip()]
        if (
            not permission
            or method not in self._wanted.allow_methods
            or not self._headers.issuperset(headers)
        ):
            return self._vary()
        permission.append(("Access-Control-Allow-Methods", method))
        if headers:
            permission.append(("Access-Control-Allow-Headers", ", ".join(headers)))
        if self._wanted.max_age:
            permission.append(("Access-Control-Max-Age", str(self._wanted.max_age)))
        return [*self._vary(), *permission]

    def _marks(self, environ: dict[str, Any]) -> Pairs:
        permission = self._permission(environ)
        exposed = ", ".join(self._wanted.expose_headers)
        if permission and exposed:
            permission.append(("Access-Control-Expose-Headers", exposed))
        return [*self._vary(), *permission]

    def _permission(self, environ: dict[str, Any]) -> Pairs:
        """Return what the origin of a request is allowed; nothing if it is not ours.

        Whoever allows all origins cannot allow them credentials: any page could act
        for whoever looks at it.
        """
        origin = environ.get("HTTP_ORIGIN", "")
        if origin and origin in self._origins:
            allowed = [("Access-Control-Allow-Origin", origin)]
            if self._wanted.allow_credentials:
                allowed.append(("Access-Control-Allow-Credentials", "true"))
            return allowed
        if origin and ANY in self._origins:
            return [("Access-Control-Allow-Origin", ANY)]
        return []

    def _vary(self) -> Pairs:
        """Return what keeps caches from showing one origin's answer to another."""
        return [] if self._origins == {ANY} else [("Vary", "Origin")]
