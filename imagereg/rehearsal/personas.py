"""Callers and images that tables are made of.

Source: contract policy 8.
"""

from collections.abc import Mapping
from types import MappingProxyType

from imagereg.metadef_model import Namespace
from imagereg.model import Caller, Image, MemberStatus, Status, Visibility
from imagereg.policy.actions import Action
from imagereg.rehearsal.questions import (
    NewSubject,
    SameSubject,
    StoredSubject,
    Subject,
)
from imagereg.targets import AllNamespaces, OwnProject, StoredNamespace

OWNER, MEMBER, STRANGER = "owner-project", "member-project", "other-project"
IMAGE_ID = "11111111-2222-3333-4444-555555555555"
_USUAL = ("member", "reader")


def make_caller(name: str, project: str | None, *roles: str) -> Caller:
    """Return a caller of that user name."""
    return Caller(user_id=name, project_id=project, roles=frozenset(roles))


#: What people call them -> who they are.
PERSONAS: Mapping[str, Caller] = MappingProxyType(
    {
        "adm": make_caller("adm", STRANGER, "admin", *_USUAL),
        "own": make_caller("own", OWNER, *_USUAL),
        "rdr": make_caller("rdr", OWNER, "reader"),
        "mbr": make_caller("mbr", MEMBER, *_USUAL),
        "oth": make_caller("oth", STRANGER, *_USUAL),
        "svc": make_caller("svc", STRANGER, "service"),
    }
)

#: The same in a few words, for the legend of a table.
LEGEND: Mapping[str, str] = MappingProxyType(
    {
        "adm": "administrator of another project",
        "own": "member and reader of the owning project",
        "rdr": "reader of the owning project",
        "mbr": "member and reader of a project that the image is shared with",
        "oth": "member and reader of an unrelated project",
        "svc": "another service of the cloud",
    }
)

#: Names that govern nothing by themselves: building blocks, and those that no
#: request asks any more.
UNASKED = frozenset(
    {
        *(Action.DEFAULT, Action.CONTEXT_IS_ADMIN, Action.SERVICE_API),
        *(Action.METADEF_DEFAULT, Action.METADEF_ADMIN),
        *(Action.GET_TASK, Action.GET_TASKS, Action.ADD_TASK, Action.MODIFY_TASK),
        *(Action.DISCOVER, Action.EXPLAIN_DENIAL),
    }
)

#: Actions whose target is empty.  Source: contract policy 4.
_ON_NOTHING = frozenset(
    {
        *(Action.CACHE_LIST, Action.CACHE_CLEAN, Action.CACHE_PRUNE),
        *(Action.MANAGE_IMAGE_CACHE, Action.TASKS_API_ACCESS),
        *(Action.STORES_INFO_DETAIL, Action.LIST_CACHED_NODES),
        *UNASKED,
    }
)
_OWN_PROJECT = frozenset({Action.GET_IMAGES, Action.ADD_METADEF_NAMESPACE})
_ALL_NAMESPACES = frozenset(
    {Action.GET_METADEF_NAMESPACES, Action.LIST_METADEF_RESOURCE_TYPES}
)


def make_image(visibility: str, owner: str | None = OWNER) -> StoredSubject:
    """Return an active image; one that is shared is shared with the member."""
    image = Image(
        id=IMAGE_ID,
        created_at_us=0,
        updated_at_us=0,
        status=Status.ACTIVE,
        visibility=Visibility(visibility),
        owner=owner,
    )
    shared = {MEMBER: MemberStatus.ACCEPTED}
    return StoredSubject(image, shared if visibility == Visibility.SHARED else {})


def visibilities(action: Action) -> tuple[str, ...]:
    """Return the visibilities that a table tells apart for this action."""
    if action == Action.ADD_IMAGE:
        return ()
    if action in _ON_NOTHING | _OWN_PROJECT | _ALL_NAMESPACES:
        return ()
    if "_metadef_" in action:
        return (Visibility.PRIVATE, Visibility.PUBLIC)
    return tuple(Visibility)[::-1]


def subject_for(action: Action, visibility: str = Visibility.PRIVATE) -> Subject:
    """Return what the action is done to in a table."""
    if action in _ON_NOTHING:
        return SameSubject()
    if action in _OWN_PROJECT:
        return SameSubject(OwnProject())
    if action in _ALL_NAMESPACES:
        return SameSubject(AllNamespaces())
    if action == Action.ADD_IMAGE:
        return NewSubject()
    if "_metadef_" in action:
        return SameSubject(StoredNamespace(_make_namespace(visibility)))
    return make_image(visibility)


def _make_namespace(visibility: str) -> Namespace:
    return Namespace(
        id=IMAGE_ID,
        name="namespace",
        created_at_us=0,
        updated_at_us=0,
        visibility=Visibility(visibility),
        owner=OWNER,
    )
