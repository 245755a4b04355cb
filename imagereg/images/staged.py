"""Staged data: the bytes of an image while they wait for its import.

They are one part or several, each of them one object of the staging store.  That is
a directory of this node, or any store that all nodes reach, so that whichever node
runs the import finds them (``[imagereg] staging_store``).

Bytes are durable before their row says so, and rows go before the bytes do, so that
a crash leaves either bytes that the journal names, or bytes that are condemned.

Source: contract api-images 17, stores 5 and S-14; house rule on rows and bytes.
"""

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from imagereg.db.staged import (
    NO_IMAGE,
    NOBODY,
    StagedRepository,
    Step,
    nothing,
)
from imagereg.db.staged_parts import NewPart, PartUnderWay, StagedPart
from imagereg.errors import (
    BlobNotFound,
    Gone,
    ImageRegError,
    PartConflict,
    SizeMismatch,
    StoreUnavailable,
)
from imagereg.images.data import BEAT_S
from imagereg.images.removal import Removal
from imagereg.images.segments import SegmentReader
from imagereg.model import Location
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.driver import BlobReader
from imagereg.stores.store import UploadPlan

log = logging.getLogger(__name__)

#: What parts are compared by; the image's own digests are made by the import.
DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes on their way into the staging store.

    Attributes:
        chunks: the bytes; raises `TransferBroken` if they do not end properly.
        start: where they belong, counted from 0.
        expected_size: how many they shall be; None unknown.
        total: the size of the whole; None as long as nobody knows.
        whole: these bytes alone are all, however many come.
        replaces: they take the place of all that is there.
        max_bytes: the first byte beyond is refused.
        too_large: what to tell the person who hits that limit.
        enter: runs first in the transaction that begins, and may refuse.
        check: runs in it too, unless these bytes are there already.
        leave: runs in the transaction that ends it well, and may refuse.
    """

    chunks: Iterable[bytes]
    start: int = 0
    expected_size: int | None = None
    total: int | None = None
    whole: bool = False
    replaces: bool = False
    max_bytes: int | None = None
    too_large: str = "the data exceed the size limit"
    enter: Step = nothing
    check: Step = nothing
    leave: Step = nothing


@dataclass(frozen=True, slots=True)
class StagedData:
    """Keeps, reads and removes staged bytes.

    Attributes:
        worker: names this process for the journal.
    """

    rows: StagedRepository
    stores: StoreCatalog
    removal: Removal
    worker: Callable[[], str]

    def keep(
        self,
        image_id: str,
        chunks: Iterable[bytes],
        *,
        offset: int = 0,
        total: int | None = None,
        expected_size: int | None = None,
        max_bytes: int | None = None,
    ) -> int:
        """Store bytes of an image durably and return how many they are.

        Without ``total`` they are all of it.  Raises as `take` does.
        """
        return self.take(
            image_id,
            Part(
                chunks,
                start=offset,
                expected_size=expected_size,
                total=total,
                whole=total is None,
                max_bytes=max_bytes,
            ),
        )

    def take(self, image_id: str, part: Part) -> int:
        """Store one part durably, all of it or nothing; return how many bytes it has.

        The same part again is compared with what is there, and is welcome.

        Raises:
            PartConflict: it overlaps another part, differs from what is there, or
                contradicts the total that is known.
            SizeMismatch, TooLarge: it is not as long as it should be.
            Gone: the image was deleted, or its staged data discarded, meanwhile.
            StoreUnavailable, StoreReadOnly: the staging store takes no data.
        """
        store = self.stores.staging
        new = NewPart(
            image_id=image_id,
            start=part.start,
            size=part.expected_size,
            total=part.total,
            whole=part.whole,
            replaces=part.replaces,
            store=store.id,
            key=f"{image_id}.{part.start}.{secrets.token_hex(8)}",
            worker=self.worker(),
        )
        begun = self.rows.begin(new, part.enter, part.check)
        if isinstance(begun, StagedPart):
            _compare(begun, part.chunks)
            return begun.size
        left: list[Location] = []
        try:
            return self._store(begun, new, part, left)
        except BaseException as error:
            log.warning("image %s: a part was not staged: %s", image_id, error)
            self._undo(begun, new, left)
            raise

    def replace(self, image_id: str, part: Part) -> int:
        """Store other data durably in place of all that is staged, or nothing.

        What was staged stays readable until the transaction in which ``part.leave``
        runs.  Raises as `take` does.
        """
        before = self.rows.parts(image_id)
        size = self.take(image_id, replace(part, replaces=True))
        for each in before:
            self.removal.remove(NO_IMAGE, each.location)
        return size

    def open(
        self, image_id: str, offset: int = 0, length: int | None = None
    ) -> BlobReader:
        """Open ``length`` bytes from ``offset``, or all that follow, for reading.

        The reader yields exactly as many as it says, or raises.

        Raises:
            BlobNotFound: not all bytes are there.
            StoreUnavailable: the staging store cannot be read just now.
        """
        parts = self.rows.parts(image_id)
        size = self.size(image_id)
        if size is None:
            raise BlobNotFound("the image has no staged data, or not all of them")
        stop = size if length is None else min(size, offset + length)
        pieces = [
            (part, max(offset, part.start) - part.start, min(stop, part.stop))
            for part in parts
            if part.start < stop and part.stop > offset
        ]
        openers = [
            self._opener(part, first, end - part.start - first)
            for part, first, end in pieces
        ]
        if len(openers) == 1:
            # The reader of a single part may have powers of its own.
            return openers[0]()
        return SegmentReader(openers, max(stop - offset, 0))

    def size(self, image_id: str) -> int | None:
        """Return how many bytes an image has staged, None unless that is all."""
        return self.rows.size(image_id)

    def parts(self, image_id: str) -> Sequence[StagedPart]:
        """Return the parts that are there, in the order of the bytes."""
        return self.rows.parts(image_id)

    def discard(self, image_id: str) -> None:
        """Drop all staged data of an image; a store that is down is tried later."""
        for location in self.rows.discard(image_id):
            self.removal.remove(NO_IMAGE, location)

    def give_up(self, image_id: str, before_us: int) -> bool:
        """Return an image to ``queued`` whose client was not heard of since a time.

        Its bytes go.  Returns False, with nothing changed, if the client came back.
        """
        places = self.rows.give_up(image_id, before_us)
        for place in places or ():
            self.removal.remove(NO_IMAGE, place)
        return places is not None

    def clear(self, part: PartUnderWay) -> None:
        """Remove what a part left whose process is no more.

        Raises:
            ImageRegError: the store cannot do so just now.
        """
        self.stores.own(part.store).discard(part.key)
        self.rows.abandon(part.number, part.image_id)

    def _store(
        self, number: int, new: NewPart, part: Part, left: list[Location]
    ) -> int:
        """Store the bytes and make their row; what must go again is put in ``left``."""
        store = self.stores.own(new.store)
        plan = UploadPlan(
            DIGEST,
            expected_size=part.expected_size,
            max_bytes=part.max_bytes,
            too_large=part.too_large,
        )
        stored = store.add(new.key, self._beating(number, new, part.chunks), plan)
        left.append(stored.location)
        blob = stored.blob
        kept = self.rows.keep(
            number, new, blob.size, blob.os_hash_value, stored.location, part.leave
        )
        if kept is None:
            raise _unwanted(new.image_id)
        if kept.number != number:
            _check_same(kept, blob.os_hash_value)
            self._undo(number, new, left)
        return blob.size

    def _beating(
        self, number: int, new: NewPart, chunks: Iterable[bytes]
    ) -> Iterator[bytes]:
        last = time.monotonic()
        for chunk in chunks:
            yield chunk
            now = time.monotonic()
            if now - last > BEAT_S:
                if not self.rows.beat(number):
                    raise _unwanted(new.image_id)
                last = now

    def _undo(self, number: int, new: NewPart, left: list[Location]) -> None:
        """Drop a part that was not kept, with its bytes."""
        if left:
            self.rows.abandon(number, new.image_id, left[0])
            self.removal.remove(NO_IMAGE, left[0])
            return
        try:
            self.stores.own(new.store).discard(new.key)
        except ImageRegError as error:
            log.warning("image %s: a part is cleared later: %s", new.image_id, error)
            self.rows.hand_over(number, new.worker, NOBODY)
            return
        self.rows.abandon(number, new.image_id)

    def _opener(
        self, part: StagedPart, offset: int, length: int
    ) -> Callable[[], BlobReader]:
        def open_part() -> BlobReader:
            store = self.stores.own(part.location.store or "")
            try:
                reader = store.open(part.location, offset, length)
            except BlobNotFound as error:
                message = "staged data are not where this node looks for them"
                raise StoreUnavailable(message) from error
            if reader.size != length:
                reader.close()
                raise StoreUnavailable("staged data are not as long as they were")
            return reader

        return open_part


def _unwanted(image_id: str) -> Gone:
    return Gone(f"image {image_id} was deleted while its data came in")


def _compare(part: StagedPart, chunks: Iterable[bytes]) -> None:
    """Read the same part once more, and refuse it if it is not the same."""
    digest, received = hashlib.new(DIGEST, usedforsecurity=False), 0
    for chunk in chunks:
        digest.update(chunk)
        received += len(chunk)
        if received > part.size:
            break
    if received != part.size:
        message = f"Size mismatch: expected {part.size} bytes, got {received} bytes"
        raise SizeMismatch(message)
    _check_same(part, digest.hexdigest())


def _check_same(part: StagedPart, digest: str) -> None:
    if digest != part.digest:
        last = part.stop - 1
        message = f"bytes {part.start}-{last} are there already, and differ"
        raise PartConflict(message)
