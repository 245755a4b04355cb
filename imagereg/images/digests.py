"""Digests that clients hand in for data that they do not send.

Source: contract api-images 19.1 and 19.2, ``validation_data``.
"""

import hashlib
import re
from dataclasses import dataclass

from imagereg.errors import Conflict

_HEX = re.compile(r"[0-9a-f]+")
_MD5_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Digest:
    """What data should hash to.

    Attributes:
        algorithm: hashlib's name of the digest.
        value: hex, lower case.
        checksum: MD5 of the same data, or None.
    """

    algorithm: str
    value: str
    checksum: str | None = None

    def fields(self) -> dict[str, str]:
        """Return these as fields of an image."""
        known = {"os_hash_algo": self.algorithm, "os_hash_value": self.value}
        return known if self.checksum is None else known | {"checksum": self.checksum}


def check_digest(digest: Digest, algorithm: str) -> None:
    """Refuse a digest of another algorithm than ours, or one that cannot be one.

    Raises:
        Conflict: with what is wrong.
    """
    if digest.algorithm != algorithm:
        raise Conflict(f"os_hash_algo must be `{algorithm}`")
    if not is_digest(digest.algorithm, digest.value):
        raise Conflict("os_hash_value is not a digest of this algorithm")
    if digest.checksum is not None and not is_digest("md5", digest.checksum):
        raise Conflict("checksum is not an MD5 digest")


def is_digest(algorithm: str, value: str) -> bool:
    """Return whether the value is hex of the length that the algorithm yields."""
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    return len(value) == 2 * size and _HEX.fullmatch(value) is not None
