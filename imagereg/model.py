"""Frozen values that all rooms share: who calls, and what an image is.

Field names are those of the Image API.  Sizes are bytes, ``min_disk`` is GiB,
``min_ram`` is MiB, and times are microseconds since 1970 in UTC.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from urllib.parse import urlsplit, urlunsplit


class Status(StrEnum):
    """Where an image is in its life.  Source: contract api-images 8."""

    QUEUED = "queued"
    SAVING = "saving"
    UPLOADING = "uploading"
    IMPORTING = "importing"
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    KILLED = "killed"
    PENDING_DELETE = "pending_delete"
    DELETED = "deleted"


class Visibility(StrEnum):
    """Who may see an image.  Source: contract api-images 4.4."""

    PUBLIC = "public"
    COMMUNITY = "community"
    SHARED = "shared"
    PRIVATE = "private"


class MemberStatus(StrEnum):
    """What a project says to an image that was shared with it."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"


class TaskType(StrEnum):
    """What kind of background work a task is."""

    IMPORT = "import"
    API_IMAGE_IMPORT = "api_image_import"
    LOCATION_IMPORT = "location_import"


class TaskStatus(StrEnum):
    """How far background work is."""

    PENDING = "pending"
    PROCESSING = "processing"
    SUCCESS = "success"
    FAILURE = "failure"


class Operation(StrEnum):
    """What can be done to a custom property.

    Source: contract property-protection 2.
    """

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True)
class Caller:
    """Who is calling, as the identity layer confirmed it.

    Roles are lower-cased, trimmed and without empty entries (ruling U-4).  Service
    roles stay apart from the caller's own for ever (rulings R-9, D-20).

    Attributes:
        is_admin: the rule ``context_is_admin`` holds for these credentials.
        read_only: an anonymous caller, who may never write.
        request_id: the id that every answer and log line of this request carries.

    Source: contract auth 2, policy 3.
    """

    user_id: str | None = None
    project_id: str | None = None
    roles: frozenset[str] = frozenset()
    service_roles: frozenset[str] = frozenset()
    user_name: str | None = None
    project_name: str | None = None
    user_domain_id: str | None = None
    user_domain_name: str | None = None
    project_domain_id: str | None = None
    project_domain_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    system_scope: str | None = None
    is_admin_project: bool = True
    service_user_id: str | None = None
    service_user_domain_id: str | None = None
    service_project_id: str | None = None
    service_project_domain_id: str | None = None
    is_admin: bool = False
    read_only: bool = False
    request_id: str = ""

    @cached_property
    def credentials(self) -> Mapping[str, object]:
        """What stands left of the colon in a policy rule.

        Source: contract policy 3, ruling P-9.
        """
        return MappingProxyType(
            {
                "user_id": self.user_id,
                "user": self.user_id,
                "user_name": self.user_name,
                "user_domain_id": self.user_domain_id,
                "user_domain_name": self.user_domain_name,
                "project_id": self.project_id,
                "tenant": self.project_id,
                "project_name": self.project_name,
                "project_domain_id": self.project_domain_id,
                "project_domain_name": self.project_domain_name,
                "domain_id": self.domain_id,
                "domain_name": self.domain_name,
                "system_scope": self.system_scope,
                "system": self.system_scope,
                "roles": self.roles,
                "is_admin": self.is_admin,
                "is_admin_project": self.is_admin_project,
                "service_user_id": self.service_user_id,
                "service_user_domain_id": self.service_user_domain_id,
                "service_project_id": self.service_project_id,
                "service_project_domain_id": self.service_project_domain_id,
                "service_roles": self.service_roles,
            }
        )


@dataclass(frozen=True, slots=True)
class Blob:
    """What a store says about bytes that are durable.

    Attributes:
        size: bytes.
        checksum: MD5, lower-case hex.
        os_hash_algo: hashlib's name of the second digest.
        os_hash_value: that digest, lower-case hex.
        virtual_size: bytes a machine sees, or None where nobody can know.
    """

    size: int
    checksum: str
    os_hash_algo: str
    os_hash_value: str
    virtual_size: int | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """Where bytes of an image lie.

    Attributes:
        url: never holds credentials.
        metadata: as clients see it, values are texts or JSON.
        store: id of the store that holds the bytes, None when unknown.
        id: row number, None before it is stored.
    """

    url: str
    metadata: Mapping[str, object] = field(default_factory=dict)
    store: str | None = None
    id: int | None = None


@dataclass(frozen=True, slots=True)
class PlaceChanges:
    """How the locations of one image change, and what follows for the record.

    Attributes:
        added: new ones, in order.
        edited: those that get other metadata, with their row numbers.
        removed: those that go together with their bytes.
        superseded: those of failed attempts, which nothing was ever read from; they
            go alone.
        facts: core fields that come with the new data: status, size and digests.
    """

    added: tuple[Location, ...] = ()
    edited: tuple[Location, ...] = ()
    removed: tuple[Location, ...] = ()
    superseded: tuple[Location, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """One project that an image is shared with.

    Source: contract api-images 20.
    """

    image_id: str
    member_id: str
    status: MemberStatus
    created_at_us: int
    updated_at_us: int


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of background work.

    Attributes:
        input: what was asked for, as its owner may see it.
        result: what came out, None until then.
        message: for the owner; says why it failed.
        expires_at_us: when the record goes, None until the work has ended.

    Source: contract api-images 11.2 and 24.
    """

    id: str
    type: TaskType
    created_at_us: int
    updated_at_us: int
    status: TaskStatus = TaskStatus.PENDING
    owner: str | None = None
    image_id: str | None = None
    request_id: str | None = None
    user_id: str | None = None
    input: Mapping[str, object] = field(default_factory=dict)
    result: Mapping[str, object] | None = None
    message: str = ""
    expires_at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image record, whole: nothing is hidden from the code that holds one.

    Attributes:
        properties: custom properties; values are text unless `schema-image.json`
            declares another type.
        locations: best first.

    Source: contract api-images 5.
    """

    id: str
    created_at_us: int
    updated_at_us: int
    status: Status = Status.QUEUED
    visibility: Visibility = Visibility.SHARED
    name: str | None = None
    owner: str | None = None
    protected: bool = False
    os_hidden: bool = False
    container_format: str | None = None
    disk_format: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    tags: tuple[str, ...] = ()
    properties: Mapping[str, object] = field(default_factory=dict)
    locations: tuple[Location, ...] = ()


def shown_url(url: str) -> str:
    """Return a location's URL without user and password (ruling S-8)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        # A text that is no URL holds no host, and so no password for one.
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The same, for what says by itself that it is UTC.
_START = _EPOCH.replace(tzinfo=None)


def now_us() -> int:
    """Return the present time in microseconds since 1970, UTC."""
    return (datetime.now(UTC) - _EPOCH) // timedelta(microseconds=1)


def format_exact_time(time_us: int) -> str:
    """Return a time to the microsecond, as lists of an image's tasks write it."""
    moment = _EPOCH + timedelta(microseconds=time_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def format_time(time_us: int) -> str:
    """Return a time as the Image API writes it, to the second.

    Source: contract api-images 1.7.
    """
    # A list has thousands of times, and `strftime` takes three times as long.
    moment = _START + timedelta(seconds=time_us // 1_000_000)
    return f"{moment.isoformat()}Z"
