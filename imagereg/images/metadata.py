"""Create, update and delete image records.

Source: contract api-images 9, 12 and 13.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from imagereg.access import Grant
from imagereg.approved import ApprovedChanges, ImageView
from imagereg.db.images import ImageRepository
from imagereg.errors import StaleImage
from imagereg.images.limits import Limits
from imagereg.images.locations import Locations
from imagereg.images.patch import PatchOperation, apply
from imagereg.images.quotas import Quotas
from imagereg.images.removal import Removal
from imagereg.model import Image, Location, Visibility, now_us
from imagereg.policy.actions import Action
from imagereg.states import check
from imagereg.targets import StoredImage

log = logging.getLogger(__name__)

#: How often a PATCH is decided anew because somebody else changed the same property
#: between its decision and its write.
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class NewImage:
    """What a client wants created, checked against the image schema.

    Attributes:
        id: a UUID, of the client's choice or a fresh one.
        fields: core fields by API name, without id, owner and tags.
    """

    id: str
    owner: str | None
    fields: Mapping[str, object]
    tags: tuple[str, ...]
    properties: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Metadata:
    """The use cases, bound to what they work on.

    Attributes:
        forget: is told the id of an image that is gone.
    """

    images: ImageRepository
    limits: Limits
    quotas: Quotas
    removal: Removal
    locations: Locations
    forget: Callable[[str], None] = lambda image_id: None

    def create(self, grant: Grant, new: NewImage) -> ImageView:
        """Store a new ``queued`` image and return it as its creator may see it.

        Raises:
            PropertyReserved: a property may not be created by this caller.
            TooLarge: too many tags or properties.
            Duplicate: the id is in use, or was once.
        """
        time = now_us()
        fields = dict(new.fields)
        visibility = Visibility(str(fields.pop("visibility", Visibility.SHARED)))
        blank = Image(
            id=new.id,
            created_at_us=time,
            updated_at_us=time,
            owner=new.owner,
            visibility=visibility,
            tags=new.tags,
            properties=new.properties,
        )
        image = replace(blank, **fields)  # type: ignore[arg-type] # checked by schema
        approved = grant.approve_new(image)
        self.limits.check_tags(new.tags)
        self.limits.check_properties(new.properties)
        self.images.add(approved, partial(self.quotas.check_new_image, new.owner))
        log.info("created image %s", image.id)
        return grant.view(image)

    def update(self, grant: Grant, operations: Sequence[PatchOperation]) -> ImageView:
        """Apply a PATCH, all of it or nothing, and return the new record.

        Raises:
            PropertyConflict, Forbidden: see `images/patch.py` and `Grant.approve`.
            TooLarge: too many tags or properties.
            StaleImage: others kept changing the same properties.
            ImageNotFound: the image went away.
        """
        if not operations:
            return grant.view(grant.image)
        for attempt in range(ATTEMPTS):
            try:
                self._write(grant, operations)
                break
            except StaleImage:
                if attempt == ATTEMPTS - 1:
                    raise
                grant = self._fresh(grant)
        log.info("updated image %s", grant.image.id)
        image, _ = self.images.get(grant.image.id, grant.caller.project_id)
        return grant.view(image)

    def delete(self, grant: Grant) -> None:
        """Delete the record, then its bytes; a store that is down is tried later.

        Raises:
            ImageProtected: the image is protected, from administrators as well.
            ImageNotFound: somebody else deleted it.
        """
        image = grant.image
        check(grant.caller, Action.DELETE_IMAGE, image)
        locations = self.images.delete(image.id)
        log.info("deleted image %s", image.id)
        for location in locations:
            self.removal.remove(image.id, location)
        self.forget(image.id)

    def _write(self, grant: Grant, operations: Sequence[PatchOperation]) -> None:
        image = grant.image
        places = self.locations.draft(grant)
        changes = apply(image, grant.hidden(image), operations, places)
        approved = grant.approve(changes)
        if changes.tags is not None:
            self.limits.check_tags(changes.tags)
        names = (image.properties.keys() - changes.removed) | changes.properties.keys()
        if changes.properties.keys() - image.properties.keys():
            self.limits.check_properties(names)
        gone = self._write_approved(approved)
        for location in gone:
            self.removal.remove(image.id, location)

    def _write_approved(self, approved: ApprovedChanges) -> tuple[Location, ...]:
        """Write changes within the project's limits; return what lost its location."""
        places, image = approved.changes.places, approved.before
        if places is None:
            self.images.update(approved)
            return ()
        size = int(str(places.facts.get("size", image.size or 0)))
        check = partial(
            self.quotas.check_bytes, image.owner, image.id, size * len(places.added)
        )
        self.images.update(approved, check)
        return places.removed

    def _fresh(self, grant: Grant) -> Grant:
        image, membership = self.images.get(grant.image.id, grant.caller.project_id)
        return grant.renew(StoredImage(image, membership, grant.target.asks))
