"""Connection URLs as operators of Glance write them."""

import sys
from pathlib import Path

import pytest

from imagereg.db.dialects.mysql import MySQL
from imagereg.db.dialects.postgresql import PostgreSQL
from imagereg.db.engine import Engine
from imagereg.db.pool import PoolLimits
from imagereg.db.urls import sqlite_path
from imagereg.errors import ConfigurationError


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a/b.db", "a/b.db"),
        ("sqlite:////a/b.db", "/a/b.db"),
        ("sqlite+pysqlite:////a%20b", "/a b"),
    ],
)
def test_paths_of_sqlite(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "mysql+pymysql://glance:s%40cret@db.example.org/glance?charset=utf8",
            {
                "host": "db.example.org",
                "port": 3306,
                "user": "glance",
                "password": "s@cret",
                "database": "glance",
            },
        ),
        ("mysql://u@[::1]:3307/d", {"host": "::1", "port": 3307, "user": "u"}),
        ("mariadb:///d?unix_socket=/run/s", {"unix_socket": "/run/s"}),
        (
            "mysql+mysqldb://u:p@h/d?ssl_ca=/ca.pem&ssl_verify_cert=true"
            "&connect_timeout=3",
            {"ssl_ca": "/ca.pem", "ssl_verify_cert": True, "connect_timeout": 3},
        ),
    ],
)
def test_servers_of_mysql(url: str, told: dict[str, object]) -> None:
    arguments = MySQL(url, PoolLimits())._arguments

    assert told.items() <= arguments.items()
    assert "charset" not in arguments


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (
            "postgresql+psycopg2://glance:s%40cret@db.example.org:5433/glance",
            {
                "host": "db.example.org",
                "port": "5433",
                "user": "glance",
                "password": "s@cret",
                "dbname": "glance",
            },
        ),
        ("postgresql://u@a:1,b:2/d", {"host": "a,b", "port": "1,2"}),
        (
            "postgresql+psycopg:///d?host=/run/s&sslmode=require&connect_timeout=3",
            {"host": "/run/s", "sslmode": "require", "connect_timeout": "3"},
        ),
    ],
)
def test_servers_of_postgresql(url: str, told: dict[str, object]) -> None:
    arguments = PostgreSQL(url, PoolLimits())._arguments

    assert told.items() <= arguments.items()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("mysql://u:secret@h/d?nonsense=1", "argument nonsense is not known"),
        ("mysql://u:secret@h/d?connect_timeout=secret", "is no number"),
        ("mysql://u:secret@h:x/d", "port is no number"),
        ("mysql://u:secret@h", "names no database"),
        ("postgresql://u:secret@h/d?nonsense=1", 'parameter: "nonsense"'),
        ("postgresql://u:%zzsecret@h/d", "malformed"),
        ("oracle://u:secret@h/d", "oracle database is not supported"),
        ("", "unnamed database is not supported"),
    ],
)
def test_faults_are_told_without_passwords(url: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Engine.connect(url)

    assert fault in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "extra"), [("mysql://h/d", "mysql"), ("postgresql://h/d", "postgresql")]
)
def test_a_missing_driver_is_told_with_its_remedy(
    url: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("psycopg", "pymysql"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("postgresql", "mysql"):
        monkeypatch.delitem(sys.modules, f"imagereg.db.dialects.{name}", raising=False)

    with pytest.raises(ConfigurationError, match=rf"imagereg\[{extra}\]"):
        Engine.connect(url)
