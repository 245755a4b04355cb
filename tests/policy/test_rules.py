"""Rule sets: files and defaults merged, and the decisions they make."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, RuleSyntaxError, UnknownRule
from imagereg.policy.actions import BUILT_IN, DEFAULTS, REGISTERED, Action, Default
from imagereg.policy.checks import IDENTIFYING, Never, children
from imagereg.policy.compiler import Values
from imagereg.policy.language import MAX_DEPTH, canonical
from imagereg.policy.merging import Rule
from imagereg.policy.rules import Decision, RuleSet, load_rule_set

MEMBER: Mapping[str, object] = {
    "roles": frozenset({"member", "reader"}),
    "project_id": "p",
}
ADMIN: Mapping[str, object] = {"roles": frozenset({"admin"}), "project_id": "q"}
ORIGIN = Path(__file__).parent / "origin.json"


def load(
    tmp_path: Path,
    text: str | Mapping[str, object],
    *,
    enforce_new_defaults: bool = True,
) -> RuleSet:
    """Return the rules of one file."""
    file = tmp_path / "policy.yaml"
    file.write_text(text if isinstance(text, str) else json.dumps(text))
    return load_rule_set(file, enforce_new_defaults=enforce_new_defaults)


def faults(tmp_path: Path, text: str | Mapping[str, object]) -> list[str]:
    """Return why one file is refused, without the file's name."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    return [fault.removeprefix(f"{tmp_path}/") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("credentials", "action", "target", "allowed"),
    [
        (MEMBER, Action.DELETE_IMAGE, {"project_id": "p"}, True),
        (MEMBER, Action.DELETE_IMAGE, {"project_id": "q"}, False),
        (ADMIN, Action.DELETE_IMAGE, {"project_id": "p"}, True),
        (MEMBER, Action.PUBLICIZE_IMAGE, {"project_id": "p"}, False),
        (MEMBER, Action.GET_IMAGE, {"visibility": "public"}, True),
        (MEMBER, Action.GET_IMAGE, {"visibility": "private"}, False),
        ({}, Action.DISCOVER, {}, True),
    ],
)
def test_built_in_rules_decide_without_any_file(
    credentials: Mapping[str, object],
    action: str,
    target: Mapping[str, object],
    allowed: bool,
) -> None:
    rules = load_rule_set(None)

    assert rules.decide(credentials, action, target).allowed is allowed


@pytest.mark.parametrize("name", sorted(set(DEFAULTS) - {"communitize_image"}))
def test_the_origins_file_opens_what_it_says(name: str) -> None:
    rules = load_rule_set(ORIGIN)
    says = json.loads(ORIGIN.read_text()).get(name)

    allowed = rules.decide({"roles": []}, name, {}).allowed

    # What the file does not name keeps its default, and those ask for a role.
    open_by_default = {"metadef_default"}
    assert allowed is (says == "" or name in open_by_default)


def test_a_retired_name_is_loaded_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = load_rule_set(ORIGIN)

    assert "copy_from" in rules
    assert caplog.messages == [f"{ORIGIN}:10: rule copy_from has no effect"]


def test_restricted_shuts_an_action_for_everyone(tmp_path: Path) -> None:
    rules = load(tmp_path, {"download_image": "rule:restricted"})

    assert not rules.decide(ADMIN, Action.DOWNLOAD_IMAGE, {}).allowed


def test_restricted_is_a_rule_like_any_other() -> None:
    rules = load_rule_set(None)

    assert rules.rules["restricted"] == Rule("restricted", Never(), "restricted")
    assert rules.decide(ADMIN, "restricted", {}) == Decision(
        False, "restricted", "restricted"
    )


@pytest.mark.parametrize(
    ("written", "action"),
    [("add_image", "add_image"), ("manage_image_cache", "cache_list")],
)
def test_a_file_changes_who_may_and_not_the_scope(
    tmp_path: Path, written: str, action: str
) -> None:
    rules = load(tmp_path, {written: "@"})

    decisions = [rules.decide(who, action, {}) for who in ({}, {"system_scope": "all"})]

    assert decisions == [
        Decision(True, action, written),
        Decision(False, action, written, "project"),
    ]


def test_a_file_can_say_what_restricted_means(tmp_path: Path) -> None:
    rules = load(tmp_path, {"restricted": "role:admin", "add_task": "rule:restricted"})

    assert rules.decide(ADMIN, Action.ADD_TASK, {}).allowed


def test_no_file_can_refuse_discovery(tmp_path: Path) -> None:
    rules = load(tmp_path, {"discover": "!", "add_task": "rule:discover"})

    assert rules.decide({}, Action.DISCOVER, {}) == Decision(
        allowed=True, action="discover", rule="discover"
    )
    assert not rules.decide({}, Action.ADD_TASK, {}).allowed


def test_later_files_override_earlier_ones(tmp_path: Path) -> None:
    folder = tmp_path / "policy.d"
    folder.mkdir()
    (folder / "1").write_text("get_task: '!'\n")
    (folder / "2").write_text("\nget_task: '@'\n")
    main = tmp_path / "policy.json"
    main.write_text('{"get_task": "!"}')

    rules = load_rule_set(main, [folder])

    assert rules.decide({}, Action.GET_TASK, {}).allowed
    assert str(rules.origin("get_task")) == f"{folder / '2'}:2"
    assert rules.origin("get_image") is None
    assert rules.origin("nothing") is None
    assert rules.files == (main, folder / "1", folder / "2")


def test_a_set_can_be_walked_and_measured() -> None:
    rules = load_rule_set(None)

    assert {*rules} == {*REGISTERED, *BUILT_IN}
    assert len(rules) == len({*rules})
    assert canonical(rules.rules["tasks_api_access"].check) == "rule:context_is_admin"


def test_every_fault_is_reported_at_once(tmp_path: Path) -> None:
    text = """
a: !
b: null
c: not rule:nowhere
d: rule:e
e: not rule:d
f: role:a and
g: rule:f
b: ""
h: class:x
i: user_id:100%
"""

    assert faults(tmp_path, text) == [
        "policy.yaml:9: rule `b`: stands twice, first in line 3",
        "policy.yaml:2: rule `a`: a YAML tag, so the rule needs quotes",
        "policy.yaml:3: rule `b`: a rule is a text, not null",
        "policy.yaml:7: rule `f`: the rule ends where a check is expected",
        "policy.yaml:10: rule `h`: broken kind `class`",
        "policy.yaml:11: rule `i`: broken interpolation in `100%`: incomplete format",
        "policy.yaml:4: rule `c`: refers to unknown rule `nowhere`",
        "policy.yaml:5: rule `d`: refers to itself: d -> e -> d",
    ]


def test_a_fault_of_a_built_in_rule_says_so(tmp_path: Path) -> None:
    assert faults(tmp_path, "context_is_admin: rule:cache_prune\n") == [
        "built in: rule `cache_prune`: refers to itself: "
        "cache_prune -> context_is_admin -> cache_prune"
    ]


def test_a_fault_of_a_rule_that_is_overridden_is_one(tmp_path: Path) -> None:
    folder = tmp_path / "policy.d"
    folder.mkdir()
    (folder / "1").write_text("get_task: '@'\n")
    main = tmp_path / "policy.json"
    main.write_text('{"get_task": "foo"}')

    with pytest.raises(ConfigurationError, match="no colon"):
        load_rule_set(main, [folder])


def test_separate_circles_are_separate_faults(tmp_path: Path) -> None:
    text = "a: rule:b or rule:a\nb: rule:c\nc: rule:a\nd: rule:d\n"

    assert sorted(faults(tmp_path, text)) == [
        "policy.yaml:1: rule `a`: refers to itself: a -> a",
        "policy.yaml:1: rule `a`: refers to itself: a -> b -> c -> a",
        "policy.yaml:4: rule `d`: refers to itself: d -> d",
    ]


@pytest.mark.parametrize("start", ["a", "b", "c"])
def test_a_circle_is_told_from_its_first_name_wherever_it_is_entered(
    tmp_path: Path, start: str
) -> None:
    text = {start: ""} | {"a": "rule:b", "b": "rule:c", "c": "rule:a"}

    assert faults(tmp_path, text) == [
        "policy.yaml:1: rule `a`: refers to itself: a -> b -> c -> a"
    ]


def test_a_file_can_make_built_in_rules_refer_in_a_circle(tmp_path: Path) -> None:
    found = faults(tmp_path, {"context_is_admin": "rule:metadef_admin"})

    assert found == [
        "policy.yaml:1: rule `context_is_admin`: refers to itself:"
        " context_is_admin -> metadef_admin -> context_is_admin"
    ]


def test_long_chains_of_references_are_refused_once(tmp_path: Path) -> None:
    chain = {f"r{one}": f"rule:r{one + 1}" for one in range(2000)}

    found = faults(tmp_path, {**chain, "r2000": "@"})

    assert found == [
        f"policy.yaml:1: rule `r{2000 - MAX_DEPTH}`:"
        " too deeply nested, through the rules it refers to"
    ]


NESTED = {"one": "@", "two": "rule:one", "deepest": "not " * (MAX_DEPTH - 1) + "@"}


@pytest.mark.parametrize(
    "text",
    [
        f"{'not ' * (MAX_DEPTH - 2)}rule:two",
        "rule:deepest",
        # The deepest of several references counts.
        "rule:deepest or rule:two or @",
        "@ or rule:two or rule:deepest",
    ],
)
def test_depth_counts_what_lies_in_a_rule_and_in_those_it_refers_to(
    tmp_path: Path, text: str
) -> None:
    assert faults(tmp_path, {**NESTED, "mine": text}) == [
        "policy.yaml:1: rule `mine`: too deeply nested, through the rules it refers to"
    ]


def test_rules_that_multiply_through_references_are_refused_once(
    tmp_path: Path,
) -> None:
    # Asked as written, the first of these would take two to the thirtieth checks.
    chain = {
        f"r{one}": f"(rule:r{one + 1} and role:a) or (rule:r{one + 1} and role:b)"
        for one in range(30)
    }

    found = faults(tmp_path, {**chain, "r30": "role:x"})

    assert found == [
        "policy.yaml:1: rule `r14`: comes to more than 100000 checks,"
        " through the rules it refers to"
    ]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("rule:ten", 10),
        ("rule:ten or role:x or rule:ten or rule:gone", 21),
        ("not (rule:hundred or role:x)", 101),
        (" or ".join(["rule:ten"] * 10), 100),
        (" or ".join(["rule:ten"] * 9 + ["role:x"] * 50), 140),
        # What is written down may be of any length; references alone multiply.
        (" or ".join(["role:x"] * 200), 200),
        ("rule:written", 150),
        ("rule:written and role:x", 151),
        (" or ".join(["rule:ten"] * 10 + ["rule:one"]), None),
        ("not (rule:hundred or rule:one)", None),
        ("rule:written or rule:one", None),
        ("rule:written or rule:written", None),
    ],
)
def test_what_a_decision_may_come_to(
    monkeypatch: pytest.MonkeyPatch, text: str, size: int | None
) -> None:
    monkeypatch.setattr("imagereg.policy.references.MOST_CHECKS", 100)
    texts = {
        # What refers to a rule that is refused is not told of again.
        "above": "rule:mine",
        "top": "rule:above or rule:above",
        "mine": text,
        "hundred": " or ".join(["rule:ten"] * 10),
        "ten": " or ".join(["role:x"] * 10),
        "one": "@",
        "written": " or ".join(["role:x"] * 150),
    }

    if size is None:
        with pytest.raises(ConfigurationError) as caught:
            RuleSet.from_texts(texts)
        [told] = caught.value.faults
        assert told.endswith(
            "rule `mine`: comes to more than 100 checks, through the rules it refers to"
        )
        return
    del texts["top"]
    rules = RuleSet.from_texts(texts)
    assert (rules.size("mine"), rules.size("above")) == (size, size)
    assert rules.size("gone") == 0


def test_the_greatest_depth_is_allowed(tmp_path: Path) -> None:
    text = f"{'not ' * (MAX_DEPTH - 3)}rule:two"

    assert "mine" in load(tmp_path, {**NESTED, "mine": text})


@pytest.mark.parametrize(
    ("credentials", "scope"),
    [
        ({"project_id": "p", "domain_id": None, "system_scope": None}, None),
        ({"domain_id": "d"}, "project"),
        ({"system_scope": "all"}, "project"),
        ({"system_scope": "all", "project_id": "p"}, "project"),
    ],
)
def test_another_scope_than_a_project_is_refused_and_named(
    credentials: Mapping[str, object], scope: str | None
) -> None:
    roles = frozenset({"admin"})

    decision = load_rule_set(None).decide(
        {**credentials, "roles": roles}, "add_image", {}
    )

    assert decision == Decision(scope is None, "add_image", "add_image", scope)


def test_who_is_admin_is_decided_in_any_scope() -> None:
    credentials = {"roles": frozenset({"admin"}), "system_scope": "all"}

    assert load_rule_set(None).decide(credentials, "context_is_admin", {}).allowed


OLD = {
    "new": Default("new", "role:new", "-", old="role:old"),
    "renamed": Default("renamed", "role:new", "-", old="role:old", old_name="past"),
}


@pytest.mark.parametrize(
    ("text", "enforce", "expected"),
    [
        ({}, True, {"new": "role:new", "renamed": "role:new"}),
        (
            {},
            False,
            {
                "new": "(role:new or role:old)",
                "renamed": "(role:new or role:old)",
            },
        ),
        ({"new": "!", "renamed": "!"}, False, {"new": "!", "renamed": "!"}),
        ({"past": "role:x"}, True, {"renamed": "role:x"}),
        ({"past": "role:x"}, False, {"renamed": "role:x"}),
        ({"past": "role:x", "renamed": "!"}, True, {"renamed": "!"}),
        ({"past": "rule:renamed"}, True, {"renamed": "role:new"}),
    ],
)
def test_deprecated_defaults_and_names_still_count(
    tmp_path: Path, text: Mapping[str, object], enforce: bool, expected: dict[str, str]
) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(text))

    rules = load_rule_set(file, registered=OLD, enforce_new_defaults=enforce)

    found = {name: canonical(rules.rules[name].check) for name in expected}
    assert found == expected


def test_a_decision_names_the_old_rule_that_made_it(tmp_path: Path) -> None:
    rules = load(tmp_path, {"manage_image_cache": "role:cacher"})
    cacher = {"roles": frozenset({"cacher"})}

    decision = rules.decide(cacher, Action.CACHE_LIST, {})

    assert decision == Decision(True, "cache_list", "manage_image_cache")
    assert str(rules.origin("cache_list")).endswith("policy.yaml:1")


def test_without_the_new_defaults_the_old_ones_admit_as_well(tmp_path: Path) -> None:
    rules = load(tmp_path, {}, enforce_new_defaults=False)

    assert rules.decide({}, Action.DELETE_IMAGE, {}).allowed
    assert not rules.decide({}, Action.PUBLICIZE_IMAGE, {}).allowed


def test_a_name_that_no_rule_has_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    decision = load_rule_set(None).decide(ADMIN, "no_such_action", {})

    assert decision == Decision(False, "no_such_action", "no_such_action")
    assert caplog.messages == [
        "no policy rule is named no_such_action, which is refused"
    ]


def test_a_name_that_the_default_rule_stands_for_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = RuleSet.from_texts({"default": "@"})

    assert rules.decide({}, "no_such_action", {}).allowed
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("action", "fields", "whole"),
    [
        ("add_image", {"project_id", "owner"}, False),
        ("get_image", {"project_id", "member_id", "visibility"}, False),
        ("alias", {"project_id", "member_id", "visibility"}, False),
        ("ask", {"name", *IDENTIFYING}, True),
        ("ask_alias", {"name", "size", *IDENTIFYING}, True),
        ("ask_first", {"name", "project_id", *IDENTIFYING}, True),
        ("no_such_action", set(), False),
    ],
)
def test_the_fields_that_a_decision_reads_are_known(
    tmp_path: Path, action: str, fields: set[str], whole: bool
) -> None:
    rules = load(
        tmp_path,
        {
            "alias": "rule:get_image",
            "ask": "http://host/%(name)s",
            "ask_alias": "not rule:ask or 5:%(size)s",
            "ask_first": "rule:ask or rule:alias",
        },
    )

    assert rules.fields_read(action) == fields
    assert rules.reads_whole_target(action) is whole


def test_a_reference_that_leads_nowhere_hides_no_fields() -> None:
    rules = RuleSet.from_texts({"it": "rule:gone or rule:a", "a": "'x':%(name)s"})

    assert rules.fields_read("it") == {"name"}


def test_a_decision_is_made_beforehand_whatever_the_target() -> None:
    rules = load_rule_set(None)

    first = rules.decide(MEMBER, "get_image", {"visibility": "public", "id": "1"})
    second = rules.decide(MEMBER, "get_image", {"visibility": "public", "id": "2"})

    assert first is second


def test_a_part_of_a_rule_can_be_asked_alone() -> None:
    rules = load_rule_set(None)

    first, *_ = children(rules.rules["get_image"].check)

    assert rules.compile_check(first).allows(ADMIN, {})
    assert not rules.compile_check(first).allows(MEMBER, {})


def test_an_expression_is_asked_by_the_rules_of_the_set(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = load_rule_set(None)

    rule = rules.compile("rule:context_is_admin or 'x':%(name)s or user_id.x:y")

    assert rule.allows(ADMIN, {})
    assert rule.allows(MEMBER, {"name": "x"})
    assert rule.allows({"user_id": "u"}, {}) is False
    assert caplog.messages == [
        "expression (rule:context_is_admin or 'x':%(name)s or user_id.x:y) "
        "cannot be judged: no `x` within a str"
    ]
    assert rule.fields == {"name"}
    assert not rule.reads_whole_target


@pytest.mark.parametrize(
    ("expression", "error", "what"),
    [
        (
            "rule:nowhere",
            UnknownRule,
            "^`rule:nowhere` refers to unknown rule `nowhere`$",
        ),
        ("role:a or", RuleSyntaxError, "ends where a check is expected"),
    ],
)
def test_an_expression_that_leads_nowhere_is_refused(
    expression: str, error: type[Exception], what: str
) -> None:
    with pytest.raises(error, match=what):
        load_rule_set(None).compile(expression)


def test_a_missing_file_leaves_the_defaults(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        rules = load_rule_set(tmp_path / "absent.yaml")

    assert {*rules} == {*REGISTERED, *BUILT_IN}
    assert caplog.messages == [
        f"no policy file {tmp_path / 'absent.yaml'}, the built-in rules apply"
    ]


def test_no_file_is_missed_where_none_is_asked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        load_rule_set(None)

    assert caplog.messages == []


def test_the_rules_of_files_ask_the_servers(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"get_task": "http://host/"}')
    asked: list[tuple[object, ...]] = []

    def remote(url: str, rule: str | None, target: Values, credentials: Values) -> bool:
        asked.append((url, rule, target, credentials))
        return True

    rules = load_rule_set(file, remote=remote)

    assert rules.decide(MEMBER, "get_task", {"id": "i"}).allowed
    assert asked == [("http://host/", "get_task", {"id": "i"}, MEMBER)]


def test_rules_of_a_library_decide_under_their_own_names() -> None:
    rules = RuleSet.from_texts({"it": "role:member"})

    assert rules.decide(MEMBER, "it", {}) == Decision(True, "it", "it")
