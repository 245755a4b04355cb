"""Who is told what about the health of this node.

Source: contract config 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Request

from imagereg.api.peers import Peers
from imagereg.errors import NotFound
from imagereg.readiness import Readiness

LOOPBACK = ("127.0.0.0/8", "::1")

#: What a proxy adds to a request that it hands on.
_PROXIED = (
    *("Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Host"),
    *("X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Forwarded-Server"),
)


def is_proxied(request: Request) -> bool:
    """Return whether a proxy handed the request on, as far as it says so."""
    return any(name in request.headers for name in _PROXIED)


@dataclass(frozen=True)
class Near:
    """Those who may see the inside: on this machine, or trusted, and not by proxy.

    A web server in front speaks for everybody, from an address that is trusted.
    """

    peers: Peers

    def holds(self, request: Request) -> bool:
        """Return whether the request is of one of them."""
        return request.remote_addr in self.peers and not is_proxied(request)


@dataclass(frozen=True)
class Health:
    """What the answers go by.

    Attributes:
        backends: what the reference's check asks beside the file.
        sources: who is answered at all; None is everybody.
        ignores_proxied: requests that came through a proxy are not.
    """

    readiness: Readiness
    near: Near
    disabled_by: Path | None = None
    backends: Sequence[str] = ()
    detailed: bool = False
    sources: Peers | None = None
    ignores_proxied: bool = False

    def check_asker(self, request: Request) -> None:
        """Refuse who is not to be answered.

        Raises:
            NotFound: as if there were no such thing.
        """
        stranger = self.sources is not None and request.remote_addr not in self.sources
        if stranger or (self.ignores_proxied and is_proxied(request)):
            raise NotFound("no such resource")

    def is_disabled(self) -> bool:
        """Return whether the operator took this node out of service."""
        return self.disabled_by is not None and self.disabled_by.exists()

    def may_see(self, request: Request) -> bool:
        """Return whether the answer names parts."""
        return self.detailed or self.near.holds(request)
