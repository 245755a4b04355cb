"""Flavor ``keystone``: tokens, which the identity service confirms.

What the reference's middleware does with ``delay_auth_decision``, without headers in
between: who calls is what the token says, and no header that names an identity is read.

Source: contract auth 1, 1.1, 1.2, rulings U-4 to U-6, U-8, U-10.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Any

from flask import Request

from imagereg.errors import Unauthenticated
from imagereg.identity.tokens import Token
from imagereg.identity.validation import Validation
from imagereg.jobs.delegation import Delegation
from imagereg.model import Caller

#: Where a request carries what its caller lends; no header has such a name.
_LENT = "imagereg.delegation"


@dataclass(frozen=True, slots=True)
class TokenRules:
    """Which tokens count.

    Attributes:
        uri: where clients get tokens.
        service_type: what access rules call this service.
        service_roles: a service token has one of them at least.
        service_roles_required: whether one that has none is worth nothing.
        allow_anonymous: callers without identity may read.
        delay_decision: a wrong service token, or none for the user, is for the rules
            to judge and not the end.
    """

    uri: str
    service_type: str = "image"
    service_roles: frozenset[str] = frozenset({"service"})
    service_roles_required: bool = True
    allow_anonymous: bool = False
    delay_decision: bool = True


class KeystoneTokens:
    """Callers prove who they are by a token, which is asked about at the beginning.

    A request goes on with what was found then, however long it lasts (ruling U-8).

    Args:
        tokens: knows what tokens stand for.
        rules: which of them count.
    """

    def __init__(self, tokens: Validation, rules: TokenRules) -> None:
        self.challenge = f'Keystone uri="{rules.uri}"'
        self._tokens = tokens
        self._rules = rules

    def identify(self, request: Request) -> Caller:
        """Return whom the token of a request stands for.

        Raises:
            Unauthenticated: none came, or it is not valid.
            IdentityUnavailable: nobody can tell just now.
        """
        environ = request.environ
        # Nothing behind these lines can log or forward what is in them.
        storage = environ.pop("HTTP_X_STORAGE_TOKEN", "")
        mine = environ.pop("HTTP_X_AUTH_TOKEN", "") or storage
        service = self._find_service(environ.pop("HTTP_X_SERVICE_TOKEN", ""))
        found = self._find(request, mine, service) if mine else None
        if found is None:
            if self._rules.allow_anonymous and self._rules.delay_decision:
                return Caller(read_only=True)
            raise Unauthenticated("no valid token")
        _lend(environ, Delegation(mine.strip(), found.catalog))
        caller = _caller(found)
        return caller if service is None else _with_service(caller, service)

    def delegation(self, request: Request) -> Delegation:
        """Return the token that was found valid, and its catalogue."""
        lent: Delegation = request.environ.get(_LENT, Delegation())
        return lent

    def _find_service(self, text: str) -> Token | None:
        """Return the token of the service that passes a request on, if it counts."""
        if not text:
            return None
        found = self._tokens.find(text)
        if found and self._rules.service_roles_required and not self._vouches(found):
            found = None
        if found is None and not self._rules.delay_decision:
            raise Unauthenticated("no valid service token")
        return found

    def _find(self, request: Request, text: str, service: Token | None) -> Token | None:
        """Return the user's token; a service that vouches may bring an expired one."""
        vouched = service is not None and self._vouches(service)
        found = self._tokens.find(text, allow_expired=vouched)
        if found is None or vouched:
            return found
        kind = self._rules.service_type
        return found if found.admits(kind, request.method, request.path) else None

    def _vouches(self, service: Token) -> bool:
        return bool(service.roles & self._rules.service_roles)


def _lend(environ: MutableMapping[str, Any], lent: Delegation) -> None:
    environ[_LENT] = lent


def _caller(token: Token) -> Caller:
    return Caller(
        user_id=token.user_id,
        project_id=token.project_id,
        roles=token.roles,
        user_name=token.user_name,
        project_name=token.project_name,
        user_domain_id=token.user_domain_id,
        user_domain_name=token.user_domain_name,
        project_domain_id=token.project_domain_id,
        project_domain_name=token.project_domain_name,
        domain_id=token.domain_id,
        domain_name=token.domain_name,
        system_scope=token.system_scope,
        is_admin_project=token.is_admin_project,
    )


def _with_service(caller: Caller, service: Token) -> Caller:
    return replace(
        caller,
        service_roles=service.roles,
        service_user_id=service.user_id,
        service_user_domain_id=service.user_domain_id,
        service_project_id=service.project_id,
        service_project_domain_id=service.project_domain_id,
    )
