"""The configured database, opened for a process that works with it."""

from imagereg.db.engine import Engine
from imagereg.db.schema import prepare
from imagereg.settings import Settings


def connect(settings: Settings) -> Engine:
    """Return the configured database as it is, whatever its tables.

    Raises:
        ConfigurationError: the URL names an engine that is not supported.
    """
    return Engine.connect(
        settings.database.connection,
        synchronous=settings.database.sqlite_synchronous,
    )


def open_database(settings: Settings) -> Engine:
    """Return the configured database, its tables made or migrated where need be.

    Raises:
        ConfigurationError: its tables are not what this program works with.
    """
    engine = connect(settings)
    prepare(engine, upgrades=settings.imagereg.auto_upgrade)
    return engine
