"""Rows of locations: written only inside a transaction of somebody else.

Source: contract api-images 19, stores 6 and S-10.
"""

from collections.abc import Iterable

import orjson

from imagereg.db.engine import Engine
from imagereg.db.models import HEAD, CondemnedRow, LocationRow, PropertyRow
from imagereg.errors import StaleImage
from imagereg.model import Image, Location, PlaceChanges, now_us

#: The property that lists stores which imports could not fill.
FAILED = "os_glance_failed_import"


def add_place(engine: Engine, image_id: str, location: Location) -> None:
    """Insert a location, whose store is in no list of failures any more.

    Bytes at the same place, once condemned, are in use again.

    Raises:
        StaleImage: they are just being removed.
    """
    engine.delete(
        CondemnedRow, CondemnedRow.url == location.url, CondemnedRow.worker.is_null()
    )
    if engine.rows("SELECT 1 FROM condemned_locations WHERE url = ?", (location.url,)):
        raise StaleImage("the bytes at this location are just being removed")
    LocationRow.insert(
        image_id=image_id,
        url=location.url,
        metadata=orjson.dumps(location.metadata).decode(),
        store=location.store,
    ).execute(engine.peewee)
    _forgive(engine, image_id, location.store)


def _forgive(engine: Engine, image_id: str, store: str | None) -> None:
    """Take a store out of the list of those that an import could not fill."""
    rows = engine.rows(
        "SELECT value FROM image_properties WHERE image_id = ? AND name = ?",
        (image_id, FAILED),
    )
    failed = str(rows[0][0]).split(",") if rows else []
    if store in failed:
        left = ",".join(name for name in failed if name != store)
        PropertyRow.update(value=left, head=left[:HEAD]).where(
            PropertyRow.image_id == image_id, PropertyRow.name == FAILED
        ).execute(engine.peewee)


def is_being_cleared(engine: Engine, image_id: str) -> bool:
    """Return whether bytes of the image are just being removed from a store."""
    sql = "SELECT 1 FROM condemned_locations WHERE image_id = ? AND worker IS NOT NULL"
    return bool(engine.rows(sql, (image_id,)))


def write_places(
    engine: Engine, before: Image, places: PlaceChanges, *, kept: bool = False
) -> None:
    """Change the locations of an image, if they are those of ``before``.

    The bytes of those that go are ``kept`` for the scrubber, or condemned at once.

    Raises:
        StaleImage: somebody else changed them.
    """
    rows = engine.rows(
        "SELECT id FROM image_locations WHERE image_id = ? ORDER BY id", (before.id,)
    )
    if [row[0] for row in rows] != [place.id for place in before.locations]:
        raise StaleImage(f"image {before.id} was changed by somebody else")
    for place in (*places.removed, *places.superseded):
        engine.delete(LocationRow, LocationRow.id == place.id)
    condemn(engine, before.id, places.removed, kept=kept)
    for place in places.edited:
        LocationRow.update(metadata=orjson.dumps(place.metadata).decode()).where(
            LocationRow.id == place.id
        ).execute(engine.peewee)
    for place in places.added:
        add_place(engine, before.id, place)


def condemn(
    engine: Engine, image_id: str, places: Iterable[Location], *, kept: bool = False
) -> None:
    """Enter bytes whose location is gone in the list that stores work off.

    Bytes that another location still refers to stay.
    """
    for place in places:
        if not engine.rows("SELECT 1 FROM image_locations WHERE url = ?", (place.url,)):
            CondemnedRow.insert(
                image_id=image_id,
                url=place.url,
                store=place.store,
                since_us=now_us(),
                kept=kept,
            ).execute(engine.peewee)
