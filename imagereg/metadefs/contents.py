"""What a namespace holds: objects, properties, tags, associations.

Each use case takes the grant on the namespace, and nothing else names one, so
nothing can be read or written but through a namespace that the gate has judged.

Source: contract api-metadefs 4 to 7; ruling D-19.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from imagereg.access import Grant
from imagereg.db.metadef_contents import MetadefContents
from imagereg.errors import DefinitionNotFound
from imagereg.metadef_model import (
    Association,
    Definition,
    Kind,
    MetadefObject,
    MetadefTag,
    ResourceType,
)
from imagereg.model import now_us
from imagereg.policy.actions import Action


@dataclass(frozen=True, slots=True)
class TagQuery:
    """Which tags to list; without a limit, all."""

    sort_key: str = "created_at"
    ascending: bool = False
    limit: int | None = None
    marker: str | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """The use cases, bound to what they work on."""

    rows: MetadefContents

    def objects(self, grant: Grant) -> Sequence[MetadefObject]:
        """Return the objects.

        Raises:
            Forbidden, NotFound: there are some, and each of them is refused.
        """
        found = self.rows.objects(grant.namespace)
        if found:
            grant.require(Action.GET_METADEF_OBJECT)
        return found

    def object(self, grant: Grant, name: str) -> MetadefObject:
        """Return one object.

        Raises:
            DefinitionNotFound: there is none.
        """
        found = self.rows.objects(grant.namespace, name)
        if not found:
            raise DefinitionNotFound(Kind.OBJECT, name, grant.namespace.name)
        return found[0]

    def add_object(self, grant: Grant, new: MetadefObject) -> MetadefObject:
        """Add an object.

        Raises:
            Duplicate: its name is taken.
        """
        time = now_us()
        made = replace(new, created_at_us=time, updated_at_us=time)
        self.rows.add_object(grant.namespace, made)
        return made

    def replace_object(
        self, grant: Grant, name: str, new: MetadefObject
    ) -> MetadefObject:
        """Write an object anew, perhaps under another name.

        Raises:
            DefinitionNotFound: there is none.
            Duplicate: the new name is taken.
        """
        before = self.object(grant, name)
        after = replace(new, created_at_us=before.created_at_us, updated_at_us=now_us())
        self.rows.update_object(grant.namespace, name, after)
        return after

    def remove_object(self, grant: Grant, name: str) -> None:
        """Delete an object.

        Raises:
            NamespaceProtected, DefinitionNotFound: it cannot be.
        """
        self.rows.remove(grant.namespace, Kind.OBJECT, name)

    def clear_objects(self, grant: Grant) -> None:
        """Delete all objects.  Raises `NamespaceProtected`."""
        self.rows.clear(grant.namespace, Kind.OBJECT)

    def properties(self, grant: Grant) -> Mapping[str, Definition]:
        """Return the properties, by name."""
        return self.rows.properties(grant.namespace)

    def property(
        self, grant: Grant, name: str, resource_type: str | None
    ) -> tuple[str, Definition]:
        """Return the bare name of one property, and its definition.

        With a resource type, ``name`` is what the property is called on such a
        resource.

        Raises:
            DefinitionNotFound: there is none, or the namespace is not meant for the
                type, or the name does not begin with the type's prefix.
        """
        namespace = grant.namespace
        bare = name
        if resource_type is not None:
            prefix = self._association(grant, resource_type).prefix or ""
            if not name.startswith(prefix):
                raise DefinitionNotFound(Kind.PROPERTY, name, namespace.name)
            bare = name.removeprefix(prefix)
        found = self.rows.properties(namespace, bare).get(bare)
        if found is None:
            raise DefinitionNotFound(Kind.PROPERTY, name, namespace.name)
        return bare, found

    def add_property(self, grant: Grant, name: str, definition: Definition) -> None:
        """Add a property.  Raises `Duplicate` if its name is taken."""
        self.rows.add_property(grant.namespace, name, definition)

    def replace_property(
        self, grant: Grant, name: str, renamed: str, definition: Definition
    ) -> None:
        """Write a property anew, perhaps under another name.

        Raises:
            DefinitionNotFound: there is none.
            Duplicate: the new name is taken.
        """
        self.rows.update_property(grant.namespace, name, renamed, definition)

    def remove_property(self, grant: Grant, name: str) -> None:
        """Delete a property.

        Raises:
            NamespaceProtected, DefinitionNotFound: it cannot be.
        """
        self.rows.remove(grant.namespace, Kind.PROPERTY, name)

    def clear_properties(self, grant: Grant) -> None:
        """Delete all properties.  Raises `NamespaceProtected`."""
        self.rows.clear(grant.namespace, Kind.PROPERTY)

    def tags(self, grant: Grant, query: TagQuery) -> Sequence[MetadefTag]:
        """Return tags, from the one after the marker on.

        Raises:
            DefinitionNotFound: there is no tag with the marker's name.
        """
        found = self.rows.tags(
            grant.namespace, sort_key=query.sort_key, ascending=query.ascending
        )
        begin = 0
        if query.marker is not None:
            names = [each.name for each in found]
            if query.marker not in names:
                raise DefinitionNotFound(Kind.TAG, query.marker, grant.namespace.name)
            begin = names.index(query.marker) + 1
        end = None if query.limit is None else begin + query.limit
        return found[begin:end]

    def tag(self, grant: Grant, name: str) -> MetadefTag:
        """Return one tag.

        Raises:
            DefinitionNotFound: there is none.
        """
        found = self.rows.tags(grant.namespace, name)
        if not found:
            raise DefinitionNotFound(Kind.TAG, name, grant.namespace.name)
        return found[0]

    def add_tag(self, grant: Grant, new: MetadefTag) -> MetadefTag:
        """Add one tag.  Raises `Duplicate` if its name is taken."""
        return self.add_tags(grant, (new,), instead=False)[0]

    def add_tags(
        self, grant: Grant, tags: Sequence[MetadefTag], *, instead: bool
    ) -> Sequence[MetadefTag]:
        """Add tags, beside or instead of those that are there; none changes nothing.

        Raises:
            Duplicate: one of the names is taken.
        """
        time = now_us()
        made = [replace(each, created_at_us=time, updated_at_us=time) for each in tags]
        if made:
            self.rows.add_tags(grant.namespace, made, instead=instead)
        return made

    def rename_tag(self, grant: Grant, name: str, new: MetadefTag) -> MetadefTag:
        """Rename a tag.

        Raises:
            DefinitionNotFound: there is none.
            Duplicate: the new name is taken.
        """
        before = self.tag(grant, name)
        after = replace(before, name=new.name, updated_at_us=now_us())
        self.rows.update_tag(grant.namespace, name, after)
        return after

    def remove_tag(self, grant: Grant, name: str) -> None:
        """Delete a tag.

        Raises:
            NamespaceProtected, DefinitionNotFound: it cannot be.
        """
        self.rows.remove(grant.namespace, Kind.TAG, name)

    def clear_tags(self, grant: Grant) -> None:
        """Delete all tags.  Raises `NamespaceProtected`."""
        self.rows.clear(grant.namespace, Kind.TAG)

    def resource_types(self, grant: Grant) -> Sequence[ResourceType]:
        """Return all resource types, which are no secret of any namespace."""
        return self.rows.resource_types()

    def associations(self, grant: Grant) -> Sequence[Association]:
        """Return what the namespace is meant for.

        Raises:
            Forbidden, NotFound: there are some, and each of them is refused.
        """
        found = self.rows.associations(grant.namespace)
        if found:
            grant.require(Action.GET_METADEF_RESOURCE_TYPE)
        return found

    def associate(self, grant: Grant, new: Association) -> Association:
        """Say that the namespace is meant for a resource type.

        Raises:
            Duplicate: it is already.
        """
        time = now_us()
        made = replace(new, created_at_us=time, updated_at_us=time)
        self.rows.associate(grant.namespace, made)
        return made

    def dissociate(self, grant: Grant, name: str) -> None:
        """Say that the namespace is not meant for a resource type.

        Raises:
            NamespaceProtected, DefinitionNotFound: it cannot be said.
        """
        self.rows.remove(grant.namespace, Kind.ASSOCIATION, name)

    def _association(self, grant: Grant, name: str) -> Association:
        for each in self.rows.associations(grant.namespace):
            if each.name == name:
                return each
        raise DefinitionNotFound(Kind.ASSOCIATION, name, grant.namespace.name)
