"""What a client asks for when it imports data, and whether its image is ready for it.

Source: contract api-images 18.1 and 18.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from imagereg.errors import Conflict, Invalid, StatusConflict
from imagereg.model import Image, Status


class ImportMethod(StrEnum):
    """Where the data come from."""

    GLANCE_DIRECT = "glance-direct"
    WEB_DOWNLOAD = "web-download"
    COPY_IMAGE = "copy-image"
    GLANCE_DOWNLOAD = "glance-download"


#: Method -> the status of an image that it may begin on.
BEGINS: Mapping[ImportMethod, Status] = {
    ImportMethod.GLANCE_DIRECT: Status.UPLOADING,
    ImportMethod.WEB_DOWNLOAD: Status.QUEUED,
    ImportMethod.COPY_IMAGE: Status.ACTIVE,
    ImportMethod.GLANCE_DOWNLOAD: Status.QUEUED,
}


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """One request, checked as far as it can be without its image.

    Attributes:
        document: the body as it came, for the task's record.
        source: the keys beside the method's name, which say where the data lie.
        stores: ids of the wanted stores; empty is not said.
        store_header: the one that a header names instead.
        all_stores: every store that takes data.
        must_succeed: one store that fails undoes the others.
    """

    method: ImportMethod
    document: Mapping[str, object]
    source: Mapping[str, object] = field(default_factory=dict)
    stores: tuple[str, ...] = ()
    store_header: str | None = None
    all_stores: bool = False
    must_succeed: bool = True

    def check_ready(self, image: Image) -> None:
        """Refuse an image that is in no state for this.

        Raises:
            StatusConflict: its status.
            Conflict: a format is not set.
        """
        wanted = BEGINS[self.method]
        if image.status != wanted:
            message = (
                f"image {image.id} is {image.status}, but {self.method} needs one "
                f"that is {wanted}"
            )
            raise StatusConflict(message)
        for name in ("container_format", "disk_format"):
            if not getattr(image, name):
                raise Conflict(f"`{name}` must be set before the import")

    def check_single_choice(self) -> None:
        """Refuse stores that are named in more than one way.

        Raises:
            Invalid: they are.
        """
        ways = (bool(self.stores), self.store_header is not None, self.all_stores)
        if sum(ways) > 1:
            message = (
                "name the stores once: as `stores`, by `all_stores`, or by the header "
                "`X-Image-Meta-Store`"
            )
            raise Invalid(message)
