"""MariaDB and MySQL: transactions READ COMMITTED, one writer at a time by a row.

Each write transaction begins with an update of the first row of `write_turn`, which
others wait for.  That is what BEGIN IMMEDIATE is on SQLite: whatever a transaction
looks at, quotas and statuses, stays so until it ends, on however many nodes.  No two
writers can wait for each other, so there are no deadlocks.  Where several servers take
writes (Galera), that row makes two transactions at once conflict, and one of them is
refused when it commits.

These engines commit before and after each change of a table; `schema.py` sees to it
that what was interrupted there is begun again.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any

import pymysql
from peewee import (
    InterfaceError,
    MySQLDatabase,
    OperationalError,
    PeeweeException,
)
from pymysql.constants import CLIENT, ER

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
from imagereg.db.urls import parse, refuse
from imagereg.db.words import SORT_KEYS, Words

#: How long a writer waits for another one, in seconds.
LOCK_TIMEOUT_S = 30

#: How long one node waits for another one that changes the tables, in seconds.
SCHEMA_TIMEOUT_S = 600

_PORT = 3306

_SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    # Properties and tags of an image are read as one text; the default cuts it.
    f"SET SESSION group_concat_max_len = {1 << 30},"
    f" innodb_lock_wait_timeout = {LOCK_TIMEOUT_S},"
    " sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'",
)

#: The first row is the turn.
_TURN = (
    "UPDATE write_turn AS turn, write_turn AS place"  # noqa: S608 - a number
    " SET turn.number = turn.number + 1, place.mark = %s"
    f" WHERE turn.id = 1 AND place.id = 2 + MOD(turn.number, {PLACES})"
)

#: How much of a long text an index covers, in characters.
HEAD = 255

_PARTS = """
SELECT 'table', table_name, table_name, '' FROM information_schema.tables
 WHERE table_schema = DATABASE()
UNION ALL
SELECT 'column', table_name, column_name, CONCAT(
  column_type, IF(is_nullable = 'NO', ' NOT NULL', ''),
  COALESCE(CONCAT(' ', collation_name), ''),
  COALESCE(CONCAT(' DEFAULT ', column_default), ''), ' ', extra)
  FROM information_schema.columns WHERE table_schema = DATABASE()
UNION ALL
SELECT 'index', table_name, index_name, GROUP_CONCAT(
  CONCAT(column_name, COALESCE(CONCAT('(', sub_part, ')'), ''))
  ORDER BY seq_in_index SEPARATOR ', ')
  FROM information_schema.statistics
 WHERE table_schema = DATABASE() AND index_name <> 'PRIMARY'
 GROUP BY table_name, index_name
UNION ALL
SELECT 'trigger', event_object_table, trigger_name, CONCAT(
  action_timing, ' ', event_manipulation, ' ', action_statement)
  FROM information_schema.triggers WHERE trigger_schema = DATABASE()
"""

#: The account lacks a right.
_DENIED = frozenset({ER.DBACCESS_DENIED_ERROR, ER.ACCESS_DENIED_ERROR})

#: What is told in other classes: a server that takes no writes.
_OUTAGES = frozenset({ER.OPTION_PREVENTS_STATEMENT, 1792, 1836})

#: Keys of lists that may be null, and their columns: these engines have no indexes of
#: expressions in common, so a computed column holds what is lower than any value.  It
#: is stored: MariaDB, which sorts what it reads of an index alone, computes a virtual
#: one anew, from a column that it has not read, and takes them all for empty.
_COMPUTED = {
    "name": "VARCHAR(255)",
    "container_format": "VARCHAR(32)",
    "disk_format": "VARCHAR(32)",
    "size": "BIGINT",
}

_WORDS = Words(
    tags="""(SELECT CONCAT('[', COALESCE(GROUP_CONCAT(JSON_QUOTE(t.tag)
     ORDER BY t.tag SEPARATOR ','), ''), ']')
   FROM image_tags t WHERE t.image_id = i.id)""",
    properties="""(SELECT CONCAT('{', COALESCE(GROUP_CONCAT(CONCAT(
     JSON_QUOTE(p.name), ':', CASE WHEN p.typed THEN p.value
       ELSE JSON_QUOTE(p.value) END) ORDER BY p.name SEPARATOR ','), ''), '}')
   FROM image_properties p WHERE p.image_id = i.id)""",
    locations="""(SELECT CONCAT('[', COALESCE(GROUP_CONCAT(CONCAT(
     '[', l.id, ',', JSON_QUOTE(l.url), ',', l.metadata, ',',
     COALESCE(JSON_QUOTE(l.store), 'null'), ']') ORDER BY l.id SEPARATOR ','),
     ''), ']')
   FROM image_locations l WHERE l.image_id = i.id)""",
    sort_keys=MappingProxyType(
        {**SORT_KEYS, **{key: f"{{0}}.{key}_key" for key in _COMPUTED}}
    ),
    then="STRAIGHT_JOIN",
    ranges_rows=False,
)


class _Database(ServerDatabase, MySQLDatabase):
    def take_turn(self, mark: str) -> None:
        self.execute_sql("BEGIN")  # type: ignore[no-untyped-call] # Peewee's stubs leave it untyped
        self.execute_sql(_TURN, (mark,))  # type: ignore[no-untyped-call] # as above


class MySQL(ServerDialect):
    """The dialect of MariaDB and MySQL."""

    words: Words = _WORDS

    def __init__(self, connection: str, limits: PoolLimits) -> None:
        address = parse(connection)
        self._arguments: dict[str, Any] = {
            "host": address.host or "localhost",
            "port": address.port or _PORT,
            "user": address.user or None,
            "password": address.password,
            "database": address.database,
            "connect_timeout": 10,
            # Longer than any wait for a lock.
            "read_timeout": 2 * LOCK_TIMEOUT_S,
            "write_timeout": 2 * LOCK_TIMEOUT_S,
            **_arguments(address.arguments),
        }
        self._name = address.database
        self._collation = ""
        self._share(_Database(address.database, autoconnect=False), limits)

    def table(self, sql: str) -> str:
        """Return a CREATE TABLE whose text is compared byte by byte, blanks too."""
        plain = sql.removesuffix(" WITHOUT ROWID")
        longer = re.sub(r"\bTEXT\b", "LONGTEXT", plain)
        return (
            f"{longer} ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4"
            f" COLLATE {self._exact_collation()}"
        )

    def additions(self) -> Iterator[str]:
        """Yield the computed columns, indexes and triggers of lists."""
        for table in ("images", "image_shares"):
            for column, kind in _COMPUTED.items():
                expression = SORT_KEYS[column].format(table).replace(f"{table}.", "")
                yield (
                    f"ALTER TABLE {table} ADD COLUMN {column}_key {kind}"
                    f" GENERATED ALWAYS AS ({expression}) STORED"
                )
        yield from indexes(self.words.sort_keys)
        yield from _triggers()

    def index_of_text(self, table: str, name: str, column: str) -> str:
        """Return the statement that makes an index to find texts of any length by."""
        return f"CREATE INDEX {name} ON {table} ({column}({HEAD}))"

    def parts(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield what the database has: kind, table, name and definition."""
        yield from self.ask(_PARTS).fetchall()

    def is_outage(self, error: PeeweeException) -> bool:
        """Return whether the server is away, stops, or takes no writes."""
        if _number(error) in _OUTAGES:
            return True
        return isinstance(error, (OperationalError, InterfaceError))

    @contextmanager
    def schema_turn(self) -> Iterator[None]:
        """Run a block while others that change tables wait."""
        # Names of locks are the server's, not the database's, and short.
        digest = hashlib.sha256(self._name.encode()).hexdigest()[:32]
        name = f"imagereg-{digest}"
        cursor = self.ask("SELECT GET_LOCK(%s, %s)", name, SCHEMA_TIMEOUT_S)
        if cursor.fetchone() != (1,):
            raise OperationalError("somebody else changes the tables for too long")
        try:
            self.ask(f"CREATE TABLE IF NOT EXISTS write_turn ({COLUMNS}) ENGINE=InnoDB")
            self.ask(ROWS.replace("INSERT", "INSERT IGNORE", 1))
            yield
        finally:
            self.ask("SELECT RELEASE_LOCK(%s)", name)

    @contextmanager
    def scratch(self) -> Iterator[Dialect]:
        """Turn a block to a database beside this one, which is dropped afterwards."""
        name = f"{self._name[:48]}_{secrets.token_hex(4)}"
        try:
            self.ask(f"CREATE DATABASE `{name}`")
        except OperationalError as error:
            if _number(error) not in _DENIED:
                raise
            fault = f"the account may not create a database `{self._name[:48]}_...`"
            raise refuse(fault) from error
        try:
            self.ask(f"USE `{name}`")
            yield self
        finally:
            self.ask(f"USE `{self._name}`")
            self.ask(f"DROP DATABASE `{name}`")

    def drop(self, kind: str, table: str, name: str) -> str:
        """Return the statement that drops an index or a trigger of a table."""
        of = f" ON {table}" if kind == "index" else ""
        return f"DROP {kind.upper()} {name}{of}"

    def _exact_collation(self) -> str:
        if not self._collation:
            cursor = self.ask("SELECT VERSION()")
            is_mariadb = "mariadb" in str(cursor.fetchone()[0]).lower()
            self._collation = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return self._collation

    # What the pool asks for.

    def open_connection(self) -> Any:  # noqa: ANN401 - the driver's
        """Open a connection."""
        connection = pymysql.connect(
            **self._arguments,
            charset="utf8mb4",
            autocommit=True,
            # A row that an update matches counts, changed or not.
            client_flag=CLIENT.FOUND_ROWS,
        )
        with connection.cursor() as cursor:
            for statement in _SESSION:
                cursor.execute(statement)
        return connection

    def close_connection(self, connection: Any) -> None:  # noqa: ANN401 - the driver's
        """Close a connection."""
        with suppress(pymysql.Error, OSError):
            connection.close()

    def is_clean(self, connection: Any) -> bool:  # noqa: ANN401 - the driver's
        """Return whether a connection is open and in no transaction."""
        in_transaction = connection.server_status & _IN_TRANSACTION
        return bool(connection.open and not in_transaction)


#: The server's word for it (SERVER_STATUS_IN_TRANS).
_IN_TRANSACTION = 1


def _boolean(text: str) -> bool:
    return text.lower() in ("1", "true", "yes", "on")


#: Arguments of a URL that the driver takes, and what they are.
_KINDS: Mapping[str, Callable[[str], object]] = {
    **dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), int),
    **dict.fromkeys(("max_allowed_packet",), int),
    **dict.fromkeys(
        ("unix_socket", "bind_address", "read_default_file", "read_default_group"), str
    ),
    **dict.fromkeys(("ssl_ca", "ssl_cert", "ssl_key", "ssl_key_password"), str),
    **dict.fromkeys(
        ("ssl_disabled", "ssl_verify_cert", "ssl_verify_identity"), _boolean
    ),
}

#: Arguments that mean nothing here: the encoding is always utf8mb4.
_IDLE = frozenset({"charset", "use_unicode", "binary_prefix"})


def _arguments(given: Mapping[str, str]) -> dict[str, object]:
    """Return the arguments of a URL as the driver wants them.

    Raises:
        ConfigurationError: one is unknown, or no number.
    """
    found: dict[str, object] = {}
    for name, text in given.items():
        if name in _IDLE:
            continue
        if name not in _KINDS:
            known = ", ".join(sorted(_KINDS))
            raise refuse(f"the argument {name} is not known; known are {known}")
        try:
            found[name] = _KINDS[name](text)
        except ValueError:
            raise refuse(f"the argument {name} is no number") from None
    return found


def _number(error: PeeweeException) -> int:
    """Return the server's number of an error, 0 if it has none."""
    number = error.args[0] if error.args else 0
    return number if isinstance(number, int) else 0


def _alike(columns: tuple[str, ...]) -> str:
    return " AND ".join(f"NEW.{column} <=> OLD.{column}" for column in columns)


def _triggers() -> Iterator[str]:
    for event in ("INSERT", "UPDATE"):
        yield (
            f"CREATE TRIGGER images_shelf_{event.lower()} BEFORE {event} ON images"
            f" FOR EACH ROW SET NEW.shelf = {SHELF}"
        )
    columns = ", ".join(REPEATED)
    changes = ", ".join(f"{column} = NEW.{column}" for column in REPEATED)
    yield (
        "CREATE TRIGGER images_shared AFTER UPDATE ON images FOR EACH ROW"  # noqa: S608 - every part is written here
        f" IF NOT ({_alike(REPEATED)}) THEN"
        f" UPDATE image_shares SET {changes} WHERE id = NEW.id; END IF"
    )
    yield (
        "CREATE TRIGGER members_added AFTER INSERT ON image_members FOR EACH ROW"  # noqa: S608 - as above
        f" INSERT INTO image_shares (id, member_id, member_status, {columns})"
        f" SELECT id, NEW.member_id, NEW.status, {columns} FROM images"
        " WHERE id = NEW.image_id"
    )
    yield (
        "CREATE TRIGGER members_decided AFTER UPDATE ON image_members FOR EACH ROW"
        " UPDATE image_shares SET member_status = NEW.status"
        " WHERE id = NEW.image_id AND member_id = NEW.member_id"
    )
    yield (
        "CREATE TRIGGER members_removed AFTER DELETE ON image_members FOR EACH ROW"
        " DELETE FROM image_shares"
        " WHERE id = OLD.image_id AND member_id = OLD.member_id"
    )
    for table, _ in DATED:
        yield (
            f"CREATE TRIGGER {table}_dated BEFORE INSERT ON {table} FOR EACH ROW"  # noqa: S608 - as above
            " IF NEW.created_at_us = 0 THEN SET NEW.created_at_us = COALESCE("
            "(SELECT created_at_us FROM images WHERE id = NEW.image_id), 0); END IF"
        )
