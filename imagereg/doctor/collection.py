"""`imagereg store gc`: objects without rows, rows without objects, loose ends.

Source: contract stores S-1, S-2 and S-15; issue 6 on what a crash may leave.
"""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from imagereg.db.deletions import DeletionRepository
from imagereg.db.inventory import BATCH, Inventory, Recorded, image_id_of
from imagereg.db.uploads import UploadRepository
from imagereg.doctor.findings import Finding, Kind
from imagereg.doctor.verdicts import judge
from imagereg.errors import BlobNotFound, ImageRegError, StoreUnavailable
from imagereg.images.recovery import Recovery, is_dead, is_over
from imagereg.images.removal import Removal
from imagereg.model import Location, now_us
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.driver import ListedBlob
from imagereg.stores.store import Store

log = logging.getLogger(__name__)

HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to look at, and what to do about it.

    Attributes:
        store: look at this store alone.
        fix: mend what can be mended without losing anything.
        foreign: with ``fix``, remove objects of foreign names as well.
        settled_s: objects and leftovers younger than this are not looked at.
    """

    store: str | None = None
    fix: bool = False
    foreign: bool = False
    settled_s: float = HOUR_S

    def has(self, store_id: str | None) -> bool:
        """Return whether a store is to be looked at."""
        return self.store is None or self.store == store_id


@dataclass(frozen=True, slots=True)
class Collection:
    """Looks for what crashes, outages and other hands left.

    What ends the work of others comes first, because objects are judged by it.
    """

    inventory: Inventory
    deletions: DeletionRepository
    uploads: UploadRepository
    stores: StoreCatalog
    removal: Removal
    recovery: Recovery

    def run(self, wanted: Wanted) -> Iterator[Finding]:
        """Yield what is found, mended where that was wanted and could be done."""
        yield from self._stale_uploads(wanted)
        yield from self._staged(wanted)
        if wanted.store is None:
            yield from self._stuck_images(wanted)
            yield from self._lost_tasks(wanted)
        yield from self._condemned(wanted)
        for store in (*self.stores, *self.stores.reserved.values()):
            if wanted.has(store.id):
                yield from self._store(store, wanted)
        yield from self._places(wanted)

    def _stale_uploads(self, wanted: Wanted) -> Iterator[Finding]:
        for upload in self.uploads.under_way():
            if wanted.has(upload.store) and is_dead(upload):
                finding = Finding(Kind.STALE_UPLOAD, upload.store, upload.image_id)
                clear = partial(self.recovery.clear, upload)
                yield _mended(finding, clear) if wanted.fix else finding

    def _staged(self, wanted: Wanted) -> Iterator[Finding]:
        for part in self.recovery.staged.rows.under_way():
            if wanted.has(part.store) and is_over(part):
                finding = Finding(
                    Kind.STALE_UPLOAD, part.store, part.image_id, detail="staged"
                )
                clear = partial(self.recovery.clear_part, part)
                yield _mended(finding, clear) if wanted.fix else finding
        for image_id in self.recovery.staged.rows.forgotten():
            if wanted.store is None:
                finding = Finding(Kind.STAGED, subject=image_id)
                drop = partial(self._unstage, image_id)
                yield _mended(finding, drop) if wanted.fix else finding

    def _unstage(self, image_id: str) -> bool:
        self.recovery.staged.discard(image_id)
        return True

    def _stuck_images(self, wanted: Wanted) -> Iterator[Finding]:
        for image_id, status in self.inventory.stuck():
            finding = Finding(Kind.STUCK, subject=image_id, detail=f"is {status}")
            unstick = partial(self.inventory.unstick, image_id)
            yield _mended(finding, unstick) if wanted.fix else finding

    def _lost_tasks(self, wanted: Wanted) -> Iterator[Finding]:
        for task_id in self.inventory.lost_tasks():
            finding = Finding(Kind.LOST_TASK, subject=task_id)
            end = partial(self.inventory.end_task, task_id)
            yield _mended(finding, end) if wanted.fix else finding

    def _condemned(self, wanted: Wanted) -> Iterator[Finding]:
        settled_us = now_us() - int(wanted.settled_s * 1_000_000)
        for each in self.deletions.condemned():
            is_due = each.since_us <= settled_us and not each.kept
            if not is_due or not wanted.has(each.location.store):
                continue
            finding = Finding(
                Kind.CONDEMNED, each.location.store, each.image_id, each.location.url
            )
            remove = partial(self.removal.retry, each)
            yield _mended(finding, remove) if wanted.fix else finding

    def _store(self, store: Store, wanted: Wanted) -> Iterator[Finding]:
        settled_before_s = time.time() - wanted.settled_s
        try:
            listing = store.list_blobs()
            while blobs := tuple(islice(listing, BATCH)):
                yield from self._judged(store, blobs, settled_before_s, wanted)
            yield from self._leftovers(store, wanted)
        except StoreUnavailable as error:
            yield Finding(Kind.UNREADABLE, store.id, detail=error.message)

    def _judged(
        self,
        store: Store,
        blobs: tuple[ListedBlob, ...],
        settled_before_s: float,
        wanted: Wanted,
    ) -> Iterator[Finding]:
        """Yield what of a batch is in no use; the rows are read after the listing."""
        claims = self.inventory.claims([blob.key for blob in blobs])
        for blob in blobs:
            kind = judge(blob, claims[blob.key], store.canonical, settled_before_s)
            if kind is None or not self._is_loose(store, blob):
                continue
            finding = Finding(kind, store.id, blob.key, blob.url, blob.size)
            if wanted.fix and (kind is Kind.ORPHAN or wanted.foreign):
                yield _mended(finding, partial(self._remove, store, blob))
            else:
                yield finding

    def _is_loose(self, store: Store, blob: ListedBlob) -> bool:
        """Look again: return whether it is there, and no image at all refers to it."""
        try:
            store.size(Location(blob.url))
        except BlobNotFound:
            return False
        return not self.inventory.is_referred_to(blob.key, _same_as(store, blob.url))

    def _remove(self, store: Store, blob: ListedBlob) -> bool:
        same = _same_as(store, blob.url)
        if not self.inventory.condemn(blob.key, blob.url, store.id, same):
            return False
        place = Location(blob.url, store=store.id)
        return self.removal.remove(image_id_of(blob.key), place)

    def _leftovers(self, store: Store, wanted: Wanted) -> Iterator[Finding]:
        count = store.leftovers(wanted.settled_s)
        if not count:
            return
        if wanted.fix:
            store.sweep(wanted.settled_s)
        detail = f"{count} of them"
        yield Finding(Kind.LEFTOVERS, store.id, detail=detail, fixed=wanted.fix)

    def _places(self, wanted: Wanted) -> Iterator[Finding]:
        for each in self.inventory.recorded():
            finding = self._looked_for(each, wanted)
            if finding is None or self.inventory.has_changed(each):
                continue
            if wanted.fix and finding.kind is Kind.MISSING and each.others:
                yield _mended(finding, partial(self._drop, each))
            else:
                yield finding

    def _looked_for(self, each: Recorded, wanted: Wanted) -> Finding | None:
        """Return what is wrong with the object of one location, without reading it."""
        place = each.location
        try:
            store = self.stores.find_for(place)
        except StoreUnavailable:
            if not wanted.has(place.store):
                return None
            return Finding(Kind.HOMELESS, place.store, each.image_id, place.url)
        if not wanted.has(store.id):
            return None
        finding = Finding(Kind.MISSING, store.id, each.image_id, place.url)
        try:
            size = store.size(place)
        except BlobNotFound:
            return finding
        except StoreUnavailable as error:
            return replace(finding, kind=Kind.UNREADABLE, detail=error.message)
        if each.size in (None, size):
            return None
        detail = f"the image has {each.size} bytes"
        return replace(finding, kind=Kind.SIZE, size=size, detail=detail)

    def _drop(self, lost: Recorded) -> bool:
        """Take away a location without object, if another one has its object."""
        anywhere = Wanted()
        for other in self.inventory.of_image(lost.image_id):
            if other.location.id == lost.location.id:
                continue
            is_there = self._looked_for(other, anywhere) is None
            if is_there and self.inventory.drop(lost, other):
                self.removal.remove(lost.image_id, lost.location)
                return True
        return False


def _same_as(store: Store, url: str) -> Callable[[str], bool]:
    return lambda other: store.canonical(other) == url


def _mended(finding: Finding, mend: Callable[[], bool]) -> Finding:
    """Return the finding after the attempt to mend it."""
    try:
        return replace(finding, fixed=mend())
    except ImageRegError as error:
        return replace(finding, detail=error.message)
