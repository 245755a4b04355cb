"""Take an image out of use, and back.  Source: contract api-images 14."""

from dataclasses import dataclass

from imagereg.access import Grant
from imagereg.db.images import ImageRepository
from imagereg.model import Status
from imagereg.policy.actions import Action
from imagereg.states import check


@dataclass(frozen=True, slots=True)
class Actions:
    """The use cases, bound to what they work on."""

    images: ImageRepository

    def deactivate(self, grant: Grant) -> None:
        """Make an ``active`` image ``deactivated``; again changes nothing.

        Raises:
            StatusForbids: the image is neither.
        """
        self._move(grant, Action.DEACTIVATE, Status.ACTIVE, Status.DEACTIVATED)

    def reactivate(self, grant: Grant) -> None:
        """Make a ``deactivated`` image ``active``; again changes nothing.

        Raises:
            StatusForbids: the image is neither.
        """
        self._move(grant, Action.REACTIVATE, Status.DEACTIVATED, Status.ACTIVE)

    def _move(
        self, grant: Grant, action: Action, before: Status, after: Status
    ) -> None:
        if self.images.move(grant.image.id, before, after):
            return
        image, _ = self.images.get(grant.image.id, grant.caller.project_id)
        check(grant.caller, action, image)
