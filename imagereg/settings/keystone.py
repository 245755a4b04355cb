"""The section about the identity service.

Source: contract auth 1.2.
"""

from dataclasses import dataclass
from pathlib import Path

from imagereg.settings.kinds import (
    BOOL,
    CONFIG_PATH,
    HTTP_URL,
    NAME,
    TEXT,
    choice,
    integer,
    names,
)
from imagereg.settings.options import Table, option


@dataclass(frozen=True)
class KeystoneAuth(Table):
    """How tokens are checked with the identity service (flavor keystone).

    Needs the extra: pip install imagereg[keystone].
    """

    auth_url: str | None = option(
        HTTP_URL,
        None,
        "The identity service.",
        example="https://identity.example.org",
    )
    auth_type: str = option(
        choice("password", "v3password", "v3applicationcredential"),
        "password",
        "How this service logs in there.",
    )
    username: str | None = option(
        NAME, None, "This service's user.", example="imagereg"
    )
    password: str | None = option(
        TEXT, None, "That user's password.", secret=True, example="secret"
    )
    project_name: str | None = option(
        NAME, None, "That user's project.", example="service"
    )
    user_domain_name: str | None = option(
        NAME, None, "The domain of that user, by name.", example="Default"
    )
    user_domain_id: str | None = option(
        NAME,
        None,
        "The domain of that user, by id.",
        shown="default, unless it is named",
        example="default",
    )
    project_domain_name: str | None = option(
        NAME, None, "The domain of that project, by name.", example="Default"
    )
    project_domain_id: str | None = option(
        NAME,
        None,
        "The domain of that project, by id.",
        shown="default, unless it is named",
        example="default",
    )
    application_credential_id: str | None = option(
        NAME,
        None,
        "The application credential of a login by v3applicationcredential.",
        example="1dc1e4cd85184ac3a8cbe3cd1de2a9d6",
    )
    application_credential_name: str | None = option(
        NAME,
        None,
        "The same by its name, with the user and the domain of the user.",
        example="imagereg",
    )
    application_credential_secret: str | None = option(
        TEXT, None, "The secret of that credential.", secret=True, example="secret"
    )
    www_authenticate_uri: str | None = option(
        HTTP_URL,
        None,
        "The identity service as clients reach it, named in 401 answers.",
        shown="auth_url",
        example="https://identity.example.org",
    )
    interface: str = option(
        choice("internal", "public", "admin"),
        "internal",
        "Which of the identity service's endpoints to use.",
    )
    region_name: str | None = option(
        NAME, None, "The region of that endpoint.", example="RegionOne"
    )
    cafile: Path | None = option(
        CONFIG_PATH,
        None,
        "Certificate authorities to trust, PEM.",
        shown="those of the system",
        example="/etc/ssl/certs/ca.pem",
    )
    certfile: Path | None = option(
        CONFIG_PATH, None, "A client certificate, PEM.", example="client.pem"
    )
    keyfile: Path | None = option(
        CONFIG_PATH, None, "The key of that certificate, PEM.", example="client.key"
    )
    insecure: bool = option(BOOL, False, "Do not verify the identity service's name.")
    http_connect_timeout: int | None = option(
        integer(1),
        None,
        "How long to wait for its answer; nothing is repeated after that.",
        unit="seconds",
        shown="10",
        example="10",
    )
    http_request_max_retries: int = option(
        integer(0), 3, "How often a failed call is repeated.", unit="attempts"
    )
    token_cache_time: int = option(
        integer(-1),
        300,
        "How long a valid token is believed without asking again; -1 is not at all.",
        unit="seconds",
    )
    memcached_servers: tuple[str, ...] = option(
        names(),
        (),
        "Accepted for the sake of old files: each process remembers tokens itself.",
        shown="unset",
        example="127.0.0.1:11211",
    )
    service_token_roles: tuple[str, ...] = option(
        names(), ("service",), "Roles that make a service token count."
    )
    service_token_roles_required: bool = option(
        BOOL, True, "A service token without any of them does not count."
    )
    include_service_catalog: bool = option(
        BOOL, True, "Ask for the catalogue, without which glance-download cannot work."
    )
    delay_auth_decision: bool = option(
        BOOL, True, "Let imagereg, not the token check, answer callers without token."
    )
    service_type: str | None = option(
        NAME,
        None,
        "The type under which application credentials know this service.",
        shown="image",
        example="image",
    )
