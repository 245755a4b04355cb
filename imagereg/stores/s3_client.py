"""boto3, and nothing of it beyond this module.

What an S3 service answers becomes an error of ours here.  Neither its words nor
boto3's go into messages or logs, only the code and the operation: nobody then has
to prove that they never repeat a key.

Source: contract stores 3, rulings S-8 and S-11.
"""

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    FlexibleChecksumError,
    ReadTimeoutError,
)
from urllib3.exceptions import HTTPError

from imagereg.errors import StoreFull, StoreUnavailable

#: What services that know no regions take for one.
ANY_REGION = "us-east-1"

CONNECT_S = 10
"""Also how long one piece of a body may take to leave."""

HASTY_CONNECT_S = 3
HASTY_READ_S = 10
ATTEMPTS = 4
CONNECTIONS = 128

_BEGUN = "imagereg_begun_s"
_TOLERANCE_S = 0.5

_FULL = frozenset(
    {"EntityTooLarge", "InsufficientCapacity", "QuotaExceeded", "XMinioStorageFull"}
)
_REGIONS = tuple(
    re.compile(pattern)
    for pattern in (
        r"s3[.-](?:dualstack\.|fips\.)?([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?",
        r"s3\.([a-z0-9-]+)\.(?:wasabisys|backblazeb2|exoscale-s3)\.com",
        r"s3\.([a-z0-9-]+)\.(?:scw\.cloud|io\.cloud\.ovh\.net|cloud\.ovh\.net)",
        r"s3\.(?:private\.)?([a-z0-9-]+)\.cloud-object-storage\.appdomain\.cloud",
        r"([a-z0-9-]+)\.(?:digitaloceanspaces|linodeobjects|vultrobjects)\.com",
        r"(?:obs|cos)\.([a-z0-9-]+)\.(?:myhuaweicloud|myqcloud)\.com",
    )
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class S3Options:
    """How to reach one bucket.

    Attributes:
        secure: TLS; ``host`` holds no scheme, and a port where it is not the usual.
        region: empty takes it from the host, where that names one.
        addressing: ``auto``, ``path`` or ``virtual``.
        create_bucket: an upload creates a bucket that is missing.
        single_bytes: images announced below it are sent in one request, as far as
            memory allows.
        part_bytes: how long a part is at least.
        threads: how many parts are sent at a time, as far as memory allows.
        timeout_s: how long one operation may go unanswered, repetitions included.
        ca_file: authorities to trust instead of the system's.
        request_checksums, response_checksums: ``when_required`` or
            ``when_supported``.
    """

    host: str
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    secure: bool = True
    region: str = ""
    addressing: str = "auto"
    create_bucket: bool = False
    single_bytes: int = 100 * 1024 * 1024
    part_bytes: int = 10 * 1024 * 1024
    threads: int = 10
    timeout_s: float = 60
    ca_file: Path | None = None
    request_checksums: str = "when_required"
    response_checksums: str = "when_required"

    @property
    def endpoint(self) -> str:
        """The service's URL."""
        return f"{'https' if self.secure else 'http'}://{self.host}"

    @property
    def known_region(self) -> str | None:
        """The region that was configured, or that the host's name tells."""
        return self.region or region_of(self.host)


def region_of(host: str) -> str | None:
    """Return the region in the host name of a well-known provider, or None."""
    name = host.partition(":")[0].lower()
    matches = (pattern.fullmatch(name) for pattern in _REGIONS)
    return next((match[1] for match in matches if match), None)


class S3Refused(StoreUnavailable):
    """The service answered, and it was a refusal.

    Attributes:
        status: HTTP's.
        code: S3's, such as ``NoSuchKey``; answers to HEAD bring none.
    """

    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code
        super().__init__(_told(status, code))


class S3Cut(StoreUnavailable):
    """The body of an answer broke off."""


class S3Client:
    """Calls of one bucket; any number of threads may use it.

    boto3's clients are made at the first call in each process: connections must
    not cross a fork.

    Attributes:
        live: ids of the multipart uploads that run in this process.
    """

    def __init__(self, options: S3Options) -> None:
        self.live: set[str] = set()
        self._options = options
        self._lock = threading.Lock()
        self._clients: dict[bool, Any] = {}
        self._pid = 0

    def call(
        self,
        operation: str,
        *,
        hasty: bool = False,
        **params: Any,  # noqa: ANN401 - boto3's parameters
    ) -> Mapping[str, Any]:
        """Return the answer to one operation on the bucket.

        Args:
            operation: boto3's name of it.
            hasty: ask once, and do not wait long: somebody waits for us.
            **params: what it takes beside the bucket.

        Raises:
            S3Refused: the service says no.
            StoreFull: it has no room.
            StoreUnavailable: it cannot be asked.
        """
        method = getattr(self._client(hasty=hasty), operation)
        with _s3_errors(operation):
            answer: Mapping[str, Any] = method(Bucket=self._options.bucket, **params)
        return answer

    def pages(self, operation: str, **params: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - boto3's parameters
        """Yield the pages of a list.  Raises as `call` does."""
        paginator = self._client(hasty=False).get_paginator(operation)
        with _s3_errors(operation):
            yield from paginator.paginate(Bucket=self._options.bucket, **params)

    def read(self, body: Any, size: int) -> bytes:  # noqa: ANN401 - boto3's stream
        """Return up to ``size`` bytes of an answer's body.

        Raises:
            S3Cut: it broke off.
            StoreUnavailable: its checksum is wrong.
        """
        try:
            chunk: bytes = body.read(size)
        except FlexibleChecksumError:
            raise StoreUnavailable("the object in the store is damaged") from None
        except (BotoCoreError, HTTPError, OSError) as error:
            raise S3Cut(f"the store broke off: {type(error).__name__}") from None
        return chunk

    def sign(self, key: str, expires_in_s: int, disposition: str | None) -> str:
        """Return a URL that reads ``key`` for a while; nothing is asked."""
        params = {"Bucket": self._options.bucket, "Key": key}
        if disposition:
            params["ResponseContentDisposition"] = disposition
        client = self._client(hasty=False)
        with _s3_errors("presign"):
            url: str = client.generate_presigned_url(
                "get_object", Params=params, ExpiresIn=expires_in_s
            )
        return url

    def _client(self, *, hasty: bool) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
        with self._lock:
            if self._pid != os.getpid():
                self._clients, self._pid = {}, os.getpid()
                self.live = set()
            if hasty not in self._clients:
                self._clients[hasty] = _make_client(self._options, hasty=hasty)
            return self._clients[hasty]


def _make_client(options: S3Options, *, hasty: bool) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
    # At DEBUG botocore writes what it signs, access key included.
    logging.getLogger("botocore").setLevel(logging.INFO)
    connect_s = HASTY_CONNECT_S if hasty else CONNECT_S
    # Half, so that a connection that died unnoticed costs one of two attempts.
    read_s = min(HASTY_READ_S, options.timeout_s) if hasty else options.timeout_s / 2
    config = Config(
        # For a service of one's own, boto3 would sign URLs by the old version 2.
        signature_version="s3v4",
        s3={
            "addressing_style": options.addressing,
            # TLS guards the bytes on their way; without it their hash must.
            "payload_signing_enabled": not options.secure,
        },
        request_checksum_calculation=options.request_checksums,
        response_checksum_validation=options.response_checksums,
        connect_timeout=min(connect_s, read_s),
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": 1 if hasty else ATTEMPTS},
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
    )
    with _s3_errors("connect"):
        client: Any = boto3.session.Session(
            aws_access_key_id=options.access_key,
            aws_secret_access_key=options.secret_key,
            region_name=options.known_region or ANY_REGION,
            botocore_session=_bare_session(),
        ).client(
            "s3",
            endpoint_url=options.endpoint,
            verify=str(options.ca_file) if options.ca_file else True,
            config=config,
        )
    deadline = _Deadline(options.timeout_s - read_s)
    client.meta.events.register("before-call.s3", deadline.begin)
    client.meta.events.register_first("needs-retry.s3", deadline.check)
    return client


class _Deadline:
    """Ends the attempts of an operation when another might take too long.

    boto3 itself counts attempts only, each of which may wait as long as one may.

    Args:
        last_start_s: after so many seconds no attempt begins.
    """

    def __init__(self, last_start_s: float) -> None:
        self._last_start_s = last_start_s

    def begin(self, context: dict[str, Any], **_: object) -> None:
        """Note when an operation begins."""
        context[_BEGUN] = time.monotonic()

    def check(
        self,
        request_dict: dict[str, Any],
        caught_exception: Exception | None,
        **_: object,
    ) -> None:
        """Raise after an attempt without answer that left too little time.

        What was answered, or cut, may be repeated however long it took to send.
        """
        if isinstance(caught_exception, (ConnectTimeoutError, ReadTimeoutError)):
            waited_s = time.monotonic() - request_dict["context"][_BEGUN]
            if waited_s > self._last_start_s + _TOLERANCE_S:
                raise caught_exception


def _bare_session() -> Any:  # noqa: ANN401 - untyped
    """Return a session without the profiles of whoever starts the service."""
    # Each is: name in a file, in the environment, default, conversion.
    nowhere = (None, None, os.devnull, None)
    return botocore.session.Session(
        session_vars={
            "profile": (None, None, None, None),
            "config_file": nowhere,
            "credentials_file": nowhere,
        }
    )


@contextmanager
def _s3_errors(operation: str) -> Iterator[None]:
    """Raise our errors for boto3's, which may repeat what the service said."""
    try:
        yield
    except ClientError as error:
        status = int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        code = str(error.response.get("Error", {}).get("Code", ""))[:64]
        if status == 507 or code in _FULL:
            raise StoreFull("the store has no room for the data") from None
        if status not in (404, 412, 416):
            _log.warning("S3 %s was refused: %d %r", operation, status, code)
        raise S3Refused(status, code) from None
    except (BotoCoreError, HTTPError, OSError) as error:
        _log.warning("S3 %s failed: %s", operation, type(error).__name__)
        raise StoreUnavailable("the store does not answer just now") from None


def _told(status: int, code: str) -> str:
    if code == "NoSuchBucket":
        return "the bucket of the store does not exist"
    if status in (401, 403):
        return "the store refuses access to the registry"
    return "the store cannot do this just now"
