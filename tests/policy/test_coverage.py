"""What decisions have tried of a rule set."""

from pathlib import Path

import pytest

from imagereg.policy.coverage import RuleCoverage
from imagereg.policy.explain import explain
from imagereg.policy.rules import RuleSet, load_rule_set

RULES = RuleSet.from_texts(
    {"a": "role:x or rule:b", "b": "not role:y and @", "c": "!"}, default_rule=None
)


@pytest.mark.parametrize(
    ("asked", "rules", "branches"),
    [
        ([], ("a", "b", "c"), ()),
        (
            [("a", ["x"])],
            ("b", "c"),
            (
                "a: `role:x` was never false",
                *("a: `rule:b` was never " + w for w in ("false", "true")),
            ),
        ),
        (
            [("a", []), ("a", ["y"]), ("a", ["x"])],
            ("c",),
            (),
        ),
        ([("c", []), ("gone", [])], ("a", "b"), ()),
    ],
)
def test_rules_and_branches_are_counted(
    asked: list[tuple[str, list[str]]],
    rules: tuple[str, ...],
    branches: tuple[str, ...],
) -> None:
    coverage = RuleCoverage.of(RULES)

    for name, roles in asked:
        coverage.add(explain(RULES, {"roles": roles}, name, {}))

    assert coverage.missed_rules == rules
    assert coverage.missed_branches == branches


def test_what_was_asked_behind_an_unasked_part_counts() -> None:
    rules = RuleSet.from_texts({"a": "(role:x or role:y) and role:z"})
    coverage = RuleCoverage.of(rules)

    coverage.add(explain(rules, {"roles": ["x"]}, "a", {}))

    assert coverage.tried == {("a", 0, True), ("a", 2, False)}


def test_rules_of_a_file_count_without_the_built_in_ones(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"get_image": "role:x"}')

    assert [*RuleCoverage.of(load_rule_set(file)).rules] == ["get_image"]


def test_a_rule_that_stands_in_for_others_counts_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"manage_image_cache": "role:x"}')

    assert [*RuleCoverage.of(load_rule_set(file)).rules] == ["manage_image_cache"]


def test_constants_have_one_branch() -> None:
    assert len(RuleCoverage.of(RULES).branches) == 2 + 2 + 2 + 1 + 1


def test_a_refused_scope_tries_nothing() -> None:
    rules = load_rule_set(None)
    coverage = RuleCoverage.of(rules)

    coverage.add(explain(rules, {"system_scope": "all"}, "get_image", {}))

    assert coverage.asked == set()


def test_built_in_rules_count_only_if_wanted() -> None:
    assert RuleCoverage.of(load_rule_set(None), built_in=False).rules == {}


def test_what_cannot_be_judged_is_not_tried() -> None:
    rules = RuleSet.from_texts({"a": "user_id.x:y"})
    coverage = RuleCoverage.of(rules)

    coverage.add(explain(rules, {"user_id": "u"}, "a", {}))

    assert (coverage.asked, coverage.tried) == ({"a"}, set())
