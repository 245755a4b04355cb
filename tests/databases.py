"""The database of each registry under test: SQLite, or a real server's.

``IMAGEREG_TEST_DATABASE`` is ``sqlite`` (the default), ``postgresql`` or ``mariadb``.
A database is known by the file that it would have on SQLite, so whoever is given the
same path has the same database.  On a server it is made when somebody first asks for
it, and emptied for the next one when the test or the module of tests is over; not as
long as a server or a thread that outlives it still has it open, and would work on.
"""

import contextlib
import itertools
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from imagereg.db.engine import Engine
from imagereg.db.schema import prepare
from tests.environments import PATIENT, installing
from tests.ports import free_port

#: The engine that this run is about.
NAME = os.environ.get("IMAGEREG_TEST_DATABASE", "sqlite")

HELPERS = Path(__file__).parent / "services"

_TEMPLATE = "imagereg_template"

#: The tables of the database that is asked.
_TABLES = {
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()",
    "mariadb": "SELECT table_name FROM information_schema.tables"
    " WHERE table_schema = DATABASE()",
}

#: How many others have a connection to the database that is asked.
_OTHERS = {
    "postgresql": "SELECT COUNT(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'",
    "mariadb": "SELECT COUNT(*) FROM information_schema.processlist"
    " WHERE db = DATABASE() AND id <> CONNECTION_ID()",
}

#: Tables that say how the others are made, and whose turn it is to write.
_KEPT = {"schema_versions", "write_turn"}


def examples(most: int) -> int:
    """Return how many examples of long lives a test takes: ``most`` on SQLite.

    Each is dozens of requests and transactions, which cost more over a socket; what
    an engine may do to them shows in few.
    """
    return most if NAME == "sqlite" else max(5, most // 3)


def connection(path: Path | str) -> str:
    """Return the URL of the database that has this path on SQLite."""
    if NAME == "sqlite":
        return f"sqlite:///{path}"
    return service(NAME).database(str(Path(path).resolve()))


def of(where: Path) -> str:
    """Return the URL of the database of a registry below ``where``."""
    return connection(where / "state" / "registry.sqlite")


@contextlib.contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Yield a database for a moment."""
    engine = Engine.connect(url, synchronous=False)
    try:
        yield engine
    finally:
        engine.close()


def rows(where: Path, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Read the database of a registry behind its back."""
    with opened(of(where)) as engine:
        return engine.rows(sql, parameters)


def execute(where: Path, sql: str, *parameters: object) -> None:
    """Change the database of a registry behind its back."""
    with opened(of(where)) as engine, engine.transaction():
        engine.execute(sql, parameters)


def everything(where: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table that holds what a registry keeps."""
    with opened(of(where)) as engine:
        # How often somebody wrote is no content.
        names = tables(engine) - {"write_turn"}
        return {
            name: sorted(engine.rows(f"SELECT * FROM {name}"), key=repr)
            for name in sorted(names)
        }


def tables(engine: Engine) -> set[str]:
    """Return the names of all tables that a database has."""
    if NAME == "sqlite":
        return {name for kind, _, name, _ in engine.parts() if kind == "table"}
    return {str(name) for (name,) in engine.rows(_TABLES[NAME])}


def clear(engine: Engine) -> None:
    """Remove everything that a registry keeps."""
    for table in tables(engine) - _KEPT:
        engine.execute(f"DELETE FROM {table}")


def others(engine: Engine) -> int:
    """Return how many connections of others a database of a server has."""
    ((count,),) = engine.rows(_OTHERS[NAME])
    return int(str(count))


class Service:
    """A database server of this run's own.

    Attributes:
        where: the folder of the server.
        port: where it listens.
        kept: keys of databases that stay until the end.
    """

    def __init__(self, kind: str, *, durable: bool = False) -> None:
        self.kind = kind
        self.where = Path(tempfile.mkdtemp(prefix=f"imagereg-{kind}-"))
        self.port = free_port()
        self._durable = durable
        self._made: dict[str, str] = {}
        self._free: list[str] = []
        self._open: list[str] = []
        self._numbers = itertools.count()
        self.kept: frozenset[str] = frozenset()
        self.url = ""
        _RUNNING.append(self)
        self.start()
        self._template()

    def start(self) -> None:
        """Run the server, or run it again with the data that it has."""
        program = {"postgresql": "postgres-up", "mariadb": "mariadb-up"}[self.kind]
        more = ["--durable"] if self._durable else []
        command = (
            str(HELPERS / program),
            str(self.where),
            str(self.port),
            "--install",
            *PATIENT,
            *more,
        )
        environment = dict(os.environ)
        if self.kind == "mariadb":
            # One that starts removes the temporary tables of all that share a folder.
            environment["TMPDIR"] = tempfile.mkdtemp(dir=self.where)
        # One that comes back waits for nobody: there is nothing to install.
        alone = contextlib.nullcontext() if self.url else installing("services")
        with alone:
            self._up(command, environment)

    def _up(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run what starts the server, and keep what it tells."""
        for patience in range(10, -1, -1):
            up = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                text=True,
                check=False,
                timeout=800,
                env=environment,
            )
            if up.returncode == 0:
                break
            # One that was killed is known to the system for a moment more.
            assert patience, f"{command[0]} does not start"
            time.sleep(1)
        lines = filter(None, up.stdout.splitlines())
        told = dict(shlex.split(line)[0].split("=", 1) for line in lines)
        self.url = told["DATABASE_URL"]

    def stop(self, *, wipe: bool = False) -> None:
        """End the server, as an operator would."""
        more = ["--wipe"] if wipe else []
        subprocess.run([HELPERS / "down", self.where, *more], check=True, timeout=180)

    def database(self, key: str) -> str:
        """Return the URL of the database for ``key``, with its tables."""
        if key not in self._made:
            self._made[key] = self._fresh()
        return self.url_of(self._made[key])

    def _fresh(self) -> str:
        """Return the name of a database that is empty, and nobody's."""
        while self._free:
            name = self._free.pop()
            if self._clean(name):
                return name
            self._open.append(name)
        name = f"imagereg_{next(self._numbers)}"
        self._create(name)
        return name

    def url_of(self, name: str) -> str:
        """Return the URL of a database of this server."""
        return f"{self.url.rpartition('/')[0]}/{name}"

    def url_like(self, engine: Engine) -> str:
        """Return the URL by which an engine of this server was opened."""
        return self.url_of(str(engine.peewee.database))

    @property
    def made(self) -> frozenset[str]:
        """The keys of all databases that are there."""
        return frozenset(self._made)

    def give_back(self, keys: Iterable[str]) -> None:
        """Let databases be emptied and used again, which is quicker than to drop."""
        self._free += [self._made.pop(key) for key in keys]

    def look_again(self) -> None:
        """Ask once more of databases that somebody had open."""
        self._free, self._open = self._free + self._open, []

    def empty(self, name: str) -> str:
        """Return the URL of a fresh database without tables."""
        self._run(f"CREATE DATABASE {name}")
        return self.url_of(name)

    def _template(self) -> None:
        self._run(f"CREATE DATABASE {_TEMPLATE}")
        with opened(self.url_of(_TEMPLATE)) as engine:
            prepare(engine)
            self._versions = [
                {"version": version, "applied_at_us": at_us}
                for version, at_us in engine.rows(
                    "SELECT version, applied_at_us FROM schema_versions"
                )
            ]
        self._statements: list[str] = []
        if self.kind == "mariadb":
            with opened(self.url_of(_TEMPLATE)) as engine:
                self._statements = list(_dump(engine))

    def _create(self, name: str) -> None:
        if self.kind == "postgresql":
            self._run(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
            return
        self._run(f"CREATE DATABASE {name}")
        with opened(self.url_of(name)) as engine, engine.schema_turn():
            for statement in self._statements:
                engine.execute(statement)

    def _clean(self, name: str) -> bool:
        """Empty a database, unless somebody has it open."""
        with opened(self.url_of(name)) as engine, engine.transaction():
            if engine.rows(_OTHERS[self.kind]) != [(0,)]:
                return False
            clear(engine)
            # Some tests are about other versions.
            engine.execute("DELETE FROM schema_versions")
            engine.insert("schema_versions", self._versions)
        return True

    def _run(self, sql: str) -> None:
        with opened(self.url) as engine:
            engine.rows("SELECT 1")
            engine.dialect.open()
            engine.execute(sql)


def _dump(engine: Engine) -> Iterator[str]:
    """Yield what makes the same tables in a database of MariaDB, at once."""
    for name in sorted(tables(engine)):
        yield str(engine.rows(f"SHOW CREATE TABLE {name}")[0][1]).replace(
            "CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1
        )
    for (trigger,) in engine.rows(
        "SELECT trigger_name FROM information_schema.triggers"
        " WHERE trigger_schema = DATABASE() ORDER BY action_order"
    ):
        text = str(engine.rows(f"SHOW CREATE TRIGGER {trigger}")[0][2])
        # Without the account that it was made by.
        yield "CREATE TRIGGER" + text.partition(" TRIGGER")[2]
    for row in engine.rows("SELECT version, applied_at_us FROM schema_versions"):
        yield f"INSERT INTO schema_versions VALUES {row!r}"


_RUNNING: list[Service] = []


@cache
def service(kind: str) -> Service:
    """Return the server of this process, which runs until its tests are over."""
    return Service(kind)


def stop_all() -> None:
    """End every server and remove its data."""
    while _RUNNING:
        _RUNNING.pop().stop(wipe=True)


def keep(where: Path) -> None:
    """Keep the database of a registry until all tests are over."""
    if NAME != "sqlite":
        of(where)
        service(NAME).kept |= service(NAME).made


def give_back(where: Path) -> None:
    """Let the databases of registries below ``where`` be used again."""
    for running in _RUNNING:
        below = (key for key in running.made if Path(key).is_relative_to(where))
        running.give_back(tuple(below))


def give_back_all() -> None:
    """Let all databases be used again, but those that are kept."""
    for running in _RUNNING:
        running.give_back(running.made - running.kept)
        running.look_again()
