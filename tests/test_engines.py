"""The tables of `engines.py` are true, and what they are for works."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import databases, engines

KEYS = sorted({**engines.WITHOUT_DATABASE, **engines.SQLITE_ALONE})

#: A new file of tests that opens a database of its own, whatever engine is tested.
STRAY = """
from imagereg.db.engine import Engine


def test_stray(tmp_path):
    engine = Engine.connect(f"sqlite:///{tmp_path}/own.sqlite", synchronous=False)
    engine.rows("SELECT 1")
    engine.close()
"""

HOOKS = "from tests.conftest import *\nfrom tests.conftest import _databases\n"


@pytest.mark.parametrize("key", KEYS)
def test_an_exception_names_what_there_is(key: str) -> None:
    path, _, rest = key.partition("::")
    file = engines.TESTS / path
    name = rest.partition("[")[0]

    assert file.exists()
    if name:
        tree = ast.parse(file.read_text())
        assert name in {
            each.name for each in tree.body if isinstance(each, ast.FunctionDef)
        }


def test_another_engine_leaves_out_what_the_tables_say_and_no_more() -> None:
    asked = {
        "tests/policy/test_rules.py::test_x": False,
        "tests/policy": False,
        "tests/policies/test_new.py": True,
        "tests/bench/test_bench.py": False,
        "tests/db/test_sqlite.py::test_y[z]": False,
        "tests/api/test_new.py::test_x": True,
        "tests/scenarios": True,
    }

    for engine in ("postgresql", "mariadb"):
        runs = {name: engines.why_not(name, engine) is None for name in asked}
        assert runs == asked
    assert not any(engines.why_not(name, "sqlite") for name in asked)


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_a_file_that_passes_an_engine_by_fails(engine: str, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(HOOKS)
    (tmp_path / "test_stray.py").write_text(STRAY)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        env={
            **os.environ,
            "IMAGEREG_TEST_DATABASE": engine,
            "PYTHONPATH": str(engines.TESTS.parent),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "own.sqlite" in done.stdout


def test_this_run_is_on_the_engine_that_was_asked_for(tmp_path: Path) -> None:
    kind = databases.of(tmp_path).partition(":")[0]

    assert kind == {"mariadb": "mysql"}.get(databases.NAME, databases.NAME)
