"""Query string of a list of tasks -> what to list, and the links of the page.

Source: contract api-images 24.
"""

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from imagereg.api.schemas import UUID
from imagereg.db.tasks import TaskQuery
from imagereg.errors import Invalid
from imagereg.model import TaskStatus, TaskType

#: Name in a query -> column.
SORT_KEYS = {
    "created_at": "created_at_us",
    "updated_at": "updated_at_us",
    "expires_at": "expires_at_us",
    **{
        name: name
        for name in (
            *("id", "type", "status", "owner", "image_id"),
            *("request_id", "user_id", "input", "result", "message"),
        )
    },
}

_EXACT = ("id", "owner", "image_id", "request_id", "user_id", "message")


@dataclass(frozen=True, slots=True)
class TaskList:
    """A list as a client asked for it.

    Attributes:
        marker: id of the last task of the page before.
        pairs: the query string, in order.
    """

    query: TaskQuery
    marker: str | None
    pairs: tuple[tuple[str, str], ...]

    def link(self, marker: str | None) -> str:
        """Return the path of the first page, or of the page after ``marker``."""
        pairs = [pair for pair in self.pairs if pair[0] != "marker"]
        if marker is not None:
            pairs.append(("marker", marker))
        return f"/v2/tasks?{urlencode(pairs)}" if pairs else "/v2/tasks"


def parse(text: str, *, default: int, largest: int) -> TaskList:
    """Return what a query string asks for.

    Args:
        text: without the question mark.
        default: rows of a page when the client names no limit.
        largest: rows of a page at most.

    Raises:
        Invalid: a parameter is malformed.
    """
    pairs = tuple(parse_qsl(text, keep_blank_values=True))
    given = dict(pairs)
    marker = given.get("marker")
    if marker is not None and not UUID.fullmatch(marker):
        raise Invalid(f"marker `{marker}` is not the id of a task")
    query = TaskQuery(
        limit=min(_limit(given.get("limit"), default), largest),
        filters=_filters(given),
        sort_key=_choice(given, "sort_key", SORT_KEYS, "created_at"),
        descending=_choice(given, "sort_dir", {"asc": "", "desc": "x"}, "desc") == "x",
    )
    return TaskList(query, marker, pairs)


def _limit(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Invalid("limit must be a whole number")
    return int(text)


def _filters(given: dict[str, str]) -> dict[str, str]:
    filters = {name: given[name] for name in _EXACT if name in given}
    status, kind = given.get("status"), given.get("type")
    if status:
        if status not in {*TaskStatus}:
            raise Invalid(f"`{status}` is not the status of a task")
        filters["status"] = status
    if kind is not None:
        if kind != TaskType.IMPORT:
            raise Invalid(f"`{kind}` is not a type of tasks to filter by")
        filters["type"] = kind
    return filters


def _choice(
    given: dict[str, str], name: str, choices: dict[str, str], default: str
) -> str:
    value = given.get(name, default)
    if value not in choices:
        raise Invalid(f"{name} `{value}` is not known")
    return choices[value]
