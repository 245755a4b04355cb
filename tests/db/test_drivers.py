"""Drivers of database servers are imported by those who use them alone."""

import subprocess
import sys

import pytest

LOOK = """
import sys
import imagereg.db.engine, imagereg.db.dialects.sqlite
print(*(name for name in {names} if name in sys.modules))
import {dialect}
print(*(name for name in {names} if name in sys.modules))
"""

DRIVERS = ("psycopg", "psycopg2", "pymysql", "MySQLdb")


@pytest.mark.parametrize(
    ("dialect", "driver"), [("postgresql", "psycopg"), ("mysql", "pymysql")]
)
def test_sqlite_needs_no_driver_and_each_server_its_own(
    dialect: str, driver: str
) -> None:
    look = LOOK.format(names=DRIVERS, dialect=f"imagereg.db.dialects.{dialect}")

    seen = subprocess.run(
        [sys.executable, "-c", look],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )

    assert seen.stdout.splitlines() == ["", driver]
