"""Columns and rows that only lists read, kept by triggers, and the indexes of lists.

- `images.shelf` is 0 for images in ordinary lists, 1 for hidden ones, 2 for those in
  no list; as the second part of each index it keeps thousands of images that wait for
  their deletion out of the way.
- `image_shares` repeats, for each member of an image, the columns that lists sort
  and filter by, so that what is shared with a project is a range of an index too.
- `created_at_us` of properties and tags is the image's, which never changes.

Triggers, because every module that writes an image would otherwise have to know of
lists, and one that forgot would hide images or show what is no longer shared.  They
run in the transaction of the write.  Each engine writes them its own way, in its
module of `dialects`.
"""

from collections.abc import Iterator, Mapping

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

#: Tables whose rows are dated like their image, and the other part of their key.
DATED = (("image_properties", "name"), ("image_tags", "tag"))

#: What each branch of a list fixes, and so what its indexes begin with.
PREFIXES = {
    "images": (("visibility",), ("owner", "visibility")),
    "image_shares": (("member_id", "member_status", "visibility"),),
}


def indexes(sort_keys: Mapping[str, str], expressed: str = "{}") -> Iterator[str]:
    """Yield the statements that make the indexes of lists, by SQL of the sort keys.

    ``expressed`` is how an expression stands among columns.
    """
    for table, prefixes in PREFIXES.items():
        for prefix in prefixes:
            for key, expression in sort_keys.items():
                bare = expression.format(table).replace(f"{table}.", "")
                if "(" in bare:
                    bare = expressed.format(bare)
                tail = {"created_at": ", id", "id": ""}.get(key, ", created_at_us, id")
                yield (
                    f"CREATE INDEX {table}_{prefix[0]}_{key} ON {table} "
                    f"({', '.join(prefix)}, shelf, {bare}{tail})"
                )
