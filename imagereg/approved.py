"""What a grant hands on: proof, in types, that the question was asked.

`access.py` alone makes these (`Changes` apart, which is a question still), and the
rooms below accept nothing else, so nothing unapproved is written and nothing
unreadable is shown.  Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.model import Image, Location, Operation, PlaceChanges, Task


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image as one caller may see it.

    Attributes:
        image: the record with unreadable properties taken out.
        locations: where the bytes lie, as far as the caller may know.
        stores: ids of the stores that hold the bytes, likewise.
    """

    image: Image
    locations: tuple[Location, ...]
    stores: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ApprovedImage:
    """A new image of which each property may be created by its caller."""

    image: Image


@dataclass(frozen=True, slots=True)
class Changes:
    """What a PATCH does to one image, before anybody was asked.

    Attributes:
        fields: core fields to set, by API name.
        properties: custom properties to set.
        removed: custom properties to delete.
        tags: the whole new set, or None to leave it.
        rights: each operation on each property that led here, in order.
        places: what happens to its locations, or None to leave them.
    """

    fields: Mapping[str, object]
    properties: Mapping[str, object]
    removed: frozenset[str]
    tags: tuple[str, ...] | None
    rights: tuple[tuple[Operation, str], ...]
    places: PlaceChanges | None = None


@dataclass(frozen=True, slots=True)
class ApprovedChanges:
    """Changes of which each was allowed, on the state that ``before`` shows."""

    changes: Changes
    before: Image


@dataclass(frozen=True, slots=True)
class ApprovedTask:
    """Background work on an image, which its caller may begin.

    The work itself asks nobody again: it is the granted action, done later.
    """

    task: Task
