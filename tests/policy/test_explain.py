"""Explanations of single rules: every part judged, and who is to blame."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagereg.errors import ConfigurationError, RuleSyntaxError
from imagereg.policy.explain import (
    describe,
    explain,
    explain_denial,
    reason,
    show,
)
from imagereg.policy.rules import RuleSet, load_rule_set
from tests.policy.strategies import CREDENTIALS, NAMES, RULES, TARGETS, Values

READER = {"roles": frozenset({"reader"}), "project_id": "p"}
ADMIN = {"roles": frozenset({"admin"}), "project_id": "q"}
IMAGE = {"project_id": "p", "visibility": "private"}


def texts(**rules: str) -> RuleSet:
    return RuleSet.from_texts(rules, default_rule=None)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), RULES), CREDENTIALS, TARGETS)
def test_the_tree_comes_to_what_the_engine_decides(
    rules: dict[str, str], credentials: Values, target: Values
) -> None:
    try:
        rule_set = RuleSet.from_texts(rules)
    except (RuleSyntaxError, ConfigurationError):
        return

    for name in rules:
        found = explain(rule_set, credentials, name, target)

        if not found.decision.scope:
            assert (found.tree.holds is True) is found.decision.allowed
        assert all(not leaf.children for leaf in found.tree.blame)
        assert found.tree.blame
        assert "\n" not in reason(found)


@pytest.mark.parametrize(
    ("rule", "blamed"),
    [
        ("role:a or role:b", ["role:a", "role:b"]),
        ("role:reader and role:a and role:b", ["role:a"]),
        ("not role:reader", ["role:reader"]),
        ("rule:other", ["role:c"]),
        ("not (role:reader and @)", ["role:reader", "@"]),
        ("not (role:reader or @)", ["role:reader"]),
        ("role:a or user_id.x:y or role:b", ["user_id.x:y"]),
        ("!", ["!"]),
    ],
)
def test_the_leaves_that_refuse_are_named(rule: str, blamed: list[str]) -> None:
    rules = texts(it=rule, other="role:c")

    found = explain(rules, {**READER, "user_id": "u"}, "it", {})

    assert not found.decision.allowed
    assert [str(leaf.check) for leaf in found.tree.blame] == blamed


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("role:a", "`role:a` is false (the caller has reader)"),
        (
            "role:%(owner)s",
            "`role:%(owner)s` is false"
            " (the caller has reader; the target has no `owner`)",
        ),
        (
            "project_id:%(visibility)s",
            "`project_id:%(visibility)s` is false"
            " (the caller has p; the target has private)",
        ),
        (
            "user_name:x",
            "`user_name:x` is false (the caller has nothing)",
        ),
        ("roles:x", "`roles:x` is false (the caller has reader)"),
        (
            "'public':%(visibility)s",
            "`'public':%(visibility)s` is false (the target has private)",
        ),
        ("'a':b", "`'a':b` is false"),
        (
            "https://host/x",
            "`https://host/x` is not known"
            " (a server decides, which was not asked again)",
        ),
        (
            "project_id.x:y",
            "`project_id.x:y` is not known (cannot be judged: no `x` within a str)",
        ),
    ],
)
def test_a_leaf_is_told_with_what_it_compared(rule: str, words: str) -> None:
    found = explain(texts(it=rule), READER, "it", IMAGE)

    assert describe(found.tree.blame[0]).startswith(words[:-1])


@pytest.mark.parametrize("kind", [list, tuple, frozenset])
def test_roles_are_told_in_order(kind: Callable[[str], object]) -> None:
    found = explain(texts(it="role:x"), {"roles": kind("cab")}, "it", {})

    assert found.tree.note == "the caller has a, b, c"


def test_a_caller_without_roles_has_nothing() -> None:
    found = explain(texts(it="role:a"), {"roles": []}, "it", {})

    assert found.tree.note == "the caller has nothing"


def test_what_the_decision_did_not_need_is_marked() -> None:
    rules = texts(it="role:reader or rule:other", other="not role:a")

    tree = explain(rules, READER, "it", {}).tree

    assert [node.asked for node in tree.walk()] == [True, True, False, False, False]
    assert [*map(str, (node.check for node in tree.walk()))] == [
        "(role:reader or rule:other)",
        *("role:reader", "rule:other", "not role:a", "role:a"),
    ]
    assert (tree.note, describe(tree)) == ("", f"`{tree.check}` is true")
    assert tree.children[1].holds is True
    assert tree.children[1].rule is rules.rules["other"]
    assert [*tree.walk()][-1].note == "the caller has reader"
    assert [str(leaf.check) for leaf in tree.children[1].blame] == ["role:a"]


def test_nothing_within_a_part_that_was_not_needed_is_marked_as_asked() -> None:
    rules = texts(it="role:reader or (role:a and not role:b)", no="not role:a")

    idle = explain(rules, READER, "it", {}).tree.children[1]
    needed = explain(rules, READER, "no", {}).tree

    assert [node.asked for node in idle.walk()] == [False] * 4
    assert [node.asked for node in needed.walk()] == [True, True]
    assert [*map(str, (node.check for node in idle.walk()))] == [
        "(role:a and not role:b)",
        *("role:a", "not role:b", "role:b"),
    ]


def test_what_was_not_needed_still_leads_to_its_rules() -> None:
    rules = texts(it="role:reader or rule:one", one="rule:two", two="role:a")

    idle = explain(rules, READER, "it", {}).tree.children[1]

    assert [node.rule and node.rule.name for node in idle.walk()] == [
        "one",
        "two",
        None,
    ]


def test_a_rule_that_is_referred_to_twice_is_judged_once() -> None:
    rules = texts(it="rule:other and rule:other", other="role:reader")

    first, second = explain(rules, READER, "it", {}).tree.children

    assert first.children[0] is second.children[0]


def test_the_opposite_of_what_is_not_known_is_not_known_either() -> None:
    tree = explain(texts(it="not https://host/x"), READER, "it", {}).tree

    assert [(node.holds, node.asked) for node in tree.walk()] == [(None, True)] * 2


def test_every_part_that_is_to_blame_is_told() -> None:
    found = explain(texts(it="role:a or role:b"), READER, "it", {})

    assert reason(found) == (
        "rule `it` (built-in default) refuses:"
        " `role:a` is false (the caller has reader);"
        " `role:b` is false (the caller has reader)"
    )


def test_a_rule_says_where_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{\n "get_image": "role:x"\n}')
    rules = load_rule_set(file)

    written = explain(rules, READER, "get_image", IMAGE)
    built_in = explain(rules, READER, "delete_image", IMAGE)
    empty = explain(rules, READER, "default", IMAGE)

    assert (written.place, written.text) == (f"{file}:2", "role:x")
    assert built_in.place == "built-in default"
    assert empty.text == '""'
    assert reason(written).startswith("rule `get_image` (policy.json, line 2) refuses:")
    assert reason(empty) == "rule `default` (built-in default) allows: `@` is true"


def test_scope_is_a_reason_of_its_own() -> None:
    found = explain(
        load_rule_set(None), {**ADMIN, "system_scope": "all"}, "get_image", IMAGE
    )

    assert reason(found) == "get_image needs a token of project scope"


def test_a_name_that_no_rule_has_is_refused() -> None:
    rules = RuleSet.from_texts({"it": "rule:gone"})

    asked = explain(rules, ADMIN, "gone", {})
    referred = explain(rules, ADMIN, "it", {})

    assert reason(asked) == "no rule is named `gone`, which is refused"
    assert (asked.place, asked.text) == ("built-in default", "!")
    assert (str(asked.tree.check), asked.tree.holds) == ("!", False)
    assert asked.tree.asked
    assert referred.tree.asked
    assert describe(referred.tree) == "`rule:gone` is false (no rule is named `gone`)"


@pytest.mark.parametrize(
    ("credentials", "rule", "starts"),
    [
        (ADMIN, "!", "rule `delete_image` (policy.json, line 1) refuses: `!` is false"),
        (ADMIN, "@", ""),
        (READER, "!", ""),
    ],
)
def test_administrators_are_told_why(
    tmp_path: Path, credentials: Values, rule: str, starts: str
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(f'{{"delete_image": "{rule}"}}')

    text = explain_denial(load_rule_set(file), credentials, "delete_image", IMAGE)

    assert text == starts


def test_a_policy_file_says_who_is_told_why(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"delete_image": "!", "explain_denial": "role:reader"}')
    rules = load_rule_set(file)

    assert explain_denial(rules, READER, "delete_image", IMAGE)
    assert not explain_denial(rules, ADMIN, "delete_image", IMAGE)


def test_the_target_says_who_is_told_why_and_what_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    own = "project_id:%(project_id)s"
    file.write_text(f'{{"explain_denial": "{own}", "delete_image": "not {own}"}}')
    rules = load_rule_set(file)
    other = {**IMAGE, "project_id": "q"}

    assert "the target has p" in explain_denial(rules, READER, "delete_image", IMAGE)
    assert not explain_denial(rules, READER, "delete_image", other)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        ("", "''"),
        ("a\nb", "'a\\nb'"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 64 + "..."),
        (5, "5"),
    ],
)
def test_values_are_shown_short_and_on_one_line(value: object, shown: str) -> None:
    assert show(value) == shown
