"""Query string of a list -> what to list, and the links of the page.

Source: contract api-images 10; rulings D-12, D-13, D-15.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

from imagereg.db.listing import Condition, ListQuery
from imagereg.db.words import SORT_KEYS
from imagereg.errors import Invalid
from imagereg.model import Caller, MemberStatus, Visibility

Pairs = Sequence[tuple[str, str]]

#: Columns that hold whole numbers, which alone have ``_min`` and ``_max``.
NUMBERS = ("size", "virtual_size", "min_ram", "min_disk")

#: Filters that understand ``in:`` and ``eq:``.
CHOICES = ("name", "status", "id", "container_format", "disk_format")

#: Filters on a text that is equal or is not.
EXACT = ("checksum", "os_hash_algo", "os_hash_value", "owner")

#: Filters on a time, with an operator.
TIMES = ("created_at", "updated_at")

_TIME_OPERATORS = {
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "eq": "=",
    "neq": "<>",
}

#: Parameters that steer the list and filter nothing.
_CONTROL = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir", "deleted"})

#: More tags and properties than an image usually may have; each is one more level of
#: the statement, and SQLite takes 1000.
MOST_FILTERS = 300

#: Times and numbers beyond this fit no database column.
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ListRequest:
    """A list as a client asked for it.

    Attributes:
        query: everything but property filters and marker, which the catalog adds.
        properties: custom property filters; each must be readable to match.
        marker: id of the last image of the page before.
        pairs: the query string, in order.
    """

    query: ListQuery
    properties: dict[str, str]
    marker: str | None
    pairs: Pairs

    def link(self, marker: str | None) -> str:
        """Return the path of the first page, or of the page after ``marker``."""
        pairs = [pair for pair in self.pairs if pair[0] != "marker"]
        if marker is not None:
            pairs.append(("marker", marker))
        return f"/v2/images?{urlencode(pairs)}" if pairs else "/v2/images"


@dataclass(slots=True)
class _Filters:
    """Filters as they are collected."""

    conditions: list[Condition]
    properties: dict[str, str]
    tags: list[str]
    os_hidden: bool = False
    visibility: str | None = None
    member_status: MemberStatus | None = MemberStatus.ACCEPTED
    impossible: bool = False


def parse(
    query_string: str, caller: Caller, *, default: int, largest: int
) -> ListRequest:
    """Return what a list request asks for.

    A page has ``default`` rows when no limit is named, and ``largest`` at most.

    Raises:
        Invalid: a parameter's value is malformed.
    """
    pairs = _pairs(query_string)
    values = dict(pairs)
    filters = _Filters([], {}, [])
    # Of a repeated parameter the last one counts, tags apart.
    for name, value in values.items():
        if name not in _CONTROL:
            _filter(filters, name, value)
    tags = (value.strip() for name, value in pairs if name == "tag")
    filters.tags = list(dict.fromkeys(tags))
    count = len(filters.conditions) + len(filters.properties) + len(filters.tags)
    if count > MOST_FILTERS:
        raise Invalid(f"there may be {MOST_FILTERS} filters at most")
    query = ListQuery(
        project_id=caller.project_id,
        is_admin=caller.is_admin,
        limit=_limit(values.get("limit"), default, largest),
        visibility=filters.visibility,
        member_status=filters.member_status,
        os_hidden=filters.os_hidden,
        conditions=tuple(filters.conditions),
        tags=tuple(filters.tags),
        impossible=filters.impossible,
        sort=_sort(pairs),
    )
    return ListRequest(query, filters.properties, values.get("marker"), pairs)


def _pairs(query_string: str) -> Pairs:
    try:
        return parse_qsl(
            query_string, keep_blank_values=True, errors="strict", max_num_fields=1000
        )
    except UnicodeDecodeError as error:
        raise Invalid("the query string is not UTF-8") from error
    except ValueError as error:
        raise Invalid("the query string has too many parameters") from error


def _limit(text: str | None, default: int, largest: int) -> int:
    if text is None:
        return min(default, largest)
    return min(_whole("limit", text), largest)


def _whole(name: str, text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit():
        raise Invalid(f"`{name}` must be a whole number from 0")
    return min(int(digits.lstrip("0")[:25] or "0"), _LARGEST)


def _filter(filters: _Filters, name: str, value: str) -> None:
    """Add one filter of any kind."""
    if "\0" in name + value:
        filters.impossible = True
        return
    special = SPECIAL.get(name)
    if special is not None:
        special(filters, value)
    elif name in CHOICES:
        filters.conditions.append(_choice(name, value))
    elif name in TIMES:
        filters.conditions.append(_time(name, value))
    elif name in EXACT:
        filters.conditions.append(Condition(name, "=", (value,)))
    elif name in NUMBERS:
        _number_filter(filters, name, value)
    elif name.endswith(("_min", "_max")):
        filters.conditions.append(_bound(name, value))
    else:
        filters.properties[name] = value


def _visibility(filters: _Filters, value: str) -> None:
    if value == "":
        filters.impossible = True
    elif value != "all" and value not in tuple(Visibility):
        raise Invalid(f"`{value}` is not a visibility")
    filters.visibility = value or None


def _member_status(filters: _Filters, value: str) -> None:
    if value == "all":
        filters.member_status = None
    elif value in tuple(MemberStatus):
        filters.member_status = MemberStatus(value)
    else:
        raise Invalid(f"`{value}` is not a member status")


def _os_hidden(filters: _Filters, value: str) -> None:
    if value.lower() not in ("true", "false"):
        raise Invalid("`os_hidden` must be true or false")
    filters.os_hidden = value.lower() == "true"


def _protected(filters: _Filters, value: str) -> None:
    if value not in ("true", "false"):
        raise Invalid("`protected` must be true or false")
    filters.conditions.append(Condition("protected", "=", (value == "true",)))


def _changes_since(filters: _Filters, value: str) -> None:
    raise Invalid("`changes-since` is not supported: use updated_at=gte:TIME")


def _ignore(filters: _Filters, value: str) -> None:
    """Tags are collected apart, because each of them counts."""


#: Filters that are more than a comparison of one column.
SPECIAL: dict[str, Callable[[_Filters, str], None]] = {
    "visibility": _visibility,
    "member_status": _member_status,
    "os_hidden": _os_hidden,
    "protected": _protected,
    "changes-since": _changes_since,
    "tag": _ignore,
}


def _choice(name: str, value: str) -> Condition:
    operator, colon, rest = value.partition(":")
    if not colon:
        return Condition(name, "=", (value,))
    if operator == "eq":
        return Condition(name, "=", (rest,))
    if operator != "in":
        raise Invalid(f"`{operator}` is not an operator of filter `{name}`")
    return Condition(name, "IN", tuple(split_quoted(rest)))


def split_quoted(text: str) -> list[str]:
    """Return the elements of a comma list in which quotes protect commas.

    Empty elements vanish; a backslash protects a quote inside quotes.

    Raises:
        Invalid: quotes are unbalanced or in the middle of an element.
    """
    found: list[str] = []
    position = 0
    while position < len(text):
        if text[position] == '"':
            element, position = _quoted(text, position + 1)
            found.append(element)
            if position < len(text) and text[position] != ",":
                raise Invalid("a quoted element must be followed by a comma")
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            element = text[position:end]
            if '"' in element:
                raise Invalid("a quote must open and close an element")
            if element:
                found.append(element)
            position = end
        position += 1
    return found


def _quoted(text: str, position: int) -> tuple[str, int]:
    element = ""
    while position < len(text):
        if text[position] == "\\" and text[position + 1 : position + 2] == '"':
            element += '"'
            position += 2
        elif text[position] == '"':
            return element, position + 1
        else:
            element += text[position]
            position += 1
    raise Invalid("a quote is not closed")


def _time(name: str, value: str) -> Condition:
    operator, colon, rest = value.partition(":")
    if not colon or operator.isdigit() or "-" in operator:
        operator, rest = "eq", value
    if operator not in _TIME_OPERATORS:
        raise Invalid(f"`{operator}` is not an operator of filter `{name}`")
    return Condition(f"{name}_us", _TIME_OPERATORS[operator], (_moment(name, rest),))


def _moment(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise Invalid(f"`{text}` is not a time for filter `{name}`") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except OverflowError as error:
        raise Invalid(f"`{text}` is not a time for filter `{name}`") from error
    return since // timedelta(microseconds=1)


def _number(name: str, text: str) -> int:
    try:
        number = int(text[:25])
    except ValueError as error:
        raise Invalid(f"filter `{name}` must be an integer") from error
    return max(-_LARGEST, min(number, _LARGEST))


def _number_filter(filters: _Filters, name: str, value: str) -> None:
    try:
        filters.conditions.append(Condition(name, "=", (_number(name, value),)))
    except Invalid:
        # The reference compares as text, so what is no number matches nothing.
        filters.impossible = True


def _bound(name: str, value: str) -> Condition:
    column, _, which = name.rpartition("_")
    if column not in NUMBERS:
        raise Invalid(f"`{column}` is not a number, so there is no filter `{name}`")
    return Condition(column, ">=" if which == "min" else "<=", (_number(name, value),))


def _sort(pairs: Pairs) -> tuple[tuple[str, bool], ...]:
    """Return the sort order, down to the id, as contract api-images 10.2 has it."""
    combined = [value for name, value in pairs if name == "sort"]
    keys = [value.strip() for name, value in pairs if name == "sort_key"]
    directions = [value.strip() for name, value in pairs if name == "sort_dir"]
    if combined and (keys or directions):
        raise Invalid("`sort` cannot be combined with `sort_key` and `sort_dir`")
    if combined:
        keys, directions = _combined(combined[-1])
    for key in keys:
        if key not in SORT_KEYS:
            raise Invalid(f"`{key}` is not a sort key")
    if any(direction not in ("asc", "desc") for direction in directions):
        raise Invalid("a sort direction must be asc or desc")
    keys = keys or ["created_at"]
    if len(directions) > 1 and len(directions) != len(keys):
        raise Invalid("there must be one sort direction, or one for each sort key")
    rest = directions[0] if len(directions) == 1 else "desc"
    each = directions if len(directions) > 1 else [rest] * len(keys)
    order = dict(zip(reversed(keys), reversed(each), strict=True))
    named = {key: order[key] for key in dict.fromkeys(keys)}
    for tie in ("created_at", "id"):
        named.setdefault(tie, rest)
    return tuple((key, direction == "asc") for key, direction in named.items())


def _combined(text: str) -> tuple[list[str], list[str]]:
    keys, directions = [], []
    for part in text.split(","):
        key, _, direction = part.partition(":")
        keys.append(key.strip())
        directions.append(direction.strip() if ":" in part else "desc")
    return keys, directions
