"""Section [imagereg]: what the reference has no name for.

Source: contract config 9, and the options named in the rulings U-1, U-2, 7.6.
"""

# `option` builds a dataclass field, as `dataclasses.field` does.

from dataclasses import dataclass
from pathlib import Path

from imagereg.settings.kinds import (
    BOOL,
    CONFIG_PATH,
    NAME,
    NETWORKS,
    WORKING_PATH,
    integer,
)
from imagereg.settings.options import option
from imagereg.settings.special import FOLDERS
from imagereg.settings.telling import TellingOptions


@dataclass(frozen=True)
class Own(TellingOptions):
    """What imagereg has beyond the Image service."""

    state_dir: Path = option(
        WORKING_PATH,
        Path("state"),
        "What this service keeps, as far as no other option says where: database,"
        " images, staging, cache, locks.  $IMAGEREG_STATE_DIR says it too.",
    )
    auth_users_file: Path | None = option(
        CONFIG_PATH,
        None,
        "Projects and roles of the users of flavor http_basic.",
        example="users.ini",
    )
    trusted_proxies: tuple[str, ...] = option(
        NETWORKS,
        ("127.0.0.1", "::1"),
        "Peers whose identity headers count in flavor trusted-headers.",
    )
    x_accel_redirect: tuple[tuple[Path, str], ...] = option(
        FOLDERS,
        (),
        "Directories that nginx in front serves itself, as directory:/prefix/.  A"
        " trusted proxy that sends X-Sendfile-Type: X-Accel-Redirect is told the name"
        " of a file instead of being sent its bytes; see nginx-x-accel.conf.",
        shown="unset",
        example="/var/lib/imagereg/images:/_blobs/",
    )
    limits_file: Path | None = option(
        CONFIG_PATH,
        None,
        "Limits per project: [default] and [<project>] with image_size_total and"
        " image_stage_total (MiB), image_count_total, image_count_uploading; -1 is"
        " no limit.",
        example="limits.ini",
    )
    upload_fsync: bool = option(
        BOOL, True, "Answer an upload only when its data is safe on the disk."
    )
    auto_upgrade: bool = option(
        BOOL,
        True,
        "Make missing tables, and bring those of an older version to the present one,"
        " at start; false refuses to start until `imagereg db upgrade` has run.",
    )
    verify_rate: int = option(
        integer(0),
        0,
        "How fast objects are read again in the background, to find damage; 0 does"
        " not.  One process does so for all.",
        unit="MiB per second",
    )
    verify_interval: int = option(
        integer(1), 30, "How long an object may go unread then.", unit="days"
    )
    upload_idle_timeout: int = option(
        integer(1), 60, "How long an uploading client may stall.", unit="seconds"
    )
    download_idle_timeout: int = option(
        integer(1), 60, "How long a downloading client may stall.", unit="seconds"
    )
    s3_upload_memory: int = option(
        integer(1),
        256,
        "Memory of one process for the parts of all uploads to S3 stores; each upload"
        " may hold one part whatever happens.",
        unit="MiB",
    )
    staging_store: str | None = option(
        NAME,
        None,
        "A store, by its id, in which staged data wait for their import, instead of"
        " a directory of this node; name one that all nodes reach.",
        example="cheap",
    )
    staging_time_to_live: int = option(
        integer(0),
        168,
        "How long a client that sends an image in parts may be silent before"
        " `imagereg store` counts its upload as abandoned; 0 is for ever.",
        unit="hours",
    )
    cache_file_stores: bool = option(
        BOOL,
        True,
        "Cache images of file stores too, for those on network file systems.",
    )
    run_jobs: bool = option(
        BOOL,
        True,
        "Work off the queue of imports in `imagereg serve` too; false leaves it to"
        " `imagereg worker`.",
    )
    web_download_timeout: int = option(
        integer(0),
        86400,
        "How long web-download may take for one image in all; 0 is for ever.",
        unit="seconds",
    )
    certificates_dir: Path | None = option(
        CONFIG_PATH,
        None,
        "Certificates <uuid>.pem with which image signatures are checked.",
        example="certificates",
    )
    ready_timeout: int = option(
        integer(1),
        5,
        "How long /readyz waits for the database and all stores together.",
        unit="seconds",
    )
    metrics: bool = option(
        BOOL, False, "Answer /metrics to loopback addresses and trusted proxies."
    )
    strict_config: bool = option(
        BOOL, False, "Refuse to start when a file names an option that is not known."
    )
    allow_open_noauth: bool = option(
        BOOL, False, "Listen on other than loopback addresses with nobody checking."
    )
    noauth_headers: bool = option(
        BOOL,
        False,
        "Without a flavor, let clients choose who they are by X-Project-Id, X-User-Id"
        " and X-Roles; for tests.",
    )
    remote_user: bool = option(BOOL, False, "Believe the web server's REMOTE_USER.")
