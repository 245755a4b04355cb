"""The engine as a library: rules alone, unknown names as in the reference.

Source: contract policy 1.4, ruling P-1.
"""

from collections.abc import Mapping
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, RuleSyntaxError
from imagereg.policy.rules import Decision, RuleSet, load_rule_set


@pytest.mark.parametrize(
    ("texts", "action", "decision"),
    [
        ({"default": "@"}, "x", Decision(True, "x", "default")),
        ({"default": "!"}, "x", Decision(False, "x", "default")),
        ({}, "x", Decision(False, "x", "default")),
        ({"default": "@", "a": "rule:x"}, "a", Decision(True, "a", "a")),
        ({"a": "rule:x"}, "a", Decision(False, "a", "a")),
        ({"a": "not rule:x"}, "a", Decision(True, "a", "a")),
        ({"discover": "!"}, "discover", Decision(False, "discover", "discover")),
    ],
)
def test_as_a_library_unknown_names_mean_the_default_rule(
    texts: Mapping[str, str], action: str, decision: Decision
) -> None:
    assert RuleSet.from_texts(texts).decide({}, action, {}) == decision


def test_a_file_can_be_loaded_as_the_reference_would(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"fallback": "role:x", "a": "rule:typo"}')

    rules = load_rule_set(
        file, registered={}, default_rule="fallback", unknown_to_default=True
    )

    assert rules.decide({"roles": ["x"]}, "a", {}).allowed
    assert not rules.decide({"roles": ["y"]}, "a", {}).allowed


def test_a_library_refuses_circles_too() -> None:
    with pytest.raises(ConfigurationError, match="built in: rule `default`: refers"):
        RuleSet.from_texts({"default": "rule:typo"})


def test_a_library_refuses_what_is_no_rule() -> None:
    with pytest.raises(RuleSyntaxError):
        RuleSet.from_texts({"a": None})


def test_a_library_reads_unknown_names_in_expressions_as_the_default_rule() -> None:
    assert RuleSet.from_texts({"default": "@"}).compile("rule:typo").allows({}, {})


def test_the_default_rule_of_a_file_is_named_default(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"default": "@"}')

    rules = load_rule_set(file, registered={}, unknown_to_default=True)

    assert rules.decide({}, "anything", {}) == Decision(True, "anything", "default")
