"""Tokens -> whom they stand for, asked of the identity service as seldom as may be.

Source: contract auth 1.2, rulings U-5 and U-10.
"""

import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from threading import Lock
from typing import Protocol

from imagereg.errors import IdentityUnavailable
from imagereg.identity.outage import Outage
from imagereg.identity.recent import Recent
from imagereg.identity.tokens import Token, parse_token

_log = logging.getLogger(__name__)

#: How long a token that was refused is not asked about again, in seconds.
REFUSED_S = 10.0

#: Tokens that one process remembers at most, good ones and refused ones.
MOST = 10_000

#: How many tokens one process asks about at once, as long as it remembers any.
TURNS = 32

#: How long to wait for another thread that asks, in seconds.
WAIT_S = 30.0

#: What a token may hold.  Two joined by a server have a comma, and are none.
_TOKEN = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,8192}")


class IdentityService(Protocol):
    """Who knows what tokens stand for."""

    def validate(self, token: str, *, allow_expired: bool) -> bytes | None:
        """Return the document of a token, None if it is not valid.

        Raises:
            IdentityUnavailable: the service does not say; the class tells whether it
                was reached.
        """


class Validation:
    """What tokens stand for, remembered for a while; for any number of threads.

    The tokens themselves are kept nowhere: a keyed hash stands for each.

    Args:
        service: is asked about tokens that are not remembered.
        remember_s: how long an answer counts, in seconds; 0 or less is not at all.
        clock: seconds that only grow.
        now: seconds since 1970, in which tokens expire.
    """

    def __init__(
        self,
        service: IdentityService,
        remember_s: float,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._remember_s = remember_s
        self._now = now
        self._key = secrets.token_bytes(32)
        self._good: Recent[Token] = Recent(MOST, clock)
        self._refused: Recent[bool] = Recent(MOST, clock)
        self._outage = Outage(clock=clock)
        self._turns = tuple(Lock() for _ in range(TURNS))

    def find(self, token: str, *, allow_expired: bool = False) -> Token | None:
        """Return what a token stands for; None if it is not valid.

        Raises:
            IdentityUnavailable: nobody remembers, and the service does not say.
        """
        token = token.strip()
        if not _TOKEN.fullmatch(token):
            return None
        key = hmac.digest(self._key, token.encode(), sha256)
        if self._remember_s <= 0:
            return self._ask(token, key, allow_expired=allow_expired)
        found = self._good.find(key)
        if found or self._is_refused(key, allow_expired=allow_expired):
            return found
        with self._turn(key):
            # Whoever had the turn before may have asked about this very token.
            found = self._good.find(key)
            if found or self._is_refused(key, allow_expired=allow_expired):
                return found
            return self._ask(token, key, allow_expired=allow_expired)

    @contextmanager
    def _turn(self, key: bytes) -> Iterator[None]:
        """Hold back those who would ask about the same token at the same time."""
        turn = self._turns[key[0] % TURNS]
        if not turn.acquire(timeout=WAIT_S):
            raise IdentityUnavailable("too many tokens wait for it")
        try:
            yield
        finally:
            turn.release()

    def _is_refused(self, key: bytes, *, allow_expired: bool) -> bool:
        return self._refused.find(_variant(key, allow_expired)) is not None

    def _ask(self, token: str, key: bytes, *, allow_expired: bool) -> Token | None:
        with self._outage.attempt():
            document = self._service.validate(token, allow_expired=allow_expired)
        found = None if document is None else parse_token(document)
        left_s = found.expires_at - self._now() if found else 0.0
        if found and left_s <= 0 and not allow_expired:
            found = None
        if self._remember_s <= 0:
            return found
        if found is None:
            self._refused.keep(
                _variant(key, allow_expired), value=True, for_s=REFUSED_S
            )
        else:
            self._good.keep(key, found, min(self._remember_s, left_s))
        return found


def _variant(key: bytes, allow_expired: bool) -> bytes:
    return key + (b"+" if allow_expired else b"")
