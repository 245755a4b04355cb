"""``[database] connection`` taken apart.

Source: contract config 4; the URLs are those that operators of Glance write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from imagereg.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, as a URL says it.

    Attributes:
        host: empty is this machine.
        port: 0 is the engine's own.
        arguments: what stood behind the question mark.
    """

    host: str
    port: int
    user: str
    password: str
    database: str
    arguments: Mapping[str, str]


def refuse(fault: str) -> ConfigurationError:
    """Return the error that a connection cannot be used, and why."""
    return ConfigurationError([f"[database] connection: {fault}"])


def engine_of(connection: str) -> str:
    """Return the engine's name in a URL; a driver behind a plus is not asked for."""
    return connection.partition(":")[0].partition("+")[0]


def sqlite_path(connection: str) -> Path:
    """Return the file of a SQLite URL: three slashes are relative, four absolute.

    Raises:
        ConfigurationError: the URL is not one of SQLite.
    """
    if engine_of(connection) != "sqlite":
        raise refuse("it is no URL of SQLite")
    return Path(unquote(urlsplit(connection).path.removeprefix("/")))


def parse(connection: str) -> Address:
    """Return where a database is that a server keeps.

    Raises:
        ConfigurationError: the URL names no database, or no proper port.
    """
    url = urlsplit(connection)
    try:
        port = url.port or 0
    except ValueError:
        raise refuse("the port is no number") from None
    database = unquote(url.path.removeprefix("/"))
    if not database:
        raise refuse("it names no database, as in ENGINE://USER:PASSWORD@HOST/NAME")
    return Address(
        host=unquote(url.hostname or ""),
        port=port,
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        database=database,
        arguments=dict(parse_qsl(url.query, keep_blank_values=True)),
    )
