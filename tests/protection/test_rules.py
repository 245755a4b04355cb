"""What a protection file may say, and every fault that keeps the service down."""

import warnings
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, ImageRegError
from imagereg.model import Operation
from imagereg.protection import rules
from imagereg.protection.probe import LIMIT_S
from imagereg.protection.rules import (
    PolicyFacts,
    Protections,
    load_protections,
    parse_protections,
)
from tests.protection.files import know_all, section

FREE = section(".*", "@ @ @ @")


class BadRule(ImageRegError):
    """The rule language refuses a text."""


def check(text: str) -> PolicyFacts:
    """Know the policies whose names begin with `known`, and expressions."""
    if text.startswith("broken:"):
        raise BadRule("it is no rule")
    if text.startswith("lost:"):
        raise ConfigurationError(["first", "second"])
    fields = frozenset({"owner"}) if "%(owner)s" in text else frozenset()
    return PolicyFacts(fields, known=":" in text or text.startswith("known"))


def parse(text: str, rule_format: str = "roles") -> Protections:
    return parse_protections(text, rule_format, check, source="pp.conf")


def faults(text: str, rule_format: str = "roles") -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, rule_format)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "pp.conf: no sections: every property would be denied to all"),
        ("# only\n", "pp.conf: no sections: every property would be denied to all"),
        (
            "[DEFAULT]\nread = @\n",
            "pp.conf: no sections: every property would be denied to all",
        ),
        (section("x", "@,! @ @ @"), "pp.conf:2: [x] create: `@` and `!` contradict"),
        (section("x", "@ @ a,!,@ @"), "pp.conf:4: [x] update: `@` and `!` contradict"),
        ("[x]\ncreate=@\nread=@\ndelete=@\n", "pp.conf:1: [x] update: is missing"),
        (
            section("x(", "@ @ @ @"),
            "pp.conf:1: [x(]: is no regular expression: missing",
        ),
        (section("*", "@ @ @ @"), "pp.conf:1: [*]: is no regular expression: nothing"),
        (
            section("a{99999999999}", "@ @ @ @"),
            "pp.conf:1: [a{99999999999}]: is no regular expression: the repetition",
        ),
        pytest.param(
            section("(" * 2000 + ")" * 2000, "@ @ @ @"),
            f"pp.conf:1: [{'(' * 2000}{')' * 2000}]: is no regular expression: ",
            id="deep groups",
        ),
        (
            section("os_glance_x", "@ @ @ @"),
            "pp.conf:1: [os_glance_x]: names beginning `os_glance` belong",
        ),
        (
            section("^(a+)+$", "@ @ @ @"),
            "pp.conf:1: [^(a+)+$]: needs more than 100 ms for a name of 255",
        ),
        ("read = @\n" + FREE, "pp.conf:1: `read = @` stands before the first"),
        (FREE + FREE, "pp.conf:6: [.*]: section stands twice, first on line 1"),
    ],
)
def test_a_fault_stops_the_service(text: str, fault: str) -> None:
    (found,) = faults(text)

    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("admin,member", "`admin,member` holds a comma; one policy name or rule is"),
        ("@,!", "`@,!` holds a comma; one policy name or rule is expected"),
        (",", "`,` holds a comma; one policy name or rule is expected"),
        ("admin", "no policy is named `admin`"),
        ("broken:x", "`broken:x`: it is no rule"),
        ("lost:x", "`lost:x`: first; second"),
    ],
)
def test_a_faulty_policy_stops_the_service(value: str, fault: str) -> None:
    (found,) = faults(section("x", f"@ {value} @ @"), "policies")

    assert found.startswith(f"pp.conf:3: [x] read: {fault}")


def test_all_faults_are_told_at_once() -> None:
    text = section("x(", "@,! nix @ @") + "[y]\nread = a\n"

    assert [fault.split(": ")[1] for fault in faults(text)] == [
        "[x(]",
        "[x(] create",
        "[y] create",
        "[y] delete",
        "[y] update",
    ]


@pytest.mark.parametrize("rule_format", ["", "Roles", "policy"])
def test_an_unknown_format_stops_the_service(rule_format: str) -> None:
    (found,) = faults(FREE, rule_format)

    assert found == (
        f"pp.conf: property_protection_rule_format `{rule_format}` "
        "is neither `roles` nor `policies`"
    )


def test_a_missing_file_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_protections(tmp_path / "pp.conf", "roles", know_all)

    assert caught.value.faults == (
        f"{tmp_path / 'pp.conf'}: cannot be read: No such file or directory",
    )


def test_a_fault_of_reading_without_words_is_told_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, encoding: str) -> str:
        raise TimeoutError

    monkeypatch.setattr(Path, "read_text", refuse)

    with pytest.raises(ConfigurationError) as caught:
        load_protections(tmp_path / "x", "roles", know_all)
    assert caught.value.faults == (f"{tmp_path}/x: cannot be read: TimeoutError",)


@pytest.mark.parametrize("slower_s", [0.0, 1.0])
def test_a_pattern_that_backtracks_is_told_with_the_limit(
    monkeypatch: pytest.MonkeyPatch, slower_s: float
) -> None:
    monkeypatch.setattr(rules, "slowest_s", lambda _: LIMIT_S + slower_s)

    assert faults(section("x", "@ @ @ @")) == [
        "pp.conf:1: [x]: needs more than 100 ms for a name of 255 characters: "
        "repetitions overlap, so it backtracks"
    ]


def test_a_missing_file_does_not_hide_an_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_protections(tmp_path / "pp.conf", "role", know_all)

    missing, unknown = caught.value.faults
    assert missing.startswith(f"{tmp_path / 'pp.conf'}: cannot be read: ")
    assert unknown.startswith(
        f"{tmp_path / 'pp.conf'}: property_protection_rule_format `role` is neither"
    )


def test_a_file_that_is_no_text_does_not_hide_an_unknown_format(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pp.conf"
    path.write_bytes(b"[\xff]\n")

    with pytest.raises(ConfigurationError) as caught:
        load_protections(path, "role", know_all)

    garbled, unknown = caught.value.faults
    assert garbled == f"{path}: is not UTF-8 text"
    assert unknown.startswith(f"{path}: property_protection_rule_format `role` is")


def test_a_file_that_is_no_text_stops_the_service(tmp_path: Path) -> None:
    path = tmp_path / "pp.conf"
    path.write_bytes(b"[\xff]\n")

    with pytest.raises(ConfigurationError, match="is not UTF-8 text"):
        load_protections(path, "roles", know_all)


def test_a_byte_order_mark_is_no_text_before_the_first_section(tmp_path: Path) -> None:
    path = tmp_path / "pp.conf"
    path.write_text("\ufeff" + FREE, encoding="utf-8")

    protections = load_protections(path, "roles", know_all)

    assert (protections.source, len(protections.sections)) == (str(path), 2)


@pytest.mark.parametrize(
    ("value", "verdict", "roles"),
    [
        ("@", True, set()),
        ("!", False, set()),
        ("", False, set()),
        (" , ", None, set()),
        ("admin", None, {"admin"}),
        (" Admin ,, MEMBER,", None, {"admin", "member"}),
        ("admin,\n  member", None, {"admin", "member"}),
        ("admin,!", False, set()),
        ("@, admin", True, set()),
        ("@ ; note", None, {"@ ; note"}),
        ("%(x)s", None, {"%(x)s"}),
    ],
)
def test_role_lists(value: str, verdict: bool | None, roles: set[str]) -> None:
    text = f"[DEFAULT]\ncreate=!\nupdate=!\ndelete=!\n[x]\nread = {value}\n"

    rule = parse(text).sections[1].rules[Operation.READ]

    assert rule.verdict is verdict
    assert rule.roles == roles


def test_policies_are_checked_once_each() -> None:
    asked = []

    def count(text: str) -> PolicyFacts:
        asked.append(text)
        return check(text)

    text = section("x", "known ! known @") + section("y", "role:a known @ !")
    protections = parse_protections(text, "policies", count)

    assert asked == ["known", "role:a"]
    assert protections.sections[1].rules[Operation.UPDATE].policy == "known"


def test_fields_are_gathered_by_operation() -> None:
    text = section("x", "known id:%(owner)s ! @") + FREE

    protections = parse(text, "policies")

    assert protections.fields_read(Operation.READ) == {"owner"}
    assert protections.fields_read(Operation.CREATE) == frozenset()


def test_a_rule_that_sends_the_whole_target_away_depends_on_the_image() -> None:
    facts = PolicyFacts(reads_whole_target=True)
    text = section("x", "! http:x ! !")

    protections = parse_protections(text, "policies", lambda _: facts)

    assert protections.reads_target(Operation.READ)
    assert not protections.reads_target(Operation.CREATE)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (section("x", "@ 100%% @ @"), "pp.conf:3: [x] read: `%%` means two percent"),
        (FREE.replace("create = @", "create ="), "pp.conf:2: [.*] create: is empty"),
        (FREE.replace("create = @", "create = ,"), "pp.conf:2: [.*] create: is empty"),
        (
            FREE.replace("create = @", "create = @ ; note"),
            "pp.conf:2: [.*] create: `@ ; note` is one role name with blanks in it",
        ),
        (
            FREE.replace("create = @", "create = cloud  admin"),
            "pp.conf:2: [.*] create: `cloud admin` is one role name with blanks in it",
        ),
        (FREE + "raed = !\n", "pp.conf:6: [.*] raed: is no operation and has no"),
        (FREE.replace("]", "] x", 1), "pp.conf:1: [.*]: `x` after the header is"),
        (section("[[a]b]", "@ @ @ @"), "pp.conf:1: [[[a]b]]: Possible nested set"),
    ],
)
def test_what_is_legal_but_odd_is_remarked(text: str, warning: str) -> None:
    (found,) = parse(text).warnings

    assert found.startswith(warning)


def test_remarks_stand_in_the_order_of_lines() -> None:
    text = section("x", "a,b_c @ @ @").replace("_", " ") + "[y] z\n" + FREE[5:]

    lines = [remark.line for remark in parse(text).remarks]

    assert lines == [2, 6]


def test_an_empty_value_knows_where_it_stands() -> None:
    rule = parse(section("x", "@ - @ @").replace("-", "")).sections[1].rules

    assert (rule[Operation.READ].text, rule[Operation.READ].line) == ("", 3)


def test_protections_know_their_format() -> None:
    assert parse(FREE, "policies").rule_format == "policies"


def test_a_policy_may_stand_on_the_next_line() -> None:
    text = section("x", "@ - @ @").replace("read = -", "read =\n  known_x")

    assert parse(text, "policies").sections[1].rules[Operation.READ].policy == "known_x"


def test_a_text_that_comes_from_no_file_says_so() -> None:
    assert parse_protections(FREE, "roles", know_all).source == "<text>"


def test_percent_signs_stand_for_themselves() -> None:
    protections = parse(section("x", "50%x @ @ @"))

    assert protections.sections[1].rules[Operation.CREATE].roles == {"50%x"}
    assert protections.warnings == ()


def test_a_role_of_one_letter_is_not_empty() -> None:
    assert parse(section("x", "X @ @ @")).warnings == ()


def test_an_inherited_value_knows_where_it_stands() -> None:
    text = "[DEFAULT]\nread = @\n" + section("x", "! ! ! !").replace("read = !", "")

    section_x = parse(text).sections[1]

    assert (section_x.line, section_x.rules[Operation.READ].line) == (3, 2)


def test_the_built_in_section_comes_first_and_is_anchored() -> None:
    protections = parse(section(".*", "! ! ! !"))

    found = [protections.find(name) for name in ("os_glance_x", "my_os_glance_x")]

    assert [section.name for section in found if section] == ["^os_glance", ".*"]


@pytest.mark.parametrize(("length", "found"), [(255, True), (256, False)])
def test_names_too_long_for_properties_are_not_looked_at(
    length: int, found: bool
) -> None:
    protections = parse(FREE)

    assert (protections.find("x" * length) is not None) is found


def test_the_origins_file_loads_unchanged() -> None:
    text = "\n".join(
        section(f"x_none_{name}", values)
        for name, values in [
            ("read", "context_is_admin ! ! !"),
            ("update", "context_is_admin context_is_admin ! context_is_admin"),
            ("delete", "context_is_admin context_is_admin context_is_admin !"),
        ]
    )

    protections = parse_protections(text, "policies", know_all)

    assert [section.name for section in protections.sections[1:]] == [
        "x_none_read",
        "x_none_update",
        "x_none_delete",
    ]
    assert protections.find("anything") is None


def test_no_warning_of_the_regular_expressions_escapes() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        parse(section("[[c]d]", "@ @ @ @"))

    assert caught == []


def test_formats_are_the_documented_two() -> None:
    assert rules.FORMATS == ("roles", "policies")
