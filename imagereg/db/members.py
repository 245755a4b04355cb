"""Members of images.  Always reached through their image, never by themselves."""

from collections.abc import Sequence

from peewee import IntegrityError

from imagereg.db.engine import Engine, Row
from imagereg.db.models import MemberRow
from imagereg.db.outbox import EventType, note_member
from imagereg.errors import Duplicate, ImageNotFound, MemberNotFound, TooLarge
from imagereg.model import Member, MemberStatus, now_us

_SELECT = (
    "SELECT image_id, member_id, status, created_at_us, updated_at_us"
    " FROM image_members WHERE image_id = ?"
)


class MemberRepository:
    """Rows in, frozen values out."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, image_id: str) -> Sequence[Member]:
        """Return the members of an image, oldest first."""
        rows = self._engine.rows(
            f"{_SELECT} ORDER BY created_at_us, member_id", (image_id,)
        )
        return [_build(row) for row in rows]

    def get(self, image_id: str, member_id: str) -> Member:
        """Return one member.

        Raises:
            MemberNotFound: the project is none.
        """
        rows = self._engine.rows(f"{_SELECT} AND member_id = ?", (image_id, member_id))
        if not rows:
            raise MemberNotFound(image_id, member_id)
        return _build(rows[0])

    def add(self, image_id: str, member_id: str, quota: int) -> Member:
        """Add a pending member.

        Raises:
            Duplicate: the project is a member already.
            TooLarge: the image has ``quota`` members; a negative quota is none.
            ImageNotFound: the image went away.
        """
        time = now_us()
        member = Member(image_id, member_id, MemberStatus.PENDING, time, time)
        try:
            with self._engine.transaction():
                self._check_room(image_id, quota)
                MemberRow.insert(
                    image_id=image_id,
                    member_id=member_id,
                    status=MemberStatus.PENDING.value,
                    created_at_us=time,
                    updated_at_us=time,
                ).execute(self._engine.peewee)
                note_member(self._engine, member, EventType.MEMBER_CREATE)
        except IntegrityError as error:
            message = f"`{member_id}` is a member of image `{image_id}` already"
            raise Duplicate(message) from error
        return member

    def set_status(self, image_id: str, member_id: str, status: MemberStatus) -> Member:
        """Write what the member says, and return the new entry.

        Raises:
            MemberNotFound: the project is none, or no longer.
        """
        with self._engine.transaction():
            MemberRow.update(status=status.value, updated_at_us=now_us()).where(
                MemberRow.image_id == image_id, MemberRow.member_id == member_id
            ).execute(self._engine.peewee)
            member = self.get(image_id, member_id)
            note_member(self._engine, member, EventType.MEMBER_UPDATE)
        return member

    def remove(self, image_id: str, member_id: str) -> None:
        """Remove a member.

        Raises:
            MemberNotFound: the project is none.
        """
        with self._engine.transaction():
            if self._engine.events.sinks:
                member = self.get(image_id, member_id)
                note_member(self._engine, member, EventType.MEMBER_DELETE)
            removed = self._engine.delete(
                MemberRow,
                MemberRow.image_id == image_id,
                MemberRow.member_id == member_id,
            )
            if not removed:
                raise MemberNotFound(image_id, member_id)

    def _check_room(self, image_id: str, quota: int) -> None:
        if not self._engine.rows(
            "SELECT 1 FROM images WHERE id = ? AND status <> 'pending_delete'",
            (image_id,),
        ):
            raise ImageNotFound(image_id)
        count = len(self.list(image_id)) + 1
        if 0 <= quota < count:
            message = (
                f"the limit of members has been exceeded: attempted {count}, "
                f"maximum {quota}"
            )
            raise TooLarge(message)


def _build(row: Row) -> Member:
    image_id, member_id, status, created, updated = row
    return Member(
        str(image_id),
        str(member_id),
        MemberStatus(str(status)),
        int(str(created)),
        int(str(updated)),
    )
