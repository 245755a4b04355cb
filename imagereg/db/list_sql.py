"""The statements of lists: which way to a page is short, and how it is written.

Three ways lead to a page.  *Walk* goes through one index per branch in the wanted
order and stops at the limit; filters are tried on the way.  *Gather* collects what
few images pass a filter and sorts those.  *Follow* goes through the images that have
a property or tag, by age.  A probe that stops after `RARE` entries of an index says
whether few images pass; statistics of the engine are not asked, so that no plan turns
over night.

A filter that is not to choose the index is written in words which no index has; the
planner would otherwise take whichever it fancies.

Source: contract api-images 10.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from imagereg.db.derived import REPEATED
from imagereg.db.list_marker import Clause, after, beyond
from imagereg.db.listing import Branch, Condition, ListQuery, branches, sight
from imagereg.db.models import HEAD
from imagereg.db.rows import select
from imagereg.db.words import BY_ID, SORT_KEYS

Statement = tuple[str, list[object]]

#: Up to so many images, what passes a filter is collected and sorted; beyond, a walk
#: soon finds enough of it.
RARE = 1000

#: Up to so many values, a choice is one range of an index for each of them.
MOST_VALUES = 8

#: Age and id of images that have something, from its index.
_AGE = ("h.created_at_us", "h.image_id")

#: Conditions of which one may lead to images, the sharpest first.
_SHARP = (
    *("id", "name", "size", "updated_at", "created_at"),
    *("disk_format", "container_format", "status"),
)


@dataclass(frozen=True, slots=True)
class Having:
    """Images that have one property of one value, or one tag.

    Attributes:
        table: where that is written.
        clause: which rows of it, as ``h``.
    """

    table: str
    clause: str
    parameters: tuple[object, ...]


def wanted(query: ListQuery) -> list[Having]:
    """Return the properties and tags that images must have."""
    properties = [_property(name, value) for name, value in query.properties]
    tags = [Having("image_tags", "h.tag = ?", (tag,)) for tag in query.tags]
    return properties + tags


def _property(name: str, value: str) -> Having:
    clause, parameters = "h.name = ? AND h.head = ?", (name, value[:HEAD])
    if len(value) < HEAD:
        # The head is all of it, and the index says it without the row.
        return Having("image_properties", clause, parameters)
    return Having("image_properties", f"{clause} AND h.value = ?", (*parameters, value))


class _Text:
    """Clauses of one WHERE and the parameters they use, in the order of the text."""

    def __init__(self) -> None:
        self.clauses: list[str] = []
        self.parameters: list[object] = []

    def add(self, clause: str, *parameters: object) -> None:
        self.clauses.append(clause)
        self.parameters.extend(parameters)

    def add_all(self, clauses: Iterable[Clause]) -> None:
        for text, *parameters in clauses:
            self.add(text, *parameters)

    def __str__(self) -> str:
        return " AND ".join(self.clauses) or "1 = 1"


def bound_sql(query: ListQuery, having: Having) -> Statement:
    """Return the statement for the `RARE`-th image that has a property or tag.

    It has no row when fewer have it.  In a list by age they are counted from the
    marker on, in the order of the list.
    """
    where = _Text()
    where.add(having.clause, *having.parameters)
    way = "ASC" if query.order[0][1] else "DESC"
    if query.by_age:
        where.add_all(after(query, _AGE))
    sql = (
        f"SELECT h.created_at_us FROM {having.table} AS h WHERE {where}"  # noqa: S608 - every part is written here; values are parameters
        f" ORDER BY h.created_at_us {way}, h.image_id {way} LIMIT 1 OFFSET ?"
    )
    return sql, [*where.parameters, RARE]


def served(query: ListQuery) -> Condition | None:
    """Return the sharpest condition by which an index can be walked in order."""
    first = query.order[0][0]

    def serves(each: Condition) -> bool:
        if each.operator not in ("=", "IN"):
            return each.key == first
        few = len(each.values) <= MOST_VALUES
        return few and (query.by_age or each.key == first)

    return _sharpest([each for each in query.conditions if serves(each)])


def gathered(query: ListQuery) -> Condition | None:
    """Return the condition that may lead to few images, where none is served."""
    return None if served(query) else _sharpest(query.conditions)


def _sharpest(conditions: Sequence[Condition]) -> Condition | None:
    usable = [each for each in conditions if each.key and each.operator != "<>"]
    return min(usable, key=lambda each: _SHARP.index(str(each.key)), default=None)


def count_sql(query: ListQuery, lead: Condition) -> Statement:
    """Return the statement that counts what passes ``lead``, up to `RARE` and one."""
    texts: list[str] = []
    parameters: list[object] = []
    for branch in branches(query):
        where = _of_branch(query, branch)
        _conditions(query, branch, where, lead, alone=True)
        text = f"SELECT i.id FROM {branch.table} AS i WHERE {where}"  # noqa: S608 - as above
        parameters += where.parameters
        if not query.words.stops_unions:
            text = f"SELECT * FROM ({text} LIMIT ?) AS branch"  # noqa: S608 - as above
            parameters.append(RARE + 1)
        texts.append(text)
    union = " UNION ALL ".join(texts)
    sql = f"SELECT COUNT(*) FROM (SELECT * FROM ({union}) AS passing LIMIT ?) AS found"  # noqa: S608 - as above
    return sql, [*parameters, RARE + 1]


def walk_sql(query: ListQuery) -> Statement:
    """Return the statement that walks one index per branch, in order."""
    there = list(branches(query))
    walked = [there] if query.words.merges_unions else [[each] for each in there]
    ranges = list(product(_parts(served(query)), beyond(query, _keys(query)), walked))
    rows = query.words.rows if len(ranges) == 1 else BY_ID
    walks = [_walk(query, rows, *each) for each in ranges]
    parameters = [each for _, values in walks for each in values]
    if len(walks) == 1:
        return _whole(query, walks[0][0], parameters, query.words.row)
    union = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS walk" for sql, _ in walks)  # noqa: S608 - as above
    return _sorted(query, union, parameters)


def _walk(
    query: ListQuery,
    rows: Mapping[str, str],
    part: Condition | None,
    rest: Sequence[Clause],
    walked: Iterable[Branch],
) -> Statement:
    """Return a page of some branches, in order, out of one range of each index.

    A key that has one value in that range is left out of the order.  SQLite knows as
    much of columns, not of expressions, and would sort.
    """
    texts: list[str] = []
    parameters: list[object] = []
    fixed: set[str] = set()
    for branch in walked:
        where = _of_branch(query, branch)
        _conditions(query, branch, where, part)
        _having(query, where)
        where.add_all(rest)
        texts.append(
            f"SELECT {rows[branch.table]} AS ref, {_named(query)}"  # noqa: S608 - as above
            f" FROM {branch.table} AS i WHERE {where}"
        )
        parameters += where.parameters
        fixed.update(where.clauses)
    order = _order(query, _places(query))
    kept = [
        text
        for key, text in zip(_keys(query), order, strict=True)
        if f"{key} = ?" not in fixed
    ]
    union, places = " UNION ALL ".join(texts), ", ".join(kept or order[-1:])
    return f"{union} ORDER BY {places} LIMIT ?", [*parameters, query.limit]


def gather_sql(query: ListQuery, lead: Condition) -> Statement:
    """Return the statement that collects what passes ``lead``, and sorts it."""
    texts: list[str] = []
    parameters: list[object] = []
    for branch in branches(query):
        where = _of_branch(query, branch)
        _conditions(query, branch, where, lead)
        _having(query, where)
        # The limit is no limit: it keeps the order out of the choice of the index.
        texts.append(
            f"SELECT * FROM (SELECT i.id AS ref, {_named(query)} FROM {branch.table}"  # noqa: S608 - as above
            f" AS i WHERE {where} LIMIT {2**31 - 1}) AS branch"
        )
        parameters += where.parameters
    rest = _Text()
    rest.add_all(after(query, _places(query)))
    union = " UNION ALL ".join(texts)
    found = f"SELECT * FROM ({union}) AS found WHERE {rest}"  # noqa: S608 - as above
    return _sorted(query, found, [*parameters, *rest.parameters])


def follow_sql(query: ListQuery, having: Having, bound: object = None) -> Statement:
    """Return the statement that goes through the images with a property or tag.

    ``bound`` is the creation of the last image to look at, if not at all of them.
    """
    where = _Text()
    where.add(having.clause, *having.parameters)
    where.add("i.id = h.image_id")
    text, parameters = sight(query)
    where.add(text, *parameters)
    where.add("COALESCE(i.shelf, 0) = ?", int(query.os_hidden))
    _conditions(query, None, where, None)
    # SQLite keeps the order of the tables; to others the clause says, though it says
    # nothing new, that few are left, and keeps them from reading all images.
    _having(query, where, having if query.words.merges_unions else None)
    keys = _AGE if query.by_age else _keys(query)
    where.add_all(after(query, keys))
    if bound is not None:
        sign = ">=" if not query.order[0][1] else "<="
        where.add(f"h.created_at_us {sign} ?", bound)
    # The join keeps the order of the tables.
    found = (
        f"SELECT {query.words.row} AS ref, {_named(query)} FROM {having.table} AS h"  # noqa: S608 - as above
        f" {query.words.then} images AS i WHERE {where}"
        f" ORDER BY {', '.join(_order(query, keys))} LIMIT ?"
    )
    return _whole(query, found, [*where.parameters, query.limit], query.words.row)


def _sorted(query: ListQuery, found: str, parameters: Sequence[object]) -> Statement:
    """Return the statement that sorts what was found, and reads a page of it whole."""
    order = ", ".join(_order(query, _places(query)))
    page = f"SELECT * FROM ({found}) AS found ORDER BY {order} LIMIT ?"  # noqa: S608 - as above
    return _whole(query, page, [*parameters, query.limit], "i.id")


def _whole(
    query: ListQuery, page: str, parameters: Sequence[object], row: str
) -> Statement:
    """Return the statement that reads the images of a page whole, found by ``row``.

    The page is known before any image is read, and leads the join.
    """
    order = ", ".join(_order(query, _places(query)))
    sql = (
        f"{select(query.words)} FROM ({page}) AS page {query.words.then} images AS i"
        f" WHERE {row} = page.ref ORDER BY {order}"
    )
    return sql, [query.project_id or "", *parameters]


def _keys(query: ListQuery) -> list[str]:
    return [query.words.sort_keys[key].format("i") for key, _ in query.order]


def _places(query: ListQuery) -> list[str]:
    return [f"k{number}" for number, _ in enumerate(query.order)]


def _named(query: ListQuery) -> str:
    pairs = zip(_keys(query), _places(query), strict=True)
    return ", ".join(f"{key} AS {place}" for key, place in pairs)


def _order(query: ListQuery, keys: Sequence[str]) -> list[str]:
    """Return the parts of an ORDER BY."""
    ways = ["ASC" if ascending else "DESC" for _, ascending in query.order]
    return [f"{key} {way}" for key, way in zip(keys, ways, strict=True)]


def _parts(lead: Condition | None) -> list[Condition | None]:
    """Return one condition per value, each of which is one range of an index."""
    if lead is None or lead.operator != "IN":
        return [lead]
    return [
        replace(lead, operator="=", values=(value,))
        for value in dict.fromkeys(lead.values)
    ]


def _of_branch(query: ListQuery, branch: Branch) -> _Text:
    where = _Text()
    for column, value in branch.fixed:
        where.add(f"i.{column} = ?", value)
    where.add("i.shelf = ?", int(query.os_hidden))
    where.clauses += branch.clauses
    where.parameters += branch.parameters
    return where


def _conditions(
    query: ListQuery,
    branch: Branch | None,
    where: _Text,
    lead: Condition | None,
    *,
    alone: bool = False,
) -> None:
    """Add the filters on core fields; ``lead`` and its like in words of an index.

    Without a branch the table is `images`, reached by id.  ``alone`` leaves out
    whatever does not lead.
    """
    if lead is not None:
        _in_words(query, lead, where)
    for condition in query.conditions:
        if lead is not None and condition.key == lead.key:
            if _says(lead, condition):
                continue
            if condition.operator not in ("=", "IN"):
                _in_words(query, condition, where)
                continue
        if not alone:
            _opaque(condition, branch, where)


def _says(lead: Condition, other: Condition) -> bool:
    """Return whether ``other``, of the same key, holds wherever ``lead`` does."""
    chosen = other.operator in ("=", "IN") and lead.operator in ("=", "IN")
    return other == lead or (chosen and set(lead.values) <= set(other.values))


def _in_words(query: ListQuery, condition: Condition, where: _Text) -> None:
    key = str(condition.key)
    expression = query.words.sort_keys[key].format("i")
    if condition.key == "size" and condition.operator.startswith("<"):
        where.add(f"{expression} >= 0")
    elif SORT_KEYS[key].startswith("COALESCE") and _takes_null(condition):
        where.add(f"i.{condition.column} IS NOT NULL")
    where.add(f"{expression} {_right(condition)}", *condition.values)


def _takes_null(condition: Condition) -> bool:
    """Return whether a condition holds of what an index has for NULL.

    To ask a row whether its column is NULL takes as long as finding the row.
    """
    instead = -1 if condition.key == "size" else ""
    if condition.operator in ("=", "IN"):
        return instead in condition.values
    above = condition.operator in (">", ">=") and condition.key == "size"
    return not above or int(str(condition.values[0])) <= -1


def _opaque(condition: Condition, branch: Branch | None, where: _Text) -> None:
    """Add a filter in words that no index has."""
    column = condition.column
    left = f"COALESCE(i.{column}, NULL)"
    if branch is not None and branch.table != "images" and column not in REPEATED:
        left = f"(SELECT x.{column} FROM images AS x WHERE x.id = i.id)"  # noqa: S608 - as above
    elif branch is not None and column == "owner":
        # Every index of an owner has all orders, so this one is welcome.
        left = "i.owner"
    where.add(f"{left} {_right(condition)}", *condition.values)


def _right(condition: Condition) -> str:
    marks = ", ".join("?" * len(condition.values))
    operator = condition.operator
    return f"IN ({marks})" if operator == "IN" else f"{operator} {marks}"


def _having(query: ListQuery, where: _Text, known: Having | None = None) -> None:
    """Ask for each property and tag but the one that led to the images.

    At most one row answers.  A planner would make a join of EXISTS, and try orders of
    joins for minutes when there are hundreds.
    """
    for having in wanted(query):
        if having == known:
            continue
        where.add(
            f"(SELECT 1 FROM {having.table} AS h"  # noqa: S608 - as above
            f" WHERE h.image_id = i.id AND {having.clause}) = 1",
            *having.parameters,
        )
