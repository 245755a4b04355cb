"""Lists of images: who sees which, in what order, page by page.

What a project sees is the union of a few branches (its own, public, shared with
it).  Each branch walks one index in the wanted order and stops at the limit; one
big OR over the branches sorts the whole table instead, which was measured at 86
times the cost with 100,000 images.

The clause of visibility is the outermost of each branch, so no filter widens it.

Source: contract api-images 10, rulings D-12 to D-15 and D-23.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from imagereg.db.models import HEAD
from imagereg.db.rows import SELECT
from imagereg.model import Image, MemberStatus, Visibility

#: Sort key -> SQL.  Nulls are lowest on every engine, so they are replaced by what
#: is lower than any value; the same expressions stand in the indexes.
SORT_KEYS = {
    "name": "COALESCE({0}.name, '')",
    "status": "{0}.status",
    "container_format": "COALESCE({0}.container_format, '')",
    "disk_format": "COALESCE({0}.disk_format, '')",
    "size": "COALESCE({0}.size, -1)",
    "id": "{0}.id",
    "created_at": "{0}.created_at_us",
    "updated_at": "{0}.updated_at_us",
}


def _indexes() -> Iterator[str]:
    # One index per branch and sort key: with fewer, a page sorted by name reads
    # every image of the branch.
    for key, expression in SORT_KEYS.items():
        bare = expression.format("images").replace("images.", "")
        tail = {"created_at": ", id", "id": ""}.get(key, ", created_at_us, id")
        for prefix in ("owner", "visibility"):
            yield (
                f"CREATE INDEX images_{prefix}_{key} ON images "
                f"({prefix}, os_hidden, {bare}{tail})"
            )
        yield f"CREATE INDEX images_{key} ON images (os_hidden, {bare}{tail})"


INDEXES = tuple(_indexes())


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter on a core field: ``column operator value``; all hold together.

    Attributes:
        column: a column of `images`.
        operator: ``=``, ``<>``, ``<``, ``<=``, ``>``, ``>=`` or ``IN``.
        values: one value, or any number of them for ``IN``.
    """

    column: str
    operator: str
    values: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What to list.

    Attributes:
        project_id: whose eyes; None sees public images alone (D-14).
        is_admin: sees everything but other projects' community images.
        visibility: one value, ``all`` (adds every community image), or None.
        member_status: which memberships bring shared images in; None means any.
        impossible: some filter can match nothing, so nothing is asked.
        sort: pairs of a key of `SORT_KEYS` and ascending or not, ending in ``id``.
        marker: the last image of the page before.
        limit: rows at most.
    """

    project_id: str | None
    is_admin: bool
    limit: int
    visibility: str | None = None
    member_status: MemberStatus | None = MemberStatus.ACCEPTED
    os_hidden: bool = False
    conditions: tuple[Condition, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    impossible: bool = False
    sort: tuple[tuple[str, bool], ...] = (("created_at", False), ("id", False))
    marker: Image | None = None


@dataclass(slots=True)
class _Where:
    """Clauses of one WHERE and the parameters they use, in the order of the text."""

    clauses: list[str] = field(default_factory=list)
    parameters: list[object] = field(default_factory=list)

    def add(self, clause: str, *parameters: object) -> "_Where":
        self.clauses.append(clause)
        self.parameters.extend(parameters)
        return self


def page_sql(query: ListQuery) -> tuple[str, list[object]] | None:
    """Return the statement for one page and its parameters; None for a sure nothing."""
    if query.impossible or query.limit == 0:
        return None
    branches = list(_branches(query))
    if not branches:
        return None
    order = _order(query.sort, "i")
    texts: list[str] = []
    parameters: list[object] = [query.project_id or ""]
    for where in branches:
        _common(query, where)
        texts.append(
            "SELECT * FROM (SELECT i.id FROM images AS i"  # noqa: S608 - as below
            f" WHERE {' AND '.join(where.clauses)} ORDER BY {order} LIMIT ?)"
        )
        parameters += [*where.parameters, query.limit]
    union = " UNION ALL ".join(texts)
    sql = f"{SELECT} FROM images AS i WHERE i.id IN ({union}) ORDER BY {order} LIMIT ?"
    return sql, [*parameters, query.limit]


def _branches(query: ListQuery) -> Iterator[_Where]:
    """Yield one clause of visibility per branch; together they are what may be seen."""
    wanted = query.visibility
    if query.is_admin:
        yield from _admin_branches(query)
        return
    me = query.project_id
    if me is not None:
        own = _Where().add("i.owner = ?", me)
        if wanted not in (None, "all"):
            own.add("i.visibility = ?", wanted)
        yield own
    foreign = "(i.owner IS NULL OR i.owner <> ?)"
    for open_to_all in _open_visibilities(wanted):
        where = _Where().add("i.visibility = ?", open_to_all)
        yield where if me is None else where.add(foreign, me)
    if me is not None and wanted in (None, "all", Visibility.SHARED):
        yield _shared(query, me).add(foreign, me)


def _open_visibilities(wanted: str | None) -> tuple[str, ...]:
    if wanted is None:
        return (Visibility.PUBLIC,)
    if wanted == "all":
        return (Visibility.PUBLIC, Visibility.COMMUNITY)
    if wanted in (Visibility.PUBLIC, Visibility.COMMUNITY):
        return (wanted,)
    return ()


def _admin_branches(query: ListQuery) -> Iterator[_Where]:
    if query.visibility == "all":
        yield _Where()
    elif query.visibility is not None:
        yield _Where().add("i.visibility = ?", query.visibility)
    else:
        yield _Where().add("i.visibility <> ?", Visibility.COMMUNITY)
        if query.project_id is not None:
            yield (
                _Where()
                .add("i.owner = ?", query.project_id)
                .add("i.visibility = ?", Visibility.COMMUNITY)
            )


def _shared(query: ListQuery, me: str) -> _Where:
    where = _Where().add("i.visibility = ?", Visibility.SHARED)
    memberships = "SELECT image_id FROM image_members WHERE member_id = ?"
    if query.member_status is None:
        return where.add(f"i.id IN ({memberships})", me)
    return where.add(
        f"i.id IN ({memberships} AND status = ?)", me, str(query.member_status)
    )


def _common(query: ListQuery, where: _Where) -> None:
    """Add what holds in every branch: filters, and where the page begins."""
    where.add("i.os_hidden = ?", query.os_hidden)
    where.add("i.status NOT IN ('pending_delete', 'deleted', 'killed')")
    for condition in query.conditions:
        marks = ", ".join("?" * len(condition.values))
        right = f"({marks})" if condition.operator == "IN" else marks
        where.add(
            f"i.{condition.column} {condition.operator} {right}", *condition.values
        )
    for name, value in query.properties:
        where.add(
            "EXISTS (SELECT 1 FROM image_properties p WHERE p.image_id = i.id"
            " AND p.name = ? AND p.head = ? AND p.value = ?)",
            name,
            value[:HEAD],
            value,
        )
    for tag in query.tags:
        where.add(
            "EXISTS (SELECT 1 FROM image_tags t WHERE t.image_id = i.id AND t.tag = ?)",
            tag,
        )
    if query.marker is not None:
        _after(query.sort, query.marker, where)


def _order(sort: Sequence[tuple[str, bool]], table: str) -> str:
    return ", ".join(
        f"{SORT_KEYS[key].format(table)} {'ASC' if ascending else 'DESC'}"
        for key, ascending in sort
    )


def _after(sort: Sequence[tuple[str, bool]], marker: Image, where: _Where) -> None:
    """Add the clause that a row comes after the marker in the order of ``sort``."""
    expressions = [SORT_KEYS[key].format("i") for key, _ in sort]
    values = [_marker_value(marker, key) for key, _ in sort]
    directions = {ascending for _, ascending in sort}
    if len(directions) == 1:
        # A row comparison lets the engine seek in the index.
        sign = ">" if directions.pop() else "<"
        marks = ", ".join("?" * len(values))
        where.add(f"({', '.join(expressions)}) {sign} ({marks})", *values)
        return
    steps: list[str] = []
    parameters: list[object] = []
    for position, (_, ascending) in enumerate(sort):
        equal = [f"{expression} = ?" for expression in expressions[:position]]
        sign = ">" if ascending else "<"
        steps.append(" AND ".join([*equal, f"{expressions[position]} {sign} ?"]))
        parameters += values[: position + 1]
    where.add("(" + " OR ".join(f"({step})" for step in steps) + ")", *parameters)


def _marker_value(marker: Image, key: str) -> object:
    if key in ("created_at", "updated_at"):
        return getattr(marker, f"{key}_us")
    value = getattr(marker, key)
    if value is None:
        return -1 if key == "size" else ""
    return str(value) if isinstance(value, str) else value
