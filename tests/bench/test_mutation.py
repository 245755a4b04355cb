"""The mutation run tries one module with the suite, so that it cannot rot."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import mutation
from tests.bench.mutants import mutants


def run(module: str, *tests: str) -> tuple[int, list[str]]:
    command = [sys.executable, mutation.__file__, module, "--tests", *tests]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=mutation.ROOT
    )
    assert not done.stderr
    return done.returncode, done.stdout.splitlines()


def found(folder: Path, source: str) -> list[str]:
    path = folder / "a.py"
    path.write_text(source)
    return [one.key for one in mutants(path)]


def test_survivors_are_told_where_tests_look_elsewhere() -> None:
    status, lines = run("protection/guard", "tests/protection/test_patterns.py")

    *survivors, total, _ = lines
    name, tried, _, killed, _, explained, _, unexplained, _ = total.split()
    assert (status, name) == (1, "protection/guard")
    assert 0 < len(survivors) == int(unexplained) < int(tried)
    assert int(killed) == int(tried) - int(explained) - int(unexplained)
    assert any("return None  ->" in line for line in survivors)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("a = b < 1", ["<=", ">=", "2", "0"]),
        ("a: int = None", []),
        ("a = f(b)", ["f(None)"]),
        ("'''Words.'''\nimport a\nb = logging.getLogger('c')", []),
        ("if a and not b:\n    pass", ["False", "True", "or", "not b", "a", "b"]),
        ("a.b = c.lower()", ["pass", "upper"]),
    ],
)
def test_what_a_mutant_changes(tmp_path: Path, source: str, parts: list[str]) -> None:
    changed = [key.split("  ->  ") for key in found(tmp_path, source)]

    assert len(changed) == len(parts)
    for (_, new), part in zip(changed, parts, strict=True):
        assert part in new


def test_mutants_that_would_read_the_same_are_told_apart(tmp_path: Path) -> None:
    keys = found(tmp_path, "a = 'b'\n" * 2)

    assert keys == ["a = 'b'  |  'b'  ->  'XXb'", "a = 'b'  |  'b'  ->  'XXb' #2"]


def test_every_explained_mutant_is_one() -> None:
    told = [
        line
        for line in mutation.EXPLAINED.read_text().splitlines()
        if line and not line.startswith("#")
    ]
    modules = dict.fromkeys(line.partition(": ")[0] for line in told)

    known = {
        f"{module}: {mutant.key}"
        for module in modules
        for mutant in mutants(mutation.ROOT / "imagereg" / f"{module}.py")
    }
    assert [line for line in told if line not in known] == []
    assert len(set(told)) == len(told)
