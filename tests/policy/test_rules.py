"""Rule sets: files and defaults merged, and the decisions they make."""

from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.policy.actions import Action
from imagereg.policy.rules import load_rule_set

MEMBER = {"roles": frozenset({"member", "reader"}), "project_id": "p"}
ADMIN = {"roles": frozenset({"admin"}), "project_id": "q"}


@pytest.mark.parametrize(
    ("credentials", "action", "target", "allowed"),
    [
        (MEMBER, Action.DELETE_IMAGE, {"project_id": "p"}, True),
        (MEMBER, Action.DELETE_IMAGE, {"project_id": "q"}, False),
        (ADMIN, Action.DELETE_IMAGE, {"project_id": "p"}, True),
        (MEMBER, Action.PUBLICIZE_IMAGE, {"project_id": "p"}, False),
        ({}, Action.DISCOVER, {}, True),
    ],
)
def test_built_in_rules_decide_without_any_file(
    credentials: dict[str, object],
    action: str,
    target: dict[str, object],
    allowed: bool,
) -> None:
    rules = load_rule_set(None)

    assert rules.decide(credentials, action, target).allowed is allowed


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("a: !\nb: rule:nowhere\nc: rule:d\nd: not rule:c\n")

    with pytest.raises(ConfigurationError) as caught:
        load_rule_set(file)

    assert len(caught.value.faults) == 3
