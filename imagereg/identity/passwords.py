"""Name and password -> account, without a hint about which of the two was wrong.

Source: contract auth 5, ruling U-2.
"""

import hmac
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from imagereg.errors import ConfigurationError, TooManyAttempts, Unauthenticated
from imagereg.identity.accounts import Account, Accounts, parse_accounts
from imagereg.identity.attempts import Attempts
from imagereg.identity.htpasswd import PasswordFile, matches, parse_htpasswd

_log = logging.getLogger(__name__)

#: How long a password that was right need not be computed again, in seconds.
REMEMBERED_S = 300.0

#: Right passwords that are remembered at most.
_REMEMBERED = 10_000

Content = TypeVar("Content")


class Passwords:
    """The users of both files, which are read again when they change.

    Args:
        users_file: names and bcrypt hashes.
        accounts_file: projects and roles, or None.

    Raises:
        ConfigurationError: a file is missing, or a line of it is wrong.
    """

    def __init__(
        self,
        users_file: Path,
        accounts_file: Path | None,
        attempts: Attempts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._users = _Watched(users_file, parse_htpasswd)
        self._accounts = (
            _Watched(accounts_file, parse_accounts) if accounts_file else None
        )
        faults = [f"{users_file}: {fault}" for fault in self._users.content.faults]
        if faults:
            raise ConfigurationError(faults)
        self._attempts = attempts or Attempts()
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._remembered: dict[bytes, float] = {}

    def account(self, name: str, password: str, peer: str) -> Account:
        """Return who this is.

        Args:
            name: as the client spells it.
            password: as the client spells it.
            peer: whom failures are counted against.

        Raises:
            Unauthenticated: no such user, another password, or a disabled account.
            TooManyAttempts: the peer was wrong too often.
        """
        users = self._users.fresh()
        accounts = self._accounts.fresh() if self._accounts else Accounts()
        account = accounts.of(name)
        known = users.hashes.get(name)
        usable = known is not None and not account.disabled
        # Somebody who is not there is compared with somebody who is, because the
        # time that takes depends on the hash.
        hashed = known or self._stand_in(users, name)
        mark = self._mark(name, hashed, password)
        if usable and self._remembers(mark):
            return account
        wait_s = self._attempts.begin(peer)
        if wait_s:
            raise TooManyAttempts("too many wrong passwords", wait_s)
        is_right = hashed is not None and matches(password, hashed)
        if not (usable and is_right):
            raise Unauthenticated("wrong name or password")
        self._attempts.forgive(peer)
        self._remember(mark)
        return account

    def _stand_in(self, users: PasswordFile, name: str) -> str | None:
        """Return the hash of some user, always the same one for the same name."""
        if not users.hashes:
            return None
        number = int.from_bytes(self._digest(name.encode())[:8], "big")
        hashes = list(users.hashes.values())
        return hashes[number % len(hashes)]

    def _mark(self, name: str, hashed: str | None, password: str) -> bytes:
        """Return what stands for this user, hash and password in memory."""
        parts = (name, hashed or "", password)
        return self._digest(b"\0".join(self._digest(p.encode()) for p in parts))

    def _digest(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, sha256)

    def _remembers(self, mark: bytes) -> bool:
        with self._lock:
            return self._remembered.get(mark, 0.0) > self._clock()

    def _remember(self, mark: bytes) -> None:
        now = self._clock()
        with self._lock:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered = {
                    old: until for old, until in self._remembered.items() if until > now
                }
            if len(self._remembered) < _REMEMBERED:
                self._remembered[mark] = now + REMEMBERED_S


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What a write to a file changes."""

    modified_ns: int
    changed_ns: int
    size: int
    inode: int


class _Watched(Generic[Content]):
    """A file's content, read again when the file changes.

    A file that cannot be read any more, or has become nonsense, leaves its last good
    content in force, as with policy files.
    """

    def __init__(self, path: Path, parse: Callable[[str], Content]) -> None:
        self._path = path
        self._parse = parse
        # INVARIANT: the stamp is older than what was read under it.
        self._seen = self._stamp()
        self.content = self._read()

    def fresh(self) -> Content:
        """Return the content as it is by now; costs a stat while nothing changes."""
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            try:
                self.content = self._read()
            except ConfigurationError as error:
                _log.error("the users in force stay:\n%s", error.message)
        return self.content

    def _read(self) -> Content:
        try:
            return self._parse(self._path.read_text("utf-8-sig"))
        except ConfigurationError as error:
            faults = [f"{self._path}: {fault}" for fault in error.faults]
            raise ConfigurationError(faults) from error
        except UnicodeDecodeError as error:
            raise ConfigurationError([f"{self._path}: not UTF-8 text"]) from error
        except OSError as error:
            fault = f"{self._path}: cannot be read: {error.strerror}"
            raise ConfigurationError([fault]) from error

    def _stamp(self) -> _Stamp | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - half the cost, at each request
        except OSError:
            return None
        return _Stamp(found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
