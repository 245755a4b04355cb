"""Columns and rows that only lists read, kept by triggers.

- `images.shelf` is 0 for images in ordinary lists, 1 for hidden ones, 2 for those in
  no list; as the second part of each index it keeps thousands of images that wait for
  their deletion out of the way.
- `image_shares` repeats, for each member of an image, the columns that lists sort
  and filter by, so that what is shared with a project is a range of an index too.
- `created_at_us` of properties and tags is the image's, which never changes.

Triggers, because every module that writes an image would otherwise have to know of
lists, and one that forgot would hide images or show what is no longer shared.  They
run in the transaction of the write.
"""

from collections.abc import Iterator

#: Columns of `image_shares` that repeat those of `images` under the same names.
REPEATED = (
    "name",
    "status",
    "container_format",
    "disk_format",
    "size",
    "created_at_us",
    "updated_at_us",
    "owner",
    "visibility",
    "shelf",
)

#: What a trigger of `images` puts on which shelf.
SHELF = (
    "CASE WHEN NEW.status IN ('pending_delete', 'deleted', 'killed') THEN 2"
    " WHEN NEW.os_hidden THEN 1 ELSE 0 END"
)


def _triggers() -> Iterator[str]:
    for event in ("INSERT", "UPDATE OF status, os_hidden"):
        name = event.split()[0].lower()
        yield (
            f"CREATE TRIGGER images_shelf_{name} AFTER {event} ON images"  # noqa: S608 - every part is written here
            f" WHEN NEW.shelf <> {SHELF}"
            f" BEGIN UPDATE images SET shelf = {SHELF} WHERE id = NEW.id; END"
        )
    for column in REPEATED:
        # One for each column: an update then touches only the indexes of what changed.
        yield (
            f"CREATE TRIGGER images_shared_{column} AFTER UPDATE OF {column} ON images"  # noqa: S608 - as above
            f" WHEN NEW.{column} IS NOT OLD.{column}"
            f" BEGIN UPDATE image_shares SET {column} = NEW.{column}"
            " WHERE id = NEW.id; END"
        )
    columns = ", ".join(REPEATED)
    yield (
        "CREATE TRIGGER members_added AFTER INSERT ON image_members BEGIN"  # noqa: S608 - as above
        f" INSERT INTO image_shares (id, member_id, member_status, {columns})"
        f" SELECT id, NEW.member_id, NEW.status, {columns} FROM images"
        " WHERE id = NEW.image_id; END"
    )
    yield (
        "CREATE TRIGGER members_decided AFTER UPDATE OF status ON image_members BEGIN"
        " UPDATE image_shares SET member_status = NEW.status"
        " WHERE id = NEW.image_id AND member_id = NEW.member_id; END"
    )
    yield (
        "CREATE TRIGGER members_removed AFTER DELETE ON image_members BEGIN"
        " DELETE FROM image_shares"
        " WHERE id = OLD.image_id AND member_id = OLD.member_id; END"
    )
    for table, key in (("image_properties", "name"), ("image_tags", "tag")):
        yield (
            f"CREATE TRIGGER {table}_dated AFTER INSERT ON {table}"  # noqa: S608 - as above
            f" WHEN NEW.created_at_us = 0 BEGIN UPDATE {table} SET created_at_us ="
            " (SELECT created_at_us FROM images WHERE id = NEW.image_id)"
            f" WHERE image_id = NEW.image_id AND {key} = NEW.{key}; END"
        )


TRIGGERS = tuple(_triggers())
