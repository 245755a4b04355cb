"""Blobs as objects of one S3 bucket: ``s3://host/bucket/key``.

Source: contract stores 3, rulings S-2 to S-5, S-8, S-11.
"""

import logging
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from imagereg.errors import BlobNotFound, ConfigurationError, Forbidden, Invalid
from imagereg.model import Location
from imagereg.settings import S3StoreSettings
from imagereg.stores.budget import Budget
from imagereg.stores.driver import BlobReader, BlobWriter, ListedBlob, check_key
from imagereg.stores.s3_client import S3Client, S3Options, S3Refused
from imagereg.stores.s3_reader import S3Reader, check_begins_at
from imagereg.stores.s3_upload import SILENCE_S, MiB, PartPlan, S3Writer, taken

SCHEMES = ("s3", "s3+http", "s3+https")

MAX_EXPIRY_S = 7 * 24 * 3600
"""How long a signed URL can be good for (signature version 4)."""

_NOTHING = "there is no such object in the store"

#: Keys of images; what else lies in the bucket is none of our business.
_IMAGE_ID = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")

_log = logging.getLogger(__name__)


class S3Driver:
    """Blobs in a bucket.  Nothing is asked of the service before the first use.

    Args:
        budget: memory for the parts of uploads, shared with other stores.
    """

    def __init__(self, options: S3Options, budget: Budget | None = None) -> None:
        self._options = options
        self._budget = budget or Budget()
        self._client = S3Client(options)
        self._place = f"{options.host}/{options.bucket}/"
        scheme = "s3+https" if options.secure else "s3"
        self._prefix = f"{scheme}://{self._place}"

    def prepare(self) -> None:
        """Read the certificate authorities, so that a bad file shows at start.

        Raises:
            ConfigurationError: they cannot be read.
        """
        ca_file = self._options.ca_file
        if ca_file is None:
            return
        try:
            ssl.create_default_context(cafile=str(ca_file))
        except OSError as error:
            fault = f"{ca_file}: {error.strerror or error}"
            raise ConfigurationError([fault]) from error

    def writer(self, key: str, announced_bytes: int, *, replace: bool) -> BlobWriter:
        """Begin an upload."""
        if not replace and self.find(key):
            raise taken(key)
        return S3Writer(
            self._client,
            key,
            PartPlan.of(self._options, announced_bytes),
            Location(self._url(key)),
            replace=replace,
            create_bucket=self._create if self._options.create_bucket else None,
            share=self._budget.share(),
        )

    def open(self, url: str, offset: int, length: int | None) -> BlobReader:
        """Open a part of the object at ``url`` for reading."""
        key = self._parse(url)
        if length == 0:
            self._get_head(key)
            return S3Reader(self._client, key, None, offset, 0)
        last = "" if length is None else offset + length - 1
        # A checksum belongs to the whole object, so it takes a whole answer.
        verified = self._options.response_checksums == "when_supported"
        is_part = bool(offset) or (length is not None and not verified)
        wanted: dict[str, Any] = {}
        if is_part:
            wanted["Range"] = f"bytes={offset}-{last}"
        try:
            answer = self._client.call("get_object", Key=key, **wanted)
        except S3Refused as refused:
            if refused.status == 416:
                # Nothing follows the last byte.
                return S3Reader(self._client, key, None, offset, 0)
            if refused.status == 404 and refused.code != "NoSuchBucket":
                raise BlobNotFound(_NOTHING) from None
            raise
        if is_part:
            check_begins_at(answer, offset)
        size = int(answer["ContentLength"])
        if length is not None:
            size = min(size, length)
        return S3Reader(self._client, key, answer, offset, size)

    def size(self, url: str) -> int:
        """Return how many bytes lie at ``url``."""
        return int(self._get_head(self._parse(url))["ContentLength"])

    def delete(self, url: str) -> None:
        """Remove the object at ``url``.

        Asks once and does not wait long: whoever deletes an image waits for this,
        and what fails is tried again in the background.
        """
        key = self._parse(url)
        self._get_head(key, hasty=True)
        try:
            self._client.call("delete_object", Key=key, hasty=True)
        except S3Refused as refused:
            if refused.status == 403:
                message = "the object cannot be deleted from the store"
                raise Forbidden(message) from None
            raise

    def find(self, key: str) -> str | None:
        """Return the URL of the object with this key, or None."""
        return self._url(key) if self._head(key) else None

    def owns(self, url: str) -> bool:
        """Return whether ``url`` lies in the bucket, over whichever protocol."""
        try:
            self._parse(url)
        except BlobNotFound:
            return False
        return True

    def list_blobs(self) -> Iterator[ListedBlob]:
        """Yield every object of the bucket, those of others too."""
        for page in self._client.pages("list_objects_v2"):
            for found in page.get("Contents", ()):
                changed_at_s = found["LastModified"].timestamp()
                key, size = found["Key"], int(found["Size"])
                yield ListedBlob(key, self._url(key), size, changed_at_s)

    def canonical(self, url: str) -> str:
        """Return the spelling of ``url`` that the driver itself would use."""
        return self._url(self._parse(url))

    def spellings(self, key: str) -> Sequence[str]:
        """Return the URL of this key by each scheme, without credentials."""
        place = self._place + quote(key, safe="")
        return tuple(f"{scheme}://{place}" for scheme in SCHEMES)

    def sweep(
        self,
        *,
        key: str | None = None,
        older_than_s: float = 0.0,
        pretend: bool = False,
    ) -> int:
        """Abort multipart uploads without a writer; say how many.

        With a ``key`` the caller knows that nobody writes it, beyond this process.
        Without one, uploads of images count that got no part for `SILENCE_S`, by
        when their writers have given up.
        """
        silence_s = older_than_s if key else max(older_than_s, SILENCE_S)
        removed = 0
        prefix = {"Prefix": key} if key else {}
        for page in self._client.pages("list_multipart_uploads", **prefix):
            for upload in page.get("Uploads", ()):
                is_ours = upload["Key"] == key if key else _is_image(upload["Key"])
                if is_ours and self._is_silent(upload, silence_s):
                    removed += 1 if pretend else self._abort(upload)
        return removed

    def signed_url(
        self, url: str, expires_in_s: int, filename: str | None = None
    ) -> str:
        """Return a URL that reads the object for a while."""
        disposition = None
        if filename:
            disposition = f"attachment; filename*=UTF-8''{quote(filename, safe='')}"
        lifetime_s = max(1, min(expires_in_s, MAX_EXPIRY_S))
        return self._client.sign(self._parse(url), lifetime_s, disposition)

    def _url(self, key: str) -> str:
        # Quoted, since everything before the last `@` passes for credentials.
        return self._prefix + quote(key, safe="")

    def _parse(self, url: str) -> str:
        """Return the key that ``url`` names.

        Rows of old hold ``s3://access:secret@host/bucket/key``; secrets may hold
        slashes, so all up to the last ``@`` goes.
        """
        scheme, mark, rest = url.partition("://")
        host, slash, path = rest.rpartition("@")[2].partition("/")
        place = f"{_usual(host, scheme)}{slash}{path}"
        key = unquote(place.removeprefix(self._place))
        if scheme in SCHEMES and mark and place.startswith(self._place):
            try:
                return check_key(key)
            except Invalid:
                pass
        raise BlobNotFound(_NOTHING)

    def check(self, *, writable: bool) -> None:
        """Return if the service answers, and the bucket is there."""
        try:
            self._client.call("head_bucket", hasty=True)
        except S3Refused as refused:
            # One that is missing is made by the first upload.
            if refused.status != 404 or not self._options.create_bucket:
                raise

    def _get_head(self, key: str, *, hasty: bool = False) -> Mapping[str, Any]:
        head = self._head(key, hasty=hasty)
        if head is None:
            raise BlobNotFound(_NOTHING)
        return head

    def _head(self, key: str, *, hasty: bool = False) -> Mapping[str, Any] | None:
        try:
            return self._client.call("head_object", Key=key, hasty=hasty)
        except S3Refused as refused:
            if refused.status != 404:
                raise
        # HEAD does not tell what is missing, and without a bucket nobody knows
        # what was in it.
        try:
            self._client.call("head_bucket", hasty=hasty)
        except S3Refused as refused:
            if refused.status != 404:
                raise
            if not self._options.create_bucket:
                raise S3Refused(404, "NoSuchBucket") from None
        return None

    def _create(self) -> None:
        region = self._options.known_region
        config: dict[str, Any] = {}
        if region and region != "us-east-1":
            # The one region that must not be named.
            where = {"LocationConstraint": region}
            config["CreateBucketConfiguration"] = where
        try:
            self._client.call("create_bucket", **config)
        except S3Refused as refused:
            if refused.code != "BucketAlreadyOwnedByYou":
                raise
        _log.info("created the bucket %s", self._options.bucket)

    def _is_silent(self, upload: Mapping[str, Any], silence_s: float) -> bool:
        """Return whether nobody of this process nor, by now, of another writes it."""
        if upload["UploadId"] in self._client.live:
            return False
        if not silence_s:
            return True
        times = [upload["Initiated"]]
        if _age_s(times) >= silence_s:
            which = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
            for page in self._client.pages("list_parts", **which):
                times += [part["LastModified"] for part in page.get("Parts", ())]
        return _age_s(times) >= silence_s

    def _abort(self, upload: Mapping[str, Any]) -> int:
        which = {"Key": upload["Key"], "UploadId": upload["UploadId"]}
        try:
            self._client.call("abort_multipart_upload", **which)
        except S3Refused as refused:
            if refused.status == 404:
                return 0
            raise
        return 1


def s3_options(settings: S3StoreSettings) -> S3Options:
    """Return what a store's settings mean."""
    scheme, _, host = settings.s3_store_host.rpartition("://")
    secure = scheme.lower() == "https"
    # Without protection checksums go only where S3 wants them, as in Glance.
    checks = settings.s3_store_enable_data_integrity_protection
    need = "when_required"
    return S3Options(
        host=_usual(host.rstrip("/"), "s3+https" if secure else "s3"),
        bucket=settings.s3_store_bucket,
        access_key=settings.s3_store_access_key,
        secret_key=settings.s3_store_secret_key,
        secure=secure,
        region=settings.s3_store_region_name,
        addressing=settings.s3_store_bucket_url_format,
        create_bucket=settings.s3_store_create_bucket_on_put,
        single_bytes=settings.s3_store_large_object_size * MiB,
        part_bytes=settings.s3_store_large_object_chunk_size * MiB,
        threads=settings.s3_store_thread_pools,
        timeout_s=settings.s3_store_timeout,
        ca_file=settings.s3_store_cacert,
        request_checksums=(
            settings.s3_store_request_checksum_calculation if checks else need
        ),
        response_checksums=(
            settings.s3_store_response_checksum_validation if checks else need
        ),
    )


def _age_s(times: list[datetime]) -> float:
    return (datetime.now(UTC) - max(times)).total_seconds()


def _is_image(key: str) -> bool:
    return _IMAGE_ID.fullmatch(key) is not None


def _usual(host: str, scheme: str) -> str:
    """Return the host in lower case, without the port that its scheme implies."""
    port = ":443" if scheme == "s3+https" else ":80"
    return host.lower().removesuffix(port)
