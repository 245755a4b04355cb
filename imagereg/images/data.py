"""Upload image data.  Downloads are in `downloads.py`.

An image becomes ``active`` only after its bytes are durable: the store syncs and
renames, then one transaction records size, hashes and location.  Whatever fails
before that leaves the image ``queued`` with no bytes kept.

Source: contract api-images 8 and 15; stores 1 and S-1 to S-3.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from imagereg.access import Grant
from imagereg.db.images import ImageRepository
from imagereg.db.uploads import UploadRepository
from imagereg.errors import (
    Conflict,
    Gone,
    ImageRegError,
    Invalid,
    StatusConflict,
    TooLarge,
)
from imagereg.images.limits import Limits
from imagereg.images.quotas import Quotas
from imagereg.model import Image, Status
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.formats import FormatRules, Inspector
from imagereg.stores.signatures import Signatures
from imagereg.stores.store import Store, StoredBlob, UploadPlan

log = logging.getLogger(__name__)

#: How often an upload under way says in the journal that it lives, in seconds.
BEAT_S = 15.0


@dataclass(frozen=True, slots=True)
class Incoming:
    """A body on its way in.

    Attributes:
        chunks: the bytes; raises `TransferBroken` if they do not end properly.
        expected_size: bytes announced by a header or Content-Length; None unknown.
        store: id of the store that shall hold them; None is the default one.
    """

    chunks: Iterable[bytes]
    expected_size: int | None
    store: str | None = None


@dataclass(frozen=True, slots=True)
class ImageData:
    """The use cases, bound to what they work on.

    Attributes:
        several_stores: clients see and choose stores by their ids.
        worker: names this process for the journal of uploads.
    """

    images: ImageRepository
    uploads: UploadRepository
    stores: StoreCatalog
    limits: Limits
    quotas: Quotas
    formats: FormatRules
    signatures: Signatures
    hash_algorithm: str
    worker: Callable[[], str]
    several_stores: bool = False

    def upload(self, grant: Grant, incoming: Incoming) -> None:
        """Store the data of a ``queued`` image and make it ``active``.

        Raises:
            StatusConflict: the image is not ``queued``, or others upload to it.
            Conflict: bytes of another image lie where its data would.
            Invalid: its formats are not set, the body is not as announced, or not what
                was signed.
            TooLarge: over the cap, or the store is full.
            UnsafeContent: the bytes are not what ``disk_format`` says.
            Gone: the image was deleted meanwhile.
            StoreUnavailable: the store cannot be written.
        """
        image = grant.image
        check_may_receive(image)
        self._check_announced(incoming.expected_size)
        named = incoming.store
        store = self.stores[named] if named else self.stores.default
        size = incoming.expected_size or 0
        check = partial(self._check_begin, image, store, size)
        if not self.uploads.begin(image, self.worker(), store.id, size, check):
            raise StatusConflict(f"image {image.id} is receiving data already")
        with self._undone(image.id):
            stored = store.add(
                image.id, self._beating(image.id, incoming), self._plan(image, incoming)
            )
            self._activate(image, store, stored)
        log.info("image %s is active with %d bytes", image.id, stored.blob.size)

    def _check_begin(self, image: Image, store: Store, size: int) -> None:
        self.quotas.check_upload(image.owner, image.id, size)
        check_key_is_free(self.images, store, image.id)

    def _check_announced(self, size: int | None) -> None:
        if size is not None and size > self.limits.size_bytes:
            raise TooLarge(self._too_large)

    @property
    def _too_large(self) -> str:
        return f"the data exceed the limit of {self.limits.size_bytes} bytes"

    def _plan(self, image: Image, incoming: Incoming) -> UploadPlan:
        most, too_large = self.limits.size_bytes, self._too_large
        room = self.quotas.room_bytes(image.owner, image.id)
        if room is not None and room < most:
            most, too_large = room, self.quotas.too_large
        return UploadPlan(
            hash_algorithm=self.hash_algorithm,
            expected_size=incoming.expected_size,
            max_bytes=most,
            too_large=too_large,
            inspector=Inspector(
                image.container_format or "", image.disk_format or "", self.formats
            ),
            verifier=self.signatures.verifier(image.properties),
            # Ruling S-3: see `check_key_is_free`.
            replace=True,
        )

    def _beating(self, image_id: str, incoming: Incoming) -> Iterator[bytes]:
        last = time.monotonic()
        for chunk in incoming.chunks:
            yield chunk
            now = time.monotonic()
            if now - last > BEAT_S:
                self.uploads.beat(image_id)
                last = now

    def _activate(self, image: Image, store: Store, stored: StoredBlob) -> None:
        image_id, size = image.id, stored.blob.size
        check = partial(self._check_room, image, size)
        location = stored.location
        if self.several_stores:
            metadata = {**location.metadata, "store": store.id}
            location = replace(location, metadata=metadata)
        try:
            active = self.uploads.activate(image_id, stored.blob, location, check)
        except BaseException:
            store.discard(image_id)
            raise
        if not active:
            store.discard(image_id)
            raise Gone(f"image {image_id} was deleted while its data came in")

    def _check_room(self, image: Image, size_bytes: int) -> None:
        """Refuse bytes for which others took the room while they came in."""
        room = self.quotas.room_bytes(image.owner, image.id)
        if room is not None and size_bytes > room:
            raise TooLarge(self.quotas.too_large)

    @contextmanager
    def _undone(self, image_id: str) -> Iterator[None]:
        """Return the image to ``queued`` if the block fails, whatever the reason."""
        try:
            yield
        except BaseException as error:
            alive = self.uploads.abandon(image_id)
            log.warning("image %s: upload failed, nothing kept: %s", image_id, error)
            if not alive and isinstance(error, ImageRegError):
                message = f"image {image_id} was deleted while its data came in"
                raise Gone(message) from error
            raise


def check_key_is_free(images: ImageRepository, store: Store, image_id: str) -> None:
    """Raise if what lies under the key of this image is another image's data.

    Whoever creates an image chooses its id, and objects of a bucket may have been
    registered as locations under any name.

    Raises:
        Conflict: it is.

    Source: ruling S-3.
    """
    if images.is_anothers(image_id, store.spellings(image_id)):
        message = f"the data of another image have the name of image {image_id}"
        raise Conflict(message)


def check_may_receive(image: Image) -> None:
    """Raise unless the image waits for its data and says what they will be.

    Raises:
        StatusConflict: it is not ``queued``.
        Invalid: a format is not set.

    Source: contract api-images 8 and 15.2.
    """
    if image.status != Status.QUEUED:
        message = (
            f"image status transition from {image.status} to saving is not allowed"
        )
        raise StatusConflict(message)
    unset = [
        name for name in ("container_format", "disk_format") if not getattr(image, name)
    ]
    if unset:
        names = ", ".join(unset)
        raise Invalid(f"property(ies) {names} must be set prior to saving data")
