"""The pytest plugin: cases as items, and the fixture `policy`."""

import importlib.util
import sys
from pathlib import Path

import pytest

from imagereg.rehearsal.cases import Case
from imagereg.rehearsal.runs import Result, Runner

pytest_plugins = ["pytester"]

PLUGIN = "imagereg.rehearsal.pytest_plugin"
CASES = """
cases:
  - {name: good, caller: own, action: delete_image, expect: allow}
  - {name: bad, caller: rdr, action: delete_image, expect: allow}
"""
TESTS = """
def test_it(policy):
    reader = policy.as_(roles=["reader"], project="p1")
    assert reader.can("get_image", {"owner": "p1"})
    assert not reader.can("download_image", {"owner": "p1"})
    assert not reader.can("add_image", {"owner": "p1"})
    assert not reader.can("add_image")
    assert reader.can("get_images")
    assert "role:member" in reader.why("download_image", {"owner": "p1"})
    assert reader.can_property("read", "colour")

def test_records(policy):
    from imagereg.model import Image
    image = Image(id="i", created_at_us=0, updated_at_us=0, owner="p1")
    assert policy.as_(roles=["reader"], project="p1").can("get_image", image)
    assert not policy.as_(roles=["reader"], project="p2").can("get_image", image)
"""


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *words)


def test_case_files_are_collected(pytester: pytest.Pytester) -> None:
    pytester.makefile(".cases.yaml", rules=CASES)

    result = run(pytester)

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "rules.cases.yaml: bad",
            "  expected allow, got forbidden: rule `delete_image` (built-in default)*",
        ]
    )


def test_a_faulty_file_is_an_error_of_collection(pytester: pytest.Pytester) -> None:
    pytester.makefile(".cases.json", rules='[{"action": "delete_imag"}]')

    result = run(pytester)

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*rules.cases.json: case 1: *"])


def test_another_failure_keeps_its_traceback(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makefile(".cases.yaml", rules=CASES)

    def fail(runner: Runner, case: Case) -> Result:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Runner, "run", fail)

    result = run(pytester)

    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*RuntimeError: a bug"])


def test_the_fixture_answers_by_the_built_in_rules(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)

    result = run(pytester)

    result.assert_outcomes(passed=2)


def test_the_fixture_follows_the_settings(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
        [pytest]
        imagereg_policy = rules/policy.json
        imagereg_protections = pp.conf
        """
    )
    pytester.mkdir("rules").joinpath("policy.json").write_text('{"get_images": "!"}')
    pytester.path.joinpath("pp.conf").write_text(
        "[.*]\ncreate = @\nread = !\nupdate = @\ndelete = @\n"
    )
    pytester.makepyfile(
        """
        def test_it(policy):
            admin = policy.as_(roles="admin")
            assert not admin.can("get_images")
            assert not admin.can_property("read", "x")
            assert admin.why("get_images").startswith("a rule refuses; rule")
        """
    )

    result = run(pytester)

    result.assert_outcomes(passed=1)


def test_the_plugin_is_installed_and_can_be_switched_off(
    pytester: pytest.Pytester,
) -> None:
    pytester.makefile(".cases.yaml", rules=CASES)

    on = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    off = pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "-p", "no:imagereg_policy"
    )

    on.assert_outcomes(passed=1, failed=1)
    off.assert_outcomes()


def test_starting_pytest_imports_nothing_heavy(pytester: pytest.Pytester) -> None:
    script = (
        f"import sys, pytest, {PLUGIN}\n"
        "print([name for name in sys.modules if name.startswith('imagereg')])\n"
        "print('yaml' in sys.modules, 'click' in sys.modules)\n"
    )

    result = pytester.run(sys.executable, "-c", script)

    assert result.outlines == [
        "['imagereg', 'imagereg.rehearsal', 'imagereg.rehearsal.pytest_plugin']",
        "False False",
    ]


def test_the_modules_that_pytest_loads_first_are_measured_all_the_same() -> None:
    # They are imported before coverage starts, so their top levels run once more.
    for name in ("imagereg", "imagereg.rehearsal", PLUGIN):
        origin = sys.modules[name].__file__ if name in sys.modules else None
        path = Path(origin or str(importlib.util.find_spec(name).origin))  # type: ignore[union-attr] # the modules are there
        spec = importlib.util.spec_from_file_location(f"again_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
