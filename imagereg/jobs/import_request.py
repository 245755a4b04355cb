"""What a client asks for when it imports data, and whether its image is ready for it.

Source: contract api-images 18.1 and 18.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from imagereg.errors import Conflict, Invalid, StatusConflict
from imagereg.model import Image, Status


class ImportMethod(StrEnum):
    """Where the data come from."""

    GLANCE_DIRECT = "glance-direct"
    WEB_DOWNLOAD = "web-download"
    COPY_IMAGE = "copy-image"
    GLANCE_DOWNLOAD = "glance-download"


#: What a service catalog tells endpoints apart by.
INTERFACES = ("public", "internal", "admin")

#: The longest name of a region, in characters, as the identity service has it.
MAX_REGION = 255

#: Method -> the status of an image that it may begin on.
BEGINS: Mapping[ImportMethod, Status] = {
    ImportMethod.GLANCE_DIRECT: Status.UPLOADING,
    ImportMethod.WEB_DOWNLOAD: Status.QUEUED,
    ImportMethod.COPY_IMAGE: Status.ACTIVE,
    ImportMethod.GLANCE_DOWNLOAD: Status.QUEUED,
}


@dataclass(frozen=True, slots=True)
class RemoteImage:
    """An image of another region.

    Attributes:
        interface: which of the service's endpoints is asked.
    """

    region: str
    image_id: str
    interface: str


def remote_image(source: Mapping[str, object]) -> RemoteImage:
    """Return what the keys of ``glance-download`` name.

    Raises:
        Invalid: one is missing or malformed.
    """
    texts = {}
    for name in ("glance_region", "glance_image_id", "glance_service_interface"):
        text = source.get(name, "public" if name.endswith("interface") else None)
        if not isinstance(text, str) or not text:
            raise Invalid(f"glance-download needs `{name}`, a text")
        texts[name] = text
    region, image_id, interface = texts.values()
    if interface not in INTERFACES:
        raise Invalid(f"`glance_service_interface` is none of {', '.join(INTERFACES)}")
    if len(region) > MAX_REGION:
        raise Invalid(f"`glance_region` is longer than {MAX_REGION} characters")
    try:
        return RemoteImage(region, str(UUID(image_id)), interface)
    except ValueError as error:
        message = f"the remote image id does not look like a UUID: `{image_id}`"
        raise Invalid(message) from error


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
            Invalid: a key of the method, which is looked at last.
        """
        wanted = BEGINS[self.method]
        if image.status != wanted:
            message = (
                f"image {image.id} is {image.status}, but {self.method} needs one "
                f"that is {wanted}"
            )
            raise StatusConflict(message)
        if self.method == ImportMethod.GLANCE_DOWNLOAD:
            # The formats are those of the remote image.
            remote_image(self.source)
            return
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
