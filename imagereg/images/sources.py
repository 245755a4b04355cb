"""Read an image's data in the stores, from the best place that has them.

For those to whom the data were granted, and for copies that this service makes.

Source: contract api-images 16; stores 5 and S-4.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from imagereg.errors import BlobNotFound, StoreUnavailable, UnknownStore
from imagereg.model import Image, Location
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.driver import BlobReader
from imagereg.stores.relay import relay
from imagereg.stores.store import Store

log = logging.getLogger(__name__)

#: Picks the wanted part of data of a given size; may refuse.
Choose = Callable[[int], range]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be read.

    Attributes:
        choose: picks a part; None is the whole.
        prefer: ids of stores to try first.
    """

    image: Image
    choose: Choose | None = None
    prefer: Sequence[str] = ()

    @property
    def is_whole(self) -> bool:
        """Whether every byte is wanted."""
        return self.choose is None

    def part(self, size_bytes: int) -> range:
        """Return which of ``size_bytes`` are wanted.

        Raises:
            RangeNotSatisfiable, MultipleRanges: from ``choose``.
        """
        return self.choose(size_bytes) if self.choose else range(size_bytes)


@dataclass(frozen=True, slots=True)
class Sources:
    """All stores, as the places of images."""

    stores: StoreCatalog

    def open(self, wanted: Wanted) -> BlobReader | None:
        """Open the first location that can be read, the best first.

        Those in the stores that ``prefer`` names are tried first, then by the weight
        of the store.  If it breaks off, the next ones are read on from there.
        """
        image = wanted.image
        failure: StoreUnavailable | None = None
        places = self._best_first(wanted)
        for position, location in enumerate(places):
            try:
                store = self.stores.find_for(location)
                size = image.size if image.size is not None else store.size(location)
                part = wanted.part(size)
                reader = _open(store, location, part.start, len(part))
            except BlobNotFound:
                log.warning("image %s: no object at a location", image.id)
            except StoreUnavailable as error:
                log.warning("image %s: a location cannot be read: %s", image.id, error)
                failure = error
            else:
                others = places[position + 1 :] if image.os_hash_value else []
                again = [partial(self._reopen, image, other) for other in others]
                return relay(reader, part.start, again)
        if failure is not None:
            raise failure
        return None

    def redirect_url(self, wanted: Wanted, *, is_asked: bool) -> str | None:
        """Return a signed URL of the location that `open` would read, if it has one.

        It is a key to the data: for those to whom they were granted, and no log.
        """
        image = wanted.image
        for location in self._best_first(wanted):
            try:
                store = self.stores.find_for(location)
                url = store.redirect_url(location, is_asked=is_asked)
                if url is None or store.size(location) == image.size:
                    return url
            except (BlobNotFound, StoreUnavailable) as error:
                # Whoever was sent there could not go on to the next one.
                log.warning("image %s: no redirect to a location: %s", image.id, error)
        return None

    def read(self, image: Image, offset: int) -> BlobReader | None:
        """Open all of an image's data that follow an offset."""
        return self.open_from(Wanted(image), offset)

    def reopen(self, image: Image, offset: int, length: int) -> BlobReader:
        """Open a part that has begun to be read elsewhere.

        Raises:
            BlobNotFound, StoreUnavailable: it cannot be read here either.
        """
        wanted = Wanted(image, lambda size: range(offset, offset + length))
        reader = self.open(wanted)
        if reader is None:
            raise BlobNotFound("the data are in no store")
        return reader

    def open_from(self, wanted: Wanted, offset: int) -> BlobReader | None:
        """Open all that follows an offset, wherever it is best to be read."""
        return self.open(replace(wanted, choose=lambda size: range(offset, size)))

    def check_known(self, store: str) -> None:
        """Raise `UnknownStore` unless a store has this id."""
        if store not in self.stores:
            raise UnknownStore(f"there is no store `{store}`")

    def _reopen(
        self, image: Image, location: Location, offset: int, length: int
    ) -> BlobReader:
        """Open what is still wanted, at a location that holds the very same data.

        Only whole images of one size are taken for the same; their digest is one for
        all locations of the record.
        """
        store = self.stores.find_for(location)
        if store.size(location) != image.size:
            raise StoreUnavailable("the object has another size than the image")
        return _open(store, location, offset, length)

    def _best_first(self, wanted: Wanted) -> list[Location]:
        prefer = wanted.prefer

        def rank(place: Location) -> tuple[int, int]:
            name = place.store or ""
            position = prefer.index(name) if name in prefer else len(prefer)
            weight = self.stores[name].weight if name in self.stores else 0
            return position, -weight

        return sorted(wanted.image.locations, key=rank)


def _open(store: Store, location: Location, offset: int, length: int) -> BlobReader:
    """Open a part that must be there as a whole.

    Raises:
        StoreUnavailable: it is not; nobody gets less than the record promises.
    """
    reader = store.open(location, offset, length)
    if reader.size != length:
        reader.close()
        raise StoreUnavailable("the object is shorter than the image")
    return reader
