"""Remove bytes that no image refers to any more.

Rows go first, bytes second (ruling S-10): a store that is down leaves an entry in
the list of condemned bytes, never an active image without data.
"""

import logging
from dataclasses import dataclass

from imagereg.db.images import ImageRepository
from imagereg.errors import BlobNotFound, ImageRegError
from imagereg.model import Location
from imagereg.stores.catalog import StoreCatalog

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Removal:
    """Removes condemned bytes, now or later."""

    images: ImageRepository
    stores: StoreCatalog

    def remove(self, image_id: str, location: Location) -> None:
        """Remove the bytes at one condemned location; a failure is logged and kept."""
        try:
            self.stores.find_for(location).delete(location)
        except BlobNotFound:
            log.info("image %s: its bytes were gone from the store already", image_id)
        except ImageRegError as error:
            log.warning("image %s: bytes not removed yet: %s", image_id, error)
            return
        self.images.forget(image_id, location)

    def sweep(self) -> None:
        """Try again whatever could not be removed before."""
        for image_id, location in self.images.condemned():
            self.remove(image_id, location)
