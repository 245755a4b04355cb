"""Rule text to check tree, and back."""

import pytest

from imagereg.errors import RuleSyntaxError
from imagereg.policy.checks import (
    Always,
    CredentialCheck,
    LiteralCheck,
    Never,
    RemoteCheck,
    RoleCheck,
    RuleCheck,
    asks_remote,
    depth,
    fields,
    references,
)
from imagereg.policy.language import MAX_DEPTH, canonical, parse, parse_list, parse_rule
from imagereg.policy.templates import parse_template


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("@", ""),
        ("(@)", ""),
        ("!", "!"),
        ("not @", "not @"),
        ("a:1 or b:2 and c:3", "(a:1 or (b:2 and c:3))"),
        ("a:1 and b:2 or c:3", "((a:1 and b:2) or c:3)"),
        ("a:1 or b:2 or c:3", "(a:1 or b:2 or c:3)"),
        ("a:1 or (b:2 or c:3)", "(a:1 or (b:2 or c:3))"),
        ("not a:1 and b:2", "(not a:1 and b:2)"),
        ("not not a:1", "not not a:1"),
        ("not (a:1 or b:2)", "not (a:1 or b:2)"),
        ("NOT a:1 AnD b:2", "(not a:1 and b:2)"),
        ("((a:1))", "a:1"),
        ("( a:1 )", "a:1"),
        ("\ta:1\n or\u2003b:2 ", "(a:1 or b:2)"),
        ("(a:%(b)s)", "a:%(b)s"),
        ("a:b:c", "a:b:c"),
        ("http://host/%(id)s", "http://host/%(id)s"),
        ("'x':%(y)s", "'x':%(y)s"),
        ("('a':'b')", "'a':'b'"),
        ("a-b.c:%(d)s", "a-b.c:%(d)s"),
        ("X:X", "X:X"),
    ],
)
def test_a_rule_is_read_by_precedence(text: str, expected: str) -> None:
    assert canonical(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("@", Always),
        ("!", Never),
        ("role:a", RoleCheck),
        ("ROLE:a", CredentialCheck),  # kinds are case-sensitive
        ("rule:a", RuleCheck),
        ("http:a", RemoteCheck),
        ("https:a", RemoteCheck),
        ("'a':a", LiteralCheck),
        ("None:a", LiteralCheck),
        ("0x10:16", LiteralCheck),
        ("[]:a", LiteralCheck),
        ("'\\d':a", LiteralCheck),  # Python frowns upon it, and reads it
        ("a.b.c:a", CredentialCheck),
        ("a-b:a", CredentialCheck),
        ("ä:a", CredentialCheck),
        ("True.x:a", CredentialCheck),
    ],
)
def test_the_kind_of_a_leaf_is_told_by_its_left_side(text: str, kind: type) -> None:
    assert isinstance(parse(text), kind)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("   ", "only blanks"),
        ("role:a and", "ends where a check is expected"),
        ("and role:a", "expected a check before `and`"),
        ("role:a or or role:b", "expected a check before `or`"),
        ("(role:a", "not closed"),
        ("role:a)", "before `)`"),
        ("()", "expected a check before `)`"),
        ("role:a role:b", "expected `and` or `or` before `role:b`"),
        ("foo", "no colon"),
        ('"foo"', "quoted"),
        ("''", "quoted"),
        ("'", "no colon"),
        ("'a':'b'", "quoted"),
        ("'a b':%(x)s", "no colon"),
        ("class:x", "broken kind"),
        ("1x:y", "broken kind"),
        ("$a:b", "broken kind"),
        ("a$:b", "broken kind"),
        pytest.param("-" * 5_000 + "1:x", "broken kind", id="deep kind"),
        pytest.param("-" * 100_000 + "1:x", "broken kind", id="deeper kind"),
        (":x", "broken kind"),
        ("a..b:x", "broken kind"),
        ("{[]}:x", "broken kind"),
        ("user_id:100%", "broken interpolation"),
        ("user_id:%(x", "broken interpolation"),
        ("role:%(x)q", "broken interpolation"),
        ("user_id:%s", "a hole needs a name"),
        ("https://h/%", "broken interpolation"),
        ("user_id:%(x)999999999999999999s", "broken interpolation"),
        ("user_id:%(x).2147483647d", "broken interpolation"),
        ("not " * (MAX_DEPTH + 1) + "@", "too deeply"),
        ("(" * (MAX_DEPTH + 1) + "@", "too deeply"),
        ("(@) and " * 9 + "not " * (MAX_DEPTH + 1) + "@", "too deeply"),
    ],
)
def test_what_is_no_rule_is_refused(text: str, what: str) -> None:
    with pytest.raises(RuleSyntaxError) as caught:
        parse(text)

    assert what in caught.value.message


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("user_id:%s", "broken interpolation in `%s`: a hole needs a name"),
        (None, "a rule is a text, not null"),
        (5, "a rule is a text, not int"),
        ("foo", "`foo` is no check: it has no colon"),
        ([5], "a list of checks holds a int, not a text"),
        ("'a'", "'a' is a quoted text, not a check"),
        ("  ", "only blanks: write the empty text to allow"),
        ("@ !", "expected `and` or `or` before `!`"),
        ("or @", "expected a check before `or`"),
        ("not " * (MAX_DEPTH + 1) + "@", "too deeply nested"),
        ("(@", "a parenthesis is not closed"),
    ],
)
def test_what_is_wrong_is_told_in_words(value: object, told: str) -> None:
    with pytest.raises(RuleSyntaxError) as caught:
        parse_rule(value)

    assert caught.value.message == told


@pytest.mark.parametrize(
    ("text", "constant", "sole"),
    [
        ("a", "a", None),
        ("100%%", "100%", None),
        ("%(a)s", None, "a"),
        ("%(a)d", None, None),
        ("x%(a)s", None, None),
        ("%(a)s%(a)s", None, None),
    ],
)
def test_templates(text: str, constant: str | None, sole: str | None) -> None:
    template = parse_template(text)

    assert (template.constant, template.sole_field) == (constant, sole)


@pytest.mark.parametrize(
    "text",
    [
        "not " * MAX_DEPTH + "@",
        "(" * MAX_DEPTH + "@" + ")" * MAX_DEPTH,
        " and ".join(["(@)"] * (MAX_DEPTH + 1)),  # beside each other
    ],
)
def test_rules_may_be_nested_to_the_limit(text: str) -> None:
    parse(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([], ""),
        ([[]], "!"),
        ([""], "!"),
        (["role:a", "role:b"], "(role:a or role:b)"),
        ([["role:a", "role:b"]], "(role:a and role:b)"),
        ([["role:a", "role:b"], "@"], "((role:a and role:b) or @)"),
        ([[], "role:a"], "role:a"),
        (["role:a b"], "role:a b"),  # nothing is split within lists
        ("role:a", "role:a"),
    ],
)
def test_lists_are_an_or_of_ands(value: object, expected: str) -> None:
    assert canonical(parse_rule(value)) == expected


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (None, "not null"),
        (5, "not int"),
        (True, "not bool"),
        ({}, "not dict"),
        ([None], "holds a NoneType"),
        ([["role:a", 5]], "holds a int"),
        ([["role:a", ["role:b"]]], "holds a list"),
        ([["", "role:a"]], "no colon"),
        (["foo"], "no colon"),
    ],
)
def test_what_is_no_list_of_checks_is_refused(value: object, what: str) -> None:
    with pytest.raises(RuleSyntaxError) as caught:
        parse_rule(value)

    assert what in caught.value.message


def test_equal_rules_have_equal_trees() -> None:
    assert parse_list([["role:a", "role:b"]]) == parse("role:a  AND (role:b)")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("role:a or rule:b", set()),
        ("role:%(a)s", {"a"}),
        ("'x':%(a)s and not y:%(b)s", {"a", "b"}),
        ("x:%(a)s-%(b.c)d", {"a", "b.c"}),
        (
            "@ or http://host/%(a)s",
            {"a", "id", "project_id", "owner", "member_id", "visibility"},
        ),
    ],
)
def test_a_check_names_the_fields_it_reads(text: str, expected: set[str]) -> None:
    assert fields(parse(text)) == expected


def test_a_tree_tells_its_references_depth_and_remote_checks() -> None:
    check = parse("rule:b or not (rule:a and https://host/)")

    assert references(check) == ("b", "a")
    assert depth(check) == 4
    assert asks_remote(check)
    assert not asks_remote(parse("rule:a"))
