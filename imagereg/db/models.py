"""The tables.

Times are microseconds since 1970 in UTC, because every engine stores and orders
integers alike.  A deleted image leaves a tombstone for ever, so that its id never
comes back with other content.
"""

from typing import ClassVar

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BooleanField,
    CharField,
    CompositeKey,
    IntegerField,
    Model,
    TextField,
)

#: How much of a property's value its index covers, in characters.
HEAD = 128


class ImageRow(Model):
    """One image.  Source: contract api-images 5."""

    id = CharField(max_length=36, primary_key=True)
    name = CharField(max_length=255, null=True)
    status = CharField(max_length=16)
    visibility = CharField(max_length=16)
    owner = CharField(max_length=255, null=True)
    protected = BooleanField(default=False)
    os_hidden = BooleanField(default=False)
    container_format = CharField(max_length=32, null=True)
    disk_format = CharField(max_length=32, null=True)
    min_disk = BigIntegerField(default=0)
    min_ram = BigIntegerField(default=0)
    size = BigIntegerField(null=True)
    virtual_size = BigIntegerField(null=True)
    checksum = CharField(max_length=32, null=True)
    os_hash_algo = CharField(max_length=64, null=True)
    os_hash_value = CharField(max_length=128, null=True)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()
    shelf = IntegerField(default=0, constraints=[SQL("DEFAULT 0")])

    class Meta:
        """Table name; the indexes of lists are in `listing.py`."""

        table_name = "images"


class ShareRow(Model):
    """What lists need of an image, once for each of its members.

    Written by the triggers of `derived.py` alone.
    """

    id = CharField(max_length=36)
    member_id = CharField(max_length=255)
    member_status = CharField(max_length=16)
    name = CharField(max_length=255, null=True)
    status = CharField(max_length=16)
    visibility = CharField(max_length=16)
    owner = CharField(max_length=255, null=True)
    shelf = IntegerField()
    container_format = CharField(max_length=32, null=True)
    disk_format = CharField(max_length=32, null=True)
    size = BigIntegerField(null=True)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()

    class Meta:
        """Table name; the indexes of lists are in `listing.py`."""

        table_name = "image_shares"
        primary_key = CompositeKey("id", "member_id")
        without_rowid = True


class TombstoneRow(Model):
    """An id that was used, and may never be used again."""

    id = CharField(max_length=36, primary_key=True)
    owner = CharField(max_length=255, null=True)
    deleted_at_us = BigIntegerField()

    class Meta:
        """Found by id alone."""

        table_name = "image_tombstones"
        without_rowid = True


class PropertyRow(Model):
    """One custom property.

    ``head`` is the part of the value that is indexed; a ``typed`` value is JSON.
    """

    image_id = CharField(max_length=36)
    name = CharField(max_length=255)
    value = TextField(null=True)
    head = CharField(max_length=HEAD, null=True)
    typed = BooleanField(default=False)
    created_at_us = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])

    class Meta:
        """Found by image, and by name and value for list filters, by age."""

        table_name = "image_properties"
        primary_key = CompositeKey("image_id", "name")
        indexes: ClassVar = ((("name", "head", "created_at_us", "image_id"), False),)
        without_rowid = True


class TagRow(Model):
    """One tag of one image."""

    image_id = CharField(max_length=36)
    tag = CharField(max_length=255)
    created_at_us = BigIntegerField(default=0, constraints=[SQL("DEFAULT 0")])

    class Meta:
        """Found by image, and by tag for list filters, by age."""

        table_name = "image_tags"
        primary_key = CompositeKey("image_id", "tag")
        indexes: ClassVar = ((("tag", "created_at_us", "image_id"), False),)
        without_rowid = True


class MemberRow(Model):
    """One project that an image is shared with."""

    image_id = CharField(max_length=36)
    member_id = CharField(max_length=255)
    status = CharField(max_length=16)
    created_at_us = BigIntegerField()
    updated_at_us = BigIntegerField()

    class Meta:
        """Found by image, and by member for lists of what is shared."""

        table_name = "image_members"
        primary_key = CompositeKey("image_id", "member_id")
        indexes: ClassVar = ((("member_id", "status", "image_id"), False),)
        without_rowid = True


class LocationRow(Model):
    """Where bytes of an image lie, and when somebody last looked at them.

    ``checked_at_us`` is when they were last read or tried to; ``verified_at_us`` when
    they were last read whole and found good; ``fault`` what was wrong the last time.
    They stand here, because row numbers may be used again.
    """

    id = AutoField()
    image_id = CharField(max_length=36, index=True)
    url = TextField()
    metadata = TextField(default="{}")
    store = CharField(max_length=255, null=True)
    checked_at_us = BigIntegerField(null=True)
    verified_at_us = BigIntegerField(null=True)
    fault = CharField(max_length=16, null=True)

    class Meta:
        """Found by image."""

        table_name = "image_locations"


class CondemnedRow(Model):
    """Bytes whose image or location is gone, and which a store has yet to give up.

    Written in the transaction that removes the location, deleted when the store has
    removed the object, so a store that is down never blocks a DELETE (ruling S-10).
    ``worker`` is who removes bytes of an image that lives, so that nobody writes to
    the same place meanwhile.  Bytes that are ``kept`` wait for the scrubber
    (``delayed_delete``).
    """

    image_id = CharField(max_length=36)
    url = TextField()
    store = CharField(max_length=255, null=True)
    since_us = BigIntegerField()
    kept = BooleanField(default=False)
    worker = CharField(max_length=255, null=True)
    claimed_at_us = BigIntegerField(null=True)

    class Meta:
        """A short list that is read as a whole."""

        table_name = "condemned_locations"


class PendingDeleteRow(Model):
    """An image that is deleted for everybody, and kept until the scrubber comes.

    Its other rows stay as they were, so that it can be restored, to the ``status``
    that it had.
    """

    image_id = CharField(max_length=36, primary_key=True)
    status = CharField(max_length=16)
    deleted_at_us = BigIntegerField(index=True)

    class Meta:
        """Found by id, and by age."""

        table_name = "pending_deletes"


class LeaseRow(Model):
    """Work that one process does for all, and which process that is."""

    name = CharField(max_length=64, primary_key=True)
    worker = CharField(max_length=255)
    beat_at_us = BigIntegerField()

    class Meta:
        """A few rows."""

        table_name = "leases"


class UploadRow(Model):
    """One upload that is under way: who runs it, and what it has reserved.

    The row stands as long as bytes may lie in the store that no location knows.
    ``beat_at_us`` is renewed while data flows, so another node can tell that this
    one is gone.
    """

    image_id = CharField(max_length=36, primary_key=True)
    worker = CharField(max_length=255)
    store = CharField(max_length=255)
    owner = CharField(max_length=255, null=True)
    reserved = BigIntegerField(default=0)
    beat_at_us = BigIntegerField()

    class Meta:
        """Few rows at any time: no index but the key."""

        table_name = "uploads"


class StagedPartRow(Model):
    """A range of an image's bytes that waits for the import, or is on its way in.

    The row of a range on its way names the process that takes it in; as long as it
    stands, bytes may lie under ``object_key`` that nothing else knows of.  When they
    are durable, ``url`` and ``digest`` are set and ``worker`` is taken out.

    ``total`` is the size of the whole as far as the client has told, ``whole`` says
    that these bytes alone are all, and ``void`` that nobody wants them any more.
    """

    id = AutoField()
    image_id = CharField(max_length=36, index=True)
    start = BigIntegerField()
    size = BigIntegerField()
    total = BigIntegerField(null=True)
    whole = BooleanField(default=False)
    void = BooleanField(default=False)
    object_key = CharField(max_length=255)
    store = CharField(max_length=255)
    url = TextField(null=True)
    digest = CharField(max_length=128, null=True)
    owner = CharField(max_length=255, null=True, index=True)
    worker = CharField(max_length=255, null=True)
    beat_at_us = BigIntegerField()

    class Meta:
        """Found by image, and by owner to be counted."""

        table_name = "staged_parts"


class CachedImageRow(Model):
    """One verified copy in the image cache of one node.

    ``digest`` is what the copy was verified against, so that one of other data, from
    before an image lost its locations, is never taken for the present ones.
    """

    node = CharField(max_length=255)
    image_id = CharField(max_length=36)
    size = BigIntegerField()
    digest = CharField(max_length=255)
    hits = BigIntegerField(default=0)
    last_accessed_us = BigIntegerField()
    last_modified_us = BigIntegerField()

    class Meta:
        """Found by node and image; by image for the nodes that hold it."""

        table_name = "cached_images"
        primary_key = CompositeKey("node", "image_id")
        indexes: ClassVar = ((("image_id",), False),)
        without_rowid = True


class EventRow(Model):
    """An event that a sink has yet to be told of.

    ``due_at_us`` is when it may be tried, the next time if it was refused before.
    """

    id = AutoField()
    sink = CharField(max_length=16)
    image_id = CharField(max_length=36)
    document = TextField()
    at_us = BigIntegerField()
    due_at_us = BigIntegerField()
    attempts = IntegerField(default=0)

    class Meta:
        """Its index is in `steps.py`."""

        table_name = "events"


class SchemaRow(Model):
    """Which version of these tables the database has."""

    version = IntegerField(primary_key=True)
    applied_at_us = BigIntegerField()

    class Meta:
        """One row per applied step."""

        table_name = "schema_versions"


TABLES: tuple[type[Model], ...] = (
    ImageRow,
    ShareRow,
    TombstoneRow,
    PropertyRow,
    TagRow,
    MemberRow,
    LocationRow,
    CondemnedRow,
    PendingDeleteRow,
    LeaseRow,
    UploadRow,
    StagedPartRow,
    CachedImageRow,
    EventRow,
    SchemaRow,
)
