"""Download image data, whole or a part, from the best place that has them.

Source: contract api-images 16; stores 5 and S-4.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from imagereg.access import Grant
from imagereg.errors import Invalid
from imagereg.images.sources import Choose, Sources, Wanted
from imagereg.meters import Meters
from imagereg.model import Image, Status
from imagereg.policy.actions import Action
from imagereg.states import check
from imagereg.stores.driver import BlobReader, HasPath
from imagereg.stores.relay import relay


class Copies(Protocol):
    """Copies of image data on this node: the room `cache`, which does not know us."""

    def find(self, image: Image, choose: Choose | None = None) -> HasPath | None:
        """Open a verified copy, or the part of it that ``choose`` picks, if any."""

    def read_through(
        self, image: Image, source: Callable[[int], BlobReader | None]
    ) -> BlobReader | None:
        """Open all that ``source`` gives from offset 0, and keep a copy of it."""

    def forget(self, image_id: str) -> None:
        """Remove the copy of an image that is gone."""


@dataclass(frozen=True, slots=True)
class Downloads:
    """The use cases, bound to what they work on.

    Attributes:
        several_stores: clients see and choose stores by their ids.
        copies: what may answer instead of the stores.
        announce: told of each transfer that begins: the image, and how many bytes.
        meters: are told whether a copy did.
    """

    sources: Sources
    several_stores: bool = False
    copies: Copies | None = None
    announce: Callable[[str, int | None], None] | None = None
    meters: Meters = field(default_factory=Meters)

    def open(
        self,
        grant: Grant,
        choose: Choose | None = None,
        prefer: Sequence[str] = (),
        *,
        is_sent: bool = True,
    ) -> BlobReader | None:
        """Open an image's data, or the part that ``choose`` picks of its size.

        Returns None when there is no data at all.  Every download of every caller
        comes through this one call: a copy on this node answers instead of the
        stores, and a read of the whole is copied on its way.

        Args:
            grant: to download the image.
            choose: picks the part; None is the whole.
            prefer: ids of stores to try first.
            is_sent: False where nobody will read the data, as for a HEAD.

        Raises:
            Forbidden: the image is deactivated and the caller no administrator.
            RangeNotSatisfiable, MultipleRanges: from ``choose``.
            Invalid: ``prefer`` names no store, and a store is needed.
            StoreUnavailable: no location can be read just now.
        """
        reader = self._open(grant, choose, prefer, is_sent=is_sent)
        if reader is not None and is_sent and self.announce:
            self.announce(grant.image.id, reader.size)
        return reader

    def _open(
        self,
        grant: Grant,
        choose: Choose | None,
        prefer: Sequence[str],
        *,
        is_sent: bool,
    ) -> BlobReader | None:
        image = grant.image
        self.check_in_use(grant)
        copy = self.copies.find(image, choose) if self.copies else None
        if self.copies:
            self.meters.cache_asked(is_hit=copy is not None)
        if copy is not None:
            # Should its disk fail, the stores go on where it stopped.
            again = partial(self.sources.reopen, image)
            return relay(copy, copy.position, [again])
        self._check_known(prefer)
        if image.status == Status.QUEUED:
            # It may have a location all the same, one that failed to verify.
            return None
        wanted = Wanted(image, choose, prefer)
        if self.copies is None or not wanted.is_whole or not is_sent:
            return self.sources.open(wanted)
        return self.copies.read_through(image, partial(self.sources.open_from, wanted))

    def redirect_url(
        self, grant: Grant, prefer: Sequence[str] = (), *, is_asked: bool
    ) -> str | None:
        """Return the URL in a store from which the caller reads the data, or None.

        The URL is signed and good for a short time; it must not be logged.

        Args:
            grant: to download the image.
            prefer: ids of stores to try first.
            is_asked: the caller wants to be redirected.

        Raises:
            Forbidden: the image is deactivated and the caller no administrator.
        """
        self.check_in_use(grant)
        known = all(self.several_stores and s in self.sources.stores for s in prefer)
        if grant.image.status == Status.QUEUED or not known:
            # `open` says what is wrong, unless a copy makes it void.
            return None
        wanted = Wanted(grant.image, prefer=prefer)
        url = self.sources.redirect_url(wanted, is_asked=is_asked)
        if url is not None and self.announce:
            self.announce(grant.image.id, grant.image.size)
        return url

    def check_in_use(self, grant: Grant) -> None:
        """Refuse the data of an image that was taken out of use.

        Raises:
            Forbidden: the image is deactivated and the caller no administrator.
        """
        check(grant.caller, Action.DOWNLOAD_IMAGE, grant.image)

    def _check_known(self, stores: Sequence[str]) -> None:
        """Refuse wishes for stores that are not there.

        Here, behind the gate: a copy makes them void, and whoever may not read the
        image must not learn from the answer whether there is one.

        Source: contract api-images 16.
        """
        if stores and not self.several_stores:
            raise Invalid("`prefer` needs several stores")
        for store in stores:
            self.sources.check_known(store)
