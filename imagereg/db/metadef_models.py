"""The tables of metadata definitions.

Everything hangs on a namespace's id, which is random: an id that came back after a
deletion would let a slow writer write into somebody else's namespace.
"""

from typing import ClassVar

from peewee import (
    BigIntegerField,
    BooleanField,
    CharField,
    CompositeKey,
    Model,
    TextField,
)

#: Longest name of a namespace or of anything in it, in characters.
NAME_LENGTH = 80


class NamespaceRow(Model):
    """One namespace.  Source: contract api-metadefs 3.1."""

    id = CharField(max_length=36, primary_key=True)
    name = CharField(max_length=NAME_LENGTH, unique=True)
    display_name = CharField(max_length=NAME_LENGTH, null=True)
    description = CharField(max_length=500, null=True)
    visibility = CharField(max_length=16)
    protected = BooleanField(default=False)
    owner = CharField(max_length=255, null=True)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()

    class Meta:
        """Found by name; there are hundreds, not millions."""

        table_name = "metadef_namespaces"


class MetadefObjectRow(Model):
    """One object; ``required`` and ``properties`` are JSON."""

    namespace_id = CharField(max_length=36)
    name = CharField(max_length=NAME_LENGTH)
    description = TextField(null=True)
    required = TextField(null=True)
    properties = TextField(null=True)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()

    class Meta:
        """Found by namespace and name."""

        table_name = "metadef_objects"
        primary_key = CompositeKey("namespace_id", "name")


class MetadefPropertyRow(Model):
    """One property; ``definition`` is JSON."""

    namespace_id = CharField(max_length=36)
    name = CharField(max_length=NAME_LENGTH)
    definition = TextField()

    class Meta:
        """Found by namespace and name."""

        table_name = "metadef_properties"
        primary_key = CompositeKey("namespace_id", "name")


class MetadefTagRow(Model):
    """One tag; tags that were made together are ordered by their row number."""

    namespace_id = CharField(max_length=36)
    name = CharField(max_length=NAME_LENGTH)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()

    class Meta:
        """Found by namespace and name."""

        table_name = "metadef_tags"
        indexes: ClassVar = ((("namespace_id", "name"), True),)


class ResourceTypeRow(Model):
    """One resource type, which outlives its associations."""

    name = CharField(max_length=NAME_LENGTH, primary_key=True)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()

    class Meta:
        """Found by name."""

        table_name = "metadef_resource_types"


class AssociationRow(Model):
    """One resource type that a namespace is meant for."""

    namespace_id = CharField(max_length=36)
    name = CharField(max_length=NAME_LENGTH)
    prefix = CharField(max_length=NAME_LENGTH, null=True)
    properties_target = CharField(max_length=NAME_LENGTH, null=True)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()

    class Meta:
        """Found by namespace, and by type for list filters."""

        table_name = "metadef_associations"
        primary_key = CompositeKey("namespace_id", "name")
        indexes: ClassVar = ((("name", "namespace_id"), False),)


METADEF_TABLES: tuple[type[Model], ...] = (
    NamespaceRow,
    MetadefObjectRow,
    MetadefPropertyRow,
    MetadefTagRow,
    ResourceTypeRow,
    AssociationRow,
)
