"""What the state of an image forbids: the same in use cases and in rehearsals.

Source: contract policy 6; api-images 12, 14, 16 and 20.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from imagereg.errors import (
    Forbidden,
    ImageProtected,
    ImageRegError,
    MemberNotFound,
    StatusForbids,
)
from imagereg.model import Caller, Image, Status, Visibility
from imagereg.policy.actions import Action
from imagereg.policy.rules import RuleSet
from imagereg.rehearsal.questions import (
    Answer,
    Question,
    Rehearsal,
    Stage,
    StoredSubject,
    actions_for,
)
from imagereg.states import check, refusal
from tests.registry import LocalRegistry
from tests.registry import replace as replacing

ACTIVE = Image("i", 0, 0, owner="p", visibility=Visibility.SHARED, status=Status.ACTIVE)
CALLER = Caller(user_id="u", project_id="p", roles=frozenset({"member", "reader"}))

PRIVATE = replace(ACTIVE, visibility=Visibility.PRIVATE)
QUEUED = replace(ACTIVE, status=Status.QUEUED)
PROTECTED = replace(ACTIVE, protected=True)
OUT_OF_USE = replace(ACTIVE, status=Status.DEACTIVATED)

MEMBERS = (
    *(Action.GET_MEMBERS, Action.ADD_MEMBER),
    *(Action.MODIFY_MEMBER, Action.DELETE_MEMBER),
)
#: Action, image -> what an ordinary caller is told.
REFUSED: list[tuple[Action, Image, type[ImageRegError], str]] = [
    *(
        (each, PRIVATE, Forbidden, "only shared images have members")
        for each in MEMBERS
    ),
    (Action.GET_MEMBER, PRIVATE, MemberNotFound, "image `i` has no member `p`"),
    (
        *(Action.DELETE_IMAGE, PROTECTED, ImageProtected),
        "image i is protected and cannot be deleted",
    ),
    *(
        (each, OUT_OF_USE, StatusForbids, "the requested image has been deactivated")
        for each in (Action.DOWNLOAD_IMAGE, Action.DOWNLOAD_FROM_STORE)
    ),
    (
        *(Action.DEACTIVATE, QUEUED, StatusForbids),
        "an image that is queued cannot become deactivated",
    ),
    (
        *(Action.REACTIVATE, QUEUED, StatusForbids),
        "an image that is queued cannot become active",
    ),
]


@pytest.mark.parametrize(("action", "image", "kind", "told"), REFUSED)
def test_a_state_refuses(
    action: Action, image: Image, kind: type[ImageRegError], told: str
) -> None:
    found = refusal(CALLER, action, image, "p")

    assert (type(found), str(found)) == (kind, told)
    with pytest.raises(kind):
        check(CALLER, action, image)


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("image", [ACTIVE, PRIVATE, QUEUED, PROTECTED, OUT_OF_USE])
def test_no_other_state_refuses(action: Action, image: Image) -> None:
    known = any(row[:2] == (action, image) for row in REFUSED)

    assert (refusal(CALLER, action, image) is not None) is known


def test_administrators_read_what_is_out_of_use_and_delete_nothing_protected() -> None:
    admin = replace(CALLER, is_admin=True)

    assert refusal(admin, Action.DOWNLOAD_IMAGE, OUT_OF_USE) is None
    assert refusal(admin, Action.DELETE_IMAGE, PROTECTED) is not None


# The owner is no member, and ownership refuses to answer for one before the state does.
@pytest.mark.parametrize(
    ("action", "image", "kind", "told"),
    [row for row in REFUSED if row[0] != Action.MODIFY_MEMBER],
)
def test_a_rehearsal_is_refused_alike(
    action: Action, image: Image, kind: type[ImageRegError], told: str
) -> None:
    open_rules = {str(each): "" for each in Action}
    rules = RuleSet.from_texts({**open_rules, "context_is_admin": "!"})
    subject = StoredSubject(image)
    question = Question(CALLER, actions_for(action), subject)

    found = Rehearsal.of(rules).ask(question)

    hidden = issubclass(kind, MemberNotFound)
    assert found.stage is Stage.STATE
    assert found.answer is (Answer.HIDDEN if hidden else Answer.FORBIDDEN)
    assert found.message == told


def test_a_service_refuses_alike(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path)
    owner = registry.client()
    image_id = str(owner.create(protected=True)["id"])
    path = f"/v2/images/{image_id}"
    asked = {
        ("DELETE", ""): Action.DELETE_IMAGE,
        ("GET", "/members"): Action.GET_MEMBERS,
        ("GET", "/members/p"): Action.GET_MEMBER,
    }
    assert owner.patch(image_id, replacing("visibility", "private")).status == 200

    image = replace(PRIVATE, id=image_id, protected=True)
    for (method, rest), action in asked.items():
        answer = owner.request(method, path + rest)
        wanted = refusal(CALLER, action, image, "p")

        assert wanted is not None
        assert answer.status == (404 if action == Action.GET_MEMBER else 403)
        assert str(wanted) in answer.body.decode().replace("&#x27;", "'")
    registry.close()
