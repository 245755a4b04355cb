"""Frozen values of metadata definitions: what properties, objects and tags mean.

A namespace holds everything else, and names are the identifiers.  Times are
microseconds since 1970 in UTC.

Source: contract api-metadefs 3 to 7.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from imagereg.model import Visibility

#: What one property may hold: keys and types as in `metadefs/definitions.py`.
Definition = Mapping[str, object]


class Kind(StrEnum):
    """What a namespace can hold, in the words that people read."""

    OBJECT = "object"
    PROPERTY = "property"
    TAG = "tag"
    ASSOCIATION = "resource type"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace by itself, without its content.

    Attributes:
        id: never shown, and never used again, so it cannot come to mean another one.
        name: unique over all projects.
        visibility: public or private.
        protected: nothing in it may be deleted.
    """

    id: str
    name: str
    created_at_us: int
    updated_at_us: int
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    owner: str | None = None
    display_name: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class MetadefObject:
    """A group of properties; what was not given is None."""

    name: str
    description: str | None = None
    required: tuple[str, ...] | None = None
    properties: Mapping[str, Definition] | None = None
    created_at_us: int = 0
    updated_at_us: int = 0


@dataclass(frozen=True, slots=True)
class MetadefTag:
    """A word that resources may be tagged with."""

    name: str
    created_at_us: int = 0
    updated_at_us: int = 0


@dataclass(frozen=True, slots=True)
class Association:
    """A resource type that a namespace is meant for.

    Attributes:
        prefix: put before the names of properties on resources of this type; it
            brings its own separator.
        properties_target: which of several key-value stores of the resource is meant.
    """

    name: str
    prefix: str | None = None
    properties_target: str | None = None
    created_at_us: int = 0
    updated_at_us: int = 0


@dataclass(frozen=True, slots=True)
class ResourceType:
    """A kind of resource that some namespace was once meant for."""

    name: str
    created_at_us: int
    updated_at_us: int


@dataclass(frozen=True, slots=True)
class NewNamespace:
    """What somebody says about a namespace, before it is stored.

    An owner, or a kind of content, of which nothing was said is None.
    """

    name: str
    visibility: Visibility = Visibility.PRIVATE
    protected: bool = False
    owner: str | None = None
    display_name: str | None = None
    description: str | None = None
    objects: tuple[MetadefObject, ...] | None = None
    properties: Mapping[str, Definition] | None = None
    tags: tuple[MetadefTag, ...] | None = None
    associations: tuple[Association, ...] | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a namespace holds."""

    objects: tuple[MetadefObject, ...]
    properties: Mapping[str, Definition]
    tags: tuple[MetadefTag, ...]
    associations: tuple[Association, ...]
