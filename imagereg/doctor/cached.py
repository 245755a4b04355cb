"""The image cache of this node: what it need not hold, and what it holds wrongly.

Source: contract stores 8, ruling S-15.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from imagereg.cache.copies import usable
from imagereg.cache.management import CacheManagement
from imagereg.db.copies import CachedCopy
from imagereg.doctor.findings import Finding, Kind

_READ_BYTES = 1024 * 1024

#: What tells a copy from an object of a store.
_WHERE = "in the cache of this node"


@dataclass(frozen=True, slots=True)
class CachedCopies:
    """Looks at the cache."""

    management: CacheManagement

    def collect(self, *, fix: bool) -> Iterator[Finding]:
        """Yield what the next clean would remove, or has removed.

        Raises:
            StoreUnavailable: the directory cannot be read or changed.
        """
        with usable():
            count = self.management.upkeep.clean(pretend=not fix)
        if count:
            yield Finding(Kind.CACHED, detail=f"{count} of them", fixed=fix)

    def verify(
        self, pace: Callable[[int], None], *, fix: bool
    ) -> Iterator[Finding | None]:
        """Read every copy; yield for each what is wrong, None if it is good.

        A wrong one is removed when that is wanted: the stores have the data.

        Raises:
            StoreUnavailable: the directory cannot be read or changed.
        """
        for copy in self.management.cache.books.held():
            finding = self._examine(copy, pace)
            if finding is not None and fix:
                self.management.cache.remove(copy.image_id)
                finding = replace(finding, fixed=True)
            yield finding

    def _examine(self, copy: CachedCopy, pace: Callable[[int], None]) -> Finding | None:
        algorithm, _, wanted = copy.digest.partition(":")
        digest = hashlib.new(algorithm, usedforsecurity=False)
        size = 0
        with usable():
            descriptor = self.management.cache.directory.open(copy.image_id)
            if descriptor is None:
                return None  # Pruned since the books were read.
            with os.fdopen(descriptor, "rb") as file:
                while chunk := file.read(_READ_BYTES):
                    digest.update(chunk)
                    size += len(chunk)
                    pace(len(chunk))
        finding = Finding(Kind.HASH, subject=copy.image_id, size=size, detail=_WHERE)
        if size != copy.size:
            return replace(finding, kind=Kind.SIZE)
        return finding if digest.hexdigest() != wanted else None
