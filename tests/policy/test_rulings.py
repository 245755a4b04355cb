"""Each difference from the reference, by the ruling that asks for it.

Every test first shows what the reference does, so that a ruling that the reference
catches up with is noticed.  The letters are those of the contract, policy 12.
"""

import json
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, RuleSyntaxError
from imagereg.model import Caller
from imagereg.policy.actions import DEFAULTS
from imagereg.policy.language import parse, parse_rule
from imagereg.policy.rules import RuleSet, load_rule_set
from tests.policy.oracle import Oracle, OracleFailed, is_refused_text
from tests.policy.strategies import Values


def theirs(text: object, credentials: Values, target: Values) -> bool:
    """Return the reference's decision about one rule."""
    return Oracle.of_texts({"it": text}).allows("it", target, credentials)


def ours(text: object, credentials: Values, target: Values) -> bool:
    """Return our decision about one rule."""
    return RuleSet.from_texts({"it": text}).decide(credentials, "it", target).allowed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the place of a policy file."""
    return tmp_path / "policy.json"


def test_p1_a_typo_opens_the_reference_and_refuses_our_start(file: Path) -> None:
    file.write_text('{"download_image": "rule:ownr"}')

    assert Oracle.of_service(file).allows("download_image", {}, {"roles": []})
    with pytest.raises(ConfigurationError, match="unknown rule `ownr`"):
        load_rule_set(file)


def test_p1_restricted_opens_the_reference_and_shuts_ours(file: Path) -> None:
    file.write_text('{"download_image": "rule:restricted"}')
    credentials: Values = {"roles": ["admin"]}

    assert Oracle.of_service(file).allows("download_image", {}, credentials)
    assert not load_rule_set(file).decide(credentials, "download_image", {}).allowed


def test_p2_null_allows_everyone_in_the_reference_and_refuses_our_load(
    file: Path,
) -> None:
    file.write_text('{"publicize_image": null}')

    assert Oracle.of_service(file).allows("publicize_image", {}, {"roles": []})
    with pytest.raises(ConfigurationError, match="not null"):
        load_rule_set(file)


def test_p2_a_yaml_tag_allows_everyone_in_the_reference_and_refuses_our_load(
    file: Path,
) -> None:
    file.write_text("publicize_image: !\n")

    assert Oracle.of_service(file).allows("publicize_image", {}, {"roles": []})
    with pytest.raises(ConfigurationError, match="YAML tag"):
        load_rule_set(file)


@pytest.mark.parametrize("value", [{"a": "b"}, 5, True])
def test_p2_other_values_refuse_our_load(value: object) -> None:
    with pytest.raises(RuleSyntaxError):
        parse_rule(value)


@pytest.mark.parametrize(
    "text", ["role:a and", "(role:a", "role:a role:b", "()", "  ", "foo", '"foo"']
)
def test_p2_unparsable_text_denies_in_the_reference_and_refuses_our_load(
    text: str,
) -> None:
    assert is_refused_text(text)
    with pytest.raises(RuleSyntaxError):
        parse(text)


def test_p2_a_word_without_colon_is_a_no_in_the_reference_and_refuses_our_load() -> (
    None
):
    # Only this word becomes a "!" there, not the whole rule: its "not" allows.
    assert theirs("not foo", {}, {})
    with pytest.raises(RuleSyntaxError, match="no colon"):
        parse("not foo")


@pytest.mark.parametrize(
    "leaf",
    [
        *("class:x", "1x:y", "$a:b", ":x", "user_id:100%", "user_id:%(x", "role:%(a"),
        "user_id:%(gone)q",
    ],
)
def test_p2_broken_leaves_fail_in_the_reference_and_refuse_our_load(leaf: str) -> None:
    with pytest.raises(OracleFailed):
        theirs(leaf, {"user_id": "u", "roles": []}, {"gone": "x"})
    with pytest.raises(RuleSyntaxError):
        parse(leaf)


def test_p2_a_broken_leaf_behind_a_yes_allows_there_and_refuses_our_load() -> None:
    assert theirs("@ or class:x", {}, {})
    with pytest.raises(RuleSyntaxError, match="broken kind"):
        parse("@ or class:x")


def test_p2_a_hole_without_a_name_is_the_whole_target_there_and_refused_here() -> None:
    assert theirs("user_id:%s", {"user_id": "{'a': 'b'}"}, {"a": "b"})
    with pytest.raises(RuleSyntaxError, match="a hole needs a name"):
        parse("user_id:%s")


@pytest.mark.parametrize(
    ("text", "credentials", "target"),
    [
        ("user_id.foo:x", {"user_id": "u"}, {}),
        ("not user_id.foo:x", {"user_id": "u"}, {}),
        ("not user_id.foo:x", {"user_id": None}, {}),
        ("not user_id:%(name)d", {"user_id": "u"}, {"name": "text"}),
        ("not role:a", {"roles": None}, {}),
    ],
)
def test_p2_what_cannot_be_judged_fails_in_the_reference_and_is_a_no_here(
    text: str, credentials: Values, target: Values
) -> None:
    with pytest.raises(OracleFailed):
        theirs(text, credentials, target)
    assert not ours(text, credentials, target)


def test_p2_circles_fail_in_the_reference_and_refuse_our_load() -> None:
    texts = {"a": "rule:b", "b": "not rule:a"}

    with pytest.raises(OracleFailed):
        Oracle.of_texts(texts).allows("a", {}, {})
    with pytest.raises(ConfigurationError, match="refers to itself: a -> b -> a"):
        RuleSet.from_texts(texts)


def test_p2_deep_nesting_is_fine_in_the_reference_and_refuses_our_load() -> None:
    deep = "not " * 102 + "@"

    assert theirs(deep, {}, {})
    with pytest.raises(RuleSyntaxError, match="too deeply nested"):
        parse(deep)


def test_p2_rules_that_multiply_work_long_in_the_reference_and_refuse_our_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagereg.policy.references.MOST_CHECKS", 100)
    texts = {f"r{n}": f"not rule:r{n + 1} or rule:r{n + 1}" for n in range(7)}
    texts["r7"] = "role:a"

    assert Oracle.of_texts(texts).allows("r0", {}, {"roles": []})
    with pytest.raises(ConfigurationError, match="comes to more than 100 checks"):
        RuleSet.from_texts(texts)


def test_p3_two_nulls_are_equal_in_the_reference_and_never_here() -> None:
    text = "project_id:%(project_id)s"
    nobody: Values = {"project_id": None}

    assert theirs(text, nobody, {"project_id": None})
    assert not ours(text, nobody, {"project_id": None})


def test_p3_a_null_in_a_list_of_credentials_equals_nothing() -> None:
    assert theirs("ids:None", {"ids": [None]}, {})
    assert not ours("ids:None", {"ids": [None]}, {})


def test_p8_duplicate_names_count_the_last_there_and_refuse_our_load(
    file: Path,
) -> None:
    file.write_text('{"publicize_image": "!", "publicize_image": ""}')

    assert Oracle.of_service(file).allows("publicize_image", {}, {"roles": []})
    with pytest.raises(ConfigurationError, match="stands twice"):
        load_rule_set(file)


def test_p8_tabs_are_malformed_in_the_reference_and_fine_here(file: Path) -> None:
    file.write_text('{\n\t"publicize_image": ""\n}')

    with pytest.raises(ValueError, match="cannot start any token"):
        Oracle.of_service(file)
    assert load_rule_set(file).decide({}, "publicize_image", {}).allowed


def test_p9_is_admin_and_the_older_names_are_credentials_here() -> None:
    caller = Caller(user_id="u", project_id="p", is_admin=True)

    for text in ("is_admin:True", "tenant:p", "user:u"):
        assert ours(text, dict(caller.credentials), {})


def test_the_origins_file_is_read_as_by_the_reference() -> None:
    origin = Path(__file__).parent / "origin.json"
    reference, rules = Oracle.of_service(origin), load_rule_set(origin)
    target: Values = {"project_id": "p", "visibility": "private", "owner": "p"}

    for roles in ([], ["reader"], ["member"], ["admin"], ["service"]):
        credentials: Values = {"roles": roles, "project_id": "p"}
        for name in {*json.loads(origin.read_text()), *DEFAULTS}:
            decision = rules.decide(credentials, name, target)
            assert decision.allowed is reference.allows(name, target, credentials)
