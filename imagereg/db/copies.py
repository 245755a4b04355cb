"""The books of the image cache: what each node holds, and how often it was used.

They are in the shared database, not in a file of each node's own, because one
question goes across nodes: which of them hold an image.  What counts on a download
is written in one transaction for many of them, so a hit costs no write.

Source: contract stores 8, api-images 25.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.db.engine import Engine
from imagereg.db.models import CachedImageRow
from imagereg.model import Status, now_us

#: An image in one of these gives its bytes to nobody any more.
_GONE = (Status.DELETED.value, Status.PENDING_DELETE.value)


@dataclass(frozen=True, slots=True)
class CachedCopy:
    """One verified copy on this node.

    Attributes:
        digest: what was verified, as ``algorithm:value``.
    """

    image_id: str
    size: int
    digest: str
    hits: int
    last_accessed_us: int
    last_modified_us: int


@dataclass(frozen=True, slots=True)
class Uses:
    """How often a copy was used since the books were last written, and when last."""

    count: int
    last_us: int


class CopyRepository:
    """The part of the books that one node writes, and what it may ask of the rest.

    Args:
        node: names this node; its URL, for those who ask which nodes hold an image.
    """

    def __init__(self, engine: Engine, node: str) -> None:
        self._engine = engine
        self.node = node

    def find(self, image_id: str) -> CachedCopy | None:
        """Return what this node holds of an image, or None."""
        rows = self._engine.rows(
            f"{_SELECT} WHERE node = ? AND image_id = ?", (self.node, image_id)
        )
        return _build(rows[0]) if rows else None

    def held(self) -> list[CachedCopy]:
        """Return all that this node holds, the least recently used first."""
        rows = self._engine.rows(
            f"{_SELECT} WHERE node = ? ORDER BY last_accessed_us, image_id",
            (self.node,),
        )
        return [_build(row) for row in rows]

    def nodes(self, image_id: str) -> list[str]:
        """Return the names of all nodes that hold an image."""
        rows = self._engine.rows(
            "SELECT node FROM cached_images WHERE image_id = ? ORDER BY node",
            (image_id,),
        )
        return [str(node) for (node,) in rows]

    def orphans(self) -> list[str]:
        """Return ids of copies on this node whose image is gone."""
        rows = self._engine.rows(
            "SELECT c.image_id FROM cached_images AS c LEFT JOIN images AS i "
            "ON i.id = c.image_id "
            "WHERE c.node = ? AND (i.id IS NULL OR i.status IN (?, ?))",
            (self.node, *_GONE),
        )
        return [str(image_id) for (image_id,) in rows]

    def put(self, image_id: str, size_bytes: int, digest: str) -> None:
        """Enter a copy that was just verified."""
        time = now_us()
        with self._engine.transaction():
            self._delete(image_id)
            CachedImageRow.insert(
                node=self.node,
                image_id=image_id,
                size=size_bytes,
                digest=digest,
                last_accessed_us=time,
                last_modified_us=time,
            ).execute(self._engine.peewee)

    def add_uses(self, uses: Mapping[str, Uses]) -> None:
        """Count uses of copies; those that are no longer held are left out."""
        with self._engine.transaction():
            for image_id, used in uses.items():
                CachedImageRow.update(
                    hits=CachedImageRow.hits + used.count,
                    last_accessed_us=used.last_us,
                ).where(
                    CachedImageRow.node == self.node,
                    CachedImageRow.image_id == image_id,
                ).execute(self._engine.peewee)

    def delete(self, image_id: str) -> bool:
        """Strike a copy off; return whether there was one."""
        with self._engine.transaction():
            return bool(self._delete(image_id))

    def _delete(self, image_id: str) -> int:
        return self._engine.delete(
            CachedImageRow,
            CachedImageRow.node == self.node,
            CachedImageRow.image_id == image_id,
        )


_SELECT = (
    "SELECT image_id, size, digest, hits, last_accessed_us, last_modified_us "
    "FROM cached_images"
)


def _build(row: tuple[object, ...]) -> CachedCopy:
    image_id, size, digest, hits, accessed, modified = row
    return CachedCopy(
        str(image_id),
        int(str(size)),
        str(digest),
        int(str(hits)),
        int(str(accessed)),
        int(str(modified)),
    )
