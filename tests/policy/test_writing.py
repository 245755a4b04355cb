"""Policy files written: samples, effective rules, and other forms."""

import json
from pathlib import Path

import yaml

from imagereg.policy.actions import DEFAULTS, REGISTERED
from imagereg.policy.files import Entry, Origin, read_policy_files
from imagereg.policy.rules import RuleSet, load_rule_set
from imagereg.policy.writing import (
    converted_lines,
    effective_rules,
    json_text,
    redundant_rules,
    sample_lines,
    upgraded_rules,
    yaml_lines,
)

ORIGIN = Path(__file__).parents[2] / "policies" / "policy.json"


def entries(**rules: object) -> list[Entry]:
    place = Origin(Path("policy.yaml"), 1)
    return [Entry(name, value, place) for name, value in rules.items()]


def test_the_sample_is_all_comments_and_loads_when_they_are_removed(
    tmp_path: Path,
) -> None:
    lines = [*sample_lines()]
    rules = [line[1:] for line in lines if line.startswith('#"')]
    file = tmp_path / "policy.yaml"
    file.write_text("\n".join(rules))

    assert all(line.startswith("#") or not line for line in lines)
    assert {*yaml.safe_load(file.read_text())} == {*REGISTERED}
    assert redundant_rules(read_policy_files(file).entries).keys() == {*REGISTERED}
    assert load_rule_set(file).rules.keys() == {*REGISTERED, "restricted"}


def test_entries_of_the_sample_stand_apart_in_lines_that_fit() -> None:
    lines = [*sample_lines()]

    assert lines.count("") == len(REGISTERED)
    assert max(len(line) for line in lines if line.startswith("# ")) == 88


def test_the_sample_can_leave_older_rules_out() -> None:
    assert any("Older rule" in line for line in sample_lines())
    assert not any(
        "Older rule" in line for line in sample_lines(exclude_deprecated=True)
    )


def test_older_rules_are_told_where_there_are_any_and_under_their_old_names() -> None:
    text = "\n".join(sample_lines())

    assert text.count("# Older rule") == sum(
        default.old is not None for default in REGISTERED.values()
    )
    assert '# Older rule: "manage_image_cache": "rule:manage_image_cache"; ' in text
    assert '# Older rule: "get_image": "rule:default"; ' in text
    assert "# Scope: project\n" in text
    assert "# Scope: None" not in text
    assert "# POST /v2/images: create an image record.\n" in text


def test_effective_rules_begin_with_those_of_the_file() -> None:
    found = read_policy_files(ORIGIN).entries

    rules = effective_rules(load_rule_set(ORIGIN), found)

    assert [*rules][:2] == ["context_is_admin", "default"]
    assert {*rules} == {*REGISTERED, "copy_from"}
    assert rules["cache_image"] == "role:admin"


def test_of_a_library_only_its_own_rules_are_in_force() -> None:
    rules = RuleSet.from_texts({"mine": "role:x"})

    assert effective_rules(rules, entries(mine="role:x")) == {"mine": "role:x"}


def test_the_origin_has_two_redundant_entries() -> None:
    found = redundant_rules(read_policy_files(ORIGIN).entries)

    assert found == {"context_is_admin": "role:admin", "default": ""}


def test_an_upgrade_renames_what_was_renamed() -> None:
    found = upgraded_rules(
        entries(manage_image_cache="role:x", cache_list="role:y", copy_from="")
    )

    assert found == {
        "manage_image_cache": "role:x",
        "cache_list": "role:y",
        "cache_image": "role:x",
        "cache_delete": "role:x",
    }


def test_an_upgrade_leaves_alone_what_was_never_renamed() -> None:
    assert upgraded_rules(entries(get_image="role:x")) == {"get_image": "role:x"}


def test_an_upgrade_makes_no_circle() -> None:
    found = upgraded_rules(entries(manage_image_cache="rule:cache_image"))

    assert [*found] == ["manage_image_cache", "cache_list", "cache_delete"]


def test_an_upgraded_file_decides_as_before(tmp_path: Path) -> None:
    new = tmp_path / "new.yaml"
    found = read_policy_files(ORIGIN).entries
    new.write_text("\n".join(yaml_lines(upgraded_rules(found))))

    before, after = load_rule_set(ORIGIN), load_rule_set(new)

    for name in DEFAULTS:
        assert before.rules[name].check == after.rules[name].check


def test_a_conversion_comments_what_is_redundant_and_warns_of_the_unknown() -> None:
    lines = [*converted_lines(entries(default="", get_image="role:x", mine=["role:y"]))]

    assert '#"default": ""' in lines
    assert lines[lines.index('"get_image": "role:x"') + 1] == ""
    assert "# Scope: project" in lines
    assert not any("Older rule" in line for line in lines)
    assert lines[-2].startswith("# WARNING")
    assert lines[-1] == '"mine": ["role:y"]'
    assert "WARNING" not in "".join(converted_lines(entries(default="")))
    assert yaml.safe_load("\n".join(lines)) == {
        "get_image": "role:x",
        "mine": ["role:y"],
    }


def test_both_forms_hold_the_same_rules() -> None:
    rules = {"get_image": "role:x", "mine": [["role:a", "role:b"]]}

    assert json.loads(json_text(rules)) == rules
    assert json_text({"get_image": "role:x"}) == '{\n    "get_image": "role:x"\n}\n'
    assert yaml.safe_load("\n".join(yaml_lines(rules))) == rules
