"""The policy files of the recorded exchanges load, and decide what was recorded.

What a whole server answers is replayed elsewhere; here it is the rules alone.
"""

import json
from pathlib import Path

import pytest

from imagereg.policy.rules import load_rule_set

SCENARIOS = Path(__file__).parents[1] / "golden" / "scenarios"
WITH_FILES = [
    path
    for path in sorted(SCENARIOS.rglob("*.json"))
    if "oslo_policy" in path.read_text() or path.stem == "default-file"
]

ALICE = {"roles": ["member", "reader"], "project_id": "A"}
ADMIN = {"roles": ["admin", "member", "reader"], "project_id": "admin"}
OPERATOR = {"roles": ["operator", "reader"], "project_id": "A"}
OWN = {"project_id": "A", "owner": "A", "visibility": "private"}


def write(scenario: Path, folder: Path) -> list[Path]:
    """Write the policy files of a scenario; return their paths."""
    written = []
    for name, content in json.loads(scenario.read_text()).get("files", {}).items():
        if "policy" not in name:
            continue
        lines = content if isinstance(content, list) else [json.dumps(content)]
        path = folder / name
        path.write_text("\n".join(lines))
        written.append(path)
    return written


@pytest.mark.parametrize("scenario", WITH_FILES, ids=lambda path: path.stem)
def test_the_files_of_every_scenario_load(scenario: Path, tmp_path: Path) -> None:
    for path in write(scenario, tmp_path):
        assert load_rule_set(path).files == (path,)


@pytest.mark.parametrize(
    ("scenario", "credentials", "action", "allowed"),
    [
        ("unknown-rules", ALICE, "delete_image", True),
        ("unknown-rules", ADMIN, "publicize_image", True),
        ("yaml-json-content", ALICE, "delete_image", False),
        ("yaml-json-content", ALICE, "modify_image", True),
        ("default-file", ALICE, "delete_image", False),
        ("default-file", ADMIN, "delete_image", True),
        ("empty-rule", {}, "delete_image", True),
        ("named-rules", ALICE, "delete_image", False),
        ("named-rules", OPERATOR, "modify_image", True),
        ("named-rules", ALICE, "upload_image", True),
        ("owner-alias", ALICE, "modify_image", True),
        ("owner-alias", ADMIN, "modify_image", False),
        ("owner-target", ADMIN, "delete_image", False),
        ("metadef", ALICE, "add_metadef_tag", True),
        ("add-image-target", ALICE, "add_image", True),
        ("visibility-target", ALICE, "download_image", False),
    ],
)
def test_the_rules_of_a_scenario_decide_as_recorded(
    scenario: str,
    credentials: dict[str, object],
    action: str,
    allowed: bool,
    tmp_path: Path,
) -> None:
    (path,) = write(SCENARIOS / "policy" / f"{scenario}.json", tmp_path)

    rules = load_rule_set(path)

    assert rules.decide(credentials, action, OWN).allowed is allowed
