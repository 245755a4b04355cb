"""Password files in Apache's format, bcrypt alone.

Source: contract auth 5, ruling U-2.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import bcrypt

#: bcrypt looks at no more of a password, and so did those who made old files.
MAX_PASSWORD_BYTES = 72

#: Work factor of new passwords, as the logarithm of rounds.
COST = 12

_BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """What a file says.

    Attributes:
        hashes: name -> bcrypt hash; the first line of a name decides.
        refused: names whose first line has no bcrypt hash.
        faults: one text for each line that is no user with a bcrypt hash.
    """

    hashes: Mapping[str, str]
    refused: frozenset[str]
    faults: Sequence[str]


def parse_htpasswd(text: str) -> PasswordFile:
    """Return the users of a file; blank lines and comments are skipped."""
    hashes: dict[str, str] = {}
    refused: set[str] = set()
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        # Apache's own files may carry further fields behind a second colon.
        name, _, rest = line.partition(":")
        value = rest.partition(":")[0].rstrip()
        is_good = bool(name and _BCRYPT.fullmatch(value))
        if not is_good:
            what = "not a bcrypt hash" if name and value else "not `name:hash`"
            faults.append(f"line {number}: {what}")
        if name in hashes or name in refused:
            continue
        if is_good:
            hashes[name] = value
        else:
            refused.add(name)
    return PasswordFile(hashes, frozenset(refused), faults)


def with_password(text: str, name: str, new: str) -> str:
    """Return the file with this user's line replaced, or added at the end."""
    lines, found = [], False
    for line in text.splitlines():
        if line.partition(":")[0] != name:
            lines.append(line)
        elif not found:
            lines.append(f"{name}:{new}")
            found = True
    if not found:
        lines.append(f"{name}:{new}")
    return "\n".join(lines) + "\n"


def hash_password(password: str, cost: int = COST) -> str:
    """Return a new hash in the spelling that Apache's own tool uses.

    Raises:
        ValueError: nothing, or more than bcrypt looks at.
    """
    data = password.encode()
    if not data or len(data) > MAX_PASSWORD_BYTES or b"\0" in data:
        message = f"a password has 1 to {MAX_PASSWORD_BYTES} bytes and no NUL"
        raise ValueError(message)
    made = bcrypt.hashpw(data, bcrypt.gensalt(cost)).decode()
    return made.replace("$2b$", "$2y$", 1)


def matches(password: str, hashed: str) -> bool:
    """Return whether the password is the one of the hash; takes its time."""
    data = password.encode()[:MAX_PASSWORD_BYTES]
    return b"\0" not in data and bcrypt.checkpw(data, hashed.encode())
