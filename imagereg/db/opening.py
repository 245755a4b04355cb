"""The configured database, opened for a process that works with it."""

from imagereg.db.engine import Engine
from imagereg.db.pool import PoolLimits
from imagereg.db.schema import prepare
from imagereg.settings import Settings


def connect(settings: Settings) -> Engine:
    """Return the configured database as it is, whatever its tables.

    Raises:
        ConfigurationError: the URL names an engine that is not supported.
    """
    wanted = settings.database
    return Engine.connect(
        wanted.connection,
        synchronous=wanted.sqlite_synchronous,
        limits=PoolLimits(
            size=wanted.max_pool_size,
            overflow=wanted.max_overflow,
            timeout_s=wanted.pool_timeout,
            recycle_s=wanted.connection_recycle_time,
        ),
    )


def open_database(settings: Settings) -> Engine:
    """Return the configured database, its tables made or migrated where need be.

    Raises:
        ConfigurationError: its tables are not what this program works with.
        DatabaseUnavailable: it did not answer, however often it was tried.
    """
    engine = connect(settings)
    engine.wait(settings.database.max_retries, settings.database.retry_interval)
    prepare(engine, upgrades=settings.imagereg.auto_upgrade)
    return engine
