"""Lists of images: who sees which, in what order, page by page.

What a project sees is the union of a few branches (its own, public, shared with
it).  Each branch walks one index in the wanted order and stops at the limit; one
big OR over the branches sorts the whole table instead, which was measured at 86
times the cost with 100,000 images.  A filter on a rare property or tag turns this
round: then the few images that have it are looked up and sorted.

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


#: Up to so many images, a property or tag is rare: sorting them all costs less than
#: walking an index until a page is full.
RARE = 4000


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


@dataclass(slots=True)
class _Where:
    """Clauses of one WHERE and the parameters they use, in the order of the text.

    Clauses write ``{owner}``, ``{visibility}`` and ``{os_hidden}`` for the columns that
    indexes begin with.

    Attributes:
        leaders: tables that are read before the images, few rows of each.
    """

    leaders: list[str] = field(default_factory=list)
    clauses: list[str] = field(default_factory=list)
    parameters: list[object] = field(default_factory=list)

    def add(self, clause: str, *parameters: object) -> "_Where":
        self.clauses.append(clause)
        self.parameters.extend(parameters)
        return self

    def text(self) -> str:
        """Return FROM and WHERE.

        CROSS JOIN keeps the order of tables.  Behind leaders an image is looked up by
        its id; the planner would rather walk an index that some clause matches, so
        none is left that does.
        """
        columns = {name: f"i.{name}" for name in ("owner", "visibility", "os_hidden")}
        if self.leaders:
            columns = {
                "owner": "COALESCE(i.owner, '')",
                "visibility": "COALESCE(i.visibility, '')",
                "os_hidden": "COALESCE(i.os_hidden, 0)",
            }
        tables = " CROSS JOIN ".join([*self.leaders, "images AS i"])
        return f"FROM {tables} WHERE {' AND '.join(self.clauses).format(**columns)}"


def wanted(query: ListQuery) -> list[Having]:
    """Return the properties and tags that images must have."""
    properties = [
        Having(
            "image_properties",
            "h.name = ? AND h.head = ? AND h.value = ?",
            (name, value[:HEAD], value),
        )
        for name, value in query.properties
    ]
    tags = [Having("image_tags", "h.tag = ?", (tag,)) for tag in query.tags]
    return properties + tags


def count_sql(having: Having) -> tuple[str, list[object]]:
    """Return the statement that counts images with a property or tag, up to `RARE`."""
    sql = (
        "SELECT COUNT(*) FROM (SELECT 1 FROM"  # noqa: S608 - every part is written here
        f" {having.table} AS h WHERE {having.clause} LIMIT ?) AS some"
    )
    return sql, [*having.parameters, RARE + 1]


def page_sql(
    query: ListQuery, rare: Having | None = None
) -> tuple[str, list[object]] | None:
    """Return the statement for one page and its parameters; None for a sure nothing.

    ``rare`` is what few images have, if the query wants anything of the kind.
    """
    if query.impossible or query.limit == 0:
        return None
    branches = list(_branches(query))
    if not branches:
        return None
    keys = [SORT_KEYS[key].format("i") for key, _ in query.sort]
    ways = ["ASC" if ascending else "DESC" for _, ascending in query.sort]
    order = ", ".join(f"{key} {way}" for key, way in zip(keys, ways, strict=True))
    named = ", ".join(f"{key} AS k{number}" for number, key in enumerate(keys))
    place = ", ".join(f"k{number} {way}" for number, way in enumerate(ways))
    texts: list[str] = []
    parameters: list[object] = [query.project_id or ""]
    for where in branches:
        _lead(where, rare)
        _common(query, where)
        texts.append(
            f"SELECT * FROM (SELECT i.id AS id, {named} {where.text()}"  # noqa: S608 - every part is written here; values are parameters
            f" ORDER BY {order} LIMIT ?)"
        )
        parameters += [*where.parameters, query.limit]
    union = " UNION ALL ".join(texts)
    # The page is known before any image is read whole, and leads the join.
    sql = (
        f"{SELECT} FROM (SELECT * FROM ({union}) ORDER BY {place} LIMIT ?) AS page"  # noqa: S608 - as above
        f" CROSS JOIN images AS i WHERE i.id = page.id ORDER BY {place}"
    )
    return sql, [*parameters, query.limit]


def _branches(query: ListQuery) -> Iterator[_Where]:
    """Yield one clause of visibility per branch; together they are what may be seen."""
    asked = query.visibility
    if query.is_admin:
        yield from _admin_branches(query)
        return
    me = query.project_id
    if me is not None:
        own = _Where().add("{owner} = ?", me)
        if asked not in (None, "all"):
            own.add("{visibility} = ?", asked)
        yield own
    foreign = "({owner} IS NULL OR {owner} <> ?)"
    for open_to_all in _open_visibilities(asked):
        where = _Where().add("{visibility} = ?", open_to_all)
        yield where if me is None else where.add(foreign, me)
    if me is not None and asked in (None, "all", Visibility.SHARED):
        yield _shared(query, me).add(foreign, me)


def _open_visibilities(asked: str | None) -> tuple[str, ...]:
    if asked is None:
        return (Visibility.PUBLIC,)
    if asked == "all":
        return (Visibility.PUBLIC, Visibility.COMMUNITY)
    if asked in (Visibility.PUBLIC, Visibility.COMMUNITY):
        return (asked,)
    return ()


def _admin_branches(query: ListQuery) -> Iterator[_Where]:
    if query.visibility == "all":
        yield _Where()
    elif query.visibility is not None:
        yield _Where().add("{visibility} = ?", query.visibility)
    else:
        yield _Where().add("{visibility} <> ?", Visibility.COMMUNITY)
        if query.project_id is not None:
            yield (
                _Where()
                .add("{owner} = ?", query.project_id)
                .add("{visibility} = ?", Visibility.COMMUNITY)
            )


def _shared(query: ListQuery, me: str) -> _Where:
    # Memberships lead: they are few beside all the images that are shared.
    where = _Where(["image_members AS m"])
    where.add("m.image_id = i.id").add("m.member_id = ?", me)
    if query.member_status is not None:
        where.add("m.status = ?", str(query.member_status))
    return where.add("{visibility} = ?", Visibility.SHARED)


def _lead(where: _Where, rare: Having | None) -> None:
    """Let what few images have lead the branch."""
    if rare is not None:
        where.leaders.insert(0, f"{rare.table} AS h")
        where.add("h.image_id = i.id").add(rare.clause, *rare.parameters)


def _common(query: ListQuery, where: _Where) -> None:
    """Add what holds in every branch: filters, and where the page begins."""
    where.add("{os_hidden} = ?", query.os_hidden)
    where.add("i.status NOT IN ('pending_delete', 'deleted', 'killed')")
    for condition in query.conditions:
        _filter(condition, where)
    for having in wanted(query):
        where.add(
            f"EXISTS (SELECT 1 FROM {having.table} AS h"  # noqa: S608 - as above
            f" WHERE h.image_id = i.id AND {having.clause})",
            *having.parameters,
        )
    if query.marker is not None:
        _after(query.sort, query.marker, where)


def _filter(condition: Condition, where: _Where) -> None:
    marks = ", ".join("?" * len(condition.values))
    right = f"({marks})" if condition.operator == "IN" else marks
    left = f"i.{condition.column}"
    key = SORT_KEYS.get(condition.column)
    if key is not None and condition.operator in ("=", "IN"):
        # The words of the index, which alone is how it can be used: said in addition,
        # the planner substitutes one for the other and finds no index any more.
        where.add(f"{left} IS NOT NULL")
        left = key.format("i")
    where.add(f"{left} {condition.operator} {right}", *condition.values)


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
