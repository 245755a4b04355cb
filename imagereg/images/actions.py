"""Take an image out of use, and back.  Source: contract api-images 14."""

from dataclasses import dataclass

from imagereg.access import Grant
from imagereg.db.images import ImageRepository
from imagereg.errors import StatusForbids
from imagereg.model import Status


@dataclass(frozen=True, slots=True)
class Actions:
    """The use cases, bound to what they work on."""

    images: ImageRepository

    def deactivate(self, grant: Grant) -> None:
        """Make an ``active`` image ``deactivated``; again changes nothing.

        Raises:
            StatusForbids: the image is neither.
        """
        self._move(grant, Status.ACTIVE, Status.DEACTIVATED)

    def reactivate(self, grant: Grant) -> None:
        """Make a ``deactivated`` image ``active``; again changes nothing.

        Raises:
            StatusForbids: the image is neither.
        """
        self._move(grant, Status.DEACTIVATED, Status.ACTIVE)

    def _move(self, grant: Grant, before: Status, after: Status) -> None:
        if self.images.move(grant.image.id, before, after):
            return
        image, _ = self.images.get(grant.image.id, grant.caller.project_id)
        if image.status != after:
            message = f"an image that is {image.status} cannot become {after}"
            raise StatusForbids(message)
