"""What a project uses, counted where it is stored.

Called inside the transaction that adds to it, so that any number of requests at once
never exceed a limit together: on SQLite a write transaction is alone from its first
statement on.

Source: contract api-images 23.
"""

from dataclasses import dataclass

from imagereg.db.engine import Engine

#: Images ``i`` that other stores are being filled with.
_COPYING = (
    "EXISTS (SELECT 1 FROM image_properties c WHERE c.image_id = i.id "
    "AND c.name = 'os_glance_importing_to_stores' AND c.value <> '')"
)

_LIVE = "status NOT IN ('killed', 'deleted', 'pending_delete')"


@dataclass(frozen=True, slots=True)
class Usage:
    """What one project uses.

    Attributes:
        size_bytes: sizes of its images, times the places where they lie.
        stage_bytes: sizes of what is staged, being imported or copied, and announced
            sizes of what is on its way there.
        reserved_bytes: announced sizes of uploads under way.
        images: records.
        uploading: records that are receiving data.
    """

    size_bytes: int
    stage_bytes: int
    reserved_bytes: int
    images: int
    uploading: int


class UsageRepository:
    """Counts for one project."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, project_id: str, *, except_for: str = "") -> Usage:
        """Return what the project uses, leaving out one image's upload under way."""
        rows = self._engine.rows(
            f"""SELECT
              (SELECT COALESCE(SUM(i.size), 0) FROM images i
                 JOIN image_locations l ON l.image_id = i.id
                WHERE i.owner = ? AND i.{_LIVE}),
              (SELECT COALESCE(SUM(i.size), 0) FROM images i WHERE i.owner = ?
                AND (i.status IN ('uploading', 'importing') OR {_COPYING}))
              + (SELECT COALESCE(SUM(p.size), 0) FROM staged_parts p
                WHERE p.owner = ? AND NOT EXISTS (SELECT 1 FROM images i
                  WHERE i.id = p.image_id AND i.size IS NOT NULL)),
              (SELECT COALESCE(SUM(reserved), 0) FROM uploads
                WHERE owner = ? AND image_id <> ?),
              (SELECT COUNT(*) FROM images WHERE owner = ? AND {_LIVE}),
              (SELECT COUNT(*) FROM images i WHERE i.owner = ? AND i.id <> ?
                AND (i.status IN ('saving', 'uploading', 'importing')
                  OR {_COPYING}))""",  # noqa: S608 - every part is written here
            (
                *(project_id, project_id, project_id, project_id, except_for),
                *(project_id, project_id, except_for),
            ),
        )
        return Usage(*(int(str(number)) for number in rows[0]))
