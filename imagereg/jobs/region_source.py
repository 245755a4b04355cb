"""``glance-download``: an image of another region, read with the caller's own token.

The endpoint comes from the operator's service catalog, so any port will do, and the
lists of hosts do not count; loopback and link-local addresses must nevertheless be
named in ``allowed_hosts``, and the token goes to no other server than the catalog's,
whatever redirects say.  Nothing that the other side says in words reaches a user.

Source: contract api-images 18.1; rulings U-5, S-13.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import orjson

from imagereg.errors import (
    BlobNotFound,
    ImageRegError,
    ImportStopped,
    Invalid,
    SourceUnavailable,
    StoreUnavailable,
)
from imagereg.images.fields import CORE, NAME_LENGTH, is_reserved
from imagereg.jobs.delegation import Delegations, RegionAccess
from imagereg.jobs.sources import Incoming, unbroken
from imagereg.model import Image, Status
from imagereg.settings import Settings
from imagereg.settings.imaging import ImportFiltering
from imagereg.stores.fetcher import Answer, Fetcher
from imagereg.stores.url_filter import URLFilter

log = logging.getLogger(__name__)

#: The longest record that is read, in bytes.
MAX_RECORD_BYTES = 4 * 1024 * 1024

#: The one process that had it may be no more, or an hour went by.
GONE = "the caller's token was gone before the data were here: ask for them again"


@dataclass(frozen=True, slots=True)
class RegionSource:
    """Reads images of other regions.

    Attributes:
        fetcher: for one host of a catalog.
        prefixes: properties whose names begin so come along.
        formats: core field -> the values that are accepted here.
        longest_s: for the whole of the data; 0 is any time.
    """

    delegations: Delegations
    fetcher: Callable[[str], Fetcher]
    prefixes: tuple[str, ...]
    formats: Mapping[str, Sequence[str]]
    longest_s: float = 0

    @contextmanager
    def open(
        self, image: Image, wanted: Mapping[str, object], task_id: str
    ) -> Iterator[Incoming]:
        """Read the record of the remote image, and open its data.

        Raises:
            ImportStopped: the token is gone, or the image is not what can be taken.
        """
        access = self.delegations.find(task_id)
        if access is None:
            raise ImportStopped(GONE)
        region, remote_id = str(wanted["region"]), str(wanted["image_id"])
        log.info(
            "image %s: reads image %s of region %s", *(image.id, remote_id, region)
        )
        record = self._record(access, region, remote_id)
        if record.get("status") != Status.ACTIVE:
            raise ImportStopped(
                f"image `{remote_id}` of region `{region}` is not active"
            )
        algorithm, digest = _digest(record)
        path = f"/v2/images/{remote_id}/file"
        with closing(self._ask(access, path, region, remote_id)) as answer:
            if answer.status != 200:
                raise SourceUnavailable
            chunks = unbroken(image, answer, self.longest_s)
            yield Incoming(
                _verified(chunks, algorithm, digest),
                answer.size,
                fields=self._fields(record),
                properties=self._properties(record),
            )

    def ended(self, task_id: str) -> None:
        """Forget the token: the data are here, or never will be."""
        self.delegations.drop(task_id)

    def _record(
        self, access: RegionAccess, region: str, remote_id: str
    ) -> Mapping[str, object]:
        path = f"/v2/images/{remote_id}"
        with closing(self._ask(access, path, region, remote_id)) as answer:
            text = bytearray()
            try:
                for chunk in answer:
                    text += chunk
                    if len(text) > MAX_RECORD_BYTES:
                        raise SourceUnavailable
                record = orjson.loads(text)
            except (StoreUnavailable, orjson.JSONDecodeError) as error:
                raise SourceUnavailable from error
        if not isinstance(record, dict):
            raise SourceUnavailable
        return record

    def _ask(
        self, access: RegionAccess, path: str, region: str, remote_id: str
    ) -> Answer:
        fetcher = self.fetcher((urlsplit(access.url).hostname or "").lower())
        secrets = {"X-Auth-Token": access.token}
        try:
            return fetcher.request("GET", access.url + path, secrets=secrets)
        except BlobNotFound as error:
            message = f"image `{remote_id}` is not in region `{region}`, or is hidden"
            raise ImportStopped(message) from error
        except (StoreUnavailable, Invalid) as error:
            log.info("region %s was not read: %s", region, error)
            message = f"the image service of region `{region}` gives no data"
            raise ImportStopped(message) from error

    def _fields(self, record: Mapping[str, object]) -> Mapping[str, object]:
        """Return the formats.

        Raises:
            ImportStopped: they are not those of images here.
        """
        fields = {name: record.get(name) for name in self.formats}
        for name, value in fields.items():
            if value not in self.formats[name]:
                raise ImportStopped(f"the remote image has no `{name}` of those here")
        return fields

    def _properties(self, record: Mapping[str, object]) -> Mapping[str, str]:
        """Return the custom properties that come along."""
        return {
            name: value
            for name, value in record.items()
            if name.startswith(self.prefixes)
            and isinstance(value, str)
            and name not in CORE
            and not is_reserved(name)
            and len(name) <= NAME_LENGTH
        }


def region_source(settings: Settings, delegations: Delegations) -> RegionSource:
    """Return the source of ``glance-download``, as the configuration wants it."""
    formats = settings.image_format
    allowed = {host.lower() for host in settings.import_filtering_opts.allowed_hosts}
    anywhere = ImportFiltering(allowed_ports=())

    def fetcher(host: str) -> Fetcher:
        named = (host,) if host in allowed else ()
        return Fetcher(URLFilter(replace(anywhere, allowed_hosts=named)))

    return RegionSource(
        delegations,
        fetcher,
        settings.glance_download_properties.extra_properties,
        {
            "container_format": formats.container_formats,
            "disk_format": formats.disk_formats,
        },
        settings.imagereg.web_download_timeout,
    )


def _digest(record: Mapping[str, object]) -> tuple[str, str]:
    """Return algorithm and value of the remote digest.

    Raises:
        ImportStopped: there is none, or none that is known here.
    """
    algorithm, value = record.get("os_hash_algo"), record.get("os_hash_value")
    if not (algorithm and value):
        # An image from before these fields has at least this one.
        algorithm, value = "md5", record.get("checksum")
    known = algorithm in hashlib.algorithms_available
    if not (known and isinstance(value, str) and value) or "shake" in str(algorithm):
        raise ImportStopped("the remote image has no digest to compare its data with")
    return str(algorithm), value.lower()


def _verified(chunks: Iterable[bytes], algorithm: str, value: str) -> Iterator[bytes]:
    """Pass chunks on, and raise at their end if they are not those of the digest."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    try:
        for chunk in chunks:
            digest.update(chunk)
            yield chunk
    except ImageRegError as error:
        raise SourceUnavailable from error
    if digest.hexdigest() != value:
        raise ImportStopped("the data are not those that the remote image tells of")
