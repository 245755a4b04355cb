"""What lint finds, and what it leaves alone."""

import pytest

from imagereg.protection import lint as lint_module
from imagereg.protection.lint import Finding, Level, lint
from imagereg.protection.rules import PolicyFacts, Protections, parse_protections
from tests.protection.files import know_all, policies, roles, section

FREE = (".*", "@ @ @ @")


def told(protections: Protections, names: tuple[str, ...] = ()) -> list[str]:
    return [each.render("pp.conf") for each in lint(protections, names)]


def codes(protections: Protections) -> list[str]:
    return [each.code for each in lint(protections)]


def targeted(values: str, *fields: str, whole: bool = False) -> Protections:
    facts = PolicyFacts(frozenset(fields), reads_whole_target=whole)
    text = section("^x$", values) + section(*FREE)
    return parse_protections(text, "policies", lambda _: facts, "pp.conf")


def test_a_clean_file_has_no_findings() -> None:
    protections = roles(("^x_ro$", "admin @ ! admin"), ("^x_", "a a a a"), FREE)

    assert lint(protections) == ()


@pytest.mark.parametrize(
    ("sections", "finding"),
    [
        (
            [("^x_", "@ @ @ @"), ("^x_late$", "! ! ! !"), FREE],
            "pp.conf:7: [^x_late$]: never decides: [^x_] (line 1) matches all of its "
            "names (error: shadowed)",
        ),
        (
            [("^os_glance_x$", "! ! ! !"), FREE],
            "pp.conf:1: [^os_glance_x$]: never decides: [^os_glance] (built in) "
            "matches all of its names (error: shadowed)",
        ),
        (
            [("^x$", "@ @ @ @")],
            "pp.conf: a name that no section matches is denied to everyone, admins "
            "too (warning: no-catch-all)",
        ),
        (
            [("x_none_read", "@ @ @ @"), FREE],
            "pp.conf:1: [x_none_read]: is not anchored: it also matches "
            "`my_x_none_read_too` (warning: unanchored)",
        ),
        (
            [("(ab){2}", "@ @ @ @"), FREE],
            "pp.conf:1: [(ab){2}]: is not anchored: it matches anywhere in a name "
            "(warning: unanchored)",
        ),
        (
            [("^a|b$", "@ @ @ @"), FREE],
            "pp.conf:1: [^a|b$]: `^` and `$` hold one alternative only; group them: "
            "`^(...|...)$` (warning: split-anchor)",
        ),
        (
            [("^x$", "admin,! admin admin admin"), FREE],
            "pp.conf:2: [^x$] create: `!` overrules the roles beside it "
            "(warning: overruled)",
        ),
        (
            [("^x$", "@,admin admin admin admin"), FREE],
            "pp.conf:2: [^x$] create: `@` overrules the roles beside it "
            "(warning: overruled)",
        ),
        (
            [("^x$", "role:a role:a role:a ! "), FREE],
            "pp.conf:2: [^x$] create: `role:a` is taken for a role; the format may be "
            "`policies` (warning: policy-as-role)",
        ),
        (
            [("^x$", "! ! admin !"), FREE],
            "pp.conf:4: [^x$] update: has little effect, since nobody may read it: "
            "replace and remove fail (note: hidden)",
        ),
        (
            [("^x$", "! admin ! admin,member"), FREE],
            "pp.conf:5: [^x$] delete: has little effect for `member`, who may not "
            "read: replace and remove fail (note: hidden)",
        ),
    ],
)
def test_findings(sections: list[tuple[str, str]], finding: str) -> None:
    assert told(roles(*sections))[0] == finding


def test_a_catch_all_before_other_sections_is_an_error() -> None:
    protections = roles(FREE, ("^x$", "! ! ! !"))

    assert told(protections) == [
        "pp.conf:1: [.*]: matches every name but is not last "
        "(error: catch-all-not-last)",
        "pp.conf:7: [^x$]: never decides: [.*] (line 1) matches all of its names "
        "(error: shadowed)",
    ]


@pytest.mark.parametrize("header", ["(^x$)", "_post$", "^pre_", "^a$|^b$", "."])
def test_anchored_headers_are_left_alone(header: str) -> None:
    protections = roles((header, "@ @ @ @"), *([] if header == "." else [FREE]))

    assert codes(protections) == []


def test_a_known_policy_name_is_hardly_a_role() -> None:
    protections = roles(("^x$", "! context_is_admin ! !"), FREE)

    (found,) = told(protections, ("context_is_admin",))

    assert found == (
        "pp.conf:3: [^x$] read: `context_is_admin` is taken for a role; the format "
        "may be `policies` (warning: policy-as-role)"
    )


def test_rules_that_look_at_the_image_are_noted() -> None:
    (found,) = told(targeted("! r ! !", "owner", "status"))

    assert found == (
        "pp.conf:3: [^x$] read: looks at `owner`, `status` of the image; the "
        "reference never lets it see any (note: target)"
    )


def test_rules_that_send_the_image_away_are_noted() -> None:
    (found,) = told(targeted("! http:x ! !", whole=True))

    assert "read: looks at all of the image" in found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (["project_id", "owner", "visibility"], ["target"]),
        (["owner", "status"], ["target-on-create", "target"]),
    ],
)
def test_a_new_image_has_few_fields(fields: list[str], found: list[str]) -> None:
    assert sorted(codes(targeted("r @ @ @", *fields))) == sorted(found)


def test_what_a_new_image_lacks_is_told() -> None:
    assert told(targeted("r @ @ @", "owner", "status"))[0] == (
        "pp.conf:2: [^x$] create: in POST a new image has no `status` yet: never true "
        "there (warning: target-on-create)"
    )


def test_remarks_of_the_reader_are_findings() -> None:
    (found,) = told(roles(("^x$", "50%% @ @ @"), FREE))

    assert found.startswith("pp.conf:2: [^x$] create: ")
    assert found.endswith(" (warning: syntax)")


@pytest.mark.parametrize(
    ("value", "found"),
    [("!,", []), ("! ,admin", ["overruled"]), ("!, admin", ["overruled"])],
)
def test_blanks_and_empty_names_are_no_roles(value: str, found: list[str]) -> None:
    text = section("^x$", "@ @ @ @").replace("create = @", f"create = {value}")
    protections = parse_protections(text + section(*FREE), "roles", know_all, "pp.conf")

    assert [each.code for each in lint(protections)] == found


def test_slow_patterns_are_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    protections = roles(("^x$", "@ @ @ @"), FREE)
    monkeypatch.setattr(lint_module, "slowest_s", lambda _: 2.0)

    (found,) = told(protections)

    assert found == (
        "pp.conf:1: [^x$]: needs 2000 ms for a name of 255 characters (warning: slow)"
    )


@pytest.mark.parametrize(("taken_s", "warned"), [(0.005, 0), (0.006, 1)])
def test_what_takes_a_moment_is_slow(
    monkeypatch: pytest.MonkeyPatch, taken_s: float, warned: int
) -> None:
    protections = roles(("^x$", "@ @ @ @"), FREE)
    monkeypatch.setattr(lint_module, "slowest_s", lambda _: taken_s)

    assert codes(protections) == ["slow"] * warned


def test_policies_that_may_differ_are_not_compared() -> None:
    assert codes(policies(("^x$", "p p q r"), FREE)) == []


def test_findings_stand_in_the_order_of_the_file() -> None:
    protections = roles(("b", "! ! @ @"), ("a", "@,x @ @ @"))

    lines = [each.remark.line for each in lint(protections)]

    assert lines == sorted(lines)


def test_a_finding_has_a_level() -> None:
    (finding,) = lint(roles(("^x$", "@ @ @ @")))

    assert isinstance(finding, Finding)
    assert finding.level is Level.WARNING
