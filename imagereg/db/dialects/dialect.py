"""What the engines differ in, as one class to fill in for each of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from peewee import Database, PeeweeException

from imagereg.db.pool import Pool
from imagereg.db.words import Words


class Dialect(ABC):
    """One engine.

    Statements of this package are written in SQLite's words, with question marks for
    parameters; whatever else an engine says differently stands in its module.

    Attributes:
        peewee: the Peewee database; `begin` of it waits until this is the only write
            transaction of all processes, so that whatever one looks at stays so.
        pool: its connections; None keeps one for each thread, for life.
        words: what hand-written statements say in its words.
    """

    peewee: Database
    pool: Pool | None
    words: Words

    def open(self) -> None:
        """Give this thread a connection, if it has none."""
        self.peewee.connect(reuse_if_open=True)

    def said(self, sql: str) -> str:
        """Return a statement with the marks for parameters that the driver wants."""
        return _said(sql)

    def sought(self, parameters: Sequence[object]) -> Sequence[object]:
        """Return parameters of a read; those that no row can hold match none."""
        return parameters

    @abstractmethod
    def table(self, sql: str) -> str:
        """Return Peewee's CREATE TABLE so that text is compared byte by byte."""

    @abstractmethod
    def additions(self) -> Iterator[str]:
        """Yield what makes columns, indexes and triggers that Peewee does not know."""

    @abstractmethod
    def index_of_text(self, table: str, name: str, column: str) -> str:
        """Return the statement that makes an index to find texts of any length by."""

    @abstractmethod
    def parts(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield what the database has: kind, table, name and definition.

        Kinds are those of `live.PartKind`; a definition is for comparison with that
        of a fresh database.
        """

    @property
    def mark(self) -> object:
        """What this thread's transaction can be known by after its end, if by anything.

        None where an end always is told.
        """
        return None

    def was_committed(self, mark: object) -> bool:
        """Return whether the transaction that had this mark was committed."""
        return False

    def damage(self) -> Iterator[str]:
        """Yield what is broken in the files themselves, if the engine can tell."""
        yield from ()

    @abstractmethod
    def is_outage(self, error: PeeweeException) -> bool:
        """Return whether the engine cannot do just now what it otherwise does."""

    @abstractmethod
    def schema_turn(self) -> AbstractContextManager[None]:
        """Run a block in which no other process changes the tables."""

    @abstractmethod
    def scratch(self) -> AbstractContextManager["Dialect"]:
        """Give a block a place of its own, which is empty, and gone afterwards.

        The dialect is that of the place, which may be this one turned there.

        Raises:
            ConfigurationError: the account may not make one.
        """

    def drop(self, kind: str, table: str, name: str) -> str:
        """Return the statement that drops an index or a trigger of a table."""
        return f"DROP {kind.upper()} {name}"

    def ask(self, sql: str, *parameters: object) -> Any:  # noqa: ANN401 - the driver's
        """Run one statement in the driver's own words and return its cursor."""
        return self.peewee.execute_sql(sql, parameters)  # type: ignore[no-untyped-call] # Peewee's stubs leave it untyped


@lru_cache(maxsize=512)
def _said(sql: str) -> str:
    return sql.replace("%", "%%").replace("?", "%s")
