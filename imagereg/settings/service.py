"""Section [DEFAULT]: what the service as a whole does.

It is long, so its dataclass is put together from one class for each subject.
Source: contract config 2.
"""

# `option` builds a dataclass field, as `dataclasses.field` does.

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imagereg.settings.kinds import (
    BOOL,
    CONFIG_PATH,
    HOST,
    HTTP_URL,
    NAME,
    PORT,
    QUOTA,
    WORKING_PATH,
    bracketed,
    choice,
    integer,
)
from imagereg.settings.logs import LogOptions
from imagereg.settings.options import Table, option
from imagereg.settings.special import BACKENDS, FILE_URI, HASH

_GiB = 1 << 30
_TiB = 1 << 40
_MOST_WORKERS = 8
IMPORT_METHODS = ("glance-direct", "web-download", "copy-image", "glance-download")
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class RequestOptions(Table):
    """What requests are admitted, and what answers say of this service."""

    allow_anonymous_access: bool = option(
        BOOL, False, "Give callers without identity a read-only context."
    )
    max_request_id_length: int = option(
        integer(0),
        64,
        "Refuse longer X-Openstack-Request-ID headers; 0 refuses none.",
        unit="characters",
    )
    public_endpoint: str | None = option(
        HTTP_URL,
        None,
        "The base of the URLs in version documents, when clients see another one.",
        shown="taken from each request",
        example="https://images.example.org",
    )
    limit_param_default: int = option(
        integer(1), 25, "The size of a list page when `limit` is absent.", unit="items"
    )
    api_limit_max: int = option(
        integer(1), 1000, "The largest list page anyone gets.", unit="items"
    )
    show_image_direct_url: bool = option(
        BOOL, False, "Show `direct_url`, where the data lies, to whoever may see it."
    )
    show_multiple_locations: bool = option(
        BOOL, False, "Show `locations` and let PATCH change them; see the policies too."
    )
    do_secure_hash: bool = option(
        BOOL, True, "Read and hash the data behind a location that is added by POST."
    )
    http_retries: int = option(
        integer(0), 3, "How often that hashing is tried.", unit="attempts"
    )


@dataclass(frozen=True)
class LimitOptions(Table):
    """How much of everything there may be."""

    hashing_algorithm: str = option(
        HASH, "sha512", "The hash of image data, by its name in Python's hashlib."
    )
    image_member_quota: int = option(
        integer(), 128, "Members of one image; below 0 is no limit.", unit="members"
    )
    image_property_quota: int = option(
        integer(),
        128,
        "Custom properties of one image; below 0 is no limit.",
        unit="properties",
    )
    image_tag_quota: int = option(
        integer(), 128, "Tags of one image; below 0 is no limit.", unit="tags"
    )
    image_location_quota: int = option(
        integer(), 10, "Locations of one image; below 0 is no limit.", unit="locations"
    )
    image_size_cap: int = option(
        integer(1, 1 << 63), _TiB, "The largest image that is accepted.", unit="bytes"
    )
    user_storage_quota: int = option(
        QUOTA,
        0,
        "What one project may store, counted once per location; 0 is no limit.",
        unit="bytes, or with KB, MB, GB or TB",
    )
    use_keystone_limits: bool = option(
        BOOL,
        False,
        "Enforce per-project limits; they come from [imagereg] limits_file.",
    )


@dataclass(frozen=True)
class ImportOptions(Table):
    """Import, stores and property protection."""

    node_staging_uri: str | None = option(
        FILE_URI,
        None,
        "Where uploads wait for their import; not used with enabled_backends.",
        shown="<state_dir>/staging",
        example="file:///var/lib/imagereg/staging",
    )
    enabled_import_methods: tuple[str, ...] = option(
        bracketed(*IMPORT_METHODS),
        IMPORT_METHODS[:3],
        "The import methods on offer; glance-download may be added, [] is none.",
    )
    worker_self_reference_url: str | None = option(
        HTTP_URL,
        None,
        "The URL at which other nodes reach this one, for data staged here; it names"
        " the node in the books of the image cache.",
        example="http://node1.example.org:9292",
    )
    property_protection_file: Path | None = option(
        CONFIG_PATH,
        None,
        "The rules about who may touch which property; unset protects none.",
        example="property-protections.conf",
    )
    property_protection_rule_format: str = option(
        choice("roles", "policies"),
        "roles",
        "Whether those rules name roles or policy rules.",
    )
    enabled_backends: Mapping[str, str] = option(
        BACKENDS,
        _NONE,
        "The stores, id:type each, with a section [id] each; types file, s3, http.",
        shown="unset: one store, see [glance_store]",
        example="fast:file,wide:file,cheap:s3,web:http",
    )


@dataclass(frozen=True)
class CacheOptions(Table):
    """The cache of image data on this node."""

    image_cache_dir: Path | None = option(
        WORKING_PATH,
        None,
        "The directory of the image cache; setting it turns the cache on.",
        shown="unset, or <state_dir>/cache when the flavor asks for the cache",
        example="/var/lib/imagereg/cache",
    )
    image_cache_driver: str = option(
        choice("centralized_db", "sqlite", "xattr", fold=True),
        "centralized_db",
        "The books are in the database of the registry in any case; with"
        " centralized_db, nodes tell which of them hold an image.",
    )
    image_cache_max_size: int = option(
        integer(0),
        10 * _GiB,
        "Pruning brings the cache below this; no larger image is cached.",
        unit="bytes",
    )
    image_cache_stall_time: int = option(
        integer(0),
        86400,
        "Incomplete cache files older than this are removed.",
        unit="seconds",
    )
    cache_prefetcher_interval: int = option(
        integer(1),
        300,
        "Time between two looks at the queue of images to be cached.",
        unit="seconds",
    )


@dataclass(frozen=True)
class ScrubOptions(Table):
    """What becomes of deleted images."""

    delayed_delete: bool = option(
        BOOL, False, "Keep the data of deleted images until the scrubber comes."
    )
    scrub_time: int = option(
        integer(0), 0, "How long deleted data is kept at least.", unit="seconds"
    )
    scrub_pool_size: int = option(
        integer(1), 1, "Deletions that the scrubber runs at a time.", unit="workers"
    )
    wakeup_time: int = option(
        integer(1), 300, "Time between two runs of the scrubber.", unit="seconds"
    )
    daemon: bool = option(BOOL, False, "Let the scrubber run on, not only once.")
    restore: str | None = option(
        NAME,
        None,
        "Let the scrubber bring back this image instead, by its id.",
        example="71c675ab-d94f-49cd-a114-e12490b328d9",
    )


def default_workers() -> int:
    """Return the number of processes when nobody chose one."""
    return min(os.cpu_count() or 1, _MOST_WORKERS)


@dataclass(frozen=True)
class RunnerOptions(Table):
    """The server that `imagereg serve` runs."""

    bind_host: str | None = option(
        HOST,
        None,
        "The address to listen on.",
        shown="0.0.0.0, or 127.0.0.1 when nobody authenticates",
        example="127.0.0.1",
    )
    bind_port: int = option(PORT, 9292, "The TCP port to listen on.", unit="port")
    workers: int = option(
        integer(0),
        default_workers(),
        "Server processes; 0 runs one.",
        unit="processes",
        shown=f"the number of CPUs, at most {_MOST_WORKERS}",
        example="4",
    )
    backlog: int = option(
        integer(1), 4096, "Connections that may wait to be taken.", unit="connections"
    )
    tcp_keepidle: int = option(
        integer(1), 600, "Idle time before TCP probes a peer.", unit="seconds"
    )
    max_header_line: int = option(
        integer(1), 16384, "The longest header line that is accepted.", unit="bytes"
    )
    http_keepalive: bool = option(
        BOOL, True, "Let one connection carry several requests."
    )
    client_socket_timeout: int = option(
        integer(0),
        900,
        "Idle time after which a connection is closed; 0 is never.",
        unit="seconds",
    )


@dataclass(frozen=True)
class DefaultSection(
    LogOptions,
    RunnerOptions,
    ScrubOptions,
    CacheOptions,
    ImportOptions,
    LimitOptions,
    RequestOptions,
):
    """The service as a whole: requests, limits, stores, cache, server, log.

    The bases stand in reverse, since the fields of the last come first.
    """
