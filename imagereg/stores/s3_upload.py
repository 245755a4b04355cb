"""An upload to an S3 store: parts on their way while more data come in.

Nobody sees the object before the request that completes it.  Small images go in
one request, which carries their MD5; others in parts, of which a bounded number is
in memory, fewer while many uploads share the process's budget.  The order of
`S3Writer.commit` is the contract: complete the object, ask for it, compare, and
only then say where it lies.

Source: contract stores 3, rulings S-2, S-3 and S-5.
"""

import base64
import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from imagereg.errors import BlobExists, StoreFull, StoreUnavailable
from imagereg.model import Location
from imagereg.stores.budget import Share
from imagereg.stores.s3_client import S3Client, S3Options, S3Refused
from imagereg.stores.s3_part import Part

MiB = 1024 * 1024

IN_FLIGHT_BYTES = 48 * MiB
"""How much of one upload is in memory, unless its parts must be huge."""

MAX_PARTS = 10_000
GROWTH_PARTS = 1_600
"""After so many parts of an upload of unknown length the next ones double."""

PATIENCE_S = 12 * 3600.0
"""A writer that fills no part for so long gives up, so that `SILENCE_S` is sure."""

SILENCE_S = 24 * 3600.0
"""An upload of another process that got no part for so long has no writer."""

_MD5 = re.compile('"?([0-9a-f]{32})"?')
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartPlan:
    """How an upload is cut.

    Attributes:
        first_bytes: what fits into one request is sent in one.
        part_bytes: the length of the parts otherwise.
        grows: nobody knows how many there will be.
        threads: how many may be under way at a time, beside the one that fills.
    """

    first_bytes: int
    part_bytes: int
    grows: bool
    threads: int

    @classmethod
    def of(cls, options: S3Options, announced_bytes: int) -> Self:
        """Return the plan for an image; 0 announced bytes are an unknown number."""
        part = max(options.part_bytes, -(-announced_bytes // MAX_PARTS // MiB) * MiB)
        first = part
        if 0 < announced_bytes < options.single_bytes:
            first = max(part, min(options.single_bytes, IN_FLIGHT_BYTES))
        return cls(first, part, not announced_bytes, options.threads)

    def bytes_of(self, number: int) -> int:
        """Return the length of a part; the first one has number 1."""
        if not self.grows:
            return self.part_bytes
        return self.part_bytes << ((number - 1) // GROWTH_PARTS)

    def senders_at(self, number: int) -> int:
        """Return how many parts may be under way, beside the one of this number."""
        fitting = IN_FLIGHT_BYTES // self.bytes_of(number) - 1
        return max(1, min(self.threads, fitting))


class S3Writer:
    """One open upload.

    Args:
        create_bucket: called when the bucket is missing; None leaves it missing.
        share: of the memory for all uploads; the writer closes it.
    """

    def __init__(
        self,
        client: S3Client,
        key: str,
        plan: PartPlan,
        location: Location,
        *,
        replace: bool,
        create_bucket: Callable[[], None] | None,
        share: Share,
    ) -> None:
        self._client = client
        self._key = key
        self._plan = plan
        self._location = location
        self._replace = replace
        self._create_bucket = create_bucket
        self._share = share
        self._part = Part()
        self._part_bytes = 0
        self._sent_bytes = 0
        self._parts: _Parts | None = None
        self._is_complete = False
        self._is_committed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._part = Part()
        # Whoever waited in vain for an answer does not wait as long for another.
        is_mute = isinstance(error, StoreUnavailable)
        is_mute = is_mute and not isinstance(error, S3Refused)
        try:
            if self._parts is not None:
                self._parts.close(abort=not self._is_complete, hasty=is_mute)
            if self._is_complete and not self._is_committed:
                self._client.call("delete_object", Key=self._key, hasty=True)
        except StoreUnavailable as failure:
            # Nothing refers to it: recovery or `store gc` will find it.
            _log.warning("%s: remains of an upload stay: %s", self._key, failure)
        finally:
            self._share.close()

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        view = memoryview(chunk)
        while view:
            room = self._part_bytes - len(self._part)
            if not room:
                self._make_room()
                continue
            self._part.append(view[:room])
            view = view[room:]

    def commit(self) -> Location:
        """Complete the object, and make sure that the store has all of it."""
        size = self._sent_bytes + len(self._part)
        etag = self._complete()
        self._is_complete = True
        found = self._client.call("head_object", Key=self._key)
        if found["ContentLength"] != size:
            raise StoreUnavailable("the store kept another size than was sent")
        if etag and found["ETag"] != etag:
            # Somebody else's object by now, so not ours to remove.
            self._is_complete = False
            raise StoreUnavailable("the store holds another object than was sent")
        self._is_committed = True
        return self._location

    def _make_room(self) -> None:
        """Get memory for more of this part, or send it off and get some for the next.

        INVARIANT: what is claimed is this part and those under way, so a share that
        is refused has some of them to wait for, or else is granted one part.
        """
        if self._parts is None:
            more = min(self._plan.part_bytes, self._plan.first_bytes - self._part_bytes)
            if more and self._share.claim(more):
                self._part_bytes += more
                return
            self._send_part()
        elif self._part_bytes:
            self._send_part()
        else:
            size = self._plan.bytes_of(self._parts.next)
            while not self._share.claim(size):
                self._parts.collect()
            self._part_bytes = size

    def _send_part(self) -> None:
        """Send what was collected, in parts from now on."""
        if self._parts is None:
            upload = self._into_bucket("create_multipart_upload", Key=self._key)
            self._parts = _Parts(
                self._client, self._key, upload["UploadId"], self._plan, self._share
            )
        self._sent_bytes += len(self._part)
        self._parts.send(self._part, self._part_bytes)
        self._part, self._part_bytes = Part(), 0

    def _complete(self) -> str | None:
        """Make the object; return its ETag, None if nobody told it."""
        operation, params = "put_object", dict[str, Any]()
        expected: str | None
        if self._parts is None:
            digest = self._part.md5()
            expected = f'"{digest.hexdigest()}"'
            params["Body"] = self._part
            params["ContentMD5"] = _base64(digest.digest())
        else:
            if len(self._part):
                self._send_part()
            operation = "complete_multipart_upload"
            done = self._parts.finish()
            expected = _whole_etag([part["ETag"] for part in done])
            params["UploadId"] = self._parts.upload_id
            params["MultipartUpload"] = {"Parts": done}
        try:
            answer = self._make_visible(operation, Key=self._key, **params)
        except (StoreUnavailable, BlobExists):
            # If it was the answer that got lost, the object is there all the same.
            if not self._is_there(expected):
                raise
            return expected
        etag: str | None = answer.get("ETag")
        return etag

    def _make_visible(self, operation: str, **params: Any) -> Mapping[str, Any]:  # noqa: ANN401 - boto3's parameters
        if self._replace:
            return self._into_bucket(operation, **params)
        try:
            return self._into_bucket(operation, IfNoneMatch="*", **params)
        except S3Refused as refused:
            if refused.status in (409, 412):
                raise taken(self._key) from None
            if refused.status != 501:
                raise
        # The service knows no conditions: a look beforehand must do.
        if self._etag() is not None:
            raise taken(self._key)
        self._part.seek(0)
        return self._into_bucket(operation, **params)

    def _into_bucket(self, operation: str, **params: Any) -> Mapping[str, Any]:  # noqa: ANN401 - boto3's parameters
        """Call, and once more after making the bucket if that was missing."""
        try:
            return self._client.call(operation, **params)
        except S3Refused as refused:
            if refused.code != "NoSuchBucket" or self._create_bucket is None:
                raise
        self._create_bucket()
        self._part.seek(0)
        return self._client.call(operation, **params)

    def _is_there(self, expected: str | None) -> bool:
        try:
            return expected is not None and self._etag(hasty=True) == expected
        except StoreUnavailable:
            return False

    def _etag(self, *, hasty: bool = False) -> str | None:
        try:
            answer = self._client.call("head_object", Key=self._key, hasty=hasty)
        except S3Refused as refused:
            if refused.status == 404:
                return None
            raise
        etag: str = answer["ETag"]
        return etag


class _Parts:
    """The parts of one multipart upload that were sent or are on their way.

    Attributes:
        next: the number of the part to be sent next.
    """

    def __init__(
        self,
        client: S3Client,
        key: str,
        upload_id: str,
        plan: PartPlan,
        share: Share,
    ) -> None:
        self.upload_id = upload_id
        self.next = 1
        self._client = client
        self._key = key
        self._plan = plan
        self._share = share
        most = plan.senders_at(1)
        self._pool = ThreadPoolExecutor(most, thread_name_prefix="s3-part")
        self._pending: dict[Future[dict[str, Any]], int] = {}
        self._done: list[dict[str, Any]] = []
        self._sent_at_s = time.monotonic()
        client.live.add(upload_id)

    def send(self, part: Part, claimed_bytes: int) -> None:
        """Send ``part`` as soon as a sender is free; raise if an earlier one failed.

        What was claimed for it is given back when `collect` finds it sent.
        """
        now = time.monotonic()
        if now - self._sent_at_s > PATIENCE_S:
            raise StoreUnavailable("the data came in too slowly for the store")
        if self.next > MAX_PARTS:
            raise StoreFull("the store takes no images of this size")
        self._sent_at_s = now
        while len(self._pending) >= self._plan.senders_at(self.next):
            self.collect()
        sending = self._pool.submit(self._send, self.next, part)
        self._pending[sending] = claimed_bytes
        self.next += 1

    def finish(self) -> list[dict[str, Any]]:
        """Wait for all parts; return what completing the upload needs to know."""
        while self._pending:
            self.collect()
        return sorted(self._done, key=lambda part: part["PartNumber"])

    def close(self, *, abort: bool, hasty: bool) -> None:
        """End the senders, and throw the parts away if they are not needed.

        A part that arrives after an abort would stay for ever, so it waits for
        those under way.
        """
        self._pool.shutdown(wait=True, cancel_futures=True)
        try:
            if abort:
                which = {"Key": self._key, "UploadId": self.upload_id}
                self._client.call("abort_multipart_upload", **which, hasty=hasty)
        finally:
            self._client.live.discard(self.upload_id)

    def collect(self) -> None:
        """Wait until one part or more are sent; raise if one failed."""
        finished, _ = wait(self._pending, return_when=FIRST_COMPLETED)
        for future in finished:
            self._share.give_back(self._pending.pop(future))
            self._done.append(future.result())

    def _send(self, number: int, part: Part) -> dict[str, Any]:
        answer = self._client.call(
            "upload_part",
            Key=self._key,
            UploadId=self.upload_id,
            PartNumber=number,
            Body=part,
        )
        return {"PartNumber": number, "ETag": answer["ETag"]}


def taken(key: str) -> BlobExists:
    """Return what to raise for a key that is taken."""
    return BlobExists(f"the store holds an object named `{key}` already")


def _whole_etag(etags: list[str]) -> str | None:
    """Return the ETag of an object of these parts, None where it cannot be told."""
    matches = [_MD5.fullmatch(etag) for etag in etags]
    if not all(matches):
        return None
    joined = b"".join(bytes.fromhex(match[1]) for match in matches if match)
    digest = hashlib.md5(joined, usedforsecurity=False).hexdigest()
    return f'"{digest}-{len(etags)}"'


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
