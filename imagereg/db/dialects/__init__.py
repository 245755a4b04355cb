"""The engines: one module for each holds all that is its own."""

from contextlib import nullcontext

from imagereg.db.dialects.dialect import Dialect
from imagereg.db.pool import PoolLimits
from imagereg.db.urls import engine_of, refuse


def choose(connection: str, limits: PoolLimits, *, synchronous: bool) -> Dialect:
    """Return the dialect for a ``[database] connection`` URL; opens nothing yet.

    Raises:
        ConfigurationError: no such engine, no driver for it, or a faulty URL.
    """
    engine = engine_of(connection)
    try:
        if engine == "sqlite":
            from imagereg.db.dialects.sqlite import SQLite

            return SQLite(connection, synchronous=synchronous)
        if engine == "postgresql":
            from imagereg.db.dialects.postgresql import PostgreSQL

            return _unlocked(PostgreSQL(connection, limits))
        if engine in ("mysql", "mariadb"):
            from imagereg.db.dialects.mysql import MySQL

            return _unlocked(MySQL(connection, limits))
    except ImportError as error:
        extra = "postgresql" if engine == "postgresql" else "mysql"
        fault = (
            f"{engine} needs a driver that is not installed ({error.name}):"
            f" pip install 'imagereg[{extra}]'"
        )
        raise refuse(fault) from error
    raise refuse(
        f"{engine or 'an unnamed'} database is not supported;"
        " use sqlite:///FILE, postgresql:// or mysql://"
    )


def _unlocked(dialect: Dialect) -> Dialect:
    """Let threads give connections back while others wait for one.

    Peewee holds one lock while a connection is opened or waited for, and takes the
    same one to close it: at the limit of the pool everybody would wait for a thread
    that waits for them.  What it guards is each thread's own, and the pool guards
    itself.
    """
    dialect.peewee._lock = nullcontext()  # type: ignore[attr-defined] # noqa: SLF001 - Peewee takes no other way to leave it out
    return dialect
