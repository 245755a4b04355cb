"""Where the data of an import come from, until they are staged.

Nothing that a remote server says, and no reason why it could not be read, reaches a
user: by such differences a network could be mapped.

Source: contract api-images 18.3 and 18.5; SECURITY on OSSA-2026-038.
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from imagereg.errors import ImageRegError, SourceUnavailable
from imagereg.images.sources import Sources, Wanted
from imagereg.model import Image
from imagereg.stores.fetcher import Answer, Fetcher

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Incoming:
    """Data on their way.

    Attributes:
        chunks: the bytes; raises `SourceUnavailable` if they break off.
        size: how many there are, None if the source does not say.
        fields: core fields that the image takes over with the data.
        properties: custom properties likewise, as far as the caller may set them.
    """

    chunks: Iterable[bytes]
    size: int | None
    fields: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """One kind of source."""

    def open(
        self, image: Image, wanted: Mapping[str, object], task_id: str
    ) -> AbstractContextManager[Incoming]:
        """Open the data of an image.

        Args:
            image: whose data they shall become.
            wanted: what the request says of the source.
            task_id: of the import.

        Raises:
            SourceUnavailable: they cannot be read.
        """

    def ended(self, task_id: str) -> None:
        """Take note that an import needs its source no more."""


@dataclass(frozen=True, slots=True)
class WebSource:
    """``web-download``: any URL that passes the filter.

    Attributes:
        longest_s: for the whole of the data; 0 is any time.
    """

    fetcher: Fetcher
    longest_s: float = 0

    @contextmanager
    def open(
        self, image: Image, wanted: Mapping[str, object], task_id: str
    ) -> Iterator[Incoming]:
        """Ask the server for the data."""
        try:
            answer = self.fetcher.request("GET", str(wanted["uri"]))
        except ImageRegError as error:
            log.info("image %s: its source was not read: %s", image.id, error)
            raise SourceUnavailable from error
        try:
            if answer.status != 200:
                log.info("image %s: its source answers %d", image.id, answer.status)
                raise SourceUnavailable
            yield Incoming(unbroken(image, answer, self.longest_s), answer.size)
        finally:
            answer.close()

    def ended(self, task_id: str) -> None:
        """Do nothing: no import has anything of its own here."""


def unbroken(image: Image, answer: Answer, longest_s: float) -> Iterator[bytes]:
    """Pass chunks on, for so many seconds at most; 0 is any time.

    Raises:
        SourceUnavailable: they broke off, or took too long.
    """
    ends = time.monotonic() + longest_s if longest_s else None
    try:
        for chunk in answer:
            yield chunk
            if ends is not None and time.monotonic() > ends:
                log.info("image %s: its source takes too long", image.id)
                raise SourceUnavailable
    except ImageRegError as error:
        raise SourceUnavailable from error


@dataclass(frozen=True, slots=True)
class CopySource:
    """``copy-image``: the image itself, from whichever location can be read."""

    stores: Sources

    @contextmanager
    def open(
        self, image: Image, wanted: Mapping[str, object], task_id: str
    ) -> Iterator[Incoming]:
        """Open the best location; the others stand in for it."""
        try:
            reader = self.stores.open(Wanted(image))
        except ImageRegError as error:
            raise SourceUnavailable from error
        if reader is None:
            raise SourceUnavailable
        with reader:
            yield Incoming(reader, reader.size)

    def ended(self, task_id: str) -> None:
        """Do nothing: no import has anything of its own here."""
