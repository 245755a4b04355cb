"""What namespaces hold: objects, properties, tags, associations.

Always reached through their namespace.  Every write asks in its own transaction
whether the namespace is still there, and every deletion whether it is protected by
now, so what the gate decided on cannot have changed in between.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
from peewee import IntegrityError, Model

from imagereg.db.engine import Engine, Row
from imagereg.db.metadef_models import (
    AssociationRow,
    MetadefObjectRow,
    MetadefPropertyRow,
    MetadefTagRow,
    ResourceTypeRow,
)
from imagereg.errors import (
    DefinitionNotFound,
    Duplicate,
    NamespaceNotFound,
    NamespaceProtected,
)
from imagereg.metadef_model import (
    Association,
    Content,
    Definition,
    Kind,
    MetadefObject,
    MetadefTag,
    Namespace,
    NewNamespace,
    ResourceType,
)

_TABLES: Mapping[Kind, type[Model]] = {
    Kind.OBJECT: MetadefObjectRow,
    Kind.PROPERTY: MetadefPropertyRow,
    Kind.TAG: MetadefTagRow,
    Kind.ASSOCIATION: AssociationRow,
}

_TAG_ORDER = {
    "created_at": "created_at_us",
    "updated_at": "updated_at_us",
    "name": "name",
}


class MetadefContents:
    """Rows in, frozen values out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def all(self, namespace: Namespace) -> Content:
        """Return everything that a namespace holds."""
        return Content(
            objects=tuple(self.objects(namespace)),
            properties=self.properties(namespace),
            tags=tuple(self.tags(namespace)),
            associations=self.associations(namespace),
        )

    def objects(
        self, namespace: Namespace, name: str | None = None
    ) -> Sequence[MetadefObject]:
        """Return the objects in order of their names, or the one of this name."""
        rows = self._rows(
            "SELECT name, description, required, properties, created_at_us,"
            " updated_at_us FROM metadef_objects",
            namespace,
            name,
        )
        return [_build_object(row) for row in rows]

    def properties(
        self, namespace: Namespace, name: str | None = None
    ) -> Mapping[str, Definition]:
        """Return the properties by their names, or the one of this name."""
        select = "SELECT name, definition FROM metadef_properties"
        rows = self._rows(select, namespace, name)
        return {str(name): orjson.loads(str(text)) for name, text in rows}

    def tags(
        self,
        namespace: Namespace,
        name: str | None = None,
        *,
        sort_key: str = "created_at",
        ascending: bool = False,
    ) -> Sequence[MetadefTag]:
        """Return the tags, newest first if not told otherwise, or that of this name."""
        direction = "ASC" if ascending else "DESC"
        rows = self._rows(
            "SELECT name, created_at_us, updated_at_us FROM metadef_tags",
            namespace,
            name,
            f"{_TAG_ORDER[sort_key]} {direction}, created_at_us {direction},"
            f" id {direction}",
        )
        return [MetadefTag(*_named_times(row)) for row in rows]

    def associations(self, namespace: Namespace) -> tuple[Association, ...]:
        """Return what resource types the namespace is meant for, by name."""
        return associations_of(self._engine, [namespace.id]).get(namespace.id, ())

    def resource_types(self) -> Sequence[ResourceType]:
        """Return all resource types, by name."""
        rows = self._engine.rows(
            "SELECT name, created_at_us, updated_at_us FROM metadef_resource_types"
            " ORDER BY name"
        )
        return [ResourceType(*_named_times(row)) for row in rows]

    def fill(self, namespace: Namespace, new: NewNamespace) -> None:
        """Store the content of a namespace that is being written, in its transaction.

        What was never stored gets the namespace's time.
        """
        time = namespace.updated_at_us
        for each in new.objects or ():
            created = each.created_at_us or time
            self._insert(MetadefObjectRow, _object_row(namespace, each, created))
        for name, definition in (new.properties or {}).items():
            row = _property_row(namespace, name, definition)
            self._insert(MetadefPropertyRow, row)
        # Oldest first, because tags of one time are told apart by their row number.
        for tag in sorted(new.tags or (), key=lambda tag: tag.created_at_us or time):
            created = tag.created_at_us or time
            self._insert(MetadefTagRow, _tag_row(namespace, tag, created))
        for meant in new.associations or ():
            self._associate(namespace, meant, meant.created_at_us or time)

    def add_object(self, namespace: Namespace, new: MetadefObject) -> None:
        """Store an object.  Raises `Duplicate` if its name is taken."""
        with self._writing(namespace, Kind.OBJECT, new.name):
            row = _object_row(namespace, new, new.created_at_us)
            self._insert(MetadefObjectRow, row)

    def add_property(
        self, namespace: Namespace, name: str, definition: Definition
    ) -> None:
        """Store a property.  Raises `Duplicate` if its name is taken."""
        with self._writing(namespace, Kind.PROPERTY, name):
            row = _property_row(namespace, name, definition)
            self._insert(MetadefPropertyRow, row)

    def add_tags(
        self, namespace: Namespace, tags: Sequence[MetadefTag], *, instead: bool = False
    ) -> None:
        """Store tags, beside or instead of those that are there.

        Raises:
            Duplicate: one of the names is taken; then nothing changes.
        """
        names = ", ".join(each.name for each in tags)
        with self._writing(namespace, Kind.TAG, names):
            if instead:
                self._clear(namespace, Kind.TAG)
            for each in tags:
                row = _tag_row(namespace, each, each.created_at_us)
                self._insert(MetadefTagRow, row)

    def associate(self, namespace: Namespace, new: Association) -> None:
        """Store an association, and its resource type if that is new.

        Raises:
            Duplicate: the namespace is meant for this type already.
        """
        with self._writing(namespace, Kind.ASSOCIATION, new.name):
            self._associate(namespace, new, new.created_at_us)

    def update_object(
        self, namespace: Namespace, name: str, after: MetadefObject
    ) -> None:
        """Write all fields of an object.

        Raises:
            DefinitionNotFound: there is none.
            Duplicate: the new name is taken.
        """
        row = _object_row(namespace, after, after.created_at_us)
        self._update(namespace, Kind.OBJECT, name, row)

    def update_property(
        self, namespace: Namespace, name: str, renamed: str, definition: Definition
    ) -> None:
        """Write a property.  Raises as `update_object` does."""
        row = _property_row(namespace, renamed, definition)
        self._update(namespace, Kind.PROPERTY, name, row)

    def update_tag(self, namespace: Namespace, name: str, after: MetadefTag) -> None:
        """Rename a tag.  Raises as `update_object` does."""
        row = {"name": after.name, "updated_at_us": after.updated_at_us}
        self._update(namespace, Kind.TAG, name, row)

    def remove(self, namespace: Namespace, kind: Kind, name: str) -> None:
        """Delete one thing from a namespace.

        Raises:
            NamespaceProtected: somebody protected it meanwhile.
            DefinitionNotFound: there is no such thing.
        """
        table = _TABLES[kind]
        with self._engine.transaction():
            self.check_deletable(namespace)
            removed = self._engine.delete(
                table,
                table.namespace_id == namespace.id,  # type: ignore[attr-defined] # every content table has one
                table.name == name,  # type: ignore[attr-defined] # likewise
            )
        if not removed:
            raise DefinitionNotFound(kind, name, namespace.name)

    def clear(self, namespace: Namespace, kind: Kind) -> None:
        """Delete everything of one kind from a namespace.

        Raises:
            NamespaceProtected: somebody protected it meanwhile.
        """
        with self._engine.transaction():
            self.check_deletable(namespace)
            self._clear(namespace, kind)

    def wipe(self, namespace: Namespace) -> None:
        """Delete everything of a namespace that goes away, in its transaction."""
        for kind in Kind:
            self._clear(namespace, kind)

    def check_deletable(self, namespace: Namespace) -> None:
        """Raise unless the namespace is there and not protected, by now.

        Raises:
            NamespaceNotFound, NamespaceProtected: it is not so.
        """
        if self._is_protected(namespace):
            message = f"namespace `{namespace.name}` is protected from deletion"
            raise NamespaceProtected(message)

    def _is_protected(self, namespace: Namespace) -> bool:
        rows = self._engine.rows(
            "SELECT protected FROM metadef_namespaces WHERE id = ?", (namespace.id,)
        )
        if not rows:
            raise NamespaceNotFound(namespace.name)
        return bool(rows[0][0])

    @contextmanager
    def _writing(self, namespace: Namespace, kind: Kind, name: str) -> Iterator[None]:
        """Run a block as a transaction in which the namespace is there."""
        try:
            with self._engine.transaction():
                self._is_protected(namespace)
                yield
        except IntegrityError as error:
            message = f"namespace `{namespace.name}` has a {kind} `{name}` already"
            raise Duplicate(message) from error

    def _rows(
        self, select: str, namespace: Namespace, name: str | None, order: str = "name"
    ) -> list[Row]:
        where = "namespace_id = ?" if name is None else "namespace_id = ? AND name = ?"
        parameters = (namespace.id,) if name is None else (namespace.id, name)
        sql = f"{select} WHERE {where} ORDER BY {order}"
        return self._engine.rows(sql, parameters)

    def _insert(self, table: type[Model], row: Mapping[str, Any]) -> None:
        table.insert(row).execute(self._engine.peewee)

    def _update(
        self,
        namespace: Namespace,
        kind: Kind,
        name: str,
        row: Mapping[str, object],
    ) -> None:
        table = _TABLES[kind]
        with self._writing(namespace, kind, str(row["name"])):
            written: int = (
                table.update(row)
                .where(
                    table.namespace_id == namespace.id,  # type: ignore[attr-defined] # every content table has one
                    table.name == name,  # type: ignore[attr-defined] # likewise
                )
                .execute(self._engine.peewee)
            )
            if not written:
                raise DefinitionNotFound(kind, name, namespace.name)

    def _clear(self, namespace: Namespace, kind: Kind) -> None:
        table = _TABLES[kind]
        self._engine.delete(
            table,
            table.namespace_id == namespace.id,  # type: ignore[attr-defined] # every content table has one
        )

    def _associate(self, namespace: Namespace, new: Association, time: int) -> None:
        known = self._engine.rows(
            "SELECT 1 FROM metadef_resource_types WHERE name = ?", (new.name,)
        )
        times = {"created_at_us": time, "updated_at_us": time}
        if not known:
            self._insert(ResourceTypeRow, {"name": new.name, **times})
        row = {
            "namespace_id": namespace.id,
            "name": new.name,
            "prefix": new.prefix,
            "properties_target": new.properties_target,
            **times,
        }
        self._insert(AssociationRow, row)


def associations_of(
    engine: Engine, namespace_ids: Sequence[str]
) -> Mapping[str, tuple[Association, ...]]:
    """Return what namespaces are meant for, by their id."""
    if not namespace_ids:
        return {}
    marks = ", ".join("?" * len(namespace_ids))
    rows = engine.rows(
        "SELECT namespace_id, name, prefix, properties_target, created_at_us,"  # noqa: S608 - marks alone
        f" updated_at_us FROM metadef_associations WHERE namespace_id IN ({marks})"
        " ORDER BY name",
        namespace_ids,
    )
    found = defaultdict[str, tuple[Association, ...]](tuple)
    for row in rows:
        values: Any = row[1:]
        found[str(row[0])] += (Association(*values),)
    return found


def _named_times(row: Row) -> tuple[str, int, int]:
    name, created, updated = row
    return str(name), int(str(created)), int(str(updated))


def _build_object(row: Row) -> MetadefObject:
    name, description, required, properties, created, updated = row
    return MetadefObject(
        name=str(name),
        description=None if description is None else str(description),
        required=_maybe(required, lambda text: tuple(orjson.loads(text))),
        properties=_maybe(properties, orjson.loads),
        created_at_us=int(str(created)),
        updated_at_us=int(str(updated)),
    )


def _maybe(text: object, read: Callable[[str], Any]) -> Any:  # noqa: ANN401 - whatever is read
    return None if text is None else read(str(text))


def _json(value: object) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _object_row(
    namespace: Namespace, each: MetadefObject, created_at_us: int
) -> dict[str, object]:
    return {
        "namespace_id": namespace.id,
        "name": each.name,
        "description": each.description,
        "required": _json(each.required),
        "properties": _json(each.properties),
        "created_at_us": created_at_us,
        "updated_at_us": max(created_at_us, each.updated_at_us),
    }


def _property_row(
    namespace: Namespace, name: str, definition: Definition
) -> dict[str, object]:
    return {
        "namespace_id": namespace.id,
        "name": name,
        "definition": _json(definition),
    }


def _tag_row(namespace: Namespace, each: MetadefTag, time: int) -> dict[str, object]:
    return {
        "namespace_id": namespace.id,
        "name": each.name,
        "created_at_us": time,
        "updated_at_us": max(time, each.updated_at_us),
    }
