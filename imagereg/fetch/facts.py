"""What the service says of an image, and what makes its bytes the right ones."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from imagereg.errors import FetchNoData, FetchNotIntact, FetchRefused, Invalid

_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

#: Fields of an image that are no properties.
_FIELDS = frozenset(
    (
        *("checksum", "container_format", "created_at", "direct_url", "disk_format"),
        *("file", "id", "locations", "min_disk", "min_ram", "name", "os_hash_algo"),
        *("os_hash_value", "os_hidden", "owner", "protected", "schema", "self", "size"),
        *("status", "stores", "tags", "updated_at", "virtual_size", "visibility"),
    )
)


def check_image_id(text: str) -> str:
    """Return the id of an image; it becomes a file name, so nothing else may pass.

    Raises:
        Invalid: it is no id.
    """
    if not _ID.fullmatch(text):
        raise Invalid(f"`{text}` is no image id")
    return text.lower()


@dataclass(frozen=True, slots=True)
class Expected:
    """What the bytes are compared with.

    Attributes:
        algorithm: hashlib's name of a digest; None compares the size alone.
        value: the digest, lower-case hex.
    """

    size: int | None
    algorithm: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """An image as the service describes it."""

    id: str
    status: str
    size: int | None
    disk_format: str | None
    container_format: str | None
    checksum: str | None
    os_hash_algo: str | None
    os_hash_value: str | None
    virtual_size: int | None
    properties: Mapping[str, Any] = field(default_factory=dict)
    locations: tuple[tuple[str, Mapping[str, Any]], ...] = ()

    def check_available(self) -> None:
        """Raise unless the image has data that may be had.

        Raises:
            FetchRefused: it is deactivated.
            FetchNoData: its data are not there, or not yet.
        """
        if self.status == "deactivated":
            raise FetchRefused(f"image {self.id} is deactivated")
        if self.status != "active":
            raise FetchNoData(f"image {self.id} is {self.status}, not active")

    def expected(self, verify: str) -> Expected:
        """Return what to compare with: ``verify`` is ``hash``, ``size`` or ``none``.

        Raises:
            FetchNotIntact: a digest is wanted and there is none, or an unknown one.
        """
        if verify == "none":
            return Expected(None)
        if verify == "size":
            return Expected(self.size)
        if self.os_hash_value:
            if self.os_hash_algo not in hashlib.algorithms_available:
                raise FetchNotIntact(
                    f"image {self.id} has a hash of the unknown algorithm "
                    f"`{self.os_hash_algo}`"
                )
            return Expected(self.size, self.os_hash_algo, self.os_hash_value.lower())
        if self.checksum:
            return Expected(self.size, "md5", self.checksum.lower())
        raise FetchNotIntact(f"image {self.id} has no hash to compare with")

    def identity(self) -> dict[str, Any]:
        """Return what tells these bytes from others of the same image id."""
        return {
            "id": self.id,
            "size": self.size,
            "algorithm": self.os_hash_algo,
            "hash": self.os_hash_value,
            "checksum": self.checksum,
        }


def read_facts(document: Mapping[str, Any]) -> Facts:
    """Return an image from the answer of any service of the Image API v2.

    Raises:
        FetchNoData: the answer describes no image.
    """
    if not _ID.fullmatch(str(document.get("id"))):
        raise FetchNoData("the service's answer is no image")
    return Facts(
        id=str(document["id"]).lower(),
        status=str(document.get("status")),
        size=_number(document.get("size")),
        disk_format=_text(document.get("disk_format")),
        container_format=_text(document.get("container_format")),
        checksum=_text(document.get("checksum")),
        os_hash_algo=_text(document.get("os_hash_algo")),
        os_hash_value=_text(document.get("os_hash_value")),
        virtual_size=_number(document.get("virtual_size")),
        properties={k: v for k, v in document.items() if k not in _FIELDS},
        locations=tuple(_locations(document)),
    )


def _locations(document: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    listed = document.get("locations")
    found = [
        (str(each["url"]), each.get("metadata") or {})
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, dict) and each.get("url")
    ]
    if direct := _text(document.get("direct_url")):
        found.append((direct, {}))
    return found


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: object) -> int | None:
    # JSON's true is an int to Python.
    return value if isinstance(value, int) and not isinstance(value, bool) else None
