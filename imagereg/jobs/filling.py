"""Write staged data into stores, one after another or several at a time.

Source: contract api-images 18.4; rulings S-1 to S-3.
"""

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from imagereg.db.images import ImageRepository
from imagereg.errors import ImageNotFound, ImageRegError, LeaseLost
from imagereg.images.data import check_key_is_free
from imagereg.images.limits import Limits
from imagereg.images.staged import StagedData
from imagereg.jobs.watch import Watch
from imagereg.model import Blob, Image, Location
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.formats import FormatRules, Inspector
from imagereg.stores.signatures import Signatures
from imagereg.stores.store import UploadPlan

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Filled:
    """What came of one store.

    Attributes:
        error: why it does not hold the data; then there is no location.
    """

    store_id: str
    blob: Blob | None = None
    location: Location | None = None
    error: ImageRegError | None = None


@dataclass(frozen=True, slots=True)
class Filling:
    """Fills stores from what is staged.

    Attributes:
        parallel: ``max_parallel_stores``.
        several_stores: metadata of locations name the store.
    """

    images: ImageRepository
    stores: StoreCatalog
    staged: StagedData
    limits: Limits
    formats: FormatRules
    signatures: Signatures
    hash_algorithm: str
    parallel: int = 1
    several_stores: bool = False

    def fill(
        self, watch: Watch, image: Image, store_ids: Sequence[str], *, inspects: bool
    ) -> Iterator[Filled]:
        """Yield what came of each store, in the order of ``store_ids``.

        A store that failed holds nothing of the image; whoever does not want to hear
        of the others any more closes the generator.

        Raises:
            LeaseLost, ImageNotFound: the work is not wanted any more.
        """
        if self.parallel == 1 or len(store_ids) == 1:
            for store_id in store_ids:
                yield self._fill_one(watch, image, store_id, inspects=inspects)
            return
        with ThreadPoolExecutor(min(self.parallel, len(store_ids))) as pool:
            begun: list[Future[Filled]] = [
                pool.submit(self._fill_one, watch, image, store_id, inspects=inspects)
                for store_id in store_ids
            ]
            try:
                for each in begun:
                    yield each.result()
            finally:
                watch.stopped.set()
                for each in begun:
                    each.cancel()

    def discard(
        self, image_id: str, places: Sequence[Location], store_ids: Sequence[str]
    ) -> None:
        """Remove what attempts may have left in stores that hold none of ``places``."""
        held = {place.store for place in places}
        for store_id in store_ids:
            if store_id in held or store_id not in self.stores:
                continue
            try:
                check_key_is_free(self.images, self.stores[store_id], image_id)
                self.stores[store_id].discard(image_id)
            except ImageRegError as error:
                log.warning(
                    "image %s: bytes may be left in store %s: %s",
                    *(image_id, store_id, error),
                )

    def _fill_one(
        self, watch: Watch, image: Image, store_id: str, *, inspects: bool
    ) -> Filled:
        try:
            store = self.stores[store_id]
            check_key_is_free(self.images, store, image.id)
            with self.staged.open(image.id) as reader:
                stored = store.add(
                    image.id,
                    watch.over(reader),
                    self._plan(image, reader.size, inspects=inspects),
                )
        except (LeaseLost, ImageNotFound):
            raise
        except ImageRegError as error:
            log.warning("image %s: store %s: %s", image.id, store_id, error)
            return Filled(store_id, error=error)
        location = stored.location
        if self.several_stores:
            metadata = {**location.metadata, "store": store.id}
            location = replace(location, metadata=metadata)
        return Filled(store_id, stored.blob, location)

    def _plan(self, image: Image, size: int, *, inspects: bool) -> UploadPlan:
        inspector = Inspector(
            image.container_format or "", image.disk_format or "", self.formats
        )
        return UploadPlan(
            hash_algorithm=image.os_hash_algo or self.hash_algorithm,
            expected_size=size,
            max_bytes=self.limits.size_bytes,
            inspector=inspector if inspects else None,
            verifier=self.signatures.verifier(image.properties) if inspects else None,
            # Ruling S-3.  The image has no location in this store.
            replace=True,
        )


def differs(image: Image, blob: Blob) -> bool:
    """Return whether bytes are not those that the record tells of, if it does."""
    known = (image.size, image.checksum, image.os_hash_value)
    found = (blob.size, blob.checksum, blob.os_hash_value)
    return any(a is not None and a != b for a, b in zip(known, found, strict=True))
