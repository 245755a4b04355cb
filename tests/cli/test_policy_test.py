"""`imagereg policy test`, and the files it comes with."""

import json
from pathlib import Path

from tests.cli.policy_runs import ORIGIN, POLICIES, run


def test_the_shipped_policy_is_the_origins() -> None:
    origin = Path(__file__).parents[2].parent / "shared" / "origin" / "policy.json"
    if not origin.exists():
        origin = Path(__file__).parents[1] / "policy" / "origin.json"

    assert json.loads(ORIGIN.read_text()) == json.loads(origin.read_text())


def test_the_shipped_cases_pass_and_cover_everything(tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"

    result = run("test", POLICIES, "--min-coverage", "100", "--junit", junit)

    assert result.exit_code == 0
    assert "coverage 100.0 %: rules 47/47" in result.output
    assert "sections 16/16" in result.output
    assert junit.read_text().startswith("<?xml")


def test_failures_and_gaps_fail(tmp_path: Path, rules: Path) -> None:
    cases = tmp_path / "x.cases.json"
    cases.write_text(
        '[{"name": "n", "caller": "adm", "action": "delete_image", "expect": "allow"},'
        ' {"name": "m", "caller": "own", "action": "get_images", "expect": "allow"}]'
    )

    failing = run("test", cases, "--policy", rules, "--verbose")
    gaps = run("test", cases, "--min-coverage", "90")
    empty = run("test", POLICIES / "policy.json", "--policy", rules)

    assert failing.exit_code == gaps.exit_code == empty.exit_code == 1
    assert f"FAILED {cases}: n\n       expected allow, got forbidden" in failing.output
    assert f"passed {cases}: m" in failing.output
    assert "get_image: no case asks this rule" in failing.output
    assert "1 passed, 1 failed in " in failing.output
    assert "coverage is below 90 %" in gaps.stderr


def test_a_configuration_is_tested(tmp_path: Path, rules: Path) -> None:
    config = tmp_path / "imagereg.conf"
    config.write_text(f"[oslo_policy]\npolicy_file = {rules}\n")
    for name in ("x", "y"):
        (tmp_path / f"{name}.cases.json").write_text(
            '[{"caller": "adm", "action": "delete_image", "expect": "deny"}]'
        )

    result = run("test", tmp_path, "--config", config)

    assert result.exit_code == 0
    assert result.output.count("coverage") == 1


def test_a_directory_without_cases_is_a_fault(tmp_path: Path) -> None:
    assert "no case files found" in run("test", tmp_path).stderr
