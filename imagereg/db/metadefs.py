"""Namespaces of metadata definitions: find, list, add, change, delete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from peewee import IntegrityError

from imagereg.db.engine import Engine, Row
from imagereg.db.metadef_contents import MetadefContents, associations_of
from imagereg.db.metadef_models import NamespaceRow
from imagereg.errors import Duplicate, NamespaceNotFound
from imagereg.metadef_model import Association, Namespace, NewNamespace
from imagereg.model import Visibility

COLUMNS = (
    "id",
    "name",
    "created_at_us",
    "updated_at_us",
    "visibility",
    "protected",
    "owner",
    "display_name",
    "description",
)

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM metadef_namespaces"  # noqa: S608 - every part is written here

#: Sort key -> SQL.  Nulls are lowest on every engine, so they are replaced.
SORT_KEYS: Mapping[str, str] = {
    "namespace": "name",
    "display_name": "COALESCE(display_name, '')",
    "owner": "COALESCE(owner, '')",
    "visibility": "visibility",
    "protected": "protected",
    "created_at": "created_at_us",
    "updated_at": "updated_at_us",
    "id": "id",
}


@dataclass(frozen=True, slots=True)
class NamespaceQuery:
    """Which namespaces to list.

    Attributes:
        project_id: whose eyes; None sees public namespaces alone.
        is_admin: sees everything.
        limit: rows at most.
        resource_types: meant for one of these; empty is no filter.
        sort_key: a key of `SORT_KEYS`.
        marker: the last namespace of the page before.
    """

    project_id: str | None
    is_admin: bool
    limit: int
    visibility: str | None = None
    resource_types: tuple[str, ...] = ()
    sort_key: str = "created_at"
    ascending: bool = False
    marker: Namespace | None = None


class NamespaceRepository:
    """Rows in, frozen values out.

    Attributes:
        contents: what the namespaces hold.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.contents = MetadefContents(engine)

    def find(self, name: str) -> Namespace | None:
        """Return a namespace, or None."""
        rows = self._engine.rows(f"{_SELECT} WHERE name = ?", (name,))
        return _build(rows[0]) if rows else None

    def get(self, name: str) -> Namespace:
        """Return a namespace.

        Raises:
            NamespaceNotFound: there is none of this name.
        """
        found = self.find(name)
        if found is None:
            raise NamespaceNotFound(name)
        return found

    def page(
        self, query: NamespaceQuery
    ) -> list[tuple[Namespace, tuple[Association, ...]]]:
        """Return one page, in order, each with what it is meant for."""
        if query.limit == 0:
            return []
        found = [_build(row) for row in self._engine.rows(*_page_sql(query))]
        meant = associations_of(self._engine, [each.id for each in found])
        return [(each, meant.get(each.id, ())) for each in found]

    def add(self, namespace: Namespace, new: NewNamespace) -> None:
        """Store a namespace and its content, all or nothing.

        Raises:
            Duplicate: the name is taken.
        """
        try:
            with self._engine.transaction():
                NamespaceRow.insert(
                    {name: getattr(namespace, name) for name in COLUMNS}
                ).execute(self._engine.peewee)
                self.contents.fill(namespace, new)
        except IntegrityError as error:
            raise _taken(namespace.name) from error

    def update(self, before: Namespace, after: Namespace) -> None:
        """Write all fields of a namespace.

        Raises:
            NamespaceNotFound: somebody deleted it.
            Duplicate: the new name is taken.
        """
        fields = {name: getattr(after, name) for name in COLUMNS if name != "id"}
        try:
            with self._engine.transaction():
                written: int = (
                    NamespaceRow.update(fields)
                    .where(NamespaceRow.id == before.id)
                    .execute(self._engine.peewee)
                )
        except IntegrityError as error:
            raise _taken(after.name) from error
        if not written:
            raise NamespaceNotFound(before.name)

    def rewrite(self, namespace: Namespace, new: NewNamespace) -> None:
        """Write a namespace and its whole content anew, all or nothing.

        What brings its times keeps them.

        Raises:
            NamespaceNotFound: somebody deleted it.
        """
        with self._engine.transaction():
            self.update(namespace, namespace)
            self.contents.wipe(namespace)
            self.contents.fill(namespace, new)

    def delete(self, namespace: Namespace) -> None:
        """Delete a namespace and all that it holds.

        Raises:
            NamespaceProtected: somebody protected it meanwhile.
            NamespaceNotFound: somebody deleted it.
        """
        with self._engine.transaction():
            self.contents.check_deletable(namespace)
            self.contents.wipe(namespace)
            self._engine.delete(NamespaceRow, NamespaceRow.id == namespace.id)


def _taken(name: str) -> Duplicate:
    return Duplicate(f"a namespace `{name}` exists already")


def _build(row: Row) -> Namespace:
    values: dict[str, object] = dict(zip(COLUMNS, row, strict=True))
    values["visibility"] = Visibility(str(values["visibility"]))
    values["protected"] = bool(values["protected"])
    return Namespace(**values)  # type: ignore[arg-type] # columns of the right types


def _page_sql(query: NamespaceQuery) -> tuple[str, Sequence[object]]:
    """Return the statement for one page and its parameters."""
    clauses, parameters = ["1 = 1"], list[object]()
    if not query.is_admin:
        clauses.append("(visibility = ? OR owner = ?)")
        parameters += [Visibility.PUBLIC.value, query.project_id]
    if query.visibility is not None:
        clauses.append("visibility = ?")
        parameters.append(query.visibility)
    if query.resource_types:
        marks = ", ".join("?" * len(query.resource_types))
        clauses.append(
            "id IN (SELECT namespace_id FROM metadef_associations"  # noqa: S608 - marks
            f" WHERE name IN ({marks}))"
        )
        parameters += query.resource_types
    keys = dict.fromkeys((query.sort_key, "created_at", "id"))
    expressions = [SORT_KEYS[key] for key in keys]
    if query.marker is not None:
        # A row comparison, because all keys go in one direction.
        sign, marks = ">" if query.ascending else "<", ", ".join("?" * len(keys))
        clauses.append(f"({', '.join(expressions)}) {sign} ({marks})")
        parameters += [_marker_value(query.marker, key) for key in keys]
    direction = "ASC" if query.ascending else "DESC"
    order = ", ".join(f"{expression} {direction}" for expression in expressions)
    sql = f"{_SELECT} WHERE {' AND '.join(clauses)} ORDER BY {order} LIMIT ?"
    return sql, [*parameters, query.limit]


def _marker_value(marker: Namespace, key: str) -> object:
    if key in ("created_at", "updated_at"):
        return getattr(marker, f"{key}_us")
    if key == "namespace":
        return marker.name
    value = getattr(marker, key)
    if isinstance(value, bool):
        return value
    return "" if value is None else str(value)
