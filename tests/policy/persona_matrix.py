"""The persona matrix of contract policy 8, as data: who may do what, by visibility.

For the tests of explanations and for those that ask a server.  Statuses are those
with built-in rules; where a ruling changes what the reference answers, the cell says
which, and holds the answer of this registry.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagereg.model import Caller
from imagereg.policy.actions import Action

OWNER, MEMBER, STRANGER = "owner-project", "member-project", "other-project"


def _caller(name: str, project: str, *roles: str) -> Caller:
    return Caller(user_id=name, project_id=project, roles=frozenset(roles))


PERSONAS = {
    "adm": _caller("adm", STRANGER, "admin", "member", "reader"),
    "own": _caller("own", OWNER, "member", "reader"),
    "rdr": _caller("rdr", OWNER, "reader"),
    "mbr": _caller("mbr", MEMBER, "member", "reader"),
    "oth": _caller("oth", STRANGER, "member", "reader"),
    "svc": _caller("svc", STRANGER, "service"),
}

#: Operation -> what it asks, in order.  The image is shared with `MEMBER` where its
#: visibility is ``shared``; "set member status" is asked for the caller's own entry.
OPERATIONS: dict[str, tuple[Action, ...]] = {
    "show": (Action.GET_IMAGE,),
    "download": (Action.DOWNLOAD_IMAGE,),
    "change the name": (Action.MODIFY_IMAGE,),
    "add a tag": (Action.MODIFY_IMAGE,),
    "deactivate": (Action.DEACTIVATE,),
    "make public": (Action.PUBLICIZE_IMAGE, Action.MODIFY_IMAGE),
    "make community": (Action.COMMUNITIZE_IMAGE, Action.MODIFY_IMAGE),
    "list members": (Action.GET_IMAGE, Action.GET_MEMBERS),
    "add member": (Action.GET_IMAGE, Action.ADD_MEMBER),
    "set member status": (Action.GET_IMAGE, Action.GET_MEMBER, Action.MODIFY_MEMBER),
    "remove member": (Action.GET_IMAGE, Action.GET_MEMBER, Action.DELETE_MEMBER),
    "get locations": (Action.FETCH_IMAGE_LOCATION,),
    "delete": (Action.DELETE_IMAGE,),
}

COLUMNS = {
    "private": ("adm", "own", "rdr", "oth", "svc"),
    "shared": ("adm", "own", "rdr", "mbr", "oth", "svc"),
    "public": ("adm", "own", "rdr", "oth", "svc"),
    "community": ("adm", "own", "rdr", "oth", "svc"),
}

# A trailing "*" marks an answer that ruling P-7 changes: 403 in the reference.
_TABLE = """
show              | 200 200 200 404 404 | 200 200 200 200 404 404 | 200 200 200 200 404
download          | 200 200 403 404 404 | 200 200 403 200 404 404 | 200 200 403 200 404
change the name   | 200 200 403 404 404 | 200 200 403 403 404 404 | 200 200 403 403 404
add a tag         | 204 204 403 404 404 | 204 204 403 403 404 404 | 204 204 403 403 404
deactivate        | 204 204 403 404 404 | 204 204 403 403 404 404 | 204 204 403 403 404
make public       | 200 403 403 404 404 | 200 403 403 403 404 404 | 200 403 403 403 404*
make community    | 200 200 403 404 404 | 200 200 403 403 404 404 | 200 200 403 403 404*
list members      | 403 403 403 404 404 | 200 200 200 200 404 404 | 403 403 403 403 404*
add member        | 403 403 403 404 404 | 200 200 403 403 404 404 | 403 403 403 403 404*
set member status | 403 403 403 404 404 | 200 403 403 200 404 404 | 403 403 403 403 404*
remove member     | 403 403 403 404 404 | 204 204 403 403 404 404 | 403 403 403 403 404*
get locations     | 200 403 403 404 404 | 200 403 403 403 404 404 | 200 403 403 403 200
delete            | 204 204 403 404 404 | 204 204 403 403 404 404 | 204 204 403 403 404
"""


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix.

    Attributes:
        status: of the HTTP answer.
        ruling: the one that makes it differ from the reference, empty where none.
    """

    operation: str
    visibility: str
    persona: str
    status: int
    ruling: str = ""

    @property
    def allowed(self) -> bool:
        return self.status < 400


def _read() -> Iterator[Cell]:
    for line in _TABLE.strip().splitlines():
        operation, private, shared, public = (part.strip() for part in line.split("|"))
        for visibility, texts in (
            ("private", private),
            ("shared", shared),
            ("public", public),
            ("community", public),
        ):
            for persona, text in zip(COLUMNS[visibility], texts.split(), strict=True):
                ruling = "P-7" if text.endswith("*") else ""
                status = int(text.rstrip("*"))
                yield Cell(operation, visibility, persona, status, ruling)


MATRIX = tuple(_read())
