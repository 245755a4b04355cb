"""Add and remove single tags.  Source: contract api-images 21."""

from dataclasses import dataclass

from imagereg.access import Grant
from imagereg.db.images import ImageRepository
from imagereg.errors import NotFound
from imagereg.images.limits import Limits


@dataclass(frozen=True, slots=True)
class Tags:
    """The use cases, bound to what they work on."""

    images: ImageRepository
    limits: Limits

    def add(self, grant: Grant, tag: str) -> None:
        """Add a tag; adding it again changes nothing.

        Raises:
            TooLarge: the image has as many tags as it may.
        """
        self.images.add_tag(grant.image.id, tag, self.limits.tags)

    def remove(self, grant: Grant, tag: str) -> None:
        """Remove a tag.

        Raises:
            NotFound: the image has no such tag.
        """
        if not self.images.remove_tag(grant.image.id, tag):
            raise NotFound(f"image has no tag `{tag}`")
