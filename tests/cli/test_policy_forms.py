"""`imagereg policy sample`, `effective`, `redundant`, `upgrade` and `convert`."""

import json
from pathlib import Path

from imagereg.policy.actions import REGISTERED
from tests.cli.policy_runs import ORIGIN, run


def test_files_are_written_in_both_forms(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ("--policy", ORIGIN, "--output-file", out)

    for command in ("effective", "upgrade", "convert"):
        assert run(command, *words).exit_code == 0
        assert '"publicize_image": "role:admin"' in out.read_text()
        assert run(command, *words, "--to", "json").exit_code == 0
        assert json.loads(out.read_text())["publicize_image"] == "role:admin"
        assert run("validate", "--policy", out).exit_code in (0, 1)


def test_redundant_lists_two_entries() -> None:
    result = run("redundant", "--policy", ORIGIN)

    assert result.output == '"context_is_admin": "role:admin"\n"default": ""\n'


def test_convert_takes_the_reference_option() -> None:
    result = run("convert", "--policy-file", ORIGIN, "--namespace", "glance")

    assert '#"default": ""' in result.output


def test_a_faulty_file_is_not_converted(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"a": "role:x and"}')

    result = run("convert", "--policy", file)

    assert result.exit_code == 1
    assert f"{file}:1: rule `a`" in result.stderr


def test_the_sample_names_every_rule() -> None:
    result = run("sample", "--namespace", "glance", "--exclude-deprecated")

    assert all(f'#"{name}": ' in result.output for name in REGISTERED)
