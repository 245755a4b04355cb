"""`imagereg store verify`: read the objects again and compare them with the rows.

Source: contract stores S-15.
"""

import hashlib
import heapq
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from imagereg.db.inventory import Inventory, Recorded
from imagereg.doctor.findings import Finding, Kind
from imagereg.errors import BlobNotFound, StoreUnavailable
from imagereg.images.removal import Removal
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.hashing import Digests
from imagereg.stores.store import Store

#: Called with the number of bytes after each chunk that was read.
Pace = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """Which locations to read.

    Attributes:
        store: those in this store alone.
        count: so many of them, the longest unverified first and among those that
            never were any; None is all.
    """

    store: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Verification:
    """Reads objects, and judges them by what was recorded at their upload."""

    inventory: Inventory
    stores: StoreCatalog
    removal: Removal

    def run(
        self, sample: Sample, pace: Pace = lambda size: None, *, fix: bool = False
    ) -> Iterator[tuple[Recorded, Finding | None]]:
        """Yield each location that was read, with what is wrong with it.

        With ``fix``, the time and the outcome are recorded, and a location with
        missing or other bytes goes if another one of the image was read just now and
        found good.  The only location of an image never goes.
        """
        for each in self._chosen(sample):
            finding = self.examine(each, pace)
            if finding is not None and self.inventory.has_changed(each):
                continue
            if fix:
                self.inventory.note(
                    each.location.id or 0, finding.kind.value if finding else None
                )
                if finding is not None:
                    finding = self._mend(each, finding, pace)
            yield each, finding

    def examine(self, each: Recorded, pace: Pace) -> Finding | None:
        """Read one object whole; return what is wrong, None if it is good."""
        place = each.location
        finding = Finding(Kind.HOMELESS, place.store, each.image_id, place.url)
        try:
            store = self.stores.find_for(place)
        except StoreUnavailable:
            return finding
        finding = replace(finding, store=store.id)
        try:
            return self._read(store, each, finding, pace)
        except BlobNotFound:
            return replace(finding, kind=Kind.MISSING)
        except StoreUnavailable as error:
            return replace(finding, kind=Kind.UNREADABLE, detail=error.message)

    def _read(
        self, store: Store, each: Recorded, finding: Finding, pace: Pace
    ) -> Finding | None:
        algorithm = each.os_hash_algo or ""
        is_known = algorithm in hashlib.algorithms_available
        with (
            store.open(each.location) as reader,
            Digests(algorithm if is_known else "md5") as digests,
        ):
            size = reader.size
            if each.size not in (None, size):
                detail = f"the image has {each.size} bytes"
                return replace(finding, kind=Kind.SIZE, size=size, detail=detail)
            for chunk in reader:
                digests.update(chunk)
                pace(len(chunk))
            checksum, value = digests.finish()
        wrong = [
            name
            for name, recorded, found in (
                ("checksum", each.checksum, checksum),
                ("os_hash_value", each.os_hash_value if is_known else None, value),
            )
            if recorded not in (None, found)
        ]
        if not wrong:
            return None
        detail = f"{' and '.join(wrong)} differ"
        return replace(finding, kind=Kind.HASH, size=size, detail=detail)

    def _chosen(self, sample: Sample) -> Iterable[Recorded]:
        wanted = (
            each for each in self.inventory.recorded() if self._is_in(each, sample)
        )
        if sample.count is None:
            return wanted

        def age(each: Recorded) -> tuple[int, int]:
            return each.verified_at_us or 0, secrets.randbits(32)

        return heapq.nsmallest(sample.count, wanted, key=age)

    def _is_in(self, each: Recorded, sample: Sample) -> bool:
        if sample.store is None:
            return True
        try:
            return self.stores.find_for(each.location).id == sample.store
        except StoreUnavailable:
            return each.location.store == sample.store

    def _mend(self, faulty: Recorded, finding: Finding, pace: Pace) -> Finding:
        """Take a faulty location away, if the image has a good one besides."""
        if finding.kind in (Kind.UNREADABLE, Kind.HOMELESS):
            return finding
        for other in self.inventory.of_image(faulty.image_id):
            if other.location.id == faulty.location.id:
                continue
            if self.examine(other, pace) is None and self.inventory.drop(faulty, other):
                self.removal.remove(faulty.image_id, faulty.location)
                return replace(finding, fixed=True)
        return finding
