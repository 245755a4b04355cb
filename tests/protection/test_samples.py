"""The sample files in `policies/` do what their comments say."""

import json
from pathlib import Path

import pytest

from imagereg.model import Operation
from imagereg.protection.guard import PropertyGuard
from imagereg.protection.lint import Level, lint
from imagereg.protection.rules import (
    PolicyFacts,
    Protections,
    load_protections,
    parse_protections,
)

SAMPLES = Path(__file__).parents[2] / "policies"
RECORDED = Path(__file__).parents[1] / "golden" / "scenarios" / "protections"
ADMIN, MEMBER = frozenset({"admin"}), frozenset({"member"})


def recorded_files() -> list[tuple[str, str, str]]:
    """Return name, format and text of the files of the recorded conversations."""
    found = []
    for path in sorted(RECORDED.glob("*.json")):
        scenario = json.loads(path.read_text())
        rule_format = scenario["config"]["DEFAULT"]["property_protection_rule_format"]
        text = "\n".join(scenario["files"]["protections.conf"])
        found.append((path.stem, rule_format, text))
    return found


def know(text: str) -> PolicyFacts:
    return PolicyFacts(known=text in {"default", "context_is_admin"})


def load(kind: str) -> Protections:
    rule_format = "roles" if kind == "roles" else "policies"
    path = SAMPLES / f"property-protections-{kind}.conf"
    return load_protections(path, rule_format, know)


def granted(kind: str, name: str, roles: frozenset[str]) -> str:
    """Return the initials of what ``roles`` may do to the property ``name``."""
    guard = PropertyGuard(load(kind))

    def ask(text: str) -> bool:
        return text == "default" or "admin" in roles

    return "".join(
        operation.value[0]
        for operation in Operation
        if guard.verdicts(operation, roles, ask)[name]
    )


@pytest.mark.parametrize(
    ("kind", "name", "roles", "allowed"),
    [
        ("roles", "x_a", MEMBER, "crud"),
        ("roles", "x_a", frozenset({"_member_"}), "crud"),
        ("roles", "x_a", frozenset({"reader"}), ""),
        ("roles", "my_x_a", MEMBER, ""),
        ("roles", "other", ADMIN, "crud"),
        ("policies", "x_a", frozenset(), "crud"),
        ("policies", "other", MEMBER, ""),
        ("policies", "other", ADMIN, "crud"),
        ("origin", "x_none_read", ADMIN, "c"),
        ("origin", "my_x_none_read_too", ADMIN, "c"),
        ("origin", "x_none_update", ADMIN, "crd"),
        ("origin", "x_none_delete", ADMIN, "cru"),
        ("origin", "x_none_delete", MEMBER, ""),
        ("origin", "other", MEMBER, "crud"),
    ],
)
def test_what_a_sample_grants(
    kind: str, name: str, roles: frozenset[str], allowed: str
) -> None:
    assert granted(kind, name, roles) == allowed


@pytest.mark.parametrize("kind", ["roles", "policies", "origin"])
def test_samples_have_no_odd_places(kind: str) -> None:
    protections = load(kind)

    levels = {finding.level for finding in lint(protections)}

    assert protections.warnings == ()
    assert Level.ERROR not in levels
    assert (levels == set()) is (kind != "origin")


@pytest.mark.parametrize(
    ("rule_format", "text"),
    [pytest.param(*each[1:], id=each[0]) for each in recorded_files()],
)
def test_files_of_recorded_conversations_load(rule_format: str, text: str) -> None:
    protections = parse_protections(text, rule_format, lambda _: PolicyFacts())

    assert len(protections.sections) > 1
