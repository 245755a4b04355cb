"""Request -> Caller.  Identity headers count only where the mode says so.

Source: contract auth 2 to 8, rulings U-1, U-3, U-4, U-6, U-7.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol
from uuid import uuid4

from flask import Request

from imagereg.api.peers import Peers
from imagereg.errors import HeaderTooLong, Invalid, Unauthenticated
from imagereg.jobs.delegation import Delegation
from imagereg.model import Caller

#: Longest value of an identity header, in bytes (ruling U-3).
MAX_HEADER_BYTES = 8 * 1024

#: The server's word for an identity header that came twice, see `server.py`.
DUPLICATES_HEADER = "X-IMAGEREG-DUPLICATE"

_KEYSTONE = 'Keystone uri=""'
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Authenticator(Protocol):
    """One mode of identity; `ground.py` picks it by ``[paste_deploy] flavor``.

    Attributes:
        challenge: ``WWW-Authenticate`` of a 401 (ruling U-6).
    """

    @property
    def challenge(self) -> str:
        """Return how to become somebody."""

    def identify(self, request: Request) -> Caller:
        """Return who calls.  Raises `Unauthenticated` when nobody confirmed it."""

    def delegation(self, request: Request) -> Delegation:
        """Return what the caller lends to work that another service takes part in."""


class NoAuth:
    """Everybody is the one administrator of the machine (ruling U-1).

    Args:
        headers: honour ``X-Project-Id``, ``X-User-Id`` and ``X-Roles``; test use.
    """

    challenge = _KEYSTONE

    def __init__(self, *, headers: bool = False) -> None:
        self._headers = headers

    def identify(self, request: Request) -> Caller:
        """Return the fixed caller, or who the headers name where they are honoured."""
        caller = Caller(
            user_id="noauth",
            project_id="noauth",
            roles=frozenset({"admin", "member", "reader"}),
        )
        if not self._headers:
            return caller
        headers = request.headers
        roles = headers.get("X-Roles")
        return replace(
            caller,
            user_id=headers.get("X-User-Id") or caller.user_id,
            project_id=headers.get("X-Project-Id") or caller.project_id,
            roles=caller.roles if roles is None else split_roles(roles),
        )

    def delegation(self, request: Request) -> Delegation:
        """Return nothing: no token that was sent here proves anything."""
        return Delegation()


class TrustedHeaders:
    """A front end authenticates, and says who it was by Keystone's headers.

    Args:
        peers: those whose word counts.
        allow_anonymous: callers without identity may read.
        keystone_url: where clients get tokens, as far as the operator says it.
    """

    def __init__(
        self, peers: Peers, *, allow_anonymous: bool, keystone_url: str | None = None
    ) -> None:
        self.challenge = f'Keystone uri="{keystone_url or ""}"'
        self._peers = peers
        self._allow_anonymous = allow_anonymous

    def identify(self, request: Request) -> Caller:
        """Return who the front end says it is.

        Raises:
            Unauthenticated: it says nothing, or is nobody we trust.
            Invalid: a header is malformed, or came twice.
        """
        if request.remote_addr in self._peers:
            said = _said(request.environ)
            if said.get("x-identity-status") == "Confirmed":
                return _from_headers(said)
        if self._allow_anonymous:
            return Caller(read_only=True)
        raise Unauthenticated("no confirmed identity")

    def delegation(self, request: Request) -> Delegation:
        """Return token and service catalog, as the front end hands them on."""
        headers = request.headers
        is_confirmed = headers.get("X-Identity-Status") == "Confirmed"
        if request.remote_addr not in self._peers or not is_confirmed:
            return Delegation()
        return Delegation(
            headers.get("X-Auth-Token", ""), headers.get("X-Service-Catalog", "")
        )


def request_id(request: Request, longest: int) -> str:
    """Return the id of this request: the client's own, or a new one.

    ``longest`` is ``max_request_id_length``, in characters; 0 is no limit.

    Raises:
        HeaderTooLong: the client's is longer (D-17).
        Invalid: it holds control characters.

    Source: contract api-images 1.6.
    """
    given = request.headers.get("X-OpenStack-Request-ID", "")
    if not given:
        return f"req-{uuid4()}"
    if longest and len(given) > longest:
        message = f"request id is {len(given)} characters long, at most {longest}"
        raise HeaderTooLong(message)
    if _CONTROL.search(given) or not given.isascii():
        raise Invalid("request id holds characters that no id has")
    return given if given.startswith("req-") else f"req-{given}"


def split_roles(text: str) -> frozenset[str]:
    """Return the roles of a header, as ruling U-4 wants them."""
    roles = (role.strip().lower() for role in text.split(","))
    return frozenset(role for role in roles if role)


def _from_headers(said: Mapping[str, str]) -> Caller:
    def first(*names: str) -> str | None:
        for name in names:
            if said.get(name):
                return said[name]
        return None

    caller = Caller(
        user_id=first("x-user-id", "x-user"),
        project_id=first("x-project-id", "x-tenant-id", "x-tenant"),
        roles=split_roles(said.get("x-roles", said.get("x-role", ""))),
        user_name=first("x-user-name"),
        project_name=first("x-project-name", "x-tenant-name"),
        user_domain_id=first("x-user-domain-id"),
        user_domain_name=first("x-user-domain-name"),
        project_domain_id=first("x-project-domain-id"),
        project_domain_name=first("x-project-domain-name"),
        domain_id=first("x-domain-id"),
        domain_name=first("x-domain-name"),
        system_scope=first("openstack-system-scope"),
        is_admin_project=said.get("x-is-admin-project", "true").lower() == "true",
    )
    if said.get("x-service-identity-status") != "Confirmed":
        return caller
    return replace(
        caller,
        service_roles=split_roles(said.get("x-service-roles", "")),
        service_user_id=first("x-service-user-id"),
        service_user_domain_id=first("x-service-user-domain-id"),
        service_project_id=first("x-service-project-id"),
        service_project_domain_id=first("x-service-project-domain-id"),
    )


#: Headers that name an identity.  Source: contract auth 1.
IDENTITY_HEADERS = frozenset(
    {
        "x-identity-status",
        "x-service-identity-status",
        "x-is-admin-project",
        "x-roles",
        "x-role",
        "x-user",
        "x-tenant",
        "openstack-system-scope",
        "x-service-roles",
        "x-domain-id",
        "x-domain-name",
        "x-service-domain-id",
        "x-service-domain-name",
    }
    | {
        f"x-{prefix}{what}{part}"
        for prefix in ("", "service-")
        for what in ("user", "project", "tenant")
        for part in ("-id", "-name", "-domain-id", "-domain-name")
    }
)


def _key(name: str) -> str:
    """Return what a server calls a header.  Source: PEP 3333."""
    return f"HTTP_{name.upper().replace('-', '_')}"


_KEYS = {_key(name): name for name in IDENTITY_HEADERS}
_TWICE = _key(DUPLICATES_HEADER)


def _said(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the identity headers of a request, by names in lower case.

    Every request asks for them: one look at all costs a tenth of asking Werkzeug.

    Raises:
        Invalid: what a front end that does its work never sends (ruling U-3).
    """
    if environ.get(_TWICE):
        raise Invalid(f"header `{environ[_TWICE]}` came more than once")
    said = {_KEYS[key]: environ[key] for key in _KEYS.keys() & environ.keys()}
    for name, value in said.items():
        if len(value) > MAX_HEADER_BYTES:
            raise Invalid(f"header `{name.title()}` is too long")
        if _CONTROL.search(value):
            raise Invalid(f"header `{name.title()}` holds control characters")
    return said
