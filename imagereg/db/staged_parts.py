"""What the rows of staged parts say: those that are there, and those on their way."""

from dataclasses import dataclass

from imagereg.model import Location


@dataclass(frozen=True, slots=True)
class StagedPart:
    """Durable bytes of an image that is not there yet.

    Attributes:
        start: where they belong, counted from 0.
        total: the size of the whole as far as the client has told.
        digest: their SHA-256.
    """

    number: int
    image_id: str
    start: int
    size: int
    total: int | None
    digest: str
    location: Location

    @property
    def stop(self) -> int:
        """The offset of the first byte behind."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An image of which parts are there, and not all.

    Attributes:
        size: bytes that are there.
        since_us: when its client was last heard of.
    """

    image_id: str
    size: int
    since_us: int


@dataclass(frozen=True, slots=True)
class NewPart:
    """A range that is about to come in.

    Attributes:
        size: bytes announced; None unknown.
        total: the size of the whole; None as long as the client has not told.
        whole: these bytes alone are all, however many come.
        key: under which the store keeps them.
        worker: the process that takes them in.
        replaces: they take the place of all parts that are there.
    """

    image_id: str
    start: int
    size: int | None
    total: int | None
    whole: bool
    store: str
    key: str
    worker: str
    replaces: bool = False


@dataclass(frozen=True, slots=True)
class PartUnderWay:
    """A range on its way in, as the journal knows it."""

    number: int
    image_id: str
    store: str
    key: str
    worker: str
    beat_at_us: int
