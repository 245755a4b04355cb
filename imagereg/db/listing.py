"""What a list asks for, and what the database keeps in order to answer it.

What a project sees is the union of a few branches: its own images by visibility,
those that are public, those shared with it.  Each branch is one range of an index
that begins with what makes the branch and goes on in the wanted order, so a page
costs as many steps as it has rows, however many images there are.
`list_sql.py` writes the statements, `derived.py` keeps what only lists need, indexes
among it.

Source: contract api-images 10, rulings D-12 to D-15 and D-23.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from imagereg.db.words import SORT_KEYS, STANDARD, Words
from imagereg.model import Image, MemberStatus, Visibility


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

    @property
    def key(self) -> str | None:
        """The sort key whose indexes hold the column, if there is one."""
        name = self.column.removesuffix("_us")
        return name if name in SORT_KEYS else None


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
        words: those of the engine that is asked.
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
    words: Words = STANDARD

    @property
    def order(self) -> tuple[tuple[str, bool], ...]:
        """The sort order as far as it decides anything: an id decides all."""
        keys = [key for key, _ in self.sort]
        return self.sort[: keys.index("id") + 1]

    @property
    def by_age(self) -> bool:
        """Whether the order is that of creation, forwards or backwards."""
        keys = tuple(key for key, _ in self.order)
        return keys == ("created_at", "id") and self.one_way

    @property
    def one_way(self) -> bool:
        """Whether all keys run in the same direction."""
        return len({ascending for _, ascending in self.order}) == 1


@dataclass(frozen=True, slots=True)
class Branch:
    """One way in which a caller sees images: the columns that make it, and the rest.

    Attributes:
        table: `images`, or `image_shares`, which has the columns that lists need.
        fixed: columns and their values, those of one of
            `derived.PREFIXES`.
        clauses: what else holds, about the table as ``i``.
        parameters: of the clauses.
    """

    table: str
    fixed: tuple[tuple[str, object], ...]
    clauses: tuple[str, ...] = ()
    parameters: tuple[object, ...] = ()


def branches(query: ListQuery) -> Iterator[Branch]:
    """Yield disjoint branches that together are what the caller may see."""
    if query.is_admin:
        yield from _of_admin(query)
        return
    me, asked = query.project_id, query.visibility
    # What is open to all includes what one's own project has opened.
    for visibility in _open(asked):
        yield Branch("images", (("visibility", visibility),))
    if me is None:
        return
    yield from _own(me, _closed(asked))
    if asked in (None, "all", Visibility.SHARED):
        wanted = query.member_status
        for status in [wanted] if wanted is not None else MemberStatus:
            fixed = (
                ("member_id", me),
                ("member_status", status.value),
                ("visibility", Visibility.SHARED.value),
            )
            clause = "(i.owner IS NULL OR i.owner <> ?)"
            yield Branch("image_shares", fixed, (clause,), (me,))


def _open(asked: str | None) -> tuple[str, ...]:
    """Return the visibilities of which everybody sees every image."""
    everything = (Visibility.PUBLIC.value, Visibility.COMMUNITY.value)
    if asked == "all":
        return everything
    wanted = Visibility.PUBLIC.value if asked is None else asked
    return (wanted,) if wanted in everything else ()


def _closed(asked: str | None) -> tuple[str, ...]:
    """Return the visibilities of which a project sees its own images."""
    kept = (Visibility.PRIVATE.value, Visibility.SHARED.value)
    if asked is None:
        return (*kept, Visibility.COMMUNITY.value)
    return kept if asked == "all" else tuple(each for each in kept if each == asked)


def _own(me: str, visibilities: tuple[str, ...]) -> Iterator[Branch]:
    for visibility in visibilities:
        yield Branch("images", (("owner", me), ("visibility", visibility)))


def _of_admin(query: ListQuery) -> Iterator[Branch]:
    asked = query.visibility
    wanted: tuple[str, ...] = tuple(each.value for each in Visibility)
    if asked is None:
        wanted = tuple(each for each in wanted if each != Visibility.COMMUNITY)
    elif asked != "all":
        wanted = (asked,)
    for visibility in wanted:
        yield Branch("images", (("visibility", visibility),))
    if asked is None and query.project_id is not None:
        yield from _own(query.project_id, (Visibility.COMMUNITY.value,))


def sight(query: ListQuery) -> tuple[str, tuple[object, ...]]:
    """Return one clause about ``images AS i`` that says the same as all branches.

    For images that were found by something else than who sees them.
    """
    texts: list[str] = []
    parameters: list[object] = []
    for branch in branches(query):
        fixed = dict(branch.fixed)
        clauses = list(branch.clauses)
        values = list(branch.parameters)
        if branch.table != "images":
            clauses.append(
                "EXISTS (SELECT 1 FROM image_members AS m WHERE m.image_id = i.id"
                " AND m.member_id = ? AND m.status = ?)"
            )
            values += [fixed.pop("member_id"), fixed.pop("member_status")]
        for column, value in fixed.items():
            clauses.append(f"i.{column} = ?")
            values.append(value)
        texts.append(f"({' AND '.join(clauses)})")
        parameters += values
    return f"({' OR '.join(texts)})", tuple(parameters)
