"""What is legal in a policy file and probably not meant."""

import json
from pathlib import Path

import pytest

from imagereg.policy.files import read_policy_files
from imagereg.policy.language import parse
from imagereg.policy.lint import Finding, Level, hint, is_write, lint, nearest
from imagereg.policy.rules import RuleSet, load_rule_set
from imagereg.policy.truth import MOST_LEAVES, MOST_PARTS, Truth

FIELDS = ("id", "name", "owner", "size", "status", "visibility")


def findings(tmp_path: Path, text: str, *used: str) -> tuple[Finding, ...]:
    file = tmp_path / "policy.json"
    file.write_text(text)
    entries = read_policy_files(file).entries
    return lint(entries, load_rule_set(file), {file: text}, used)


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ('{"get_image": "role:x"}', []),
        ('{"get_imag": "role:x"}', ["error unknown"]),
        ('{"get_imag": "role:x", "get_image": "rule:get_imag"}', []),
        ('{"copy_from": ""}', ["note retired"]),
        ('{"get_task": "role:x"}', ["note unasked"]),
        ('{"restricted": "!"}', ["warning built-in"]),
        ('{"default": "@"}', ["note redundant"]),
        ('{"delete_image": ""}', ["warning open-write"]),
        (
            '{"delete_image": "role:a or not role:a"}',
            ["warning open-write", "note always"],
        ),
        ('{"get_image": "role:a or @"}', ["warning unreachable", "note always"]),
        ('{"get_image": "role:a and not role:a"}', ["warning never"]),
        ('{"get_image": "!"}', []),
        ('{"get_image": "rule:restricted"}', []),
        ('{"get_image": "role:a or role:a and role:b"}', ["warning unreachable"]),
        ('{"get_image": "is_admn:True"}', ["error unknown-credential"]),
        ('{"get_image": "ROLE:x"}', ["error unknown-credential"]),
        ('{"get_image": "is_admin:true"}', ["error boolean"]),
        ('{"get_image": "is_admin:True"}', []),
        ('{"get_image": "is_admin:%(protected)s"}', []),
        ('{"get_image": "roles:Member"}', ["error case"]),
        ('{"get_image": "roles:member"}', []),
        ('{"get_images": "project_id:%(owner)s"}', ["warning no-field"]),
        ('{"add_image": "project_id:%(id)s"}', ["warning no-field"]),
        ('{"cache_list": "project_id:%(owner)s"}', ["warning no-field"]),
        ('{"get_metadef_tag": "project_id:%(owner)s"}', ["warning no-field"]),
        ('{"add_image": "role:z and project_id:%(project_id)s"}', []),
        ('{"add_image": "user_id:%(owner)s or user_id:%(visibility)s"}', []),
        ('{"get_images": "user_id:%(project_id)s"}', []),
        ('{"get_metadef_namespaces": "user_id:%(project_id)s"}', []),
        ('{"get_metadef_tag": "project_id:%(project_id)s"}', []),
        ('{"get_metadef_tag": "user_id:%(visibility)s"}', []),
        ('{"get_image": "service_roles:Member"}', ["error case"]),
        ('{"get_metadef_namespaces": "user_id:%(visibility)s"}', ["warning no-field"]),
        ('{"my_metadef_x": "project_id:%(owner)s"}', ["error unknown"]),
        ('{"get_image": "roles:%(owner)s"}', []),
        ('{"get_image":\t"role:x"}', []),
        ('{\n\t"get_image": "role:x",\n\t"get_images": "!"}', ["warning tab"]),
    ],
)
def test_findings(tmp_path: Path, text: str, codes: list[str]) -> None:
    found = findings(tmp_path, text)

    assert [f"{each.level} {each.code}" for each in found] == codes
    assert all(each.text for each in found)


def test_a_name_that_a_protection_asks_for_is_known(tmp_path: Path) -> None:
    assert findings(tmp_path, '{"billing": "role:x"}', "billing") == ()


def test_a_finding_names_file_line_and_the_nearest_name(tmp_path: Path) -> None:
    found = findings(tmp_path, '{\n"delete_imag": "role:x"\n}')

    assert str(found[0]) == (
        f"{tmp_path}/policy.json:2: rule `delete_imag`: is no action, and no rule"
        " refers to it; did you mean `delete_image`? (error: unknown)"
    )
    assert str(Finding(Level.NOTE, "tab", "p:1", "", "x")) == "p:1: x (note: tab)"


@pytest.mark.parametrize(
    ("name", "rule", "told"),
    [
        ("restricted", "!", ["replaces a built-in rule"]),
        ("default", "@", ["is the same as the built-in rule"]),
        (
            "get_images",
            " or ".join(f"user_id:%({name})s" for name in reversed(FIELDS)),
            [
                f"the target has no `{field}`, so the part that reads it is never true"
                for field in FIELDS
            ],
        ),
        (
            "get_image",
            "role:a or @",
            [
                "`role:a` has no effect: without it, the rule decides the same",
                "holds for everyone",
            ],
        ),
        (
            "delete_image",
            "@",
            ["changes something and is open to everyone, ownership aside"],
        ),
        ("get_image", "role:a and not role:a", ["holds for nobody"]),
        (
            "get_image",
            "ROLE:x",
            [
                "`ROLE:x` is never true: callers have no `ROLE`; did you mean `role`?",
            ],
        ),
        (
            "get_image",
            "Rule:x",
            [
                "`Rule:x` is never true: callers have no `Rule`; did you mean `rule`?",
            ],
        ),
        (
            "get_image",
            "is_admin:true",
            ["`is_admin:true` is never true: write `True` or `False`"],
        ),
        ("get_image", "is_admin:False", []),
        (
            "get_image",
            "roles:Member",
            [
                "`roles:Member` is never true: roles are in lower case here;"
                " use `role:`",
            ],
        ),
    ],
)
def test_a_finding_says_what_is_the_matter(
    tmp_path: Path, name: str, rule: str, told: list[str]
) -> None:
    found = findings(tmp_path, json.dumps({name: rule}))

    assert [each.text for each in found] == told


def test_the_first_tab_of_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, '{\n\t"get_image": "role:x",\n\t"get_images": "!"}')

    assert str(found) == (
        f"{tmp_path}/policy.json:2: is indented by a tab, which the reference refuses"
        " (warning: tab)"
    )


def test_an_entry_that_a_later_file_replaces_is_told(tmp_path: Path) -> None:
    first, later = tmp_path / "a.json", tmp_path / "d"
    later.mkdir()
    first.write_text('{"get_image": "is_admn:True", "get_task": "role:x"}')
    (later / "b.json").write_text('{"get_image": "role:y"}')
    (later / "c.json").write_text('{"get_task": "role:y"}')
    rules = load_rule_set(first, [later])

    found = lint(read_policy_files(first, [later]).entries, rules, {})

    # Nothing else is told of an entry that has no effect; others are looked at.
    assert [str(each) for each in found] == [
        f"{first}:1: rule `get_image`: is replaced by {later / 'b.json'}:1"
        " (note: replaced)",
        f"{first}:1: rule `get_task`: is replaced by {later / 'c.json'}:1"
        " (note: replaced)",
        f"{later / 'c.json'}:1: rule `get_task`: is never asked; use `tasks_api_access`"
        " (note: unasked)",
    ]


def test_a_retired_name_is_told(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, '{"copy_from": ""}')

    assert found.text == "has no effect any more"


@pytest.mark.parametrize(
    ("name", "found"),
    [("get_imag", "; did you mean `get_image`?"), ("get_imxyz", "")],
)
def test_only_what_is_much_alike_is_meant(name: str, found: str) -> None:
    assert nearest(name, {"get_image"}) == found


@pytest.mark.parametrize(
    ("fault", "hinted"),
    [
        (
            "x: refers to unknown rule `contxt_is_admin`",
            "x: refers to unknown rule `contxt_is_admin`"
            "; did you mean `context_is_admin`?",
        ),
        ("x: refers to unknown rule `zzz`", "x: refers to unknown rule `zzz`"),
        ("something else", "something else"),
    ],
)
def test_unknown_names_come_with_the_nearest_known_one(fault: str, hinted: str) -> None:
    assert hint(fault, {"context_is_admin", "get_image"}) == hinted


def test_nothing_is_near() -> None:
    assert nearest("qqq", {"get_image"}) == ""


@pytest.mark.parametrize(
    ("action", "writes"),
    [
        ("delete_image", True),
        ("get_image", False),
        ("stores_info_detail", False),
        ("download_image", False),
        ("cache_list", False),
        ("fetch_image_location", False),
        ("list_cached_nodes", False),
        ("cache_delete", True),
        ("default", False),
        ("add_task", False),
        ("my_own", False),
        ("explain_denial", False),
    ],
)
def test_what_changes_something(action: str, writes: bool) -> None:
    assert is_write(action) is writes


def rules_of(**texts: str) -> Truth:
    return Truth(RuleSet.from_texts(texts, default_rule=None))


@pytest.mark.parametrize(
    ("rule", "idle"),
    [
        ("role:a", []),
        ("role:a or @", ["role:a"]),
        ("role:a and !", ["role:a"]),
        ("role:a or role:b or role:a", ["role:a"]),
        ("role:a and (role:a or role:b)", ["(role:a or role:b)"]),
        ("not (role:a or role:a)", ["role:a"]),
        ("role:a or rule:r", ["rule:r"]),
        ("role:c or (role:a and role:b and role:a)", ["role:a"]),
        ("! or !", ["!"]),
        ("role:a or not @", ["not @"]),
        ("role:a and not (role:b and role:c)", []),
        ("(role:a or role:a) and role:b", ["role:a"]),
        ("role:b or role:a or @", ["role:b", "role:a"]),
        # Of two that make each other needless, the later one is named.
        ("role:e or rule:same", ["rule:same"]),
        ("rule:same or role:e", ["role:e"]),
    ],
)
def test_parts_without_effect(rule: str, idle: list[str]) -> None:
    truth = rules_of(r="role:a and role:d", same="role:e")

    found = truth.idle_parts(parse(rule))

    assert found is not None
    assert [*map(str, found)] == idle


def test_very_many_leaves_are_not_examined() -> None:
    many = parse(" or ".join(f"role:r{index}" for index in range(MOST_LEAVES + 1)))

    assert rules_of().table(many) is None
    assert rules_of().idle_parts(many) is None


@pytest.mark.parametrize(("count", "known"), [(MOST_PARTS, True), (0, False)])
def test_very_many_parts_are_not_taken_out_on_trial(count: int, known: bool) -> None:
    count = count or MOST_PARTS + 1
    rule = parse(" or ".join(f"role:r{index % 2}" for index in range(count)))

    found = rules_of().idle_parts(rule)

    assert (found is not None) is known
    assert found is None or len(found) == count - 2
    assert rules_of().table(rule) is not None


def test_constants_are_not_among_the_leaves() -> None:
    most = " or ".join(f"role:r{index}" for index in range(MOST_LEAVES))

    assert rules_of().table(parse(f"{most} or @ or !")) is not None


def test_an_unknown_reference_counts_as_no() -> None:
    truth = Truth(RuleSet.from_texts({"a": "rule:gone"}))

    table = truth.table(parse("rule:gone or rule:a or rule:a"))

    assert table is not None
    assert table.never
    assert not table.always


def test_rules_that_refer_twice_to_the_next_are_examined_once_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {f"r{n}": f"rule:r{n + 1} and not rule:r{n + 1}" for n in range(1, 16)}
    truth = rules_of(**texts, r16="role:a")
    asked: list[str] = []

    def resolve(rules: RuleSet, name: str) -> str | None:
        asked.append(name)
        return name if name in rules else None

    monkeypatch.setattr(RuleSet, "resolve", resolve)
    table = truth.table(parse("rule:r1"))

    assert table is not None
    assert table.never
    # Once to gather the leaves, once to follow, for each of two references.
    assert len(asked) <= 4 * len(texts) + 2


def test_a_file_with_too_many_leaves_can_still_be_linted(tmp_path: Path) -> None:
    rule = " or ".join(f"role:r{index}" for index in range(MOST_LEAVES + 1))

    found = findings(tmp_path, f'{{"delete_image": "{rule}"}}')

    assert [f"{each.level} {each.code}" for each in found] == ["note unexamined"]
    assert found[0].text == "has too many parts to find out whether each has an effect"
