"""The command group `imagereg policy`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from imagereg.cli.policy.explaining import find_route
from imagereg.errors import Invalid
from imagereg.policy.actions import REGISTERED, Action

POLICIES = Path(__file__).parents[2] / "policies"
ORIGIN = POLICIES / "policy.json"
PROTECTIONS = POLICIES / "property-protections-origin.conf"
TOKEN: dict[str, object] = {
    "roles": [{"name": "Member"}],
    "user": {"id": "u"},
    "project": {"id": "p"},
}


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["policy", *map(str, words)])


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token.json"
    path.write_text(json.dumps({"token": TOKEN}))
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    path.write_text('{\n "get_image": "role:member",\n "delete_image": "!"\n}')
    return path


def test_the_shipped_policy_is_the_origins() -> None:
    origin = Path(__file__).parents[2].parent / "shared" / "origin" / "policy.json"
    if not origin.exists():
        origin = Path(__file__).parents[1] / "policy" / "origin.json"

    assert json.loads(ORIGIN.read_text()) == json.loads(origin.read_text())


# explain


def test_explain_shows_rule_place_tree_and_the_way_out(rules: Path) -> None:
    image = "owner=p1,visibility=private"

    result = run(
        *("explain", "get_image", "--as", "roles=reader,project=p1"),
        *("--image", image, "--policy", rules),
    )

    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "denied (404, as if it did not exist): get_image",
        "  because  a rule refuses",
        "  answer   no image found with id `11111111-2222-3333-4444-555555555555`",
        "  rule     get_image = role:member",
        f"  at       {rules}:2",
        "    no  role:member   (the caller has reader)",
        "  to allow  give the caller role `member`",
    ]


def test_explain_tells_of_ownership_and_of_visibility() -> None:
    words = ("explain", "delete_image", "--as", "oth", "--policy", ORIGIN, "--image")

    owned = run(*words, "owner=p1,visibility=public")
    hidden = run(*words, "owner=p1,visibility=private")

    assert "because  the rules allow it, ownership does not" in owned.output
    assert "to allow  let the caller act in project `p1`" in owned.output
    assert "because  stored data hide the image" in hidden.output


def test_explain_names_the_rule_that_hides() -> None:
    result = run(
        *("explain", "modify_image", "--as", "svc", "--image"),
        *("owner=p,visibility=public", "--policy", "/dev/null"),
    )

    assert "  and the rule that shows the image refuses too:" in result.output
    assert "(built-in default)" in result.output
    assert "not asked" in result.output


def test_explain_follows_the_configuration(tmp_path: Path, rules: Path) -> None:
    config = tmp_path / "imagereg.conf"
    config.write_text(
        f"[DEFAULT]\nproperty_protection_file = {PROTECTIONS}\n"
        "property_protection_rule_format = policies\n"
        f"[oslo_policy]\npolicy_file = {rules}\n"
    )

    rule = run("explain", "delete_image", "--config", config)
    section = run("explain", "--property", "x_none_read", "--config", config)

    assert f"{rules}:3" in rule.output
    assert "no change of the caller would allow it" in rule.output
    assert "[x_none_read]" in section.output
    assert "nobody may" in section.output


def test_explain_finds_sections() -> None:
    words = ("explain", "--protections", PROTECTIONS, "--format", "policies")

    denied = run(
        *(*words, "--policy", ORIGIN, "--as", "own"),
        *("--property", "x_none_update", "--op", "read"),
    )
    free = run(*words, "--policy", ORIGIN, "--property", "colour", "--op", "create")
    reserved = run(*words, "--policy", ORIGIN, "--property", "os_glance_x")
    whole = run(
        *(*words, "--policy", ORIGIN, "modify_image", "--as", "own"),
        *("--property", "colour", "--op", "update"),
    )

    assert "to allow  give the caller role `admin`" in denied.output
    assert free.output.startswith("allowed: property colour")
    assert "(built in)" in reserved.output
    assert "rule     modify_image" in whole.output


def test_explain_without_protections_has_no_section(tmp_path: Path) -> None:
    file = tmp_path / "pp.conf"
    file.write_text("[^x$]\ncreate=@\nread=@\nupdate=@\ndelete=@\n")

    off = run("explain", "--property", "y", "--policy", ORIGIN)
    none = run("explain", "--property", "y", "--protections", file, "--policy", ORIGIN)

    assert "section  none: no property-protection file is in use" in off.output
    assert f"section  none ({file}): no section matches" in none.output


@pytest.mark.parametrize(
    ("words", "starts"),
    [
        (("get_images", "--as", "own"), "allowed: get_images"),
        (("context_is_admin", "--as", "adm"), "allowed: context_is_admin"),
        (("restricted", "--as", "adm"), "denied (403): restricted"),
        (("discover",), "allowed: discover"),
        (("get_members", "--as", "own"), "denied (403): get_members"),
    ],
)
def test_explain_takes_every_rule(words: tuple[str, ...], starts: str) -> None:
    assert run("explain", *words, "--policy", ORIGIN).output.startswith(starts)


def test_explain_tells_of_scope() -> None:
    result = run(
        *("explain", "get_images", "--as", "roles=admin,system_scope=all"),
        *("--policy", ORIGIN),
    )

    assert "scope    a token of project scope is required" in result.output


def test_explain_takes_a_method_and_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "imagereg.cli.policy.explaining.find_route",
        lambda method, path: Action.DELETE_IMAGE,
    )

    result = run("explain", "delete", "/v2/images/x", "--as", "adm", "--policy", ORIGIN)

    assert result.output.startswith(
        "DELETE /v2/images/x asks delete_image\nallowed: delete_image\n"
    )


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("get", "/v2/images", Action.GET_IMAGES),
        ("DELETE", "/v2/images/{image_id}", Action.DELETE_IMAGE),
        ("GET", "/v2/images/1/file?prefer=x", Action.DOWNLOAD_IMAGE),
        ("GET", "/v2/schemas/image", Action.DISCOVER),
        ("GET", "/v2/schemas/metadefs/namespace", Action.DISCOVER),
        ("GET", "/", Action.DISCOVER),
    ],
)
def test_routes_are_found(method: str, path: str, action: Action) -> None:
    assert find_route(method, path) is action


def test_an_unknown_route_is_told() -> None:
    with pytest.raises(Invalid):
        find_route("BREW", "/v2/coffee")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("explain",), "name one rule, or a method and a path"),
        (
            ("explain", "delete_imag"),
            "there is no rule `delete_imag`; did you mean `delete_image`?",
        ),
        (("explain", "get_image", "--as", "x"), "`x` is not NAME=VALUE"),
        (("matrix", "--as", "x"), "`x` is not NAME:roles=R,R,project=P"),
        (("diff", "defaults", "gone"), "`gone` is no file; write `defaults`"),
    ],
)
def test_faults_are_one_line(words: tuple[str, ...], fault: str) -> None:
    extra = () if words[0] == "diff" else ("--policy", ORIGIN)

    result = run(*words, *extra)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"imagereg: {fault}")


# check


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


# validate and lint


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
    none = run("validate", "--policy", "/dev/null", "--strict")

    assert (lax.exit_code, strict.exit_code, fine.exit_code) == (0, 1, 0)
    assert "open to everyone" in lax.output
    assert fine.output == f"{clean}: 1 rules, no findings\n"
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


# test


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


# matrix and diff


@pytest.mark.parametrize(
    ("output", "holds"),
    [
        ("text", "│ yes │ 403 │"),
        ("csv", "actions,delete_image,private,own,forbidden"),
        ("json", '"action": "delete_image"'),
        ("html", "<!doctype html>"),
    ],
)
def test_the_matrix_has_four_forms(rules: Path, output: str, holds: str) -> None:
    result = run("matrix", "--policy", rules, "--output", output)

    assert result.exit_code == 0
    assert holds in result.output


def test_the_matrix_can_be_cut_and_extended() -> None:
    result = run(
        *("matrix", "--policy", ORIGIN, "--action", "publicize_image"),
        *("--as", "bob:roles=admin", "--output", "csv"),
    )

    rows = result.output.splitlines()[1:]
    assert {row.split(",")[1] for row in rows} == {"publicize_image"}
    assert "actions,publicize_image,private,bob,allow" in rows


def test_the_matrix_shows_properties() -> None:
    result = run(
        *("matrix", "--policy", ORIGIN, "--protections", PROTECTIONS),
        *("--format", "policies", "--property", "x_none_read", "--action", "none"),
    )

    assert "│ x_none_read │ create               │ yes   │ 403    │" in result.output


def test_diff_tells_who_gains_and_who_loses(tmp_path: Path) -> None:
    wider = run("diff", "defaults", ORIGIN)
    narrower = run("diff", ORIGIN, "defaults", "--exit-code")
    same = run("diff", ORIGIN, ORIGIN, "--exit-code")

    assert "+ rdr gains add_image: 403 -> yes" in wider.output
    assert "- rdr loses add_image: yes -> 403" in narrower.output
    assert (wider.exit_code, narrower.exit_code) == (0, 1)
    assert (same.exit_code, same.output) == (0, "nobody gains or loses anything\n")


def test_diff_tells_who_is_answered_otherwise(tmp_path: Path) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text('{"delete_image": "!"}')
    new.write_text('{"delete_image": "!", "get_image": "role:admin"}')

    result = run("diff", old, new)

    assert "~ oth is told otherwise delete_image (community, public): 403 -> 404" in (
        result.output
    )


def test_diff_compares_protections(tmp_path: Path) -> None:
    old, new = tmp_path / "old.conf", tmp_path / "new.conf"
    old.write_text("[^x$]\ncreate=a\nread=a\nupdate=a\ndelete=a\n")
    new.write_text("[^x$]\ncreate=a\nread=b\nupdate=a\ndelete=a\n")

    result = run(
        *("diff", ORIGIN, ORIGIN, "--old-protections", old),
        *("--new-protections", new),
    )

    assert result.output.splitlines() == [
        "+ b gains x (read): 403 -> yes",
        "- a loses x (read): yes -> 403",
    ]


# sample, effective, redundant, upgrade, convert


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


# all together


def test_a_session_with_the_origins_files(tmp_path: Path) -> None:
    """What an operator types who has just copied the two files from the texts."""
    files = ("--policy", ORIGIN, "--protections", PROTECTIONS, "--format", "policies")

    told = [
        run("validate", *files).output,
        run("explain", "publicize_image", *files, "--as", "own").output,
        run("explain", "--property", "x_none_delete", "--op", "delete", *files).output,
        run("matrix", *files, "--action", "delete_image").output,
        run("diff", "defaults", ORIGIN).output,
        run("test", POLICIES).output,
    ]

    for output, line in zip(
        told,
        [
            "47 rules",
            "  rule     publicize_image = role:admin",
            "  value    delete = !",
            "│ delete_image  │ private              │ yes │ yes │ yes │ 404 │ 404 │",
            "+ svc gains get_image (community, public): 404 -> yes",
            " passed, 0 failed in ",
        ],
        strict=True,
    ):
        assert line in output


def test_starting_a_command_imports_nothing_heavy() -> None:
    script = (
        "import sys, imagereg.cli.policy\n"
        "heavy = ('flask', 'rich', 'yaml', 'peewee', 'imagereg.settings', 'pytest')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert ran.stdout == "[]\n"
