"""What a front end says about the request that it got: scheme, host, prefix, client.

Believed of trusted peers alone, and only for the links of our answers and for logs.
Who may do what is never decided by it: the peer stays the one of the socket.

Source: contract config 5, ``[oslo_middleware]``; auth 7.5; RFC 7239.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from imagereg.api.negotiation import WSGI
from imagereg.api.peers import Peers

#: Where the client's address is noted, as the front end names it.
CLIENT = "imagereg.client"

_HOST = re.compile(r"([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_CLIENT = re.compile(r"[\w.:\[\]-]{1,64}", re.ASCII)
_PREFIX = re.compile(r"(/[\w.~-]+)+/?", re.ASCII)
_PAIR = re.compile(r'\s*([\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;,"]*)\s*', re.ASCII)


class ProxyHeaders:
    """WSGI middleware, only installed with ``enable_proxy_headers_parsing``."""

    def __init__(self, application: WSGI, peers: Peers) -> None:
        self._application = application
        self._peers = peers

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Take over what a trusted peer says, and hand on."""
        if environ.get("REMOTE_ADDR") in self._peers:
            environ.update(_told(environ))
        return self._application(environ, start_response)


def _told(environ: Mapping[str, Any]) -> Mapping[str, str]:
    """Return variables of WSGI, as the first hop has it; nonsense is left out."""
    hop = _first_hop(environ)
    found = {}
    scheme = hop.get("proto", "").lower()
    if scheme in ("http", "https"):
        found["wsgi.url_scheme"] = scheme
    if _HOST.fullmatch(hop.get("host", "")):
        found["HTTP_HOST"] = hop["host"]
    if _CLIENT.fullmatch(hop.get("for", "")):
        found[CLIENT] = hop["for"]
    prefix = environ.get("HTTP_X_FORWARDED_PREFIX", "").strip()
    # `..` in a prefix would lead our links out of it.
    if _PREFIX.fullmatch(prefix) and ".." not in prefix:
        found["SCRIPT_NAME"] = prefix.rstrip("/") + str(environ.get("SCRIPT_NAME", ""))
    return found


def _first_hop(environ: Mapping[str, Any]) -> Mapping[str, str]:
    """Return what the first of all proxies says; ``Forwarded`` makes others void."""
    forwarded = environ.get("HTTP_FORWARDED")
    if forwarded:
        return _parse(forwarded)
    return {
        name: environ.get(f"HTTP_X_FORWARDED_{name.upper()}", "").split(",")[0].strip()
        for name in ("proto", "host", "for")
    }


def _parse(text: str) -> Mapping[str, str]:
    """Return the pairs of the first element of a ``Forwarded`` header."""
    pairs: dict[str, str] = {}
    at = 0
    while match := _PAIR.match(text, at):
        value = match[2].strip()
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        pairs.setdefault(match[1].lower(), value)
        at = match.end()
        if text[at : at + 1] != ";":
            break
        at += 1
    return pairs
