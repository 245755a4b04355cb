"""Conversations with Keystone: the one place that knows keystoneauth.

keystoneauth logs in, renews the login, finds the endpoint in the catalogue and reads
certificates.  keystonemiddleware, which is built upon it, was measured and left: its
cache in the process has no bound, reads every entry at each request, is another one for
each thread, and a Keystone that is away looks like a wrong token (ruling U-10 wants
503).

Source: contract auth 1.2.
"""

import logging
import time
from collections.abc import Iterator
from pathlib import Path

from keystoneauth1 import exceptions
from keystoneauth1.adapter import Adapter
from keystoneauth1.identity import Password, V3Password
from keystoneauth1.identity.base import BaseIdentityPlugin
from keystoneauth1.identity.v3 import ApplicationCredential
from keystoneauth1.session import Session

from imagereg.errors import (
    ConfigurationError,
    IdentityUnavailable,
    IdentityUnreachable,
)
from imagereg.settings.keystone import KeystoneAuth

_log = logging.getLogger(__name__)

#: How long Keystone may take to answer, in seconds, where the operator says nothing.
TIMEOUT_S = 10.0

#: The pause before the first repetition, in seconds; each one is twice as long.
FIRST_PAUSE_S = 0.1

#: The domain of accounts whose domain is not named: the one that is always there.
DOMAIN = "default"

_CREDENTIAL = "v3applicationcredential"

#: What each way to log in needs.
_PASSWORD = ("auth_url", "username", "password", "project_name")
_NEEDED = {
    "password": _PASSWORD,
    "v3password": _PASSWORD,
    _CREDENTIAL: ("auth_url", "application_credential_secret"),
}
_FILES = ("cafile", "certfile", "keyfile")

#: Says that access rules of application credentials are enforced here.  Tokens with
#: such rules are unknown to whoever does not say so.
_ACCESS_RULES = {"OpenStack-Identity-Access-Rules": "1.0"}

#: Refusals that are not about the token: of our account, our patience, our pace.
_PATIENCE = frozenset({408, 429})
_ABOUT_US = frozenset({401, 403}) | _PATIENCE

#: Who cannot be reached is not always told apart from who has no versions to offer.
_AWAY = (exceptions.ConnectionError, exceptions.DiscoveryFailure)

#: Answers after which the same question may be answered.
_PASSING = frozenset({429, 500, 502, 503, 504})


class Keystone:
    """The identity service, as section ``[keystone_authtoken]`` describes it.

    Args:
        wanted: the section.

    Raises:
        ConfigurationError: with every option that is missing.
    """

    def __init__(self, wanted: KeystoneAuth) -> None:
        faults = list(_faults(wanted))
        if faults:
            raise ConfigurationError(faults)
        self._wanted = wanted
        self._timeout_s = float(wanted.http_connect_timeout or TIMEOUT_S)
        ca_file = str(wanted.cafile) if wanted.cafile else True
        pair = (str(wanted.certfile), str(wanted.keyfile)) if wanted.keyfile else None
        alone = str(wanted.certfile) if wanted.certfile else None
        self._adapter = Adapter(
            # Nobody but Keystone itself is to see tokens, so redirects end here.
            Session(
                verify=False if wanted.insecure else ca_file,
                cert=pair or alone,
                timeout=self._timeout_s,
                redirect=False,
            ),
            auth=_login(wanted),
            service_type="identity",
            interface=wanted.interface,
            region_name=wanted.region_name,
            version="3",
        )

    def validate(self, token: str, *, allow_expired: bool) -> bytes | None:
        """Return the document of a token, None if it is not valid.

        Raises:
            IdentityUnavailable: Keystone does not say.
            IdentityUnreachable: it cannot be reached.
        """
        ends = time.monotonic() + self._timeout_s
        left, pause_s = self._wanted.http_request_max_retries, FIRST_PAUSE_S
        while True:
            try:
                return self._validate_once(token, allow_expired=allow_expired)
            except exceptions.ClientException as error:
                is_late = time.monotonic() + pause_s > ends
                if left == 0 or is_late or not _is_passing(error):
                    raise _unavailable(error) from None
            time.sleep(pause_s)
            left, pause_s = left - 1, pause_s * 2

    def _validate_once(self, token: str, *, allow_expired: bool) -> bytes | None:
        flags = {"allow_expired": "1"} if allow_expired else {}
        if not self._wanted.include_service_catalog:
            flags["nocatalog"] = "1"
        status, body = self._ask(token, flags)
        if status == 401 or (status == 404 and not self._is_known()):
            # Our own token ended before its time.
            self._adapter.invalidate()
            status, body = self._ask(token, flags)
        if status == 200:
            return body
        # Keystone and what is in front of it refuse odd tokens in several ways.
        if 400 <= status < 500 and status not in _ABOUT_US:
            return None
        raise exceptions.HttpError(http_status=status)

    def _is_known(self) -> bool:
        """Return whether our own token counts, where that takes a question.

        Of an application credential that was deleted Keystone says that it is not
        found, in the place of what it was asked about.
        """
        if self._wanted.auth_type != _CREDENTIAL:
            return True
        status, _ = self._ask(self._adapter.get_token() or "", {})
        return status == 200

    def _ask(self, token: str, flags: dict[str, str]) -> tuple[int, bytes]:
        """Return the status and the body of an answer about a token."""
        self._log_in()
        reply = self._adapter.get(
            "/auth/tokens",
            params=flags,
            headers={"X-Subject-Token": token, **_ACCESS_RULES},
            log=False,
            raise_exc=False,
            # To log in again is ours, so that its failure is told apart.
            allow_reauth=False,
        )
        return reply.status_code, reply.content

    def _log_in(self) -> None:
        """Have a token of our own.

        Raises:
            exceptions.Unauthorized: the account is refused, by whatever status: a
                credential that was deleted is not found, as an unknown token is.
        """
        try:
            self._adapter.get_token()
        except exceptions.HTTPClientError as error:
            if error.http_status in _PATIENCE:
                raise
            raise exceptions.Unauthorized(http_status=error.http_status) from None


def _faults(wanted: KeystoneAuth) -> Iterator[str]:
    where = "[keystone_authtoken]"
    for name in _NEEDED[wanted.auth_type]:
        if not getattr(wanted, name):
            yield f"{where} {name}: flavor keystone needs it"
    if wanted.auth_type == _CREDENTIAL and not wanted.application_credential_id:
        if not wanted.application_credential_name:
            yield f"{where} application_credential_id: flavor keystone needs it"
        elif not wanted.username:
            yield f"{where} username: a credential's name is its user's"
    for name in _FILES:
        file: Path | None = getattr(wanted, name)
        if file and not file.is_file():
            yield f"{where} {name}: {file}: no such file"
    if wanted.keyfile and not wanted.certfile:
        yield f"{where} keyfile: certfile is missing"


def _login(wanted: KeystoneAuth) -> BaseIdentityPlugin:
    if wanted.auth_type == _CREDENTIAL:
        return _by_credential(wanted)
    plugin = V3Password if wanted.auth_type == "v3password" else Password
    by_name = wanted.user_domain_name, wanted.project_domain_name
    return plugin(
        auth_url=wanted.auth_url or "",
        username=wanted.username,
        password=wanted.password or "",
        project_name=wanted.project_name,
        user_domain_name=by_name[0],
        user_domain_id=wanted.user_domain_id or (None if by_name[0] else DOMAIN),
        project_domain_name=by_name[1],
        project_domain_id=wanted.project_domain_id or (None if by_name[1] else DOMAIN),
    )


def _by_credential(wanted: KeystoneAuth) -> BaseIdentityPlugin:
    """Return a login by what a user made for this service; it has a project."""
    url = (wanted.auth_url or "").rstrip("/")
    secret = wanted.application_credential_secret or ""
    # This plugin asks nobody for versions.
    url = url if url.endswith("/v3") else f"{url}/v3"
    if wanted.application_credential_id:
        return ApplicationCredential(
            auth_url=url,
            application_credential_secret=secret,
            application_credential_id=wanted.application_credential_id,
        )
    domain = wanted.user_domain_name
    return ApplicationCredential(
        auth_url=url,
        application_credential_secret=secret,
        application_credential_name=wanted.application_credential_name,
        username=wanted.username,
        user_domain_name=domain,
        user_domain_id=wanted.user_domain_id or (None if domain else DOMAIN),
    )


def _is_passing(error: exceptions.ClientException) -> bool:
    if isinstance(error, exceptions.HttpError):
        return error.http_status in _PASSING
    return isinstance(error, _AWAY)


def _unavailable(error: exceptions.ClientException) -> IdentityUnavailable:
    """Return what callers are told, after the operator was told more.

    The texts of the library name hosts and quote answers, so none is handed on.
    """
    status = getattr(error, "http_status", None)
    kind = type(error).__name__
    if status in (401, 403) or isinstance(error, exceptions.Unauthorized):
        _log.error(
            "Keystone refuses the account of [keystone_authtoken] (%s): check "
            "username, password, project and domains, or the application credential, "
            "and the roles",
            status,
        )
    else:
        _log.warning("Keystone does not answer: %s %s", kind, status or "")
    away = isinstance(error, _AWAY)
    return IdentityUnreachable(kind) if away else IdentityUnavailable(kind)
