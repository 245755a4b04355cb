"""Create the tables, and bring an older database to the present version.

An empty database gets the tables of the present at once; an older one goes through
each of the `STEPS` in turn.  Tests hold both to the same result, for every version
that was released.

Each step is one transaction together with the row that records it.  Where changes of
tables cannot be taken back (MariaDB), the row comes last, and the step begins again.
"""

from collections.abc import Callable, Iterator, Sequence

from peewee import SchemaManager

from imagereg.db.engine import Engine
from imagereg.db.metadef_models import METADEF_TABLES
from imagereg.db.models import TABLES, SchemaRow
from imagereg.db.steps import EVENTS_BY_IMAGE, FIRST, LOCATIONS_BY_URL, STEPS
from imagereg.db.task_models import TASK_TABLES
from imagereg.errors import ConfigurationError
from imagereg.model import now_us

#: The version of a database without tables, or whose tables are just being made.
UNFINISHED = 0

_ALL = "all tables"

ALL_TABLES = (*TABLES, *METADEF_TABLES, *TASK_TABLES)

#: What steps made, and no table or dialect says.
LATER = (LOCATIONS_BY_URL, EVENTS_BY_IMAGE)

#: Told of each step that was taken: the version it led to, and what is new.
Told = Callable[[int, str], object]


def latest() -> int:
    """Return the schema version that this program works with."""
    return FIRST + len(STEPS)


def prepare(engine: Engine, *, upgrades: bool = True) -> None:
    """Make sure that the database has the present tables.

    Several processes may do so at once: one of them makes or migrates the tables.
    Without ``upgrades`` what is missing is not made, but told.

    Raises:
        ConfigurationError: the database is newer than this program, is somebody
            else's, or is older and may not be upgraded.
    """
    present = version(engine)
    if present == latest():
        return
    if upgrades:
        upgrade(engine)
        return
    _check_known(present)
    fault = (
        f"[database] connection: the database has schema version {present}, this "
        f"program needs {latest()}, and it is not to be upgraded just now: run "
        "`imagereg db upgrade`"
    )
    raise ConfigurationError([fault])


def upgrade(engine: Engine, told: Told = lambda number, title: None) -> None:
    """Take every step that is missing; raises as `prepare` does.

    Whoever is second waits for the first one, and finds nothing left to do.
    """
    while True:
        with engine.schema_turn():
            present = version(engine)
            _check_known(present)
            if present == latest():
                return
            number, title = _go_on(engine, present)
        told(number, title)


def missing(present: int) -> Sequence[tuple[int, str]]:
    """Return what `upgrade` would do to a database of this version."""
    if present < FIRST:
        return ((latest(), _ALL),)
    return tuple(
        (number, step.title)
        for number, step in enumerate(STEPS, FIRST + 1)
        if number > present
    )


def version(engine: Engine) -> int:
    """Return the schema version that the database has; 0 when it is empty."""
    if not engine.has(SchemaRow):
        return UNFINISHED
    newest = engine.rows("SELECT MAX(version) FROM schema_versions")
    return int(str(newest[0][0] or UNFINISHED))


def create(engine: Engine) -> None:
    """Make all tables of the present, in a database that has none of them."""
    for table in ALL_TABLES:
        engine.create(table)
    for change in LATER:
        change.make(engine)
    for statement in engine.dialect.additions():
        engine.execute(statement)


def additions(engine: Engine) -> Iterator[str]:
    """Yield the statements that make indexes and triggers, and what those call.

    All but those of `LATER`.
    """
    for table in ALL_TABLES:
        yield from engine.additions(table)
    yield from engine.dialect.additions()


def _go_on(engine: Engine, present: int) -> tuple[int, str]:
    """Take one step inside a transaction; return the version it led to, and what."""
    if present < FIRST:
        _begin(engine)
        create(engine)
        number, title = latest(), _ALL
    else:
        number, step = present + 1, STEPS[present - FIRST]
        step.apply(engine)
        title = step.title
    _note(engine, number)
    return number, title


def _begin(engine: Engine) -> None:
    """Note that the tables are just being made; sweep away an earlier attempt.

    An attempt that ended early left tables without rows, because nothing runs on a
    database whose tables are not finished.

    Raises:
        ConfigurationError: somebody else's tables are in the way.
    """
    was_begun = engine.has(SchemaRow)
    for table in ALL_TABLES:
        if not engine.has(table):
            continue
        if not was_begun:
            fault = (
                "[database] connection: the database has tables of this program's "
                "names, which it did not make; give it a database of its own"
            )
            raise ConfigurationError([fault])
        if table is not SchemaRow:
            SchemaManager(table, engine.peewee).drop_all(safe=True)
    engine.create(SchemaRow)


def _note(engine: Engine, number: int) -> None:
    SchemaRow.insert(version=number, applied_at_us=now_us()).execute(engine.peewee)


def _check_known(present: int) -> None:
    """Refuse a database of the future.

    Raises:
        ConfigurationError: it is one.
    """
    if present > latest():
        fault = (
            f"[database] connection: the database has schema version {present}, this "
            f"program knows up to {latest()}: a newer version of it was here; run that"
        )
        raise ConfigurationError([fault])
