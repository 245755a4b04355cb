"""Locations that clients hand in: what is checked, and what an image gets of it.

The server reads from these URLs later on, for whoever may download the image.  So
nobody can name files of this machine, everything else passes the filter of its store,
and bytes that some image of this registry has already cannot be had through another.

Source: contract api-images 19.1, 22 and 23; stores 4; SECURITY on locations.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from imagereg.access import Grant
from imagereg.approved import Changes
from imagereg.db.images import ImageRepository
from imagereg.errors import (
    Conflict,
    Forbidden,
    ImageRegError,
    Invalid,
    NotFound,
    StatusConflict,
)
from imagereg.images.digests import Digest, check_digest
from imagereg.images.limits import Limits
from imagereg.images.removal import Removal
from imagereg.model import Image, Location, PlaceChanges, Status, shown_url
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.store import Store

log = logging.getLogger(__name__)

#: Schemes that no client may name, whatever stores there are.
FORBIDDEN_SCHEMES = frozenset({"file", "filesystem", "swift+config"})


@dataclass(frozen=True, slots=True)
class NewLocation:
    """One item of a request, checked against the schema."""

    url: str
    metadata: Mapping[str, object] = field(default_factory=dict)
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class LocationRules:
    """What a URL must be like to become a location.

    Attributes:
        hash_algorithm: the one that digests of clients must be of.
        several_stores: metadata name the store.
    """

    images: ImageRepository
    stores: StoreCatalog
    limits: Limits
    hash_algorithm: str
    several_stores: bool = False

    def locate(self, item: NewLocation) -> Location:
        """Return a location as it would be stored, without asking its store.

        Raises:
            Invalid: the URL is of no store, or of one that clients may not name.
        """
        try:
            scheme = urlsplit(item.url).scheme.lower()
        except ValueError as error:
            raise Invalid("invalid location") from error
        if not scheme or scheme in FORBIDDEN_SCHEMES:
            raise Invalid("invalid location")
        wanted = item.metadata.get("store")
        location = Location(
            item.url, item.metadata, wanted if isinstance(wanted, str) else None
        )
        try:
            store = self.stores.find_for(location)
        except ImageRegError as error:
            raise Invalid("invalid location") from error
        if store.writable:
            self._check_unknown(store, item.url)
        location = replace(location, store=store.id)
        if self.several_stores:
            metadata = {**item.metadata, "store": store.id}
            location = replace(location, metadata=metadata)
        return location

    def _check_unknown(self, store: Store, url: str) -> None:
        """Refuse bytes that some image has already, however their URL is spelled.

        Through a second image, its owner could read or delete what is another's.
        Spellings beyond the usual ones, with keys of the account in them for example,
        are refused as well: nothing that looks for rows by URL would find them.
        """
        spellings = store.spellings_of(url)
        if url not in spellings or any(map(self.images.knows_location, spellings)):
            raise Invalid("invalid location")

    def size_of(self, location: Location) -> int:
        """Return how many bytes lie there, more than none.

        Raises:
            Invalid: the filter refuses, the store cannot tell, or nothing is there.
        """
        try:
            size = self.stores.find_for(location).size(location)
        except ImageRegError as error:
            log.info("a location was refused: %s", error)
            raise Invalid("invalid location") from error
        if size <= 0:
            raise Invalid("invalid location")
        return size

    def name_stores(self, image: Image) -> Image:
        """Return the image with the stores of all its locations, as far as they exist.

        Rows of older releases name no store, or one that has another name by now;
        what their URLs tell is written down the first time that somebody looks.
        """
        if not self.several_stores:
            return image
        named = tuple(
            place if place.store in self.stores else self._named(image, place)
            for place in image.locations
        )
        return image if named == image.locations else replace(image, locations=named)

    def _named(self, image: Image, place: Location) -> Location:
        try:
            store = self.stores.find_for(place)
        except ImageRegError:
            log.warning("image %s: a location is of no store that is there", image.id)
            return place
        found = replace(
            place, store=store.id, metadata={**place.metadata, "store": store.id}
        )
        self.images.name_store(found)
        return found


@dataclass(frozen=True, slots=True)
class Locations:
    """The use cases, bound to what they work on.

    Attributes:
        editable: ``show_multiple_locations``: clients may change them by PATCH.
    """

    rules: LocationRules
    images: ImageRepository
    removal: Removal
    editable: bool = False

    def draft(self, grant: Grant) -> "LocationDraft | None":
        """Return what takes operations on locations; None where they are invisible."""
        return LocationDraft(self.rules, grant.image) if self.editable else None

    def list(self, grant: Grant) -> Sequence[Location]:
        """Return where the bytes of an image lie, whatever options hide elsewhere.

        Those of a deactivated image are for administrators alone.
        """
        image = grant.image
        if image.status == Status.DEACTIVATED and not grant.caller.is_admin:
            return ()
        return image.locations

    def remove_from(self, grant: Grant, store_id: str) -> None:
        """Take an image's bytes out of one store.

        Raises:
            StatusConflict: the image is not ``active``.
            Forbidden: its bytes lie nowhere else.
            NotFound: they do not lie there.
            StaleImage: somebody else changed the locations just now.
        """
        image = grant.image
        if image.status != Status.ACTIVE:
            raise StatusConflict(f"image {image.id} is {image.status}, not active")
        if len(image.locations) < 2:
            raise Forbidden("the only location of an image cannot be removed")
        found = next((p for p in image.locations if p.store == store_id), None)
        if found is None:
            raise NotFound(f"image {image.id} is not in store `{store_id}`")
        places = PlaceChanges(removed=(found,))
        changes = Changes({}, {}, frozenset(), None, (), places)
        self.images.update(grant.approve(changes))
        log.info("image %s: taken out of store %s", image.id, store_id)
        self.removal.remove(image.id, found)


class LocationDraft:
    """The locations of one image as they would be after the operations so far."""

    def __init__(self, rules: LocationRules, image: Image) -> None:
        self._rules = rules
        self._image = image
        self._status = image.status
        # What a queued image has is of a failed attempt, and counts for nothing.
        is_waiting = image.status == Status.QUEUED
        self._superseded = image.locations if is_waiting else ()
        self._places = [] if is_waiting else list(image.locations)
        self._edited: dict[int | None, Location] = {}
        self._removed: list[Location] = []
        self._facts: dict[str, object] = {}

    def add(self, position: str, item: NewLocation, image: Image) -> None:
        """Add one location; ``image`` has the fields as they would be by now.

        Raises:
            StatusConflict: neither ``active`` nor ``queued``.
            Conflict: the digests contradict what is known.
            Invalid: the position, the location, or formats that are not set.
            TooLarge: too many locations.
        """
        self._check_status(Status.ACTIVE, Status.QUEUED)
        self._take_digests([item])
        index = self._position(position, len(self._places))
        self._insert(index, item, image)
        self._become_active()

    def replace(self, items: Sequence[NewLocation], image: Image) -> None:
        """Set the first locations of an image, or the metadata of those it has.

        Raises:
            Forbidden: to none at all.
            Invalid: other URLs than the image has; and as `add`.
        """
        self._check_status(Status.ACTIVE, Status.QUEUED)
        if not items:
            raise Forbidden("the locations of an image cannot be emptied")
        self._take_digests(items)
        if self._places:
            self._describe(items)
            return
        for item in items:
            self._insert(len(self._places), item, image)
        self._become_active()

    def remove(self, position: str) -> None:
        """Remove one location.

        Raises:
            StatusConflict: the image is not ``active``.
            Forbidden: it is the last one.
            Invalid: there is none at this position.
        """
        self._check_status(Status.ACTIVE)
        if len(self._places) < 2:
            raise Forbidden("the last location of an image cannot be removed")
        last = len(self._places) - 1
        index = last if position == "-" else self._position(position, last + 1)
        if index > last:
            raise Invalid(f"there is no location at position `{position}`")
        gone = self._places.pop(index)
        if gone.id is not None:
            self._removed.append(gone)

    def changes(self) -> PlaceChanges | None:
        """Return what has to be written, or None for nothing."""
        added = tuple(place for place in self._places if place.id is None)
        removed = {place.id for place in self._removed}
        edited = tuple(p for p in self._edited.values() if p.id not in removed)
        if not (added or edited or self._removed):
            return None
        return PlaceChanges(
            added=added,
            edited=edited,
            removed=tuple(self._removed),
            superseded=self._superseded,
            facts=self._facts,
        )

    def _check_status(self, *wanted: Status) -> None:
        if self._status not in wanted:
            message = f"locations of an image that is {self._status} cannot be changed"
            raise StatusConflict(message)

    def _take_digests(self, items: Sequence[NewLocation]) -> None:
        """Take over digests that contradict nothing; they are trusted, not verified."""
        for digest in (item.digest for item in items if item.digest is not None):
            check_digest(digest, self._rules.hash_algorithm)
            for name, value in digest.fields().items():
                known = self._facts.get(name) or getattr(self._image, name)
                if known is not None and known != value:
                    raise Conflict(f"`{name}` differs from what is known already")
                if known is None and self._status != Status.QUEUED:
                    message = f"`{name}` can only be set while the image is queued"
                    raise Conflict(message)
                self._facts[name] = value

    def _insert(self, index: int, item: NewLocation, image: Image) -> None:
        if not (image.container_format and image.disk_format):
            message = "container_format and disk_format must be set first"
            raise Invalid(message)
        place = self._rules.locate(item)
        size = self._rules.size_of(place)
        known = self._facts.get("size", self._image.size)
        # Copies of one image are of one size; another one breaks every download.
        if known not in (None, size):
            raise Invalid("invalid location")
        if any(_same(place, other) for other in self._places):
            raise Invalid("the image has this location already")
        self._rules.limits.check_locations(len(self._places) + 1)
        self._places.insert(index, place)
        if self._image.size is None:
            self._facts["size"] = size

    def _describe(self, items: Sequence[NewLocation]) -> None:
        """Give the locations that are there other metadata."""
        left = list(self._places)
        described: list[Location] = []
        for item in items:
            # Clients see, and send back, URLs without user and password (S-8).
            url = shown_url(item.url)
            found = next((p for p in left if shown_url(p.url) == url), None)
            if found is None:
                raise Invalid("the URLs of the locations cannot be replaced")
            left.remove(found)
            metadata = dict(item.metadata)
            if self._rules.several_stores and found.store:
                metadata["store"] = found.store
            place = replace(found, metadata=metadata)
            if any(_same(place, other) for other in described):
                raise Invalid("the image has this location already")
            described.append(place)
        if left:
            raise Invalid("the URLs of the locations cannot be replaced")
        self._places = described
        for place in described:
            if place.id is not None:
                self._edited[place.id] = place

    def _become_active(self) -> None:
        if self._status == Status.QUEUED:
            self._status = Status.ACTIVE
            self._facts["status"] = Status.ACTIVE

    def _position(self, text: str, end: int) -> int:
        if text == "-":
            return end
        if not (text.isascii() and text.isdigit()) or len(text) > 9:
            raise Invalid(f"`{text}` is not the position of a location")
        return min(int(text), end)


def _same(one: Location, other: Location) -> bool:
    return one.url == other.url and one.metadata == other.metadata
