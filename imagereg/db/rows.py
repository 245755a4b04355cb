"""One SELECT reads an image whole: its row, properties, tags, locations, membership.

A single statement is a consistent snapshot on every engine, and the number of
queries does not grow with the page.  Building 100 images with 15 properties this
way costs about a seventh of what Peewee's models and prefetch do.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from imagereg.db.engine import Row
from imagereg.db.words import Words
from imagereg.model import Image, Location, MemberStatus, Status, Visibility

#: Columns of an image, in the order of the fields of `Image`: tags, properties and
#: locations follow.
COLUMNS = (
    "id",
    "created_at_us",
    "updated_at_us",
    "status",
    "visibility",
    "name",
    "owner",
    "protected",
    "os_hidden",
    "container_format",
    "disk_format",
    "min_disk",
    "min_ram",
    "size",
    "virtual_size",
    "checksum",
    "os_hash_algo",
    "os_hash_value",
)

_AT_STATUS, _AT_VISIBILITY = COLUMNS.index("status"), COLUMNS.index("visibility")
_AT_FLAGS = (COLUMNS.index("protected"), COLUMNS.index("os_hidden"))

_STATUS: Mapping[str, Status] = {status.value: status for status in Status}
_VISIBILITY: Mapping[str, Visibility] = {v.value: v for v in Visibility}


@lru_cache
def select(words: Words) -> str:
    """Return what reads everything of ``images AS i``.

    Its one parameter is the project whose membership is wanted.
    """
    columns = ", ".join(f"i.{column}" for column in COLUMNS)
    return (
        f"SELECT {columns}, {words.tags}, {words.properties}, {words.locations},"  # noqa: S608 - every part is written in this package
        " (SELECT m.status FROM image_members m"
        " WHERE m.image_id = i.id AND m.member_id = ?)"
    )


def build(row: Row) -> tuple[Image, MemberStatus | None]:
    """Return the image of one row, and the asking project's membership of it."""
    *fields, tags, properties, locations, membership = row
    # Thousands are built in a moment: by position takes two thirds of what names do.
    values: Any = [
        *fields,
        tuple(orjson.loads(str(tags))),
        orjson.loads(str(properties)),
        _locations(str(locations)),
    ]
    values[_AT_STATUS] = _STATUS[values[_AT_STATUS]]
    values[_AT_VISIBILITY] = _VISIBILITY[values[_AT_VISIBILITY]]
    for place in _AT_FLAGS:
        values[place] = bool(values[place])
    image = Image(*values)
    return image, MemberStatus(str(membership)) if membership else None


def _locations(text: str) -> tuple[Location, ...]:
    if text == "[]":
        return ()
    return tuple(
        Location(url=url, metadata=metadata, store=store, id=number)
        for number, url, metadata, store in orjson.loads(text)
    )
