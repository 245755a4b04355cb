"""What can be wrong between stores and rows."""

from dataclasses import dataclass
from enum import StrEnum

from imagereg.model import shown_url


class Kind(StrEnum):
    """One kind of disagreement; its value is the word that is shown."""

    ORPHAN = "orphan"
    FOREIGN = "foreign"
    CONDEMNED = "condemned"
    LEFTOVERS = "leftovers"
    STALE_UPLOAD = "stale upload"
    STUCK = "stuck image"
    LOST_TASK = "lost task"
    STAGED = "staged data"
    ABANDONED = "abandoned upload"
    CACHED = "cached data"
    MISSING = "missing"
    SIZE = "wrong size"
    HASH = "wrong hash"
    HOMELESS = "no such store"
    UNREADABLE = "unreadable"


MEANINGS = {
    Kind.ORPHAN: "an object of an image that has no such location",
    Kind.FOREIGN: "an object whose name is of no image this registry ever had",
    Kind.CONDEMNED: "an object that was to be removed and is still there",
    Kind.LEFTOVERS: "beginnings of uploads that nobody will finish",
    Kind.STALE_UPLOAD: "an upload whose process is no more",
    Kind.STUCK: "an image in a passing status that nobody works on",
    Kind.LOST_TASK: "a task that never ended and that no queue knows",
    Kind.STAGED: "staged data that no image waits for",
    Kind.ABANDONED: "parts of an image whose client never sent the rest",
    Kind.CACHED: "files of this node's cache that failed or that no image needs",
    Kind.MISSING: "a location without an object",
    Kind.SIZE: "an object of another size than the image",
    Kind.HASH: "an object with other bytes than were stored",
    Kind.HOMELESS: "a location in a store that is not configured",
    Kind.UNREADABLE: "what could not be looked at just now",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Attributes:
        store: id of the store, None where none is concerned or known.
        subject: the id of the image or task, or the name of a foreign object.
        url: where the bytes lie.
        size: bytes of the object, as far as anyone knows.
        detail: what else there is to say.
        fixed: it is as it should be now.
    """

    kind: Kind
    store: str | None = None
    subject: str = ""
    url: str = ""
    size: int | None = None
    detail: str = ""
    fixed: bool = False

    def document(self) -> dict[str, object]:
        """Return it for JSON; the URL shows no credentials (ruling S-8)."""
        return {
            "kind": self.kind.value,
            "store": self.store,
            "subject": self.subject,
            "url": shown_url(self.url),
            "size": self.size,
            "detail": self.detail,
            "fixed": self.fixed,
        }
