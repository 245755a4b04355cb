"""The steps from each released schema to the next.

A released step never changes again, and says what it does in statements of its own:
`models.py` and its like describe the present alone.  A step is made of changes.  One
that the database has already is not made again, so that an engine which commits after
each change of tables (MariaDB) can be killed anywhere and goes on from there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagereg.db.engine import Engine
from imagereg.db.live import Part, PartKind, part_names
from imagereg.db.models import EventRow

#: The version of the schema that was released first.
FIRST = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One change of tables or rows.

    Attributes:
        make: makes it.
        part: what it adds, by which it is known to be made; None for a change that
            may be made again and again, such as filling in a column.
    """

    make: Callable[[Engine], object]
    part: Part | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """What leads from one version to the next.

    Attributes:
        title: what is new, for whoever runs the upgrade.
        changes: in the order in which they are made.
    """

    title: str
    changes: tuple[Change, ...]

    def apply(self, engine: Engine) -> None:
        """Make those changes that the database does not have yet."""
        there = part_names(engine)
        for change in self.changes:
            if change.part is None or change.part not in there:
                change.make(engine)


def index_of_text(table: str, name: str, column: str) -> Change:
    """Return the change that adds an index of a text of any length."""
    part = Part(PartKind.INDEX, table, name)
    return Change(
        lambda engine: engine.execute(
            engine.dialect.index_of_text(table, name, column)
        ),
        part,
    )


#: Bytes are condemned, and removed, only when no other location has their URL.
#: Without its index a deletion reads every location there is.
LOCATIONS_BY_URL = index_of_text("image_locations", "image_locations_url", "url")

#: Events are delivered in order, those of each image by themselves.
EVENTS_BY_IMAGE = Change(
    lambda engine: engine.execute(
        "CREATE INDEX events_in_order ON events (sink, image_id, id)"
    ),
    Part(PartKind.INDEX, "events", "events_in_order"),
)

_EVENTS = Change(
    # A key that counts is written differently by each engine.
    lambda engine: engine.create(EventRow),
    Part(PartKind.TABLE, "events", "events"),
)

#: What leads from version 1 to 2, from 2 to 3, and so on.
STEPS: Sequence[Step] = (
    Step(
        "an index of locations by URL, for deletions; the outbox of events",
        (LOCATIONS_BY_URL, _EVENTS, EVENTS_BY_IMAGE),
    ),
)
