"""Create the tables, and bring an older database to the present version."""

from collections.abc import Callable, Sequence

from peewee import SchemaManager, fn

from imagereg.db.derived import TRIGGERS
from imagereg.db.engine import Engine
from imagereg.db.listing import INDEXES
from imagereg.db.metadef_models import METADEF_TABLES
from imagereg.db.models import TABLES, SchemaRow
from imagereg.db.task_models import TASK_TABLES
from imagereg.errors import ConfigurationError
from imagereg.model import now_us


def _first(engine: Engine) -> None:
    for table in (*TABLES, *METADEF_TABLES, *TASK_TABLES):
        SchemaManager(table, engine.peewee).create_all(safe=True)
    for statement in (*INDEXES, *TRIGGERS):
        engine.execute(statement)


#: One step per version, oldest first; a released step never changes again.
STEPS: Sequence[Callable[[Engine], None]] = (_first,)


def prepare(engine: Engine) -> None:
    """Create or migrate the tables; several processes may do so at once.

    Raises:
        ConfigurationError: the database is newer than this program.
    """
    with engine.transaction():
        SchemaManager(SchemaRow, engine.peewee).create_all(safe=True)
        present = version(engine)
        if present > len(STEPS):
            fault = (
                f"[database] connection: the database has schema version {present}, "
                f"this program knows up to {len(STEPS)}"
            )
            raise ConfigurationError([fault])
        for number, step in enumerate(STEPS[present:], start=present + 1):
            step(engine)
            SchemaRow.insert(version=number, applied_at_us=now_us()).execute(
                engine.peewee
            )


def version(engine: Engine) -> int:
    """Return the schema version that the database has; 0 when it is empty."""
    newest = SchemaRow.select(fn.MAX(SchemaRow.version)).tuples()
    return int(next(iter(newest.execute(engine.peewee)))[0] or 0)
