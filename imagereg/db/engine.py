"""The connection to the database: who holds one, for how long, in what transaction.

What the engines differ in is in `dialects`.  Every write transaction is alone from its
first statement on, of all processes on all nodes: so what it looks at stays as it is.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from threading import get_ident
from typing import Any

from peewee import (
    DataError,
    Model,
    ModelDelete,
    PeeweeException,
    SchemaManager,
)

from imagereg.db.dialects import choose
from imagereg.db.dialects.dialect import Dialect
from imagereg.db.pool import PoolLimits
from imagereg.errors import DatabaseUnavailable, Invalid

log = logging.getLogger(__name__)

#: How many rows one statement inserts; the engines take thousands of parameters.
ROWS_AT_ONCE = 400

#: Pause before a database that is away is tried again, in seconds.
PAUSE_S = 0.25

#: How long to ask a database that went away during a commit what came of it.
KNOWN_AFTER_S = 30

#: For how long writes that end an upload are tried again, in seconds: its bytes are
#: there, and a database that is restarted is back by then.
PATIENCE_S = 20

Row = tuple[object, ...]

_UNREADABLE = "the registry's database cannot be read just now"


@dataclass(frozen=True, slots=True)
class EventChoice:
    """Which events are written, see `outbox.py`.

    Attributes:
        sinks: who is told; nobody by default, and then none are.
        source: who tells.
        properties: custom properties that are shown; ``*`` is all of them.
    """

    sinks: tuple[str, ...] = ()
    source: str = ""
    properties: tuple[str, ...] = ()


class Engine:
    """One database, shared by all threads of a process.

    Attributes:
        dialect: what is the engine's own.
        peewee: the Peewee database, which the tables of `models.py` are bound to.
        events: which events are written; set before the first change.
        waiting: threads that wait for their turn to write, and since when, of
            `time.monotonic`.
    """

    events = EventChoice()

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.peewee = dialect.peewee
        self.waiting: dict[int, float] = {}

    @classmethod
    def connect(
        cls,
        connection: str,
        *,
        synchronous: bool = True,
        limits: PoolLimits | None = None,
    ) -> "Engine":
        """Return the engine for a ``[database] connection`` URL; opens nothing yet.

        Raises:
            ConfigurationError: the engine is not supported, or the URL is faulty.
        """
        return cls(choose(connection, limits or PoolLimits(), synchronous=synchronous))

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Run one reading statement and return all of its rows.

        One that found its connection cut is run again on another.

        Raises:
            DatabaseUnavailable: the database is locked or away, or its disk fails.
        """
        with self._told(_UNREADABLE):
            try:
                return self._fetch(sql, parameters)
            except PeeweeException as error:
                # A connection of this thread's own carries more than one statement.
                if self._has_connection or not self.dialect.is_outage(error):
                    raise
                return self._fetch(sql, parameters)

    def _fetch(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        with self._borrowed():
            found = self.execute(sql, self.dialect.sought(parameters)).fetchall()
        rows: list[Row] = found if isinstance(found, list) else list(found)
        return rows

    def check(self) -> None:
        """Return if the database can be read.  Raises as `rows` does."""
        self.rows("SELECT id FROM images WHERE id = ?", ("",))

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> Any:  # noqa: ANN401 - a cursor of whichever driver
        """Run one statement and return its cursor."""
        return self.peewee.execute_sql(self.dialect.said(sql), tuple(parameters))  # type: ignore[no-untyped-call] # Peewee's stubs leave it untyped

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
    def transaction(self, patience_s: float = 0) -> Iterator[None]:
        """Run a block as one write transaction.

        If the database is away it is tried again for ``patience_s``: for writes that
        end what took long.

        Raises:
            DatabaseUnavailable: it stayed locked, or is away, or full; nothing was
                written.
            Invalid: a value is longer than the database takes.
        """
        with self._told("the registry's database cannot take the change just now"):
            if self.peewee.in_transaction():
                with self.peewee.atomic():
                    yield
                return
            is_done, mark = False, None
            try:
                with ExitStack() as stack:
                    self._begin(stack, patience_s)
                    mark = self.dialect.mark
                    yield
                    is_done = True
            except PeeweeException as error:
                cut = is_done and self.dialect.is_outage(error)
                if not (cut and self._was_committed(mark)):
                    raise

    def _begin(self, stack: ExitStack, patience_s: float) -> None:
        """Begin a transaction; once more if the connection turns out to be cut."""
        deadline = time.monotonic() + patience_s
        is_last = self.dialect.pool is None
        while True:
            with ExitStack() as own:
                try:
                    own.enter_context(self._borrowed())
                    self._take_turn(own)
                except PeeweeException as error:
                    if is_last or not self.dialect.is_outage(error):
                        raise
                else:
                    stack.push(own.pop_all())
                    return
            if time.monotonic() > deadline - PAUSE_S:
                is_last = True
            else:
                time.sleep(PAUSE_S)

    def _take_turn(self, own: ExitStack) -> None:
        """Begin a transaction when those of all others are over."""
        thread = get_ident()
        self.waiting[thread] = time.monotonic()
        try:
            own.enter_context(self.peewee.atomic("IMMEDIATE"))
        finally:
            del self.waiting[thread]

    def _was_committed(self, mark: object) -> bool:
        """Return whether a transaction was committed whose end nobody told.

        Asked once the database is back.  False too if it cannot be known in time.
        """
        deadline = time.monotonic() + KNOWN_AFTER_S
        while mark is not None and time.monotonic() < deadline:
            try:
                with self._borrowed():
                    return self.dialect.was_committed(mark)
            except PeeweeException as error:
                if not self.dialect.is_outage(error):
                    raise
            time.sleep(PAUSE_S)
        return False

    @property
    def _has_connection(self) -> bool:
        return not self.peewee.is_closed()

    @contextmanager
    def _borrowed(self) -> Iterator[None]:
        """Run a block with a connection, and give it back if it is of a pool."""
        if self._has_connection:
            yield
            return
        self.dialect.open()
        if self.dialect.pool is None:
            yield
            return
        try:
            yield
        except PeeweeException as error:
            if self.dialect.is_outage(error):
                # The others are as old, and were cut by the same hand.
                self.dialect.pool.clear()
            raise
        finally:
            self.peewee.close()

    @contextmanager
    def _told(self, message: str) -> Iterator[None]:
        """Tell failures of the database in the words of this program."""
        try:
            yield
        except DataError as error:
            raise Invalid("a value is longer than the database takes") from error
        except PeeweeException as error:
            if not self.dialect.is_outage(error):
                raise
            log.exception("%s", message)
            raise DatabaseUnavailable(message) from error

    def wait(self, attempts: int, pause_s: float) -> None:
        """Wait until the database server answers.

        Args:
            attempts: how often it is tried again; below 0 is for ever.
            pause_s: between two of them.

        Raises:
            DatabaseUnavailable: it did not answer.
        """
        with self._told("the database does not answer"):
            while self.dialect.pool is not None:
                try:
                    self._fetch("SELECT 1", ())
                except PeeweeException as error:
                    if attempts == 0 or not self.dialect.is_outage(error):
                        raise
                    log.warning("the database does not answer: %s", error)
                    attempts -= 1
                    time.sleep(pause_s)
                else:
                    return

    @contextmanager
    def schema_turn(self) -> Iterator[None]:
        """Run a block that may change tables, while nobody else does.

        Raises:
            DatabaseUnavailable: the database is away, or others take too long.
        """
        with (
            self._told("the registry's database cannot be prepared just now"),
            self._borrowed(),
            self.dialect.schema_turn(),
        ):
            yield

    def has(self, table: type[Model]) -> bool:
        """Return whether the database has a table.

        Raises:
            DatabaseUnavailable: it is away.
        """
        with self._told(_UNREADABLE), self._borrowed():
            return bool(self.peewee.table_exists(table))

    def parts(self) -> Sequence[tuple[str, str, str, str]]:
        """Return what the database has: kind, table, name and definition of each part.

        Raises:
            DatabaseUnavailable: it is away.
        """
        with self._told(_UNREADABLE), self._borrowed():
            return tuple(self.dialect.parts())

    @contextmanager
    def scratch(self) -> Iterator["Engine"]:
        """Give a block an empty database of the same kind, which goes afterwards.

        Raises:
            ConfigurationError: the account may not make one.
            DatabaseUnavailable: the database is away.
        """
        with (
            self._told(_UNREADABLE),
            self._borrowed(),
            self.dialect.scratch() as dialect,
        ):
            yield self if dialect is self.dialect else Engine(dialect)

    def additions(self, table: type[Model]) -> Iterator[str]:
        """Yield the statements that make the indexes Peewee knows of a table."""
        schema = SchemaManager(table, self.peewee)
        for index in schema._create_indexes(safe=False):  # type: ignore[attr-defined] # noqa: SLF001 - Peewee shows a statement nowhere else
            yield str(index.query()[0])

    def damage(self) -> Sequence[str]:
        """Return what is broken in the files of the database, if it can tell.

        Raises:
            DatabaseUnavailable: it is away.
        """
        with self._told(_UNREADABLE), self._borrowed():
            return tuple(self.dialect.damage())

    def create(self, table: type[Model]) -> None:
        """Create a table and its indexes, as far as they are missing."""
        schema = SchemaManager(table, self.peewee)
        sql, parameters = schema._create_table(safe=True).query()  # type: ignore[attr-defined] # noqa: SLF001 - Peewee shows a statement nowhere else
        self.dialect.ask(self.dialect.table(sql), *parameters)
        schema.create_indexes(safe=True)

    def close(self) -> None:
        """Close this thread's connection, and all that nobody uses."""
        self.peewee.close()
        if self.dialect.pool is not None:
            self.dialect.pool.clear()
