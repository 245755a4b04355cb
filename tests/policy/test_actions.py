"""The table of policy names and their built-in rules."""

import json
from pathlib import Path

import pytest

from imagereg.policy.actions import (
    BUILT_IN,
    DEFAULTS,
    OWN,
    REGISTERED,
    RETIRED,
    Action,
)
from imagereg.policy.language import parse
from imagereg.policy.rules import load_rule_set
from imagereg.policy.writing import sample_lines

UNSCOPED = {
    *("default", "context_is_admin", "service_api"),
    *("metadef_default", "metadef_admin"),
}


def test_there_are_67_names_and_each_is_an_action() -> None:
    assert len(DEFAULTS) == 67
    assert {*Action} == {*DEFAULTS, *OWN, Action.DISCOVER}


def test_a_member_of_the_enum_is_named_for_its_value() -> None:
    assert all(action.name == action.value.upper() for action in Action)


@pytest.mark.parametrize("name", REGISTERED)
def test_a_default_can_be_read_and_says_what_it_guards(name: str) -> None:
    default = REGISTERED[name]

    parse(default.check)
    assert default.old is None or parse(default.old)
    assert default.guards.endswith(".")
    assert default.scope == (None if name in {*UNSCOPED, *OWN} else "project")


def test_the_whole_table_is_the_sample_that_operators_read() -> None:
    """The sample was held against the contract's table, row by row."""
    sample = Path(__file__).parents[2] / "policies" / "built-in.yaml"

    assert [*sample_lines()] == sample.read_text().removesuffix("\n").split("\n")


def test_names_that_are_no_actions() -> None:
    assert BUILT_IN == {"restricted": "!"}
    assert {"copy_from"} == RETIRED


@pytest.mark.parametrize("enforce", [True, False])
def test_the_built_in_rules_hold_together_in_both_modes(enforce: bool) -> None:
    rules = load_rule_set(None, enforce_new_defaults=enforce)

    assert REGISTERED.keys() <= {*rules}


def test_the_origin_knows_46_of_the_names_and_a_retired_one() -> None:
    entries = json.loads((Path(__file__).parent / "origin.json").read_text())

    assert len(entries) == 47
    assert entries.keys() - DEFAULTS.keys() == RETIRED
