"""Every expected failure, named for the domain and ignorant of HTTP.

A message is written for the person at the other end: lower case, no full stop,
user input in backquotes, never a path or a secret.  `api/problems.py` is the one
place that turns these into answers.
"""

from collections.abc import Sequence
from typing import ClassVar


class ImageRegError(Exception):
    """Base of every failure that a caller or an operator can bring about."""

    @property
    def message(self) -> str:
        """The text for the caller."""
        return str(self)


class ConfigurationError(ImageRegError):
    """The files of the operator are at fault; ``faults`` lists all of it.

    Attributes:
        faults: one line each, naming file, section or rule, and what is wrong.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class Invalid(ImageRegError):
    """The request itself is wrong, whoever sends it."""


class RuleSyntaxError(Invalid):
    """A policy rule cannot be read."""


class UnknownRule(Invalid):
    """A policy rule refers to a name that nothing defines, or to itself."""


class RuleFailed(ImageRegError):
    """A policy rule met data that it cannot judge, so the answer is no."""


class MultipleRanges(Invalid):
    """More than one byte range was asked for at once."""


class SizeMismatch(Invalid):
    """The body is not as long as was announced."""


class TransferBroken(Invalid):
    """The client went away, or sent a body that cannot be decoded."""


class UnknownStore(Invalid):
    """No store is configured under this id."""


class Unauthenticated(ImageRegError):
    """Nobody confirmed who is calling."""


class TooManyAttempts(ImageRegError):
    """Somebody tried too many passwords, and has to wait.

    Attributes:
        wait_s: for how long, in seconds.
    """

    def __init__(self, message: str, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(message)


class IdentityUnavailable(ImageRegError):
    """Nobody can tell just now whom a token stands for.

    Attributes:
        wait_s: when to ask again, in seconds.
    """

    wait_s = 5.0

    @property
    def message(self) -> str:
        """The text for the caller; the reason is for the operator's log."""
        return "the identity service does not answer, so no token can be checked"


class IdentityUnreachable(IdentityUnavailable):
    """The identity service cannot be reached, whichever token it is asked about."""


class Forbidden(ImageRegError):
    """The caller is known and may not do this."""


class ActionDenied(Forbidden):
    """A policy rule refused.

    Attributes:
        action: the policy name that was asked.
        rule: the name of the rule that refused.
    """

    def __init__(self, action: str, rule: str, detail: str = "") -> None:
        self.action = action
        self.rule = rule
        text = f"you are not authorized to complete {action} action"
        super().__init__(f"{text}: {detail}" if detail else text)


class NotOwner(Forbidden):
    """The rules allow it, but the image belongs to another project."""


class NotVisible(Forbidden):
    """Stored data hide the target from the caller, who is told that there is none."""


class ReadOnlyCaller(Forbidden):
    """An anonymous caller tried to write."""


class PropertyReserved(Forbidden):
    """A protection, or the name itself, keeps the property from the caller."""

    def __init__(self, name: str, detail: str = "") -> None:
        text = f"attribute `{name}` is reserved"
        super().__init__(f"{text}: {detail}" if detail else text)


class ReadOnlyField(Forbidden):
    """The server alone sets this field."""

    def __init__(self, name: str) -> None:
        super().__init__(f"attribute `{name}` is read-only")


class ImageProtected(Forbidden):
    """``protected`` is set, so the image may not be deleted."""


class NamespaceProtected(Forbidden):
    """``protected`` is set, so nothing of the namespace may be deleted."""


class StatusForbids(Forbidden):
    """The image's status does not allow the action, which answers 403 by contract."""


class NotFound(ImageRegError):
    """There is no such thing, or the caller may not know that there is."""


class ImageNotFound(NotFound):
    """No image with this id is visible to the caller."""

    def __init__(self, image_id: str) -> None:
        super().__init__(f"no image found with id `{image_id}`")


class MemberNotFound(NotFound):
    """No such member of the image is visible to the caller."""

    def __init__(self, image_id: str, member_id: str) -> None:
        super().__init__(f"image `{image_id}` has no member `{member_id}`")


class NamespaceNotFound(NotFound):
    """No namespace of this name is visible to the caller."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no metadata definition namespace `{name}` found")


class DefinitionNotFound(NotFound):
    """The namespace has no such object, property, tag or association."""

    def __init__(self, kind: str, name: str, namespace: str) -> None:
        super().__init__(f"namespace `{namespace}` has no {kind} `{name}`")


class Conflict(ImageRegError):
    """The request does not fit the present state."""


class StatusConflict(Conflict):
    """The image's status does not allow this."""


class PartConflict(Conflict):
    """A range of data does not fit those that are there already."""


class PropertyConflict(Conflict):
    """A PATCH operation does not fit the properties that are there."""


class StaleImage(Conflict):
    """Somebody else changed the image between the decision and the write."""


class LeaseLost(Conflict):
    """Another process took the job over, so this one must not go on."""


class Duplicate(Conflict):
    """The id, name or member is taken already."""


class BlobExists(Conflict):
    """The store holds an object under this key already."""


class Gone(ImageRegError):
    """The image was deleted, or its store closed, while data was on its way."""


class StoreReadOnly(Gone):
    """The store takes no uploads: by its nature, or because it is badly configured."""


class TooLarge(ImageRegError):
    """A size cap, quota or count limit would be exceeded."""


class StoreFull(TooLarge):
    """The store has no room for these bytes."""


class UnsupportedMedia(ImageRegError):
    """The content type or the content itself is not acceptable.

    Attributes:
        accepted: media types that would have been, for the ``Accept-Patch`` header.
    """

    def __init__(self, message: str, accepted: Sequence[str] = ()) -> None:
        self.accepted = tuple(accepted)
        super().__init__(message)


class UnsafeContent(UnsupportedMedia):
    """The bytes are not what ``disk_format`` says, or failed a safety check."""


class RangeNotSatisfiable(ImageRegError):
    """No byte of the range lies inside the image.

    Attributes:
        size_bytes: the size of the whole image.
    """

    def __init__(self, message: str, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        super().__init__(message)


class HeaderTooLong(ImageRegError):
    """A request header exceeds its limit."""


class StoreUnavailable(ImageRegError):
    """The store cannot be reached or written just now; trying again may help.

    Attributes:
        store: the id of the store that failed, once one has said so.
    """

    store: str | None = None


class DatabaseUnavailable(StoreUnavailable):
    """The registry's database is away, locked or full; trying again may help."""


class SourceUnavailable(ImageRegError):
    """The data of an import cannot be had, or not all of them.

    The message is the same for every reason, so that nobody maps a network by it.
    """

    def __init__(self) -> None:
        super().__init__("the data could not be read from their source")


class ImportStopped(ImageRegError):
    """The import ends here, for the reason that the message tells."""


class BlobNotFound(ImageRegError):
    """The store holds no object under this key."""


class RegistryRefused(ImageRegError):
    """A registry answered our client with a refusal.

    Attributes:
        status: its HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class RegistryUnreachable(ImageRegError):
    """A registry gave our client no answer for too long; going on later may help."""


class FileChanged(ImageRegError):
    """The local file is not the one whose beginning the registry has."""


class ImportFailed(ImageRegError):
    """The registry took the data and could not make an image of them."""


class DataDiffer(ImageRegError):
    """The image in the registry has other bytes than the local file."""


class FetchFailed(ImageRegError):
    """A node did not get an image.

    Attributes:
        exit_status: how `imagereg-fetch` ends; each class below has its own.

    Source: contract compute-fetch 9.1.
    """

    exit_status: ClassVar[int] = 1


class FetchNotFound(FetchFailed):
    """There is no such image, or the caller may not know that there is."""

    exit_status = 3


class FetchRefused(FetchFailed):
    """The caller may not have the image, or it is deactivated."""

    exit_status = 4


class FetchNoData(FetchFailed):
    """The image has no data, or not yet."""

    exit_status = 5


class FetchNotIntact(FetchFailed):
    """The bytes are not those of the image, or nothing says what they should be."""

    exit_status = 6


class FetchUnsafe(FetchFailed):
    """The bytes are not of the format that the image claims, or not safe to open."""

    exit_status = 7


class FetchNoSpace(FetchFailed):
    """There is no room on this node."""

    exit_status = 8


class FetchUnreachable(FetchFailed):
    """No service answered, after all retries."""

    exit_status = 9


class FetchLockTimeout(FetchFailed):
    """Somebody else has the image in hand for too long."""

    exit_status = 10


class FetchCancelled(FetchFailed):
    """The caller of the library lost interest."""

    exit_status = 130
