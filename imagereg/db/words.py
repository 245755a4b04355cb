"""What the engines say in different words, where statements are written by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

#: Sort key -> SQL.  Nulls are lowest on every engine, so they are replaced by what
#: is lower than any value; the same expressions stand in the indexes.
SORT_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "name": "COALESCE({0}.name, '')",
        "status": "{0}.status",
        "container_format": "COALESCE({0}.container_format, '')",
        "disk_format": "COALESCE({0}.disk_format, '')",
        "size": "COALESCE({0}.size, -1)",
        "id": "{0}.id",
        "created_at": "{0}.created_at_us",
        "updated_at": "{0}.updated_at_us",
    }
)


#: Table of lists -> what its row ``i`` says of which image it is about.
BY_ID: Mapping[str, str] = MappingProxyType({"images": "i.id", "image_shares": "i.id"})

#: Each index of SQLite has the numbers of rows: by id is one more index to go through
#: for each image.  Worth it for rows that end in the page, not for all that is sorted.
_BY_NUMBER: Mapping[str, str] = MappingProxyType(
    {
        "images": "i.rowid",
        "image_shares": "(SELECT x.rowid FROM images AS x WHERE x.id = i.id)",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """One engine's words.

    Attributes:
        tags: the tags of image ``i``, as the text of a JSON array.
        properties: its properties, as the text of a JSON object.
        locations: its locations, as the text of an array of arrays.
        sort_keys: what lists are ordered by, in words that an index has.
        then: a join that reads the table on its left first.
        ranges_rows: a comparison of rows is one range of an index.
        merges_unions: a union in an order reads no more of each branch than is needed.
        rows: table -> how its row ``i`` says which row of `images` it is about.
    """

    tags: str
    properties: str
    locations: str
    sort_keys: Mapping[str, str] = field(default_factory=lambda: SORT_KEYS)
    then: str = "CROSS JOIN"
    ranges_rows: bool = True
    merges_unions: bool = False
    rows: Mapping[str, str] = field(default_factory=lambda: BY_ID)

    @property
    def row(self) -> str:
        """How image ``i`` is found at once."""
        return self.rows["images"]

    @property
    def stops_unions(self) -> bool:
        """Whether a limit around a union ends its branches too.

        What plans no comparison of rows, which is MariaDB, reads them to their ends.
        """
        return self.ranges_rows


#: Those of SQLite.
STANDARD = Words(
    merges_unions=True,
    rows=_BY_NUMBER,
    tags="""(SELECT json_group_array(t.tag) FROM image_tags t
   WHERE t.image_id = i.id)""",
    properties="""(SELECT json_group_object(
     p.name, CASE WHEN p.typed THEN json(p.value) ELSE p.value END)
   FROM image_properties p WHERE p.image_id = i.id)""",
    locations="""(SELECT json_group_array(
     json_array(l.id, l.url, json(l.metadata), l.store))
   FROM (SELECT * FROM image_locations WHERE image_id = i.id ORDER BY id) l)""",
)
