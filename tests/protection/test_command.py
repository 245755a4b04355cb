"""The command group `imagereg protection`."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from tests.protection.files import section

SAMPLES = Path(__file__).parents[2] / "policies"
FREE = section(".*", "@ @ @ @")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pp.conf"


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["protection", *map(str, words)])


def test_validate_accepts_a_good_file(path: Path) -> None:
    path.write_text(FREE)

    result = run("validate", path)

    assert (result.exit_code, result.output) == (0, f"{path}: 1 section, no faults\n")


def test_validate_warns(path: Path) -> None:
    path.write_text(section("^x$", "50%% @ @ @") + FREE)

    result = run("validate", path)

    assert result.exit_code == 0
    assert result.stderr.startswith(f"warning: {path}:2: [^x$] create: `%%` means")
    assert result.stdout == f"{path}: 2 sections, no faults\n"


def test_validate_tells_every_fault(path: Path) -> None:
    path.write_text(section("x(", "@,! @ @ @"))

    result = run("validate", path)

    assert result.exit_code == 1
    assert [line.split(":")[2] for line in result.stderr.splitlines()] == ["1", "2"]


def test_validate_tells_of_a_missing_file(path: Path) -> None:
    result = run("validate", path)

    assert result.exit_code == 1
    assert "cannot be read" in result.stderr


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("context_is_admin", None),
        ("own_rule", None),
        ("role:a or rule:own_rule", None),
        ("project_id:%(owner)s", None),
        ("nix", "no policy is named `nix`"),
        ("rule:nix", "nix"),
        ("role:a and", "role:a and"),
    ],
)
def test_policies_are_looked_up(
    path: Path, tmp_path: Path, value: str, fault: str | None
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"own_rule": "role:own"}')
    path.write_text(FREE.replace("read = @", f"read = {value}"))

    result = run("validate", path, "--format", "policies", "--policy", policy)

    assert result.exit_code == (0 if fault is None else 1)
    assert (fault or "") in result.output


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["x_a", "--roles", "Member, x"], 0,
         "allowed: the caller has role `member`\n"
         "section: [^x_] ({}:41) read = admin,member,_member_, line 43\n"),
        (["x_a"], 1,
         "denied: the caller lacks role `_member_` or `admin` or `member`\n"
         "section: [^x_] ({}:41) read = admin,member,_member_, line 43\n"),
        (["os_glance_x"], 0,
         "allowed: everyone may\nsection: [^os_glance] (built in) read = @\n"),
    ],
)  # fmt: skip
def test_check_names_the_section(words: list[str], status: int, told: str) -> None:
    path = SAMPLES / "property-protections-roles.conf"
    header = path.read_text().splitlines().index("[^x_]") + 1
    told = told.replace(":41", f":{header}").replace("line 43", f"line {header + 2}")

    result = run("check", path, "--op", "read", "--property", *words)

    assert (result.exit_code, result.output) == (status, told.format(path))


def test_check_says_when_no_section_matches(path: Path) -> None:
    path.write_text(section("^x$", "@ @ @ @"))

    result = run("check", path, "--op", "create", "--property", "y")

    assert result.exit_code == 1
    assert result.output == (
        "denied: no section matches the name, so it is denied to everyone\n"
        f"section: none ({path})\n"
    )


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--roles", "admin"], 0),
        (["--roles", "member"], 1),
        (["--credential", "project_id=p", "--target", "owner=p"], 0),
        (["--credential", "project_id=p", "--target", "owner=q"], 1),
        (["--credential", "project_id=p"], 1),
        (["--target", "owner"], 2),
    ],
)
def test_check_asks_policies(path: Path, words: list[str], status: int) -> None:
    rule = "rule:context_is_admin or project_id:%(owner)s"
    path.write_text(FREE.replace("read = @", f"read = {rule}"))
    given = ["--format", "policies", "--op", "read", "--property", "x"]

    assert run("check", path, *given, *words).exit_code == status


def test_check_asks_a_named_policy(path: Path) -> None:
    path.write_text(FREE.replace("read = @", "read = context_is_admin"))
    given = ["--format", "policies", "--op", "read", "--property", "x"]

    result = run("check", path, *given, "--roles", "ADMIN")

    assert result.output.startswith("allowed: policy `context_is_admin` allows it\n")


@pytest.mark.parametrize(
    ("text", "words", "status", "found"),
    [
        (FREE, [], 0, "no findings"),
        (FREE, ["--strict"], 0, "no findings"),
        (section("x", "@ @ @ @") + FREE, [], 0, "(warning: unanchored)"),
        (section("x", "@ @ @ @") + FREE, ["--strict"], 1, "(warning: unanchored)"),
        (FREE + section("^x$", "@ @ @ @"), [], 1, "(error: shadowed)"),
        (section("^x$", "@ default @ @") + FREE, [], 0, "(warning: policy-as-role)"),
        (section("(", "@ @ @ @"), [], 1, "is no regular expression"),
    ],
)
def test_lint(path: Path, text: str, words: list[str], status: int, found: str) -> None:
    path.write_text(text)

    result = run("lint", path, *words)

    assert result.exit_code == status
    assert found in result.output


def test_the_origins_sections_are_linted_against_the_defaults() -> None:
    path = SAMPLES / "property-protections-origin.conf"

    result = run("lint", path, "--format", "policies")

    assert result.exit_code == 0
    assert result.output.count("(warning: unanchored)") == 3
