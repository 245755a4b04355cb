"""Download image data, whole or a part, from the best place that has them.

Source: contract api-images 16; stores 5 and S-4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from imagereg.access import Grant
from imagereg.errors import Forbidden
from imagereg.images.sources import Choose, Sources, Wanted
from imagereg.model import Status
from imagereg.stores.driver import BlobReader


@dataclass(frozen=True, slots=True)
class Downloads:
    """The use cases, bound to what they work on."""

    sources: Sources

    def open(
        self, grant: Grant, choose: Choose | None = None, prefer: Sequence[str] = ()
    ) -> BlobReader | None:
        """Open an image's data, or the part that ``choose`` picks of its size.

        Returns None when there is no data at all.

        Raises:
            Forbidden: the image is deactivated and the caller no administrator.
            RangeNotSatisfiable, MultipleRanges: from ``choose``.
            StoreUnavailable: no location can be read just now.
        """
        image = grant.image
        self.check_in_use(grant)
        if image.status == Status.QUEUED:
            # It may have a location all the same, one that failed to verify.
            return None
        # Every download of every caller comes through this one call: a copy on this
        # node may answer instead, and a read of the whole may be copied on its way.
        return self.sources.open(Wanted(image, choose, prefer))

    def check_in_use(self, grant: Grant) -> None:
        """Refuse the data of an image that was taken out of use.

        Raises:
            Forbidden: the image is deactivated and the caller no administrator.
        """
        if grant.image.status == Status.DEACTIVATED and not grant.caller.is_admin:
            raise Forbidden("the requested image has been deactivated")
