"""A room imports only from rooms below its own, and each library stays in its room.

`lint-imports` reads the same contracts from ``pyproject.toml``; what is checked here
needs no tool, and holds the contracts themselves to the map.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import HEAVY

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "imagereg"
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
CONTRACTS = PROJECT["tool"]["importlinter"]["contracts"]

#: Room -> its row, the roof being 0.
ROWS: Mapping[str, int] = {
    room: number
    for number, row in enumerate(CONTRACTS[0]["layers"])
    for room in re.findall(r"\w+", row)
}

#: Library -> the only files that may import it; a name with a slash is a folder.
BORDERS: Mapping[str, tuple[str, ...]] = {
    "flask": ("api/", "app.py"),
    "werkzeug": ("api/",),
    "marshmallow": ("api/",),
    "fastjsonschema": ("api/declared.py",),
    "apispec": ("api/openapi.py",),
    "peewee": ("db/",),
    "psycopg": ("db/dialects/postgresql",),
    "pymysql": ("db/dialects/mysql",),
    "playhouse": ("db/",),
    "sqlite3": ("db/",),
    "boto3": ("stores/s3_client.py",),
    "botocore": ("stores/s3_client.py",),
    "prometheus_client": ("telemetry/prometheus.py",),
    "gunicorn": ("server.py", "transport.py"),
    "oslo_utils": ("stores/formats.py",),
    "rich": ("cli/",),
    "click": ("cli/", "server.py"),
    "urllib3": ("stores/", "client/", "fetch/", "events/sinks.py"),
    "cryptography": ("stores/certificates.py",),
    "bcrypt": ("identity/htpasswd.py",),
    "keystoneauth1": ("identity/keystone.py", "fetch/keystone.py"),
    "pytest": ("rehearsal/pytest_plugin.py",),
    "yaml": ("policy/yaml_files.py", "rehearsal/specs.py", "fetch/clouds.py"),
}

PURE = (
    *("policy/", "protection/", "access.py", "approved.py", "ownership.py"),
    *("states.py", "property_rights.py", "targets.py", "model.py", "errors.py"),
    *("occasion.py", "meters.py"),
)


def imports() -> Iterator[tuple[str, str]]:
    """Yield each file of the package and the name of each module it imports."""
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((file, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file} has a relative import"
                yield file, str(node.module)
                if node.module == "imagereg":
                    yield from ((file, f"imagereg.{a.name}") for a in node.names)


IMPORTS = tuple(imports())


def room(name: str) -> str:
    """Return the room of a file or of a module of ours."""
    return re.split(r"[/.]", name.removeprefix("imagereg."))[0]


def test_every_room_stands_in_the_contract() -> None:
    rooms = {room(file) for file, _ in IMPORTS} - {"__init__"}

    assert rooms <= ROWS.keys()


def test_the_map_has_the_rooms_in_the_order_of_the_contract() -> None:
    table = re.findall(r"^\| `(\w+)", (PACKAGE / "README.md").read_text(), re.MULTILINE)

    rows = [ROWS[name] for name in table]
    assert rows == sorted(rows, reverse=True)


@pytest.mark.parametrize("name", ROWS)
def test_a_room_knows_only_rooms_below(name: str) -> None:
    wrong = [
        f"{file} imports {module}"
        for file, module in IMPORTS
        if room(file) == name
        and module.startswith("imagereg.")
        and room(module) != name
        and ROWS[room(module)] <= ROWS[name]
    ]

    assert wrong == []


@pytest.mark.parametrize("library", BORDERS)
def test_a_library_stays_in_its_room(library: str) -> None:
    wrong = [
        file
        for file, module in IMPORTS
        if module.split(".")[0] == library and not file.startswith(BORDERS[library])
    ]

    assert wrong == []


def test_what_decides_imports_nothing_but_the_standard_library() -> None:
    allowed = {*sys.stdlib_module_names, "imagereg", "yaml"}

    foreign = {
        (file, module)
        for file, module in IMPORTS
        if file.startswith(PURE) and module.split(".")[0] not in allowed
    }

    assert foreign == set()


def test_a_module_has_400_lines_at_most() -> None:
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines())
        for path in PACKAGE.rglob("*.py")
    }

    assert {file: lines for file, lines in lengths.items() if lines > 400} == {}


def test_a_function_has_40_lines_at_most() -> None:
    long = {
        f"{path.relative_to(PACKAGE)}: {node.name}": lines
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if (lines := _code_lines(node)) > 40
    }

    assert long == {}


def _code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a function has without its docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    docstring = ast.get_docstring(function, clean=False)
    return lines - (len(docstring.splitlines()) if docstring else 0)


def test_the_files_that_begin_first_are_there() -> None:
    assert [name for name in HEAVY if not (TESTS / name).exists()] == []


def test_every_borrowed_library_has_its_room_or_is_free_for_all() -> None:
    free = {"orjson"}
    used = {module.split(".")[0] for _, module in IMPORTS}
    foreign = used - {*sys.stdlib_module_names, "imagereg"}

    assert foreign <= BORDERS.keys() | free
