"""What about a caller could matter, and the smallest sets of it."""

import math

import pytest

from imagereg.model import Caller
from imagereg.policy.changes import (
    CallerChange,
    find_smallest,
    suggest_changes,
    suggest_for,
)
from imagereg.policy.language import parse
from imagereg.policy.rules import RuleSet

CALLER = Caller(user_id="u", project_id="p", roles=frozenset({"reader"}))


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("role:Admin", ["give the caller role `admin`"]),
        ("not role:reader", ["take role `reader` from the caller"]),
        ("roles:x", ["give the caller role `x`"]),
        ("service_roles:x", ["give the caller's service role `x`"]),
        ("tenant:%(owner)s", ["let the caller act in project `o`"]),
        ("user:v", ["let the caller's user_id be `v`"]),
        ("system:all", ["let the caller's system_scope be `all`"]),
        *(
            (f"{name}:x", [f"let the caller's {name} be `x`"])
            for name in (
                *("user_name", "user_domain_id", "user_domain_name"),
                *("project_name", "project_domain_id", "project_domain_name"),
                *("domain_id", "domain_name"),
                *("service_user_id", "service_user_domain_id"),
                *("service_project_id", "service_project_domain_id"),
            )
        ),
        ("user_id:u", ["let the caller have no user_id"]),
        ("role:%(nothing)s", []),
        ("role:%(gone)s", []),
        ("role:%(owner)d", []),
        ("is_admin:True", []),
        ("a.b:c", []),
        ("'a':%(owner)s", []),
        ("@", []),
    ],
)
def test_leaves_name_what_they_would_notice(rule: str, changes: list[str]) -> None:
    found = suggest_for(parse(rule), CALLER, {"owner": "o", "nothing": None})

    assert [*map(str, found)] == changes


@pytest.mark.parametrize("size", [math.nan, math.inf])
def test_a_value_that_fills_no_hole_suggests_nothing(size: float) -> None:
    assert [*suggest_for(parse("role:%(size)d"), CALLER, {"size": size})] == []


def test_rules_are_followed_and_administrators_come_last() -> None:
    rules = RuleSet.from_texts(
        {
            "context_is_admin": "role:root",
            "it": "rule:context_is_admin or rule:gone or rule:a or rule:a",
            "a": "role:x",
        },
        default_rule="none",
    )
    caller = Caller(system_scope="all", domain_id="d")

    found = suggest_changes(rules, ("it",), caller, {})

    assert suggest_changes(rules, ("gone",), Caller(), {}) == found[1:2]
    assert [*map(str, found)] == [
        "give the caller role `x`",
        "give the caller role `root`",
        "let the caller have no domain_id",
        "let the caller have no system_scope",
    ]


def test_a_rule_that_is_referred_to_again_and_again_is_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Followed each time, this would double with each rule.
    chain = {f"r{one}": f"rule:r{one + 1} or rule:r{one + 1}" for one in range(15)}
    rules = RuleSet.from_texts({**chain, "r15": "role:x"}, default_rule=None)
    asked: list[str] = []

    def resolve(rules: RuleSet, name: str) -> str | None:
        asked.append(name)
        return name if name in rules else None

    monkeypatch.setattr(RuleSet, "resolve", resolve)
    found = suggest_changes(rules, ["r0"], Caller(), {})

    assert found == (CallerChange("roles", "x"),)
    assert len(asked) <= 2 * len(chain) + 2


@pytest.mark.parametrize(
    ("change", "caller"),
    [
        (CallerChange("roles", "x"), Caller(roles=frozenset({"x", "y"}))),
        (CallerChange("roles", "y", gain=False), Caller()),
        (
            CallerChange("project_id", "p"),
            Caller(roles=frozenset({"y"}), project_id="p"),
        ),
    ],
)
def test_a_change_is_applied(change: CallerChange, caller: Caller) -> None:
    assert change.apply(Caller(roles=frozenset({"y"}))) == caller


def test_a_caller_can_show_who_it_is() -> None:
    change = CallerChange("read_only", None)

    assert change.apply(Caller(read_only=True)).read_only is False
    assert str(change) == "let the caller show who it is"


def test_the_smallest_sets_come_first_and_hold_nothing_needless() -> None:
    def works(chosen: tuple[int, ...]) -> bool:
        return 1 in chosen or {3, 4} <= {*chosen}

    assert find_smallest((1, 2, 3, 4), works) == ((1,), (3, 4))


def test_sets_of_three_are_tried_and_none_of_four() -> None:
    tried: list[int] = []

    def works(chosen: tuple[int, ...]) -> bool:
        tried.append(len(chosen))
        return False

    find_smallest(range(5), works)

    assert {*tried} == {1, 2, 3}


def test_the_search_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagereg.policy.changes.MOST_TRIES", 5)
    tried: list[tuple[int, ...]] = []

    def works(chosen: tuple[int, ...]) -> bool:
        tried.append(chosen)
        return chosen == (1,)

    assert find_smallest(range(100), works) == ((1,),)
    assert len(tried) == 5


def test_of_long_rules_fewer_changes_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imagereg.policy.changes.MOST_ASKED", 12)
    tried: list[tuple[int, ...]] = []

    def works(chosen: tuple[int, ...]) -> bool:
        tried.append(chosen)
        return False

    assert find_smallest(range(100), works, size=4) == ()
    assert len(tried) == 3
    # What is not known counts as one check.
    assert find_smallest(range(100), works) == ()
    assert len(tried) == 3 + 12
