"""`imagereg policy check`, `validate` and `lint`."""

import json
from pathlib import Path

import pytest

from imagereg.policy.actions import REGISTERED
from tests.cli.policy_runs import ORIGIN, run

TOKEN: dict[str, object] = {
    "roles": [{"name": "Member"}],
    "user": {"id": "u"},
    "project": {"id": "p"},
}


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token.json"
    path.write_text(json.dumps({"token": TOKEN}))
    return path


def test_check_tries_every_rule(token: Path, rules: Path) -> None:
    result = run("check", "--policy", rules, "--access", token)

    lines = result.output.splitlines()
    assert result.exit_code == 0
    assert len(lines) == len(REGISTERED) + 1
    assert "passed: get_image" in lines
    assert "failed: publicize_image" in lines


@pytest.mark.parametrize(
    ("name", "code", "output"),
    [
        ("get_image", 0, "passed: get_image\n"),
        ("delete_image", 1, "failed: delete_image\n"),
    ],
)
def test_check_fails_for_a_named_rule(
    token: Path, rules: Path, name: str, code: int, output: str
) -> None:
    result = run(
        *("check", "--policy", rules, "--access", token, "--rule", name),
        *("--namespace", "glance", "--enforcer_config", "x"),
    )

    assert (result.exit_code, result.output) == (code, output)


def test_check_can_explain_and_leave_defaults_out(token: Path, rules: Path) -> None:
    words = ("check", "--policy", rules, "--access", token)

    explained = run(*words, "--rule", "get_image", "--explain")
    alone = run(*words, "--file-only")
    unknown = run(*words, "--file-only", "--rule", "gone")
    misspelt = run(*words, "--rule", "get_imag")

    assert "yes role:member   (the caller has Member)" in explained.output
    assert alone.output.splitlines() == [
        "failed: delete_image",
        "passed: get_image",
        "failed: restricted",
    ]
    assert unknown.exit_code == 1
    assert "did you mean `get_image`?" in misspelt.stderr


def test_check_takes_a_target_and_the_switch(tmp_path: Path, token: Path) -> None:
    policy, target = tmp_path / "p.json", tmp_path / "target.json"
    policy.write_text(
        '{"a": "is_admin:True and x:%(image.owner)s", "b": "user_id.x:y"}'
    )
    target.write_text('{"image": {"owner": "o"}, "flat": 1}')
    words = ("check", "--policy", policy, "--access", token, "--target", target)

    admin = run(*words, "--is_admin", "--rule", "a", "--explain")
    broken = run(*words, "--rule", "b")

    assert "the target has o" in admin.output
    assert "yes is_admin:True" in admin.output
    assert broken.output == "exception: b: cannot be judged: no `x` within a str\n"


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        ({"system": {"all": True}}, False),
        ({"domain": {"id": "d"}}, False),
        ({"project": None}, True),
    ],
)
def test_check_knows_scopes(
    tmp_path: Path, rules: Path, change: dict[str, object], passes: bool
) -> None:
    token = tmp_path / "t.json"
    token.write_text(json.dumps({"token": TOKEN | change}))

    result = run("check", "--policy", rules, "--access", token, "--rule", "get_image")

    assert (result.exit_code == 0) is passes


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no JSON object"),
        ("{}", "the token's body lacks `token`"),
        ('{"token": {}}', "the token's body lacks 'roles'"),
    ],
)
def test_a_token_that_is_none(tmp_path: Path, text: str, fault: str) -> None:
    token = tmp_path / "t.json"
    token.write_text(text)

    result = run("check", "--policy", ORIGIN, "--access", token)

    assert fault in result.stderr


def test_the_origins_file_is_valid() -> None:
    result = run("validate", "--policy", ORIGIN)

    assert result.exit_code == 0
    assert "rule `copy_from`: has no effect any more (note: retired)" in result.stderr
    assert result.stdout == f"{ORIGIN}: 47 rules, 5 findings\n"


def test_validate_tells_faults_with_the_nearest_name(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"get_image": "rule:context_is_admn", "a": "rule:a"}')

    result = run("validate", "--policy", file)

    assert result.exit_code == 1
    assert "unknown rule `context_is_admn`; did you mean `context_is_admin`?" in (
        result.stderr
    )
    assert "refers to itself" in result.stderr


def test_lint_fails_for_errors_and_strictly_for_all(tmp_path: Path) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"delete_image": ""}')
    clean = tmp_path / "c.json"
    clean.write_text('{"delete_image": "role:x"}')

    lax, strict = (
        run("lint", "--policy", file),
        run("lint", "--policy", file, "--strict"),
    )
    fine = run("lint", "--policy", clean, "--strict")
    many = tmp_path / "m.json"
    many.write_text(
        json.dumps({"get_image": " or ".join(f"role:r{n}" for n in range(99))})
    )
    unknown = run("lint", "--policy", many, "--strict")
    none = run("validate", "--policy", "/dev/null", "--strict")

    assert (lax.exit_code, strict.exit_code, fine.exit_code) == (0, 1, 0)
    assert "open to everyone" in lax.output
    assert fine.output == f"{clean}: 1 rules, no findings\n"
    # That lint cannot tell is nothing that the author could mend.
    assert (unknown.exit_code, "unexamined" in unknown.output) == (0, True)
    assert none.exit_code == 0


def test_without_a_file_there_is_nothing_to_lint(tmp_path: Path) -> None:
    config = tmp_path / "imagereg.conf"
    config.write_text("[DEFAULT]\n")

    result = run("lint", "--config", config)

    assert result.output == "no policy file: the built-in rules apply\n"


def test_names_that_protections_ask_for_are_no_fault(tmp_path: Path) -> None:
    policy, protections = tmp_path / "p.json", tmp_path / "pp.conf"
    policy.write_text('{"billing": "role:x"}')
    protections.write_text(
        "[x]\ncreate=billing\nread=billing\nupdate=billing\ndelete=billing\n"
    )
    words = ("validate", "--policy", policy)

    with_it = run(*words, "--protections", protections, "--format", "policies")

    assert with_it.exit_code == 0
    assert run(*words).exit_code == 1
