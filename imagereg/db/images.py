"""Images in the database: find, list, add, change, delete.

Only changed columns and rows are written, so a PATCH during an upload and PATCHes
of different keys all survive (D-18).
"""

from collections.abc import Callable, Mapping, Sequence

import orjson
from peewee import IntegrityError

from imagereg.approved import ApprovedChanges, ApprovedImage, Changes
from imagereg.db.deletions import RESTORABLE, erase, postpone
from imagereg.db.engine import Engine
from imagereg.db.list_reader import page_rows
from imagereg.db.listing import ListQuery
from imagereg.db.models import (
    HEAD,
    ImageRow,
    LocationRow,
    PropertyRow,
    TagRow,
)
from imagereg.db.outbox import EventType, note
from imagereg.db.places import write_places
from imagereg.db.rows import COLUMNS, build, select
from imagereg.errors import (
    Duplicate,
    ImageNotFound,
    ImageProtected,
    StaleImage,
    TooLarge,
)
from imagereg.model import Image, Location, MemberStatus, Status, now_us

#: What was deleted with a delay changes no more.
_PRESENT = ImageRow.status != Status.PENDING_DELETE.value

Found = tuple[Image, MemberStatus | None]


class ImageRepository:
    """Rows in, frozen values out.

    Args:
        delays_delete: what is deleted is kept for the scrubber (``delayed_delete``).
    """

    def __init__(self, engine: Engine, *, delays_delete: bool = False) -> None:
        self._engine = engine
        self.delays_delete = delays_delete

    def find(self, image_id: str, project_id: str | None) -> Found | None:
        """Return an image and the project's membership of it, or None.

        Images that wait for their deletion are not found by anyone.
        """
        whole = select(self._engine.dialect.words)
        sql = f"{whole} FROM images AS i WHERE i.id = ? AND i.status <> ?"
        rows = self._engine.rows(
            sql, (project_id or "", image_id, Status.PENDING_DELETE.value)
        )
        return build(rows[0]) if rows else None

    def get(self, image_id: str, project_id: str | None) -> Found:
        """Return an image and the project's membership of it.

        Raises:
            ImageNotFound: there is none.
        """
        found = self.find(image_id, project_id)
        if found is None:
            raise ImageNotFound(image_id)
        return found

    def page(self, query: ListQuery) -> list[Found]:
        """Return one page, in order.

        One statement, and a few small ones where filters are involved, see
        `list_sql.py`.
        """
        return [build(row) for row in page_rows(self._engine, query)]

    def add(self, approved: ApprovedImage, check: Callable[[], None]) -> None:
        """Store a new image; ``check`` has a last look inside the transaction.

        Raises:
            Duplicate: the id is in use, or was once.
        """
        image = approved.image
        try:
            with self._engine.transaction():
                check()
                if self._engine.rows(
                    "SELECT 1 FROM image_tombstones WHERE id = ?", (image.id,)
                ):
                    raise Duplicate(f"image id `{image.id}` is taken")
                self._engine.insert("images", [_columns(image)])
                self._add_properties(image, image.properties)
                self._add_tags(image, image.tags)
                note(self._engine, image.id, EventType.CREATE)
        except IntegrityError as error:
            raise Duplicate(f"image id `{image.id}` is taken") from error

    def update(
        self, approved: ApprovedChanges, check: Callable[[], None] = lambda: None
    ) -> None:
        """Write approved changes, if what they were approved on still holds.

        ``check`` may refuse them inside the transaction, by raising.

        Raises:
            StaleImage: a property or location appeared or vanished since, or the
                image did.
        """
        changes, before = approved.changes, approved.before
        with self._engine.transaction():
            check()
            self._touch(before, changes)
            if changes.places is not None:
                kept = self.delays_delete
                write_places(self._engine, before, changes.places, kept=kept)
            present = before.properties.keys()
            for name in changes.removed:
                self._expect(self._delete_property(before.id, name), before.id)
            for name, value in changes.properties.items():
                if name in present and name not in changes.removed:
                    self._expect(self._set_property(before.id, name, value), before.id)
            self._insert_new(before, changes.properties, changes.removed)
            if changes.tags is not None:
                self._engine.delete(TagRow, TagRow.image_id == before.id)
                self._add_tags(before, changes.tags)
            note(self._engine, before.id, *_kinds(changes))

    def add_tag(self, image_id: str, tag: str, quota: int) -> None:
        """Add one tag; a tag that is there already stays.

        Raises:
            ImageNotFound: the image went away.
            TooLarge: the image has ``quota`` tags; a negative quota is none.
        """
        with self._engine.transaction():
            tags = self._engine.rows(
                "SELECT tag FROM image_tags WHERE image_id = ?", (image_id,)
            )
            fresh = (tag,) not in tags
            if fresh and 0 <= quota < len(tags) + 1:
                message = (
                    f"the limit of tags has been exceeded: attempted {len(tags) + 1}, "
                    f"maximum {quota}"
                )
                raise TooLarge(message)
            self._stamp(image_id)
            if fresh:
                self._engine.insert("image_tags", [{"image_id": image_id, "tag": tag}])
                note(self._engine, image_id, EventType.UPDATE)

    def remove_tag(self, image_id: str, tag: str) -> bool:
        """Remove one tag; return False if it was not there."""
        with self._engine.transaction():
            removed: int = self._engine.delete(
                TagRow, TagRow.image_id == image_id, TagRow.tag == tag
            )
            if removed:
                self._stamp(image_id)
                note(self._engine, image_id, EventType.UPDATE)
        return bool(removed)

    def move(self, image_id: str, before: Status, after: Status) -> bool:
        """Change the status by compare-and-set; return False if it was another one."""
        with self._engine.transaction():
            moved: int = (
                ImageRow.update(status=after.value, updated_at_us=now_us())
                .where(ImageRow.id == image_id, ImageRow.status == before.value)
                .execute(self._engine.peewee)
            )
            if moved:
                note(self._engine, image_id, EventType.UPDATE)
        return bool(moved)

    def delete(self, image_id: str) -> tuple[Location, ...]:
        """Delete the record and condemn its bytes, in one transaction.

        Returns where the bytes lie that the caller removes afterwards.  Where
        deletion is delayed, an image with data waits for the scrubber instead.

        Raises:
            ImageNotFound: somebody else deleted it.
            ImageProtected: somebody protected it meanwhile.
        """
        with self._engine.transaction():
            image = self.get(image_id, None)[0]
            if image.protected:
                raise ImageProtected(f"image {image_id} is protected from deletion")
            note(self._engine, image_id, EventType.DELETE, deleted=True)
            if self.delays_delete and image.locations and image.status in RESTORABLE:
                return postpone(self._engine, image)
            return erase(self._engine, image)

    def name_store(self, location: Location) -> None:
        """Write down the store of a location, which was not known or had changed."""
        with self._engine.transaction():
            LocationRow.update(
                store=location.store,
                metadata=orjson.dumps(location.metadata).decode(),
            ).where(LocationRow.id == location.id).execute(self._engine.peewee)

    def knows_location(self, url: str) -> bool:
        """Return whether an image's bytes lie at ``url``, or a deleted one's did.

        Staged bytes count: they are an image's, too.
        """
        return self.has_live_location(url) or any(
            self._engine.rows(sql, (url,))
            for sql in (
                "SELECT 1 FROM condemned_locations WHERE url = ?",
                "SELECT 1 FROM staged_parts WHERE url = ?",
            )
        )

    def has_live_location(self, url: str) -> bool:
        """Return whether any image's bytes lie at ``url``."""
        return bool(
            self._engine.rows("SELECT 1 FROM image_locations WHERE url = ?", (url,))
        )

    def is_anothers(self, image_id: str, urls: Sequence[str]) -> bool:
        """Return whether bytes of another image lie at one of ``urls``."""
        sql = "SELECT 1 FROM image_locations WHERE url = ? AND image_id <> ?"
        return any(self._engine.rows(sql, (url, image_id)) for url in urls)

    def _touch(self, before: Image, changes: Changes) -> None:
        """Write core fields and the time.

        Formats and locations change only in the status in which they were seen.
        """
        places = changes.places
        fields = {**changes.fields, **(places.facts if places else {})}
        values = {name: _plain(value) for name, value in fields.items()}
        where = {"id": before.id}
        if places or "disk_format" in values or "container_format" in values:
            where["status"] = before.status.value
        values["updated_at_us"] = now_us()
        written = self._engine.update("images", values, where)
        self._expect(written, before.id)

    def _stamp(self, image_id: str) -> None:
        changed = {"updated_at_us": now_us()}
        if not self._engine.update("images", changed, {"id": image_id}):
            raise ImageNotFound(image_id)

    def _expect(self, written: int, image_id: str) -> None:
        if not written:
            raise StaleImage(f"image {image_id} was changed by somebody else")

    def _insert_new(
        self, before: Image, properties: Mapping[str, object], removed: frozenset[str]
    ) -> None:
        fresh = {
            name: value
            for name, value in properties.items()
            if name not in before.properties or name in removed
        }
        try:
            self._add_properties(before, fresh)
        except IntegrityError as error:
            message = f"image {before.id} was changed by somebody else"
            raise StaleImage(message) from error

    def _add_properties(self, image: Image, properties: Mapping[str, object]) -> None:
        born = {"image_id": image.id, "created_at_us": image.created_at_us}
        rows = [
            {**born, "name": name, **_value(value)}
            for name, value in properties.items()
        ]
        self._engine.insert("image_properties", rows)

    def _set_property(self, image_id: str, name: str, value: object) -> int:
        where = {"image_id": image_id, "name": name}
        return self._engine.update("image_properties", _value(value), where)

    def _delete_property(self, image_id: str, name: str) -> int:
        deleted: int = self._engine.delete(
            PropertyRow, PropertyRow.image_id == image_id, PropertyRow.name == name
        )
        return deleted

    def _add_tags(self, image: Image, tags: Sequence[str]) -> None:
        born = {"image_id": image.id, "created_at_us": image.created_at_us}
        self._engine.insert("image_tags", [{**born, "tag": tag} for tag in tags])


def _kinds(changes: Changes) -> tuple[EventType, ...]:
    """Return what a change is told as: a first location brings an image to use."""
    facts = changes.places.facts if changes.places else {}
    if facts.get("status") == Status.ACTIVE:
        return EventType.UPDATE, EventType.ACTIVATE
    return (EventType.UPDATE,)


def _columns(image: Image) -> dict[str, object]:
    return {column: _plain(getattr(image, column)) for column in COLUMNS}


def _plain(value: object) -> object:
    """Return an enum's text, anything else as it is: drivers adapt exact types only."""
    return str(value) if isinstance(value, str) else value


def _value(value: object) -> dict[str, object]:
    typed = not isinstance(value, str)
    text = orjson.dumps(value).decode() if typed else str(value)
    return {"value": text, "head": text[:HEAD], "typed": typed}
