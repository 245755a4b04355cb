"""What administrators see of the cache, and do to it.

Source: contract api-images 25.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from imagereg.access import Grant
from imagereg.cache.copies import ImageCache, usable
from imagereg.cache.directory import is_image_id
from imagereg.cache.upkeep import Pruned, Upkeep
from imagereg.db.copies import CachedCopy
from imagereg.errors import Conflict, ImageNotFound, Invalid
from imagereg.model import Status


class Part(StrEnum):
    """What is cleared."""

    CACHE = "cache"
    QUEUE = "queue"
    BOTH = ""


@dataclass(frozen=True, slots=True)
class CacheManagement:
    """The use cases, bound to what they work on.

    Attributes:
        knows_nodes: nodes keep their books together and tell of each other.
    """

    cache: ImageCache
    upkeep: Upkeep
    knows_nodes: bool

    def list(self, grant: Grant) -> tuple[Sequence[CachedCopy], Sequence[str]]:
        """Return the copies on this node, and the ids of what is queued."""
        self.cache.write_books()
        with usable():
            return self.cache.books.held(), self.cache.directory.queued()

    def nodes(self, grant: Grant) -> Sequence[str]:
        """Return the URLs of the nodes that hold a copy of the image.

        Raises:
            Conflict: nodes do not know of each other.
        """
        if not self.knows_nodes:
            raise Conflict("image_cache_driver is not centralized_db")
        return self.cache.books.nodes(grant.image.id)

    def queue(self, grant: Grant) -> None:
        """Have the image fetched soon.

        Raises:
            Invalid: it is not ``active``.
        """
        image = grant.image
        if image.status != Status.ACTIVE:
            raise Invalid(f"image {image.id} is {image.status}, not active")
        with usable():
            self.cache.directory.enqueue(image.id)
        self.cache.changed.set()

    def delete(self, grant: Grant, image_id: str) -> None:
        """Drop an image from cache and queue, also when it is in neither."""
        self.cache.drop(image_id)

    def delete_orphan(self, grant: Grant, image_id: str) -> None:
        """Drop what is left of an image that is gone.

        Raises:
            ImageNotFound: nothing is.
        """
        if not is_image_id(image_id):
            raise ImageNotFound(image_id)
        with usable():
            queued = self.cache.directory.dequeue(image_id)
        held = self.cache.books.find(image_id) is not None
        if not self.cache.remove(image_id) and not queued and not held:
            raise ImageNotFound(image_id)

    def clear(self, grant: Grant, part: Part) -> None:
        """Drop all copies, all that is queued, or both."""
        directory = self.cache.directory
        if part != Part.CACHE:
            with usable():
                for image_id in directory.queued():
                    directory.dequeue(image_id)
        if part != Part.QUEUE:
            with usable():
                held = {file.image_id for file in directory.held()}
            for image_id in held | {copy.image_id for copy in self.cache.books.held()}:
                self.cache.remove(image_id)

    def clean(self, grant: Grant) -> None:
        """Remove failed and stalled copies."""
        with usable():
            self.upkeep.clean()

    def prune(self, grant: Grant) -> Pruned:
        """Bring the cache below its limit."""
        return self.upkeep.prune()
