"""Rows of locations: written only inside a transaction of somebody else.

Source: contract api-images 19, stores 6 and S-10.
"""

from collections.abc import Iterable

import orjson

from imagereg.db.engine import Engine
from imagereg.db.models import CondemnedRow, LocationRow
from imagereg.errors import StaleImage
from imagereg.model import Image, Location, PlaceChanges, now_us


def location_row(image_id: str, location: Location) -> dict[str, object]:
    """Return the columns of a new location."""
    return {
        "image_id": image_id,
        "url": location.url,
        "metadata": orjson.dumps(location.metadata).decode(),
        "store": location.store,
    }


def write_places(engine: Engine, before: Image, places: PlaceChanges) -> None:
    """Change the locations of an image, if they are those of ``before``.

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
    condemn(engine, before.id, places.removed)
    for place in places.edited:
        LocationRow.update(metadata=orjson.dumps(place.metadata).decode()).where(
            LocationRow.id == place.id
        ).execute(engine.peewee)
    for place in places.added:
        LocationRow.insert(location_row(before.id, place)).execute(engine.peewee)


def condemn(engine: Engine, image_id: str, places: Iterable[Location]) -> None:
    """Enter bytes whose location is gone in the list that stores work off.

    Bytes that another location still refers to stay.
    """
    for place in places:
        if not engine.rows("SELECT 1 FROM image_locations WHERE url = ?", (place.url,)):
            CondemnedRow.insert(
                image_id=image_id, url=place.url, store=place.store, since_us=now_us()
            ).execute(engine.peewee)
