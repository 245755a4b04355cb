"""The connection to the database: who holds one, for how long, in what transaction.

SQLite runs in WAL mode with synchronous FULL, because an acknowledged write must
survive power loss and FULL costs few per cent of a create.  Every write
transaction begins IMMEDIATE: a deferred one that reads first fails with "database
is locked" as soon as another writer commits, whatever the busy timeout.

Each thread keeps its SQLite connection for life; opening one costs more than a
typical query.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from peewee import Model, ModelDelete, OperationalError, SqliteDatabase

from imagereg.errors import ConfigurationError, StoreUnavailable

log = logging.getLogger(__name__)

#: How long a writer waits for another one, in seconds.  Sixteen concurrent writers
#: were seen to wait up to 3.7 s for their turn.
BUSY_TIMEOUT_S = 30

#: Pause before a database that others are just making is opened again, in seconds.
RETRY_S = 0.02

#: How many rows one statement inserts; the engines take thousands of parameters.
ROWS_AT_ONCE = 400

Row = tuple[object, ...]


class Engine:
    """One database, shared by all threads of a process.

    Attributes:
        peewee: the Peewee database, which the tables of `models.py` are bound to.
    """

    def __init__(self, peewee: SqliteDatabase) -> None:
        self.peewee = peewee

    @classmethod
    def connect(cls, connection: str, *, synchronous: bool = True) -> "Engine":
        """Return the engine for a ``[database] connection`` URL; opens nothing yet.

        Raises:
            ConfigurationError: the URL names an engine that is not supported.
        """
        path = sqlite_path(connection)
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(
            SqliteDatabase(
                str(path),
                pragmas={
                    "journal_mode": "wal",
                    "synchronous": "full" if synchronous else "off",
                    "foreign_keys": 1,
                    # Threads share the pages that the system caches; each connection
                    # keeps few of its own, because there is one to a thread.  This is
                    # the most that SQLite maps; a page of a list of 100,000 images
                    # took a quarter more with 256 MiB of their 430 mapped.
                    "mmap_size": 2047 * 1024 * 1024,
                    "cache_size": -1_000,
                    "busy_timeout": BUSY_TIMEOUT_S * 1000,
                    # In pages: pages that many writes change are copied back to the
                    # database less often, which takes a quarter off a create.  What
                    # is acknowledged is in the log, and that is synced.
                    "wal_autocheckpoint": 4_000,
                },
                timeout=BUSY_TIMEOUT_S,
            )
        )

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one reading statement and return all of its rows.

        Raises:
            StoreUnavailable: the database is locked, or its disk fails.
        """
        try:
            self._open()
            rows: list[Row] = self.execute(sql, parameters).fetchall()
        except OperationalError as error:
            log.exception("the database refused a read")
            message = "the registry's database cannot be read just now"
            raise StoreUnavailable(message) from error
        return rows

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Any:  # noqa: ANN401 - a cursor of whichever driver
        """Run one statement and return its cursor."""
        return self.peewee.execute_sql(sql, tuple(parameters))  # type: ignore[no-untyped-call] # Peewee's stubs leave it untyped

    def insert(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Insert rows that all have the columns of the first one.

        Each statement carries many rows; Peewee would take three times as long to
        write it as SQLite takes to run it.
        """
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            columns = ", ".join(part[0])
            marks = f"({', '.join('?' * len(part[0]))})"
            self.execute(
                f"INSERT INTO {table} ({columns}) VALUES"  # noqa: S608 - names are written in this package
                f" {', '.join([marks] * len(part))}",
                [value for row in part for value in row.values()],
            )

    def update(
        self, table: str, values: Mapping[str, object], where: Mapping[str, object]
    ) -> int:
        """Set columns of the rows whose columns have the values of ``where``.

        Returns how many rows there were.
        """
        changed = ", ".join(f"{column} = ?" for column in values)
        matching = " AND ".join(f"{column} = ?" for column in where)
        cursor = self.execute(
            f"UPDATE {table} SET {changed} WHERE {matching}",  # noqa: S608 - as above
            [*values.values(), *where.values()],
        )
        return int(cursor.rowcount)

    def delete(self, table: type[Model], *where: object) -> int:
        """Delete the rows for which all conditions hold; return how many there were."""
        deleted: int = ModelDelete(table).where(*where).execute(self.peewee)
        return deleted

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a block as one write transaction.

        Raises:
            StoreUnavailable: the database stayed locked, or its disk is full.
        """
        try:
            self._open()
            with self.peewee.atomic("IMMEDIATE"):
                yield
        except OperationalError as error:
            log.exception("the database refused a write")
            message = "the registry's database cannot take the change just now"
            raise StoreUnavailable(message) from error

    def _open(self) -> None:
        """Give this thread its connection.

        Turning a fresh database to WAL fails at once while others open it, whatever
        the busy timeout, so it is tried again.
        """
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self.peewee.connect(reuse_if_open=True)
            except OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(RETRY_S)
            else:
                return

    def close(self) -> None:
        """Close this thread's connection."""
        self.peewee.close()


def sqlite_path(connection: str) -> Path:
    """Return the file of a SQLite URL: three slashes are relative, four absolute.

    Raises:
        ConfigurationError: the URL is not one of SQLite.

    Source: contract config 4.
    """
    url = urlsplit(connection)
    if url.scheme.partition("+")[0] != "sqlite":
        fault = (
            f"[database] connection: {url.scheme} databases are not supported by "
            "this version; use sqlite:///FILE"
        )
        raise ConfigurationError([fault])
    return Path(unquote(url.path.removeprefix("/")))
