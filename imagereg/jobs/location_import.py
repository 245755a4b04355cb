"""The job behind POST of a location: look at it, read it if need be, activate.

Source: contract api-images 19.2, the table by ``do_secure_hash``.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from imagereg.db.images import ImageRepository
from imagereg.db.jobs import NO_DATA, ImageStep, Job, JobRepository, Outcome
from imagereg.errors import (
    ImageNotFound,
    ImageRegError,
    Invalid,
    StatusConflict,
    StoreUnavailable,
    TooLarge,
)
from imagereg.images.digests import Digest
from imagereg.images.locations import LocationRules, NewLocation
from imagereg.images.quotas import Quotas
from imagereg.model import Image, Location, Status, TaskStatus
from imagereg.stores.hashing import Digests

log = logging.getLogger(__name__)

#: How often a long read looks whether its image is still there, in seconds.
LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class LocationImport:
    """One kind of job, bound to what it works on.

    Attributes:
        reads: ``do_secure_hash``: the data are read and hashed.
        tries: ``http_retries``: how often they are, if reading fails.
    """

    jobs: JobRepository
    images: ImageRepository
    rules: LocationRules
    quotas: Quotas
    reads: bool = True
    tries: int = 3
    pause: Callable[[float], None] = time.sleep

    def run(self, job: Job) -> Outcome:
        """Do the work.

        Raises:
            ImageRegError: the location is not usable, or the image went away.
        """
        image = self._image(job)
        given = _digest(job)
        if image.status == Status.QUEUED:
            location, size = self._look(job, image)
            step = self._first_step(image, location, size, given)
            if not self.reads:
                return self._done(image, step)
            self.jobs.advance(job, step)
            image = self._image(job)
        self._check_place(image.id, str(job.payload["url"]))
        if given is None:
            return self._hash_later(image)
        return self._verify(image, given)

    def failed(self, job: Job, message: str) -> Outcome:
        """Return the image to ``queued``, unless it got ``active`` before."""
        image = self.images.find(job.task.image_id or "", None)
        undo = ImageStep((Status.IMPORTING,), Status.QUEUED, facts=NO_DATA, clears=True)
        is_importing = image is not None and image[0].status == Status.IMPORTING
        return Outcome(TaskStatus.FAILURE, message, step=undo if is_importing else None)

    def _image(self, job: Job) -> Image:
        image, _ = self.images.get(job.task.image_id or "", None)
        return image

    def _check_place(self, image_id: str, url: str) -> None:
        """Refuse to go on with an image that got its data from somewhere else."""
        image, _ = self.images.get(image_id, None)
        if not image.locations or image.locations[0].url != url:
            raise StatusConflict(f"image {image_id} got its data elsewhere")

    def _look(self, job: Job, image: Image) -> tuple[Location, int]:
        """Return where the data lie, and how many bytes they are."""
        if not (image.container_format and image.disk_format):
            raise Invalid("container_format and disk_format must be set first")
        location = self.rules.locate(NewLocation(str(job.payload["url"])))
        size = self.rules.size_of(location)
        if size > self.rules.limits.size_bytes:
            raise TooLarge("the data exceed the size limit")
        return location, size

    def _first_step(
        self, image: Image, location: Location, size: int, given: Digest | None
    ) -> ImageStep:
        waits = self.reads and given is not None
        known = given.fields() if given is not None and not waits else {}
        return ImageStep(
            (Status.QUEUED,),
            Status.IMPORTING if waits else Status.ACTIVE,
            facts={**NO_DATA, "size": size, **known},
            added=location,
            # What a failed attempt may have left (see `_verify`).
            clears=True,
            check=partial(self.quotas.check_bytes, image.owner, image.id, size),
        )

    def _verify(self, image: Image, given: Digest) -> Outcome:
        """Read the data of an ``importing`` image and compare."""
        if image.status != Status.IMPORTING:
            raise StatusConflict(f"image {image.id} is {image.status} by now")
        checksum, value = self._read(image, given.algorithm)
        if value == given.value:
            facts = Digest(given.algorithm, value, checksum).fields()
            step = ImageStep((Status.IMPORTING,), Status.ACTIVE, facts)
            return self._done(image, step)
        # A web location stays for its owner to look at; a queued image serves nothing.
        is_web = image.locations[0].url.startswith("http")
        step = ImageStep((Status.IMPORTING,), Status.QUEUED, NO_DATA, clears=not is_web)
        message = "the data do not have the hash that was given"
        return Outcome(TaskStatus.FAILURE, message, step=step)

    def _hash_later(self, image: Image) -> Outcome:
        """Fill in the digests of an image that is ``active`` already."""
        algorithm = self.rules.hash_algorithm
        try:
            checksum, value = self._read(image, algorithm)
        except ImageNotFound:
            raise
        except ImageRegError as error:
            message = "the image is active, but could not be hashed"
            log.warning("image %s: not hashed: %s", image.id, error)
            return Outcome(TaskStatus.SUCCESS, message, {"image_id": image.id})
        step = ImageStep(
            (Status.ACTIVE, Status.DEACTIVATED),
            facts=Digest(algorithm, value, checksum).fields(),
            check=partial(self._check_place, image.id, image.locations[0].url),
        )
        return self._done(image, step)

    def _done(self, image: Image, step: ImageStep) -> Outcome:
        return Outcome(TaskStatus.SUCCESS, result={"image_id": image.id}, step=step)

    def _read(self, image: Image, algorithm: str) -> tuple[str, str]:
        """Return MD5 and one more digest of an image's data.

        Raises:
            ImageNotFound: the image was deleted, so nobody needs them.
            StoreUnavailable: each try broke off.
        """
        for attempt in range(max(1, self.tries)):
            if attempt:
                self.pause(2.0**attempt / 4)
            try:
                return self._read_once(image, algorithm)
            except StoreUnavailable as error:
                log.info("image %s: reading failed: %s", image.id, error)
        raise StoreUnavailable("the data could not be read")

    def _read_once(self, image: Image, algorithm: str) -> tuple[str, str]:
        location = image.locations[0]
        store = self.rules.stores.find_for(location)
        looked = time.monotonic()
        with (
            store.open(location, 0, image.size) as reader,
            Digests(algorithm) as digests,
        ):
            for chunk in reader:
                digests.update(chunk)
                if time.monotonic() - looked > LOOK_S:
                    looked = time.monotonic()
                    self.images.get(image.id, None)
            return digests.finish()


def _digest(job: Job) -> Digest | None:
    given = job.task.input.get("validation_data")
    if not isinstance(given, dict) or not given:
        return None
    return Digest(str(given["os_hash_algo"]), str(given["os_hash_value"]))
