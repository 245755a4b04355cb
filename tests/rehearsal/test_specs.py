"""Callers and images as people write them."""

from pathlib import Path

import pytest

from imagereg.errors import Invalid
from imagereg.model import Caller, MemberStatus, Status, Visibility
from imagereg.rehearsal.personas import PERSONAS
from imagereg.rehearsal.specs import image_from, parse_caller, parse_image


@pytest.mark.parametrize(
    ("text", "caller"),
    [
        ("", Caller()),
        ("own", PERSONAS["own"]),
        (
            "roles=Member, reader,project=p1",
            Caller(roles=frozenset({"member", "reader"}), project_id="p1"),
        ),
        (
            "tenant=p;user=u;service_roles=service",
            Caller(user_id="u", project_id="p", service_roles=frozenset({"service"})),
        ),
        ("anonymous=true", Caller(read_only=True)),
        ("is_admin_project=False", Caller(is_admin_project=False)),
    ],
)
def test_callers(text: str, caller: Caller) -> None:
    assert parse_caller(text) == caller


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("member", "`member` is not NAME=VALUE"),
        ("role=x", "a caller has no `role`; did you mean `roles`?"),
        (
            "is_admin=True",
            "a caller has no `is_admin`",
        ),
        ("anonymous=maybe", "`anonymous` is true or false, not `maybe`"),
    ],
)
def test_what_no_caller_has(text: str, fault: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_caller(text)

    assert caught.value.message == fault


def test_an_image_as_the_api_shows_it(tmp_path: Path) -> None:
    path = tmp_path / "image.json"
    path.write_text(
        '{"id": "i", "name": null, "owner": "p", "visibility": "shared", "size": 5,'
        ' "tags": ["a"], "self": "/v2", "x_secret": "1", "properties": {"y": 2},'
        ' "protected": true, "status": "queued", "members": {"m": "pending"}}'
    )

    found = parse_image(str(path))

    image = found.image
    assert (image.id, image.name, image.owner, image.size) == ("i", None, "p", 5)
    assert (image.status, image.visibility) == (Status.QUEUED, Visibility.SHARED)
    assert (image.tags, image.protected) == (("a",), True)
    assert image.properties == {"x_secret": "1", "y": 2}
    assert found.members == {"m": MemberStatus.PENDING}


def test_an_image_in_place() -> None:
    found = parse_image("owner=p,visibility=public,members=a,b,tags=x,y")

    assert found.image.owner == "p"
    assert found.image.tags == ("x", "y")
    assert {*found.members} == {"a", "b"}


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"status": "new"}, "an image cannot have 'new' is not a valid Status"),
        ({"members": 5}, "`members` is a list of projects, or maps them to a status"),
        ({"members": {"a": "b"}}, "a member cannot be so: 'b' is not a valid"),
        ({"min_disk": "x"}, "`min_disk` is a whole number, not `x`"),
    ],
)
def test_what_no_image_has(spec: dict[str, object], fault: str) -> None:
    with pytest.raises(Invalid) as caught:
        image_from(spec)

    assert caught.value.message.startswith(fault)


def test_roles_are_a_list() -> None:
    with pytest.raises(Invalid):
        parse_image("policies")
    from imagereg.rehearsal.specs import caller_from

    with pytest.raises(Invalid) as caught:
        caller_from({"roles": 5})
    assert caught.value.message == "`roles` is a list of role names"
    assert caller_from({"project": None}) == Caller()


def test_a_file_without_an_image(tmp_path: Path) -> None:
    path = tmp_path / "image.yaml"
    path.write_text("- a")

    with pytest.raises(Invalid) as caught:
        parse_image(str(path))

    assert caught.value.message == "`image.yaml` holds no image"
