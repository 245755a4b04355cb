"""Flavor ``http_basic``: name and password with each request.

Source: contract auth 5, rulings U-2 and U-6; RFC 7617.
"""

import base64
import binascii

from flask import Request

from imagereg.errors import Invalid, Unauthenticated
from imagereg.identity.passwords import Passwords
from imagereg.jobs.delegation import Delegation
from imagereg.model import Caller

_SCHEME = "basic"


class HTTPBasic:
    """Callers prove who they are by the password file of the operator.

    Args:
        passwords: the users.
        allow_anonymous: callers without identity may read.
    """

    challenge = 'Basic realm="imagereg", charset="UTF-8"'

    def __init__(self, passwords: Passwords, *, allow_anonymous: bool) -> None:
        self._passwords = passwords
        self._allow_anonymous = allow_anonymous

    def identify(self, request: Request) -> Caller:
        """Return the user whose name and password came.

        Raises:
            Unauthenticated: none came, or they are wrong.
            Invalid: the header is of another scheme, or cannot be decoded.
            TooManyAttempts: this peer was wrong too often.
        """
        # Nothing behind this line can log or forward what is in it.
        header = request.environ.pop("HTTP_AUTHORIZATION", "")
        if not header:
            if self._allow_anonymous:
                return Caller(read_only=True)
            raise Unauthenticated("no name and password")
        name, password = _decode(header)
        peer = request.remote_addr or ""
        account = self._passwords.account(name, password, peer)
        return Caller(
            user_id=account.user_id,
            user_name=name,
            user_domain_id=account.domain,
            project_id=account.project,
            project_domain_id=account.domain,
            roles=account.roles,
        )

    def delegation(self, request: Request) -> Delegation:
        """Return nothing: a password is for this service alone."""
        return Delegation()


def _decode(header: str) -> tuple[str, str]:
    """Return name and password of a header.

    Raises:
        Invalid: it is no Basic header in strict base64 and UTF-8.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != _SCHEME:
        raise Invalid("only the authorization scheme Basic is supported")
    try:
        text = base64.b64decode(encoded.strip(" "), validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise Invalid("the Authorization header cannot be decoded") from error
    name, colon, password = text.partition(":")
    if not colon:
        raise Invalid("the Authorization header holds no name and password")
    return name, password
