"""Namespaces: list, show, create, replace, delete.

Source: contract api-metadefs 3; rulings D-16 and D-19.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from imagereg.access import Grant
from imagereg.db.metadefs import NamespaceQuery, NamespaceRepository
from imagereg.errors import Forbidden
from imagereg.metadef_model import (
    Association,
    Content,
    Definition,
    MetadefObject,
    Namespace,
    NewNamespace,
)
from imagereg.metadefs.contents import Contents
from imagereg.model import now_us
from imagereg.targets import StoredNamespace


@dataclass(frozen=True, slots=True)
class NamespacePage:
    """One page of a list.

    Attributes:
        rows: what the caller may know of, each with its associations.
        next_marker: name of the last row read, shown or not, if the page was full.
    """

    rows: Sequence[tuple[Namespace, tuple[Association, ...]]]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class Namespaces:
    """The use cases, bound to what they work on."""

    repository: NamespaceRepository

    @property
    def contents(self) -> Contents:
        """The use cases of what namespaces hold."""
        return Contents(self.repository.contents)

    def page(
        self, grant: Grant, query: NamespaceQuery, marker: str | None
    ) -> NamespacePage:
        """Return one page; rows that the rules hide are left out.

        Raises:
            NamespaceNotFound: the marker names none that the caller may see.
        """
        if marker is not None:
            found = self.repository.get(marker)
            StoredNamespace(found).check_visible(grant.caller)
            query = replace(query, marker=found)
        rows = self.repository.page(query)
        full = len(rows) == query.limit and query.limit > 0
        return NamespacePage(
            rows=[row for row in rows if grant.may_list(row[0])],
            next_marker=rows[-1][0].name if full else None,
        )

    def show(self, grant: Grant, resource_type: str | None) -> Content:
        """Return what the namespace holds, named as on a resource of one type."""
        content = self.repository.contents.all(grant.namespace)
        for association in content.associations:
            if association.name == resource_type and association.prefix:
                return _prefixed(content, association.prefix)
        return content

    def create(self, grant: Grant, new: NewNamespace) -> Namespace:
        """Store a namespace and its content, all or nothing.

        Raises:
            Forbidden: the caller has no project that could own it (P-3).
            Duplicate: the name is taken.
        """
        if grant.caller.project_id is None and not grant.caller.is_admin:
            raise Forbidden("creating a namespace needs a project")
        time = now_us()
        namespace = Namespace(
            id=str(uuid4()),
            name=new.name,
            created_at_us=time,
            updated_at_us=time,
            visibility=new.visibility,
            protected=new.protected,
            owner=grant.caller.project_id if new.owner is None else new.owner,
            display_name=new.display_name,
            description=new.description,
        )
        self.repository.add(namespace, new)
        return namespace

    def replace(self, grant: Grant, new: NewNamespace) -> Namespace:
        """Write all fields anew; what was not said falls back to its default.

        Raises:
            Duplicate: the new name is taken.
            NamespaceNotFound: somebody deleted it.
        """
        before = grant.namespace
        after = replace(
            before,
            name=new.name,
            updated_at_us=now_us(),
            visibility=new.visibility,
            protected=new.protected,
            owner=grant.caller.project_id if new.owner is None else new.owner,
            display_name=new.display_name,
            description=new.description,
        )
        self.repository.update(before, after)
        return after

    def delete(self, grant: Grant) -> None:
        """Delete the namespace and all that it holds.

        Raises:
            NamespaceProtected: it is protected.
            NamespaceNotFound: somebody deleted it.
        """
        self.repository.delete(grant.namespace)


def _prefixed(content: Content, prefix: str) -> Content:
    """Return the content with a prefix before the name of each property."""
    return replace(
        content,
        properties=_prefix_names(content.properties, prefix),
        objects=tuple(_prefix_object(each, prefix) for each in content.objects),
    )


def _prefix_object(each: MetadefObject, prefix: str) -> MetadefObject:
    return replace(
        each,
        required=tuple(prefix + name for name in each.required or ()),
        properties=_prefix_names(each.properties or {}, prefix),
    )


def _prefix_names(
    properties: Mapping[str, Definition], prefix: str
) -> Mapping[str, Definition]:
    return {prefix + name: definition for name, definition in properties.items()}
