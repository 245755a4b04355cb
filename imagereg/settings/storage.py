"""The options of stores, by driver.  Source: contract config 3, stores 2 to 4 and 9."""

# `option` builds a dataclass field, as `dataclasses.field` does.

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imagereg.settings.kinds import (
    BOOL,
    CONFIG_PATH,
    NAME,
    PAIRS,
    TEXT,
    WORKING_PATH,
    choice,
    integer,
    names,
)
from imagereg.settings.options import Table, option
from imagereg.settings.special import DATADIRS, MODE

_CHECKSUMS = choice("when_required", "when_supported")
_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class StoreChoice(Table):
    """Which stores there are, and which one takes images that name none."""

    default_backend: str | None = option(
        NAME,
        None,
        "The default store; required with enabled_backends.",
        example="fast",
    )
    stores: tuple[str, ...] = option(
        names(),
        ("file", "http"),
        "The stores of single-store mode, file, http or s3; their options follow here.",
    )
    default_store: str = option(NAME, "file", "The default store of single-store mode.")


@dataclass(frozen=True)
class CommonOptions(Table):
    """Options of any store in multi-store mode."""

    store_description: str | None = option(
        NAME, None, "What clients are told of it.", example="fast disks"
    )
    weight: int = option(
        integer(), 0, "Stores of higher weight are read first.", unit="weight"
    )
    optional: bool = option(
        BOOL, False, "Start without this store when it cannot be used."
    )


@dataclass(frozen=True)
class FileStoreSettings(Table):
    """A store of type file: images as files in directories."""

    filesystem_store_datadir: Path | None = option(
        WORKING_PATH,
        None,
        "The directory of the images.",
        shown="<state_dir>/images, or <state_dir>/stores/<id> with enabled_backends",
        example="/var/lib/imagereg/images",
    )
    filesystem_store_datadirs: tuple[tuple[Path, int], ...] = option(
        DATADIRS,
        (),
        "Several directories instead, path:priority each, higher first; one per line.",
        shown="unset",
        example="/disk1/images:20",
    )
    filesystem_store_metadata_file: Path | None = option(
        CONFIG_PATH,
        None,
        "A JSON file of id and mountpoint: lets clients that share the file system"
        " read images directly.",
        example="filesystems.json",
    )
    filesystem_store_file_perm: int = option(
        MODE, 0, "The mode of image files; 0 leaves it to the umask.", unit="octal mode"
    )
    filesystem_store_chunk_size: int = option(
        integer(1), 65536, "The unit of reading and writing.", unit="bytes"
    )
    filesystem_thin_provisioning: bool = option(
        BOOL, False, "Leave holes where an image is all zeros."
    )
    filesystem_store_timeout: int = option(
        integer(0),
        0,
        "How long a file operation may hang before the store counts as broken;"
        " 0 is for ever.",
        unit="seconds",
    )
    filesystem_store_thread_pool_size: int = option(
        integer(1), 10, "Threads behind that limit.", unit="threads"
    )
    filesystem_store_threadpool_threshold: int = option(
        integer(1, 100), 75, "Warn when so many of them are busy.", unit="percent"
    )
    filesystem_reserve: int = option(
        integer(0), 0, "Space that uploads leave free.", unit="bytes"
    )

    @property
    def directories(self) -> tuple[tuple[Path, int], ...]:
        """The directories with their priorities, whichever option named them."""
        if self.filesystem_store_datadir is None:
            return self.filesystem_store_datadirs
        return ((self.filesystem_store_datadir, 0),)


@dataclass(frozen=True)
class S3StoreSettings(Table):
    """A store of type s3: images as objects in a bucket."""

    s3_store_host: str = option(
        NAME,
        "",
        "The service, as http:// or https:// URL, or a bare host for http.",
        shown="required",
        example="https://s3.example.org",
    )
    s3_store_region_name: str = option(
        TEXT, "", "The region.", shown="known from the host, else none", example="eu"
    )
    s3_store_access_key: str = option(
        NAME, "", "The access key.", secret=True, shown="required", example="key"
    )
    s3_store_secret_key: str = option(
        TEXT, "", "The secret key.", secret=True, shown="required", example="secret"
    )
    s3_store_bucket: str = option(
        NAME, "", "The bucket.", shown="required", example="images"
    )
    s3_store_create_bucket_on_put: bool = option(
        BOOL, False, "Create the bucket at an upload if it is missing."
    )
    s3_store_bucket_url_format: str = option(
        choice("auto", "path", "virtual"),
        "auto",
        "Whether the bucket stands in the path or in the host name.",
    )
    s3_store_large_object_size: int = option(
        integer(0), 100, "Images from this size on are sent in parts.", unit="MiB"
    )
    s3_store_large_object_chunk_size: int = option(
        integer(5), 10, "The size of a part.", unit="MiB"
    )
    s3_store_thread_pools: int = option(
        integer(1), 10, "Parts that are sent at a time.", unit="threads"
    )
    s3_store_timeout: int = option(
        integer(2),
        60,
        "How long one request may go unanswered, repetitions included, before the"
        " store counts as unavailable.",
        unit="seconds",
    )
    s3_store_cacert: Path | None = option(
        CONFIG_PATH,
        None,
        "Certificate authorities to trust, PEM.",
        shown="those of the system",
        example="s3-ca.pem",
    )
    s3_store_enable_data_integrity_protection: bool = option(
        BOOL, False, "Let the next two decide; else checksums only where required."
    )
    s3_store_request_checksum_calculation: str = option(
        _CHECKSUMS, "when_required", "When requests carry checksums."
    )
    s3_store_response_checksum_validation: str = option(
        _CHECKSUMS, "when_required", "When checksums of answers are verified."
    )
    redirect_downloads: str = option(
        choice("never", "asked", "always"),
        "asked",
        "Whether clients that may download an image are sent to a signed URL of the"
        " service: never, where they ask for it by X-Image-Redirect: allow, or always."
        "  Clients repeat their headers there; many send their token along.",
    )
    redirect_expires: int = option(
        integer(1, 7 * 24 * 3600),
        300,
        "How long after the answer a download may begin at such a URL.",
        unit="seconds",
    )


@dataclass(frozen=True)
class HTTPStoreSettings(Table):
    """A store of type http: images that lie on other servers, read only."""

    https_ca_certificates_file: Path | None = option(
        CONFIG_PATH,
        None,
        "Certificate authorities to trust, PEM.",
        shown="those of the system",
        example="web-ca.pem",
    )
    https_insecure: bool = option(BOOL, False, "Do not verify certificates.")
    http_proxy_information: Mapping[str, str] = option(
        PAIRS,
        _NONE,
        "Proxies for URLs of a scheme, scheme:proxy each. They look names up"
        " themselves, and have to refuse what nobody should reach.",
        secret=True,
        shown="unset",
        example="http:proxy.example.org:3128",
    )


DriverOptions = FileStoreSettings | S3StoreSettings | HTTPStoreSettings

DRIVERS: Mapping[str, type[DriverOptions]] = MappingProxyType(
    {"file": FileStoreSettings, "s3": S3StoreSettings, "http": HTTPStoreSettings}
)


@dataclass(frozen=True)
class StoreSettings:
    """One store, ready to be opened.

    Attributes:
        id: its name; in single-store mode the name of its driver.
        type: the driver, a key of `DRIVERS`.
        description: what clients are told of it, None when nothing was set.
        weight: stores of higher weight are read first.
        optional: the service starts without it if it cannot be used (S-11).
        reserved: it belongs to the service, and is never listed.
        options: what the driver needs to know.
    """

    id: str
    type: str
    options: DriverOptions
    description: str | None = None
    weight: int = 0
    optional: bool = False
    reserved: bool = False
