"""The gate, asked directly: what no request of `tests/api` shows by itself.

Source: contract policy 4 and 6, property-protection 2.2 and 4.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagereg.access import Gate, Grant
from imagereg.approved import Changes
from imagereg.errors import (
    ActionDenied,
    Forbidden,
    ImageNotFound,
    NotOwner,
    PropertyReserved,
)
from imagereg.metadef_model import Namespace
from imagereg.model import (
    Caller,
    Image,
    Location,
    MemberStatus,
    Operation,
    PlaceChanges,
    Visibility,
)
from imagereg.policy.actions import Action
from imagereg.policy.enforcer import Enforcer
from imagereg.protection.guard import PropertyGuard
from imagereg.protection.rules import PolicyFacts
from imagereg.targets import ImageFields, NoTarget, StoredImage

OPEN = {"get_image": "", "modify_image": ""}
PLACE = Location("file:///x")
IMAGE = Image("id", 0, 0, owner="p", properties={"colour": "blue"})
CALLER = Caller(user_id="u", project_id="p", roles=frozenset({"member", "reader"}))


def gate(
    where: Path,
    rules: Mapping[str, str],
    protections: str | None = None,
    *,
    shows_locations: bool = False,
) -> Gate:
    """Return a gate of these rules and protections, which name policies."""
    (where / "policy.json").write_text(json.dumps({**OPEN, **rules}))
    policy = Enforcer.from_files(where / "policy.json")
    path = None
    if protections is not None:
        path = where / "protections.conf"
        path.write_text(protections)

    def check(rule: str) -> PolicyFacts:
        compiled = policy.rules.compile(rule if ":" in rule else f"rule:{rule}")
        return PolicyFacts(
            compiled.fields, reads_whole_target=compiled.reads_whole_target
        )

    guard = PropertyGuard.from_file(path, "policies", check)
    return Gate(policy, guard, shows_locations=shows_locations)


def section(pattern: str, rule: str) -> str:
    """Return a section that asks one policy for everything."""
    keys = ("create", "read", "update", "delete")
    return f"[{pattern}]\n" + "".join(f"{key} = {rule}\n" for key in keys)


def grant(door: Gate, image: Image = IMAGE, caller: Caller = CALLER) -> Grant:
    """Return the grant to show an image."""
    return door.authorize(caller, (Action.GET_IMAGE,), StoredImage(image))


def test_what_opens_the_way_is_not_what_is_granted(tmp_path: Path) -> None:
    door = gate(tmp_path, {"get_members": ""})

    given = door.authorize(
        CALLER, (Action.GET_IMAGE, Action.GET_MEMBERS), StoredImage(IMAGE)
    )

    assert given.action == Action.GET_MEMBERS


def test_a_grant_for_nothing_has_no_image(tmp_path: Path) -> None:
    empty = gate(tmp_path, {}).authorize(CALLER, (Action.DISCOVER,), NoTarget())

    with pytest.raises(TypeError):
        _ = empty.image
    with pytest.raises(TypeError):
        _ = empty.namespace


def test_a_grant_tells_whether_more_is_allowed(tmp_path: Path) -> None:
    found = grant(gate(tmp_path, {"publicize_image": "!"}))

    assert found.allows(Action.MODIFY_IMAGE)
    assert not found.allows(Action.PUBLICIZE_IMAGE)


def test_an_owner_does_not_answer_for_a_member(tmp_path: Path) -> None:
    found = grant(gate(tmp_path, {}))

    found.check_own_membership("p")
    with pytest.raises(NotOwner):
        found.check_own_membership("another")


@pytest.mark.parametrize(
    ("rule", "shown"),
    [
        ("", 3),
        ("'blue':%(colour)s", 2),
        ("project_id:%(owner)s", 2),
        ("not 'blue':%(colour)s", 1),
    ],
)
def test_rows_are_judged_by_what_the_rule_reads(
    tmp_path: Path, rule: str, shown: int
) -> None:
    door = gate(tmp_path, {"get_image": rule})
    listing = door.authorize(CALLER, (Action.DISCOVER,), NoTarget())
    other = Image("o", 0, 0, owner="q", visibility=Visibility.PUBLIC)
    rows: list[tuple[Image, MemberStatus | None]] = [
        (IMAGE, None),
        (IMAGE, None),
        (other, None),
    ]

    assert len(list(listing.views(rows))) == shown


def test_a_rule_does_not_read_what_its_caller_cannot(tmp_path: Path) -> None:
    protections = section("^colour$", "context_is_admin") + section(".*", "@")
    door = gate(tmp_path, {"get_image": "not 'red':%(colour)s"}, protections)

    fields = door.fields(CALLER, StoredImage(IMAGE))

    assert "colour" not in dict(fields)
    assert dict(ImageFields(IMAGE, CALLER, lambda name: True))["colour"] == "blue"
    assert len(fields) == len(dict(fields))


def test_a_protection_may_ask_for_the_owner(tmp_path: Path) -> None:
    own = "'p':%(owner)s or role:nobody"
    door = gate(tmp_path, {"own": own}, section(".*", "own"))
    foreign = Image("f", 0, 0, owner=None, properties={"colour": "blue"})

    found = grant(door)

    assert found.view(IMAGE).image.properties == {"colour": "blue"}
    assert found.view(foreign).image.properties == {}
    assert found.hidden(foreign) == {"colour"}
    # A filter is decided before there is an image whose owner could be asked for.
    assert not found.may_read("colour")
    assert found.may_read("os_glance_x")


def test_one_gate_answers_by_one_set_of_rules(tmp_path: Path) -> None:
    protections = section(".*", "mine")
    door = gate(tmp_path, {"mine": "role:reader"}, protections)
    old = door.settled()
    during = grant(old)

    (tmp_path / "policy.json").write_text(
        json.dumps({**OPEN, "mine": "role:other", "publicize_image": "role:reader"})
    )
    (tmp_path / "protections.conf").write_text(
        section("^colour$", "@") + section(".*", "mine")
    )
    new = door.settled()

    assert not during.allows(Action.PUBLICIZE_IMAGE)
    assert [during.may_read(name) for name in ("colour", "size_of")] == [True, True]
    assert [grant(old).may_read(name) for name in ("colour", "size_of")] == [True, True]
    assert grant(new).allows(Action.PUBLICIZE_IMAGE)
    assert [grant(new).may_read(name) for name in ("colour", "size_of")] == [
        True,
        False,
    ]
    assert door.settled() is new


def test_rules_and_protections_change_as_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = gate(tmp_path, {"mine": "role:reader"}, section(".*", "mine"))
    old = door.settled()
    between: list[Gate] = []

    def refresh(changed: bool) -> bool:
        between.append(door.settled())
        return PropertyGuard.refresh(door.guard, changed)

    (tmp_path / "policy.json").write_text(json.dumps({**OPEN, "mine": "role:other"}))
    monkeypatch.setattr(door.guard, "refresh", refresh)
    new = door.settled()

    # The new rules were read already, the protections were not.
    assert between == [old]
    assert new is not old


def test_what_reveals_locations_holds_for_every_set_of_rules(tmp_path: Path) -> None:
    found = gate(tmp_path, {"get_image_location": ""}, shows_locations=True).settled()

    assert found.visible_locations(CALLER, IMAGE, (PLACE,)) == (PLACE,)


@pytest.mark.parametrize(("explain", "told"), [("", True), ("!", False)])
def test_a_refusal_tells_its_section_to_whom_a_rule_admits(
    tmp_path: Path, explain: str, told: bool
) -> None:
    protections = section("^colour$", "context_is_admin") + section(".*", "@")
    door = gate(tmp_path, {"explain_denial": explain}, protections)

    with pytest.raises(PropertyReserved) as refused:
        grant(door).approve_new(IMAGE)

    assert ("^colour$" in refused.value.message) is told


def test_another_scope_is_told_what_is_missing(tmp_path: Path) -> None:
    door = gate(tmp_path, {"explain_denial": "!"})
    caller = Caller(user_id="u", system_scope="all", roles=frozenset({"admin"}))

    with pytest.raises(ActionDenied, match="project scope is required"):
        door.authorize(caller, (Action.GET_IMAGES,), NoTarget())


@pytest.mark.parametrize(
    ("places", "action"),
    [
        (PlaceChanges(added=(Location("u"),)), "set_image_location"),
        (PlaceChanges(edited=(Location("u"),)), "set_image_location"),
        (PlaceChanges(removed=(Location("u"),)), "delete_image_location"),
    ],
)
def test_changes_of_locations_are_asked_for(
    tmp_path: Path, places: PlaceChanges, action: str
) -> None:
    changes = Changes({}, {}, frozenset(), None, (), places)

    with pytest.raises(Forbidden, match=action):
        grant(gate(tmp_path, {action: "!"})).approve(changes)
    approved = grant(gate(tmp_path, {action: ""})).approve(changes)
    assert approved.before == IMAGE


def test_each_operation_on_a_property_is_asked_for(tmp_path: Path) -> None:
    protections = "[^a$]\ncreate = @\nread = @\nupdate = !\ndelete = @\n" + section(
        ".*", "@"
    )
    found = grant(gate(tmp_path, {}, protections))
    rights = ((Operation.CREATE, "a"), (Operation.CREATE, "b"), (Operation.DELETE, "a"))

    found.approve(Changes({}, {}, frozenset(), None, rights))
    with pytest.raises(PropertyReserved):
        found.approve(
            Changes({}, {}, frozenset(), None, (*rights, (Operation.UPDATE, "a")))
        )


def test_a_rule_that_asks_elsewhere_is_asked_for_each_image(tmp_path: Path) -> None:
    rule = "role:reader or http://127.0.0.1:1/never-asked"
    door = gate(tmp_path, {"get_image": rule})
    listing = door.authorize(CALLER, (Action.DISCOVER,), NoTarget())

    assert len(list(listing.views([(IMAGE, None), (IMAGE, None)]))) == 2


@pytest.mark.parametrize(("rule", "listed"), [("", True), ("!", False)])
def test_a_namespace_is_listed_to_whom_its_rule_admits(
    tmp_path: Path, rule: str, listed: bool
) -> None:
    door = gate(tmp_path, {"get_metadef_namespace": rule})
    listing = door.authorize(CALLER, (Action.DISCOVER,), NoTarget())

    assert listing.may_list(Namespace("id", "name", 0, 0, owner="p")) is listed


def test_a_grant_is_renewed_by_asking_everything_anew(tmp_path: Path) -> None:
    found = grant(gate(tmp_path, {}))

    assert found.renew(StoredImage(IMAGE)) == found
    with pytest.raises(ImageNotFound):
        found.renew(StoredImage(Image("id", 0, 0, owner="q")))
