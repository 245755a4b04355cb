"""What an action is done to, and what policy rules may read of it.

Pure: no Flask, no Peewee.  `api/targets.py` finds these for a request,
`access.py` judges them.

Source: contract policy 4 and 7, api-images 4.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from imagereg.errors import ImageNotFound, NamespaceNotFound, NotFound, NotVisible
from imagereg.metadef_model import Namespace
from imagereg.model import (
    Caller,
    Image,
    MemberStatus,
    Visibility,
    format_time,
)
from imagereg.policy.actions import Action


def is_owner(caller: Caller, image: Image) -> bool:
    """Return whether the image belongs to the caller's project; null owns nothing."""
    return image.owner is not None and image.owner == caller.project_id


def is_visible(caller: Caller, image: Image, membership: MemberStatus | None) -> bool:
    """Return whether stored data alone lets the caller know of the image.

    Source: contract api-images 4.3, gate 1.
    """
    return (
        caller.is_admin
        or image.owner is None
        or image.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY)
        or is_owner(caller, image)
        or (image.visibility == Visibility.SHARED and membership is not None)
    )


class Target(Protocol):
    """What an action is done to."""

    @property
    def asks(self) -> tuple[Action, ...]:
        """The actions this very request needs, where its route cannot name them."""

    @property
    def shown_by(self) -> Action | None:
        """The action without which a refusal must not tell that there is a target."""

    def missing(self) -> NotFound:
        """Return what is said to somebody who may not know of the target."""

    def fields(self, caller: Caller) -> Mapping[str, object]:
        """Return what stands right of the colon in a rule."""

    def check_visible(self, caller: Caller) -> None:
        """Raise `NotFound` if stored data hide the target from the caller."""


@dataclass(frozen=True, slots=True)
class NoTarget:
    """An action on nothing in particular: documents, tasks, the cache as a whole."""

    asks: tuple[Action, ...] = ()

    @property
    def shown_by(self) -> Action | None:
        """Return None: that there are images, tasks and the like is no secret."""
        return None

    def missing(self) -> NotFound:
        """Return the answer of a path that leads nowhere."""
        return NotFound("there is no such resource")

    def fields(self, caller: Caller) -> Mapping[str, object]:
        """Return an empty mapping, so each rule that names a field is false."""
        return {}

    def check_visible(self, caller: Caller) -> None:
        """Hide nothing."""


@dataclass(frozen=True, slots=True)
class OwnProject(NoTarget):
    """The collection of what a project can see."""

    def fields(self, caller: Caller) -> Mapping[str, object]:
        """Return the caller's project."""
        return {"project_id": caller.project_id}


@dataclass(frozen=True, slots=True)
class AllNamespaces(OwnProject):
    """The collection of namespaces, or of resource types."""

    @property
    def shown_by(self) -> Action | None:
        """Return the rule that decides between 403 and 404."""
        return Action.GET_METADEF_NAMESPACE


@dataclass(frozen=True, slots=True)
class StoredNamespace:
    """A namespace of metadata definitions, and with it all that it holds.

    Source: contract api-metadefs 1.
    """

    namespace: Namespace
    asks: tuple[Action, ...] = ()

    @property
    def shown_by(self) -> Action | None:
        """Return the rule whose refusal hides the namespace."""
        return Action.GET_METADEF_NAMESPACE

    def missing(self) -> NotFound:
        """Return the answer for a namespace that is not there."""
        return NamespaceNotFound(self.namespace.name)

    def fields(self, caller: Caller) -> Mapping[str, object]:
        """Return the two fields that rules may read."""
        return {
            "project_id": self.namespace.owner,
            "visibility": str(self.namespace.visibility),
        }

    def is_owner(self, caller: Caller) -> bool:
        """Return whether the namespace belongs to the caller's project."""
        owner = self.namespace.owner
        return owner is not None and owner == caller.project_id

    def check_visible(self, caller: Caller) -> None:
        """Raise `NamespaceNotFound` as if there were no such namespace."""
        namespace = self.namespace
        if not (
            caller.is_admin
            or namespace.owner is None
            or namespace.visibility == Visibility.PUBLIC
            or self.is_owner(caller)
        ):
            raise self.missing() from NotVisible("it belongs to others")


@dataclass(frozen=True, slots=True)
class ProposedImage(NoTarget):
    """An image that is about to be created.

    Attributes:
        owner: the project that will own it.
        visibility: as the body has it; a body without one is judged as private.
    """

    owner: str | None = None
    visibility: str = Visibility.PRIVATE

    def fields(self, caller: Caller) -> Mapping[str, object]:
        """Return the three fields that rules on creation may read."""
        return {
            "project_id": self.owner,
            "owner": self.owner,
            "visibility": self.visibility,
        }


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image of the database, with what the caller's project is to it.

    Attributes:
        membership: the status of the caller's project among the image's members.
    """

    image: Image
    membership: MemberStatus | None = None
    asks: tuple[Action, ...] = ()

    @property
    def shown_by(self) -> Action | None:
        """Return the rule whose refusal hides the image."""
        return Action.GET_IMAGE

    def missing(self) -> NotFound:
        """Return the answer for an image that is not there."""
        return ImageNotFound(self.image.id)

    def fields(self, caller: Caller) -> "ImageFields":
        """Return the image's fields, custom properties left out."""
        return ImageFields(self.image, caller)

    def check_visible(self, caller: Caller) -> None:
        """Raise `ImageNotFound` as if there were no such image."""
        if not is_visible(caller, self.image, self.membership):
            raise self.missing() from NotVisible("it belongs to others")


@dataclass(frozen=True, slots=True)
class CacheEntry(StoredImage):
    """An image as far as the cache is concerned.

    Source: contract policy 6: all cache routes answer a refusal with 403, once stored
    data let the caller see the image.
    """

    @property
    def shown_by(self) -> Action | None:
        """Return None: a refusal hides nothing that stored data show."""
        return None


class ImageFields(Mapping[str, object]):
    """An image as policy rules see it; fields are read when a rule asks for them.

    Custom properties count only where ``readable`` says that the caller may read
    them, and never while a protection itself is being decided.

    Source: contract policy 4.
    """

    __slots__ = ("_caller", "_image", "_readable")

    def __init__(
        self,
        image: Image,
        caller: Caller,
        readable: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._image = image
        self._caller = caller
        self._readable = readable

    def __getitem__(self, key: str) -> object:
        read = _FIELDS.get(key)
        if read is not None:
            return read(self._image)
        if key in ("member", "member_id"):
            return self._member()
        value = self._image.properties[key]
        if not self._readable(key):
            raise KeyError(key)
        return value

    def __iter__(self) -> Iterator[str]:
        yield from _FIELDS
        yield from ("member", "member_id")
        yield from (name for name in self._image.properties if self._readable(name))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _member(self) -> str | None:
        foreign = self._image.owner != self._caller.project_id
        shared = self._image.visibility == Visibility.SHARED
        return self._caller.project_id if shared and foreign else None


_FIELDS: Mapping[str, Callable[[Image], object]] = {
    "id": lambda image: image.id,
    "image_id": lambda image: image.id,
    "project_id": lambda image: image.owner,
    "owner": lambda image: image.owner,
    "visibility": lambda image: str(image.visibility),
    "name": lambda image: image.name,
    "status": lambda image: str(image.status),
    "protected": lambda image: image.protected,
    "os_hidden": lambda image: image.os_hidden,
    "min_disk": lambda image: image.min_disk,
    "min_ram": lambda image: image.min_ram,
    "size": lambda image: image.size,
    "virtual_size": lambda image: image.virtual_size,
    "checksum": lambda image: image.checksum,
    "os_hash_algo": lambda image: image.os_hash_algo,
    "os_hash_value": lambda image: image.os_hash_value,
    "disk_format": lambda image: image.disk_format,
    "container_format": lambda image: image.container_format,
    "created_at": lambda image: format_time(image.created_at_us),
    "updated_at": lambda image: format_time(image.updated_at_us),
    "tags": lambda image: list(image.tags),
}
