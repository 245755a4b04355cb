"""What database servers have in common: a pool, and marks of who wrote last.

A connection may be cut while a transaction commits, and then nobody tells what came of
it.  Each write transaction therefore leaves a name of its own in the table
`write_turn`, which is there afterwards exactly if the transaction was committed.  A
number that the server gives to its transactions would not do: one that crashes, or
another that takes its place, gives those again which it had not yet written down.
"""

from abc import abstractmethod
from threading import local
from typing import Any
from uuid import uuid4

from peewee import Database

from imagereg.db.dialects.dialect import Dialect
from imagereg.db.pool import Pool, PoolLimits

#: How many names are kept: of so many transactions it can be told that they were
#: committed.  The first row counts them, so that the oldest name is written over.
PLACES = 256

#: The rows of a fresh `write_turn`.
ROWS = "INSERT INTO write_turn VALUES " + ", ".join(  # noqa: S608 - numbers
    f"({number}, 0, '')" for number in range(1, PLACES + 2)
)

COLUMNS = "id INTEGER PRIMARY KEY, number BIGINT NOT NULL, mark CHAR(36) NOT NULL"


class ServerDatabase(Database):
    """Peewee's database on the connections of a pool."""

    pool: Pool

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Peewee has it
        self.own = local()
        super().__init__(*args, **kwargs)

    def _connect(self) -> Any:  # noqa: ANN401 - as Peewee has it
        return self.pool.acquire()

    def _close(self, conn: Any) -> None:  # noqa: ANN401 - as Peewee has it
        self.pool.release(conn)

    def begin(self, *_: object) -> None:
        """Begin a transaction once no other one writes."""
        mark = str(uuid4())
        self.take_turn(mark)
        self.own.mark = mark

    @abstractmethod
    def take_turn(self, mark: str) -> None:
        """Begin a transaction, wait for the one that writes, and leave a name."""


class ServerDialect(Dialect):
    """The dialect of a server, whose threads share connections."""

    peewee: ServerDatabase
    pool: Pool

    def _share(self, database: ServerDatabase, limits: PoolLimits) -> None:
        """Put a database on a pool of connections."""
        self.peewee = database
        self.pool = database.pool = Pool(self, limits)

    @property
    def mark(self) -> object:
        """The name that this thread's transaction left."""
        return self.peewee.own.mark

    def was_committed(self, mark: object) -> bool:
        """Return whether the transaction that left this name was committed.

        The server may still be about to end it, so this one waits for its turn.
        """
        with self.peewee.atomic():
            sql = "SELECT id FROM write_turn WHERE mark = %s"
            return self.ask(sql, mark).fetchone() is not None

    # What the pool asks for.

    @abstractmethod
    def open_connection(self) -> Any:  # noqa: ANN401 - the driver's
        """Open a connection."""

    @abstractmethod
    def close_connection(self, connection: Any) -> None:  # noqa: ANN401 - the driver's
        """Close a connection, whatever state it is in."""

    @abstractmethod
    def is_clean(self, connection: Any) -> bool:  # noqa: ANN401 - the driver's
        """Return whether a connection is open and in no transaction."""
