"""PostgreSQL: transactions READ COMMITTED, one writer at a time by an advisory lock.

The lock is what BEGIN IMMEDIATE is on SQLite: whatever a transaction looks at, quotas
and statuses, stays so until it ends, on however many nodes.  It is let go with the
end of the transaction, after what was written shows; the next writer, whose statements
each see all that is committed, finds it.  No two writers can wait for each other, so
there are no deadlocks, and nothing fails to serialize.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from peewee import (
    InterfaceError,
    InternalError,
    OperationalError,
    PeeweeException,
    PostgresqlDatabase,
    ProgrammingError,
    Psycopg3Adapter,
)
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from imagereg.db.derived import DATED, REPEATED, SHELF, indexes
from imagereg.db.dialects.dialect import Dialect
from imagereg.db.dialects.server import (
    COLUMNS,
    PLACES,
    ROWS,
    ServerDatabase,
    ServerDialect,
)
from imagereg.db.pool import PoolLimits
from imagereg.db.urls import refuse
from imagereg.db.words import Words

#: The advisory lock of writers, among those of others in the same database.
_WRITERS = 0x696D61676572_0001

#: How long a writer waits for another one, and how long the server waits for one
#: that fell silent in its transaction, in seconds.
LOCK_TIMEOUT_S, SILENCE_S = 30, 60

#: What a connection is like if the URL does not tell otherwise.  A server that was
#: cut off is given up after half a minute.
_DEFAULTS: Mapping[str, str] = {
    "connect_timeout": "10",
    "application_name": "imagereg",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}

_BEGIN = (
    "BEGIN ISOLATION LEVEL READ COMMITTED;"
    f" SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s';"
    f" SET LOCAL idle_in_transaction_session_timeout = '{SILENCE_S}s';"
    f" SELECT pg_advisory_xact_lock({_WRITERS});"
)

#: Sent together with `_BEGIN`, and so without parameters.
_LEAVE = (
    " UPDATE write_turn SET number = number + 1 WHERE id = 1;"  # noqa: S608 - a number
    " UPDATE write_turn AS place SET mark = '{mark}' FROM write_turn AS turn"
    f" WHERE turn.id = 1 AND place.id = 2 + mod(turn.number, {PLACES})"
)

#: Half of each page is left free, so that rows are changed where they are.
_MAKE = f"CREATE TABLE write_turn ({COLUMNS}) WITH (fillfactor = 50)"

_PARTS = """
SELECT 'table', tablename, tablename, '' FROM pg_tables
 WHERE schemaname = current_schema()
UNION ALL
SELECT 'column', c.relname, a.attname, concat(
  format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' NOT NULL' END,
  ' ' || l.collname, ' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = current_schema()::regnamespace
   AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'index', tablename, indexname, regexp_replace(indexdef, ' ON [^ ]+ ', ' ON ')
  FROM pg_indexes WHERE schemaname = current_schema() AND indexname NOT LIKE '%%_pkey'
UNION ALL
SELECT 'trigger', c.relname, t.tgname, pg_get_triggerdef(t.oid, TRUE)
  FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
 WHERE c.relnamespace = current_schema()::regnamespace AND NOT t.tgisinternal
"""

#: A schema to compare with, inside a transaction that is rolled back.
_SCRATCH = "imagereg_scratch"

#: Not a character, and so in no text.
_NOWHERE = "\uffff"

#: A server that is a standby by now, and takes no writes.
_READ_ONLY = "25006"

_WORDS = Words(
    tags="""(SELECT COALESCE(json_agg(t.tag ORDER BY t.tag), '[]')::text
   FROM image_tags t WHERE t.image_id = i.id)""",
    properties="""(SELECT COALESCE(json_object_agg(p.name, CASE WHEN p.typed
     THEN p.value::json ELSE to_json(p.value) END ORDER BY p.name), '{}')::text
   FROM image_properties p WHERE p.image_id = i.id)""",
    locations="""(SELECT COALESCE(json_agg(
     json_build_array(l.id, l.url, l.metadata::json, l.store) ORDER BY l.id),
     '[]')::text
   FROM image_locations l WHERE l.image_id = i.id)""",
)


class _Adapter(Psycopg3Adapter):
    """What Peewee asks of connections; it may have been imported without a driver."""

    txn_idle = TransactionStatus.IDLE
    txn_inerror = TransactionStatus.INERROR
    txn_unknown = TransactionStatus.UNKNOWN

    def check_driver(self) -> None:
        """Return: this module has the driver."""

    def get_binary_type(self) -> type[psycopg.Binary]:
        """Return what bytes are wrapped in."""
        return psycopg.Binary


class _Database(ServerDatabase, PostgresqlDatabase):
    psycopg2_adapter = psycopg3_adapter = _Adapter

    def take_turn(self, mark: str) -> None:
        self.execute_sql(_BEGIN + _LEAVE.format(mark=mark))  # type: ignore[no-untyped-call] # Peewee's stubs leave it untyped


class PostgreSQL(ServerDialect):
    """The dialect of PostgreSQL."""

    words: Words = _WORDS

    def __init__(self, connection: str, limits: PoolLimits) -> None:
        uri = f"postgresql://{connection.partition('://')[2]}"
        try:
            told = conninfo_to_dict(uri)
        except psycopg.Error as error:
            raise refuse(f"it is no URL of PostgreSQL: {_safe(error)}") from None
        self._arguments: dict[str, Any] = {**_DEFAULTS, **told}
        name = str(told.get("dbname") or "imagereg")
        self._share(_Database(name, autoconnect=False), limits)

    def sought(self, parameters: Sequence[object]) -> Sequence[object]:
        """Return parameters with something that no row has in place of NUL.

        The server knows no NUL, and so refuses even to look for it.
        """
        return [
            each.replace("\0", _NOWHERE) if isinstance(each, str) else each
            for each in parameters
        ]

    def table(self, sql: str) -> str:
        """Return a CREATE TABLE whose text is compared byte by byte."""
        plain = sql.removesuffix(" WITHOUT ROWID")
        return re.sub(r"(VARCHAR\(\d+\)|TEXT\b)", r'\1 COLLATE "C"', plain)

    def additions(self) -> Iterator[str]:
        """Yield the indexes and triggers of lists."""
        yield from indexes(self.words.sort_keys, expressed="({})")
        yield from _triggers()

    def index_of_text(self, table: str, name: str, column: str) -> str:
        """Return the statement that makes an index to find texts of any length by."""
        return f"CREATE INDEX {name} ON {table} USING hash ({column})"

    def parts(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield what the database has: kind, table, name and definition."""
        yield from self.ask(_PARTS).fetchall()

    @contextmanager
    def scratch(self) -> Iterator[Dialect]:
        """Turn a block to a schema that is never committed; nobody waits for it."""
        self.ask("BEGIN")
        try:
            try:
                self.ask(f"CREATE SCHEMA {_SCRATCH}")
            except ProgrammingError as error:
                raise refuse("the account may not create a schema") from error
            self.ask(f"SET LOCAL search_path TO {_SCRATCH}")
            yield self
        finally:
            self.ask("ROLLBACK")

    def drop(self, kind: str, table: str, name: str) -> str:
        """Return the statement that drops an index or a trigger of a table."""
        of = f" ON {table}" if kind == "trigger" else ""
        return f"DROP {kind.upper()} {name}{of}"

    def is_outage(self, error: PeeweeException) -> bool:
        """Return whether the server is away, stops, or takes no writes."""
        if isinstance(error, InternalError):
            cause = error.__context__
            return getattr(cause, "sqlstate", None) == _READ_ONLY
        return isinstance(error, (OperationalError, InterfaceError))

    @contextmanager
    def schema_turn(self) -> Iterator[None]:
        """Run a block as a transaction while others that change tables wait."""
        self.ask(_BEGIN)
        try:
            # An account without the right to make tables may ask for this one.
            if self.ask("SELECT to_regclass('write_turn')").fetchone()[0] is None:
                self.ask(_MAKE)
                self.ask(ROWS)
        except PeeweeException:
            self.ask("ROLLBACK")
            raise
        self.ask("COMMIT")
        with self.peewee.atomic():
            yield

    # What the pool asks for.

    def open_connection(self) -> Any:  # noqa: ANN401 - the driver's
        """Open a connection.

        It prepares nothing, so that a pooler may stand in between, and every
        statement is planned with the values that it has.
        """
        return psycopg.connect(
            **self._arguments, autocommit=True, prepare_threshold=None
        )

    def close_connection(self, connection: Any) -> None:  # noqa: ANN401 - the driver's
        """Close a connection."""
        connection.close()

    def is_clean(self, connection: Any) -> bool:  # noqa: ANN401 - the driver's
        """Return whether a connection is open and in no transaction."""
        return bool(connection.info.transaction_status == TransactionStatus.IDLE)


def _safe(error: Exception) -> str:
    """Return what the driver says, as far as it cannot quote a password."""
    said = str(error).partition("\n")[0]
    return said if said.startswith("invalid URI query parameter") else "it is malformed"


def _function(name: str, body: str) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {body} END $$"
    )


def _triggers() -> Iterator[str]:
    yield from _triggers_of_images()
    yield from _triggers_of_members()
    yield _function(
        "imagereg_dated",
        "NEW.created_at_us := COALESCE((SELECT created_at_us FROM images"
        " WHERE id = NEW.image_id), 0); RETURN NEW;",
    )
    for table, _ in DATED:
        yield (
            f"CREATE TRIGGER {table}_dated BEFORE INSERT ON {table} FOR EACH ROW"
            " WHEN (NEW.created_at_us = 0) EXECUTE FUNCTION imagereg_dated()"
        )


def _triggers_of_images() -> Iterator[str]:
    yield _function("imagereg_shelf", f"NEW.shelf := {SHELF}; RETURN NEW;")
    yield (
        "CREATE TRIGGER images_shelf BEFORE INSERT OR UPDATE OF status, os_hidden"
        " ON images FOR EACH ROW EXECUTE FUNCTION imagereg_shelf()"
    )
    columns = ", ".join(REPEATED)
    new, old = (
        ", ".join(f"{row}.{column}" for column in REPEATED) for row in ("NEW", "OLD")
    )
    yield _function(
        "imagereg_shared",
        f"UPDATE image_shares SET ({columns}) = ROW({new}) WHERE id = NEW.id;"  # noqa: S608 - every part is written here
        " RETURN NULL;",
    )
    yield (
        "CREATE TRIGGER images_shared AFTER UPDATE ON images FOR EACH ROW"
        f" WHEN (({new}) IS DISTINCT FROM ({old}))"
        " EXECUTE FUNCTION imagereg_shared()"
    )


def _triggers_of_members() -> Iterator[str]:
    columns = ", ".join(REPEATED)
    yield _function(
        "imagereg_member_added",
        f"INSERT INTO image_shares (id, member_id, member_status, {columns})"  # noqa: S608 - as above
        f" SELECT id, NEW.member_id, NEW.status, {columns} FROM images"
        " WHERE id = NEW.image_id; RETURN NULL;",
    )
    yield _function(
        "imagereg_member_decided",
        "UPDATE image_shares SET member_status = NEW.status"
        " WHERE id = NEW.image_id AND member_id = NEW.member_id; RETURN NULL;",
    )
    yield _function(
        "imagereg_member_removed",
        "DELETE FROM image_shares"
        " WHERE id = OLD.image_id AND member_id = OLD.member_id; RETURN NULL;",
    )
    for name, event in (
        ("added", "INSERT"),
        ("decided", "UPDATE OF status"),
        ("removed", "DELETE"),
    ):
        yield (
            f"CREATE TRIGGER members_{name} AFTER {event} ON image_members"
            f" FOR EACH ROW EXECUTE FUNCTION imagereg_member_{name}()"
        )
