"""SQLite: one file, one writer.

It runs in WAL mode with synchronous FULL, because an acknowledged write must survive
power loss and FULL costs few per cent of a create.  Every write transaction begins
IMMEDIATE: a deferred one that reads first fails with "database is locked" as soon as
another writer commits, whatever the busy timeout.

Each thread keeps its connection for life; opening one costs more than a typical query.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from peewee import OperationalError, PeeweeException, SqliteDatabase

from imagereg.db.derived import DATED, REPEATED, SHELF, indexes
from imagereg.db.dialects.dialect import Dialect
from imagereg.db.urls import sqlite_path
from imagereg.db.words import STANDARD, Words

#: How long a writer waits for another one, in seconds.  Sixteen concurrent writers
#: were seen to wait up to 3.7 s for their turn.
BUSY_TIMEOUT_S = 30

#: How many statements a connection keeps prepared; requests of one kind use ten.
CACHED_STATEMENTS = 24

#: Pause before a database that others are just making is opened again, in seconds.
RETRY_S = 0.02


class SQLite(Dialect):
    """The dialect of SQLite."""

    pool = None
    words: Words = STANDARD

    def __init__(self, connection: str, *, synchronous: bool) -> None:
        path = sqlite_path(connection)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.peewee = SqliteDatabase(
            str(path),
            pragmas={
                # Of new databases.  A create changes some thirty pages, most of them
                # of indexes, and each is written whole: half of the usual size
                # takes a fifth off, and lists cost the same.
                "page_size": 2_048,
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
                # What a statement may have to take back, for which a create made a
                # file each time, an eighth of its cost.  What lists sort is bounded.
                "temp_store": "memory",
            },
            timeout=BUSY_TIMEOUT_S,
            # Of each connection, so of each thread: a statement that lists is some
            # 30 KiB once it is prepared, and there are hundreds.
            cached_statements=CACHED_STATEMENTS,
        )

    def open(self) -> None:
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

    def said(self, sql: str) -> str:
        """Return a statement as it is."""
        return sql

    def table(self, sql: str) -> str:
        """Return a CREATE TABLE as it is: text is compared byte by byte."""
        return sql

    def additions(self) -> Iterator[str]:
        """Yield the indexes and triggers of lists."""
        yield from indexes(self.words.sort_keys)
        yield from _triggers()

    def index_of_text(self, table: str, name: str, column: str) -> str:
        """Return the statement that makes an index to find texts of any length by."""
        return f"CREATE INDEX {name} ON {table} ({column})"

    def parts(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield what the database has: kind, table, name and definition.

        The place of a column among the others is in no definition, because a column
        that an upgrade adds comes last.

        Source: the `sqlite_master` table and the pragmas about tables.
        """
        rows = self.ask(
            "SELECT type, tbl_name, name, sql FROM sqlite_master"
            " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite!_%' ESCAPE '!'"
        ).fetchall()
        for kind, table, name, sql in rows:
            text = " ".join(str(sql).split())
            if kind == "table":
                # Its columns tell the rest.
                text = "without rowid" if text.endswith("WITHOUT ROWID") else ""
                yield from self._columns(str(name))
            yield str(kind), str(table), str(name), text

    def _columns(self, table: str) -> Iterator[tuple[str, str, str, str]]:
        rows = self.ask(
            'SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)',
            table,
        ).fetchall()
        for name, kind, notnull, default, key in rows:
            definition = f"{kind}{' NOT NULL' if notnull else ''}"
            if default is not None:
                definition += f" DEFAULT {default}"
            if key:
                definition += f", column {key} of the primary key"
            yield "column", table, str(name), definition

    def damage(self) -> Iterator[str]:
        """Yield what is broken in the file itself, and not in what it says."""
        for (said,) in self.ask("PRAGMA quick_check(10)").fetchall():
            if said != "ok":
                yield str(said)

    def is_outage(self, error: PeeweeException) -> bool:
        """Return whether the file is locked, or its disk fails."""
        return isinstance(error, OperationalError)

    @contextmanager
    def scratch(self) -> Iterator[Dialect]:
        """Give a block a database in memory, in this thread."""
        memory = SQLite("sqlite:///:memory:", synchronous=False)
        try:
            yield memory
        finally:
            memory.peewee.close()

    @contextmanager
    def schema_turn(self) -> Iterator[None]:
        """Run a block as a write transaction, in which indexes are sorted in files."""
        self.ask("PRAGMA temp_store = file")
        try:
            with self.peewee.atomic("IMMEDIATE"):
                yield
        finally:
            self.ask("PRAGMA temp_store = memory")


def _triggers() -> Iterator[str]:
    for event in ("INSERT", "UPDATE OF status, os_hidden"):
        name = event.split()[0].lower()
        yield (
            f"CREATE TRIGGER images_shelf_{name} AFTER {event} ON images"  # noqa: S608 - every part is written here
            f" WHEN NEW.shelf <> {SHELF}"
            f" BEGIN UPDATE images SET shelf = {SHELF} WHERE id = NEW.id; END"
        )
    for column in REPEATED:
        # One for each column: an update then touches only the indexes of what changed.
        yield (
            f"CREATE TRIGGER images_shared_{column} AFTER UPDATE OF {column} ON images"  # noqa: S608 - as above
            f" WHEN NEW.{column} IS NOT OLD.{column}"
            f" BEGIN UPDATE image_shares SET {column} = NEW.{column}"
            " WHERE id = NEW.id; END"
        )
    columns = ", ".join(REPEATED)
    yield (
        "CREATE TRIGGER members_added AFTER INSERT ON image_members BEGIN"  # noqa: S608 - as above
        f" INSERT INTO image_shares (id, member_id, member_status, {columns})"
        f" SELECT id, NEW.member_id, NEW.status, {columns} FROM images"
        " WHERE id = NEW.image_id; END"
    )
    yield (
        "CREATE TRIGGER members_decided AFTER UPDATE OF status ON image_members BEGIN"
        " UPDATE image_shares SET member_status = NEW.status"
        " WHERE id = NEW.image_id AND member_id = NEW.member_id; END"
    )
    yield (
        "CREATE TRIGGER members_removed AFTER DELETE ON image_members BEGIN"
        " DELETE FROM image_shares"
        " WHERE id = OLD.image_id AND member_id = OLD.member_id; END"
    )
    for table, key in DATED:
        yield (
            f"CREATE TRIGGER {table}_dated AFTER INSERT ON {table}"  # noqa: S608 - as above
            f" WHEN NEW.created_at_us = 0 BEGIN UPDATE {table} SET created_at_us ="
            " (SELECT created_at_us FROM images WHERE id = NEW.image_id)"
            f" WHERE image_id = NEW.image_id AND {key} = NEW.{key}; END"
        )
