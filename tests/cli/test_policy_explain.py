"""`imagereg policy explain`."""

from pathlib import Path

import pytest

from imagereg.cli.policy.explaining import find_route
from imagereg.errors import Invalid
from imagereg.policy.actions import Action
from tests.cli.policy_runs import ORIGIN, PROTECTIONS, run


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
    assert "none of the changes that were tried would allow it" in rule.output
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
        (("add_image", "--as", "own"), "allowed: add_image"),
        (("add_image", "--as", "own", "--image", "owner=x"), "denied (403): add_image"),
        (("mine", "--as", "own", "--image", "owner=x"), "allowed: mine"),
    ],
)
def test_explain_takes_every_rule(
    tmp_path: Path, words: tuple[str, ...], starts: str
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"mine": "\'x\':%(owner)s"}')

    result = run("explain", *words, "--policy", policy)

    assert result.output.startswith(starts)


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
    assert result.output.endswith("of the caller's project; see --image\n")


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
        (
            ("explain", "get_images", "--image", "owner=x"),
            "`get_images` is not about an image",
        ),
        (("matrix", "--as", "x"), "`x` is not NAME:roles=R,R,project=P"),
        (("diff", "defaults", "gone"), "`gone` is no file; write `defaults`"),
    ],
)
def test_faults_are_one_line(words: tuple[str, ...], fault: str) -> None:
    extra = () if words[0] == "diff" else ("--policy", ORIGIN)

    result = run(*words, *extra)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"imagereg: {fault}")
