"""The mutation run tries one module with the suite, so that it cannot rot."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import mutation
from tests.bench.mutants import mutants


def found(folder: Path, source: str) -> list[str]:
    path = folder / "a.py"
    path.write_text(source)
    return [one.key for one in mutants(path)]


def test_a_run_tells_what_is_not_explained_and_what_needs_no_reason(
    tmp_path: Path,
) -> None:
    reasons = tmp_path / "reasons.txt"
    reasons.write_text(
        "# Why.\n"
        "policy/templates: return self.fields[0]  |  0  ->  1\n"
        "policy/templates: return self.text % target  |  return self.text % target  ->"
        "  return None\n"
    )
    test = "tests/policy/test_language.py::test_templates"
    command = [sys.executable, mutation.__file__, "policy/templates"]
    command += ["--tests", test, "--explained", str(reasons)]

    ran = subprocess.run(command, capture_output=True, text=True, check=False)

    *told, row, total = ran.stdout.splitlines()
    survivors = [line for line in told if line.startswith("templates.py:")]
    name, tried, _, killed, _, explained, _, unexplained, _ = row.split()
    assert (ran.returncode, ran.stderr) == (1, "")
    assert (name, explained, len(survivors)) == (
        "policy/templates",
        "1",
        int(unexplained),
    )
    assert 0 < int(killed) == int(tried) - 1 - len(survivors)
    assert total.split()[1:] == row.split()[1:]
    assert [line for line in told if line not in survivors] == [
        "reasons.txt: excuses nothing: policy/templates: "
        "return self.fields[0]  |  0  ->  1"
    ]
    assert any(
        line.endswith("self.text % target  ->  self.text * target")
        for line in survivors
    )


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
