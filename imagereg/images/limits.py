"""Counts and sizes that a project or an image may not exceed.

Source: contract api-images 6, 21 and 23; config 2.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from imagereg.errors import TooLarge
from imagereg.property_rights import SERVER_PREFIX


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one image; a negative count is no limit.

    Attributes:
        tags: tags on one image.
        properties: custom properties on one image, the server's own not counted.
        members: projects that one image is shared with.
        size_bytes: the size of one image's data.
        locations: places where the data of one image lie.
    """

    tags: int
    properties: int
    members: int
    size_bytes: int
    locations: int = -1

    def check_tags(self, tags: Iterable[str]) -> None:
        """Raise `TooLarge` if there are more tags than allowed."""
        _check("tags", sum(1 for _ in tags), self.tags)

    def check_properties(self, names: Iterable[str]) -> None:
        """Raise `TooLarge` if there are more custom properties than allowed."""
        counted = sum(1 for name in names if not name.startswith(SERVER_PREFIX))
        _check("image properties", counted, self.properties)

    def check_locations(self, count: int) -> None:
        """Raise `TooLarge` if there are more locations than allowed."""
        _check("locations", count, self.locations)


def _check(what: str, count: int, limit: int) -> None:
    if 0 <= limit < count:
        message = (
            f"the limit of {what} has been exceeded: attempted {count}, maximum {limit}"
        )
        raise TooLarge(message)
