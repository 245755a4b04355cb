"""Which version a path or an ``Accept`` header names: the door before the routes.

Rewrites the path to the one form that `routes.py` knows.  Whatever names no version
that is advertised becomes ``/``, whose answer is the choice of versions.

Source: contract api-images 1.1 and 2.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_PATH = re.compile(r"/(v[0-9]+(?:\.[0-9]+)?)(/.*)?", re.ASCII | re.DOTALL)
_ACCEPT = re.compile(
    r"application/vnd\.openstack\.images-(v[0-9]+(?:\.[0-9]+)?)", re.ASCII
)

#: The first minor versions, which no option takes away.
_EARLY = tuple(f"v2.{minor}" for minor in range(7, -1, -1))


def advertised(*, cache: bool, several_stores: bool) -> tuple[tuple[str, str], ...]:
    """Return pairs of version id and status, in the order of the document.

    Args:
        cache: ``image_cache_dir`` is set.
        several_stores: ``enabled_backends`` is set.
    """
    if cache:
        middle = (13, 12, 11, 10, 9, 8) if several_stores else (9,)
        numbers = (18, 17, 16, 15, 14, *middle)
        current = 18
    elif several_stores:
        numbers, current = (15, 13, 12, 11, 10, 9, 8, 17), 17
    else:
        numbers, current = (15, 9, 17), 17
    newest = f"v2.{current}"
    ids = (*(f"v2.{number}" for number in numbers), *_EARLY)
    return tuple((name, "CURRENT" if name == newest else "SUPPORTED") for name in ids)


#: Paths that no version is part of.
_UNVERSIONED = frozenset(
    {"/healthcheck", "/livez", "/metrics", "/openapi.json", "/readyz"}
)


class Negotiation:
    """WSGI middleware that leaves one version in the path: ``/v2``."""

    def __init__(self, application: WSGI, versions: Iterable[str]) -> None:
        self._application = application
        self._accepted = frozenset({"v2", *versions})

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Rewrite the path and hand on."""
        environ["PATH_INFO"] = self.canonical(
            environ.get("PATH_INFO", ""), environ.get("HTTP_ACCEPT", "")
        )
        return self._application(environ, start_response)

    def canonical(self, path: str, accept: str) -> str:
        """Return the path that the routes know."""
        if path in _UNVERSIONED:
            return path
        if path == "/versions" or path.startswith("/versions/"):
            return "/versions"
        named = _ACCEPT.match(accept.strip())
        if named:
            return f"/v2{path}" if named[1] in self._accepted else "/"
        match = _PATH.fullmatch(path)
        if match is None or match[1] not in self._accepted:
            return "/"
        return f"/v2{match[2] or ''}"
