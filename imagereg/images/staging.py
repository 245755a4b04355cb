"""Stage an image's data, at once or in ranges.

An image of which a range is there stays ``uploading`` until all are, whatever breaks
off in between, so a client may go on after a cut connection, a restart of the server
or a night.  Ranges come in any order and side by side, and the same one again does
no harm.

Source: contract api-images 8, 17 and 23; stores S-14.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from imagereg.access import Grant
from imagereg.db.staged_parts import StagedPart
from imagereg.errors import Invalid, NotFound, StatusConflict, TooLarge
from imagereg.images.limits import Limits
from imagereg.images.quotas import Quotas
from imagereg.images.ranges import StagedRange
from imagereg.images.staged import Part, StagedData
from imagereg.model import Image, Status

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StagedBody:
    """A body on its way in.

    Attributes:
        chunks: the bytes; raises `TransferBroken` if they do not end properly.
        expected_size: bytes announced by a header or Content-Length; None unknown.
        range: which bytes of the image they are; None for all of it.
    """

    chunks: Iterable[bytes]
    expected_size: int | None
    range: StagedRange | None = None


@dataclass(frozen=True, slots=True)
class StagedState:
    """What is there of an image.

    Attributes:
        total: the size of the whole, None as long as the client has not told.
    """

    parts: Sequence[StagedPart]
    total: int | None


@dataclass(frozen=True, slots=True)
class StagingRules:
    """What is refused before an image is even looked for.

    Attributes:
        enabled: whether there is an import that would take what is staged.
    """

    limits: Limits
    enabled: bool

    def check_enabled(self) -> None:
        """Refuse to stage what could never be imported.

        Raises:
            NotFound: ``glance-direct`` is not enabled.
        """
        if not self.enabled:
            raise NotFound("staging is not enabled")

    def check_size(self, asked: StagedRange | None, size: int | None) -> None:
        """Refuse announced sizes that make no sense, or are too large.

        Raises:
            Invalid: the body is not as long as its range.
            TooLarge: over the cap.
        """
        ends = [size or 0]
        if asked is not None:
            if size is not None and size != asked.size:
                raise Invalid("the body is not as long as its `Content-Range`")
            ends += [asked.stop, asked.total or 0]
        if max(ends) > self.limits.size_bytes:
            raise TooLarge(self.too_large)

    @property
    def too_large(self) -> str:
        """What a client is told whose data are over the cap."""
        return f"the data exceed the limit of {self.limits.size_bytes} bytes"


@dataclass(frozen=True, slots=True)
class Staging:
    """The use cases."""

    data: StagedData
    quotas: Quotas
    rules: StagingRules

    def stage(self, grant: Grant, body: StagedBody) -> None:
        """Keep the data of a ``queued`` image, or a range of them, for the import.

        Raises:
            StatusConflict: the image does not wait for data.
            PartConflict: the range does not fit what is there.
            SizeMismatch: there are more or fewer bytes than announced.
            TooLarge: over a limit, or the staging store is full.
            Gone: the image was deleted meanwhile.
            StoreUnavailable: the staging store cannot be written.
        """
        image, asked = grant.image, body.range
        size = body.expected_size if asked is None else asked.size
        most, too_large = self._most(image)

        def enter() -> None:
            status = self.data.rows.enter(image.id, whole=asked is None)
            if status is not None:
                raise _conflict(status)

        def leave() -> None:
            self.data.rows.settle(image.id)
            # Others may have taken the room while the bytes came in.
            self.quotas.check_staged(image.owner)

        part = Part(
            body.chunks,
            start=0 if asked is None else asked.start,
            expected_size=size,
            total=None if asked is None else asked.total,
            whole=asked is None,
            max_bytes=most,
            too_large=too_large,
            enter=enter,
            check=partial(self.quotas.check_stage, image.owner, image.id, size or 0),
            leave=leave,
        )
        taken = self.data.take(image.id, part)
        log.info("image %s: staged %d bytes from %d", image.id, taken, part.start)

    def state(self, grant: Grant) -> StagedState:
        """Return which ranges of an image are there."""
        parts = self.data.parts(grant.image.id)
        told = [part.total for part in parts if part.total is not None]
        return StagedState(parts, max(told, default=None))

    def _most(self, image: Image) -> tuple[int, str]:
        """Return how many bytes may come at most, and what to say beyond them."""
        room = self.quotas.stage_room_bytes(image.owner)
        if room is not None and room < self.rules.limits.size_bytes:
            return room, self.quotas.too_much_staged
        return self.rules.limits.size_bytes, self.rules.too_large


def _conflict(status: Status) -> StatusConflict:
    message = f"image status transition from {status} to uploading is not allowed"
    return StatusConflict(message)
