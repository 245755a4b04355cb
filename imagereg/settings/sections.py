"""The sections about database, rules and web.

Source: contract config 4 and 5.
"""

# `option` builds a dataclass field, as `dataclasses.field` does.

from dataclasses import dataclass, field
from pathlib import Path

from imagereg.settings.kinds import (
    BOOL,
    CONFIG_PATH,
    CONFIG_PATHS,
    NAME,
    NETWORKS,
    WORKING_PATH,
    choice,
    integer,
    names,
)
from imagereg.settings.options import Table, option
from imagereg.settings.special import DATABASE, FLAVOR

_METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH")
_SENT = (
    "Content-MD5",
    "X-Image-Meta-Checksum",
    "X-Storage-Token",
    "Accept-Encoding",
    "X-Auth-Token",
    "X-OpenStack-Request-ID",
)
_EXPOSED = (
    "X-Image-Meta-Checksum",
    "X-Auth-Token",
    "X-Subject-Token",
    "X-Service-Token",
    "X-OpenStack-Request-ID",
)


@dataclass(frozen=True)
class Database(Table):
    """The database of image records."""

    connection: str = option(
        DATABASE,
        "",
        "The database: sqlite:///file, postgresql://... or mysql://...; a driver"
        " suffix (mysql+x://) is not used, arguments after ? are passed on.",
        secret=True,
        shown="sqlite:///<state_dir>/registry.sqlite",
        example="postgresql://imagereg:secret@db.example.org/imagereg",
    )
    max_pool_size: int = option(
        integer(0), 5, "Connections that stay open.", unit="connections"
    )
    max_overflow: int = option(
        integer(0), 50, "Further connections under load.", unit="connections"
    )
    pool_timeout: int = option(
        integer(0), 30, "How long to wait for a free connection.", unit="seconds"
    )
    connection_recycle_time: int = option(
        integer(-1),
        3600,
        "Connections older than this are replaced; -1 is never.",
        unit="seconds",
    )
    max_retries: int = option(
        integer(-1),
        10,
        "How often to try to connect at start; -1 is for ever.",
        unit="attempts",
    )
    retry_interval: int = option(
        integer(0), 10, "The pause between two attempts.", unit="seconds"
    )
    sqlite_synchronous: bool = option(
        BOOL, True, "Let SQLite wait until its data is on the disk."
    )


@dataclass(frozen=True)
class Concurrency(Table):
    """Locks between processes."""

    lock_path: Path | None = option(
        WORKING_PATH,
        None,
        "The directory of locks between processes.",
        shown="<state_dir>/locks",
        example="/var/lib/imagereg/locks",
    )


@dataclass(frozen=True)
class PasteDeploy(Table):
    """Who authenticates callers.

    Attributes:
        caching: the flavor asked for the image cache.
        cachemanagement: it asked for the routes that manage the cache too.
    """

    flavor: str = option(
        FLAVOR,
        "",
        "Who authenticates: nobody (unset), keystone, trusted-headers or"
        " http_basic; +caching or +cachemanagement may follow.",
        shown="unset: nobody, and imagereg listens on the loopback address alone",
        example="http_basic",
    )
    caching: bool = field(default=False)
    cachemanagement: bool = field(default=False)

    @property
    def written(self) -> str:
        """The flavor as it stands in a file."""
        suffix = "cachemanagement" if self.cachemanagement else "caching"
        parts = (self.flavor, suffix if self.caching else "")
        return "+".join(filter(None, parts))


@dataclass(frozen=True)
class PolicyFiles(Table):
    """Where the rules about who may do what are."""

    policy_file: Path | None = option(
        CONFIG_PATH,
        None,
        "The policy file, YAML or JSON.",
        shown="policy.yaml, else policy.json, beside the configuration files",
        example="policy.yaml",
    )
    policy_dirs: tuple[Path, ...] = option(
        CONFIG_PATHS,
        (Path("policy.d"),),
        "Directories of further policy files, read after it; may be repeated.",
    )
    policy_default_rule: str = option(
        NAME, "default", "The rule that stands in for rules that do not exist."
    )
    enforce_new_defaults: bool = option(
        BOOL, True, "Leave out the older, wider defaults of rules."
    )
    remote_content_type: str = option(
        choice("application/x-www-form-urlencoded", "application/json"),
        "application/x-www-form-urlencoded",
        "How http: and https: checks send their question.",
    )
    remote_ssl_verify_server_crt: bool = option(
        BOOL, True, "Verify the certificate of https: checks."
    )
    remote_ssl_ca_crt_file: Path | None = option(
        CONFIG_PATH,
        None,
        "Certificate authorities for https: checks, PEM.",
        example="policy-ca.pem",
    )
    remote_ssl_client_crt_file: Path | None = option(
        CONFIG_PATH,
        None,
        "A client certificate for https: checks, PEM.",
        example="policy-client.pem",
    )
    remote_ssl_client_key_file: Path | None = option(
        CONFIG_PATH,
        None,
        "The key of that certificate, PEM.",
        example="policy-client.key",
    )
    remote_timeout: int = option(
        integer(1), 60, "How long such a check may take.", unit="seconds"
    )


@dataclass(frozen=True)
class Middleware(Table):
    """Proxies, large bodies, and the users file of flavor http_basic."""

    enable_proxy_headers_parsing: bool = option(
        BOOL, False, "Believe Forwarded and X-Forwarded-* headers of trusted proxies."
    )
    max_request_body_size: int = option(
        integer(0), 114688, "The largest JSON body that is accepted.", unit="bytes"
    )
    http_basic_auth_user_file: Path = option(
        CONFIG_PATH,
        Path("/etc/htpasswd"),
        "The users and bcrypt passwords of flavor http_basic.",
    )


@dataclass(frozen=True)
class Cors(Table):
    """Which web pages may call this service from a browser."""

    allowed_origin: tuple[str, ...] = option(
        names(),
        (),
        "Origins whose pages may call; unset is none.  * is all of them, which then"
        " never send credentials.",
        shown="unset",
        example="https://dashboard.example.org",
    )
    allow_credentials: bool = option(BOOL, True, "Let them send credentials.")
    expose_headers: tuple[str, ...] = option(
        names(), _EXPOSED, "Answer headers that they may read."
    )
    max_age: int = option(
        integer(0), 3600, "How long a browser may keep the permission.", unit="seconds"
    )
    allow_methods: tuple[str, ...] = option(
        names(), _METHODS, "Methods that they may use."
    )
    allow_headers: tuple[str, ...] = option(
        names(),
        _SENT,
        "Headers that they may send; identity headers never count.",
    )


@dataclass(frozen=True)
class HealthCheck(Table):
    """The answers at /healthcheck."""

    disable_by_file_path: Path | None = option(
        WORKING_PATH,
        None,
        "While this file exists /healthcheck and /readyz answer 503, so that balancers"
        " turn away.",
        example="/var/lib/imagereg/disabled",
    )
    backends: tuple[str, ...] = option(
        names(),
        (),
        "What else /healthcheck asks: database, stores; disable_by_file goes without"
        " saying.",
        shown="unset",
        example="disable_by_file",
    )
    detailed: bool = option(
        BOOL,
        False,
        "Tell everybody, not only this machine and trusted peers, what was found.",
    )
    allowed_source_ranges: tuple[str, ...] = option(
        NETWORKS,
        (),
        "Networks that /healthcheck, /livez and /readyz answer; unset is all.",
        shown="unset",
        example="127.0.0.0/8,10.0.0.0/8",
    )
    ignore_proxied_requests: bool = option(
        BOOL, False, "Give none to requests that came through a proxy."
    )


@dataclass(frozen=True)
class WSGI(Table):
    """Work behind the requests."""

    task_pool_threads: int = option(
        integer(1), 16, "Background tasks of one process at a time.", unit="threads"
    )
