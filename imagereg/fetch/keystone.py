"""Logins at Keystone, renewed when they end: the node's side of keystoneauth.

Source: contract compute-fetch C-5, C-14.
"""

from collections.abc import Iterable, Mapping
from typing import cast

from keystoneauth1 import exceptions
from keystoneauth1.access.service_catalog import ServiceCatalog
from keystoneauth1.identity import Password, Token
from keystoneauth1.identity.v3 import ApplicationCredential
from keystoneauth1.session import Session

from imagereg.client.session import Trust
from imagereg.errors import FetchRefused, Invalid
from imagereg.fetch.service import Passing, is_passing

#: Options of each way to log in, as the library calls them.
_USER = ("username", "user_id", "user_domain_name", "user_domain_id")
_PROJECT = ("project_name", "project_id", "project_domain_name", "project_domain_id")
_CREDENTIAL = tuple(
    f"application_credential_{part}" for part in ("id", "name", "secret")
)
_WAYS = {
    "password": (Password, (*_USER, *_PROJECT, "password")),
    "token": (Token, (*_PROJECT, "token")),
    "applicationcredential": (ApplicationCredential, (*_USER, *_CREDENTIAL)),
}

#: Who cannot be reached is not always told apart from who has no versions to offer.
_AWAY = (exceptions.ConnectionError, exceptions.DiscoveryFailure)

#: The domain of names whose domain nobody names.
_DOMAIN = "default"


class KeystoneAuth:
    """A login, for any number of threads; tokens are in memory alone.

    Args:
        kind: ``password``, ``token`` or ``applicationcredential``.
        said: the options of the login, region and interface.
        trust: which certificates count.
        timeout_s: how long Keystone may take to answer.

    Raises:
        Invalid: an option is missing.
    """

    def __init__(
        self, kind: str, said: Mapping[str, str], trust: Trust, timeout_s: float
    ) -> None:
        plugin, names = _WAYS[kind]
        options = {name: said[name] for name in names if name in said}
        _check(kind, options)
        for whose in ("user", "project"):
            names_it = "username" if whose == "user" else "project_name"
            has_domain = {f"{whose}_domain_id", f"{whose}_domain_name"} & options.keys()
            if names_it in options and not has_domain:
                options[f"{whose}_domain_id"] = _DOMAIN
        url = said["auth_url"]
        if plugin is ApplicationCredential and not url.rstrip("/").endswith("/v3"):
            url = f"{url.rstrip('/')}/v3"
        self._region = said.get("region_name")
        self._interface = said.get("interface", "public")
        self._plugin = plugin(auth_url=url, **options)
        ca_file = str(trust.ca_file) if trust.ca_file else True
        # A login goes to Keystone itself, so redirects end here.
        self._session = Session(
            verify=ca_file if trust.verify else False,
            timeout=timeout_s,
            redirect=False,
        )

    def headers(self) -> Mapping[str, str]:
        """Return the token, a new one if the last one ends soon.

        Raises:
            Passing: Keystone does not answer.
            FetchRefused: it refuses the login.
        """
        try:
            token = self._plugin.get_token(self._session)
        except exceptions.ClientException as error:
            raise _failure(error) from None
        return {"X-Auth-Token": str(token)}

    def renew(self) -> bool:
        """Have the next headers carry a new token."""
        return bool(self._plugin.invalidate())

    def endpoint(self) -> str:
        """Return the URL of the image service, as the catalogue names it.

        Raises:
            Passing, FetchRefused: as with `headers`.
            Invalid: the catalogue names none.
        """
        try:
            access = self._plugin.get_access(self._session)
        except exceptions.ClientException as error:
            raise _failure(error) from None
        urls = (
            self._urls(access.service_catalog) if access.has_service_catalog() else ()
        )
        if not urls:
            region = f" of region `{self._region}`" if self._region else ""
            message = (
                f"the catalogue names no image service{region} with interface "
                f"`{self._interface}`: set region and interface, or the endpoint"
            )
            raise Invalid(message)
        return urls[0]

    def _urls(self, catalog: ServiceCatalog) -> tuple[str, ...]:
        """Return where image services are, in the order of the catalogue."""
        named = catalog.get_urls(
            service_type="image",
            interface=self._interface.removesuffix("URL"),
            region_name=self._region,
        )
        return tuple(cast("Iterable[str]", named))


def _check(kind: str, options: Mapping[str, str]) -> None:
    """Refuse a login that cannot work, before anybody is asked."""
    needed: Mapping[str, list[tuple[str, ...]]] = {
        "password": [("username", "user_id"), ("password",)],
        "token": [("token",)],
        "applicationcredential": [
            ("application_credential_id", "application_credential_name"),
            ("application_credential_secret",),
        ],
    }
    for names in needed[kind]:
        if not any(name in options for name in names):
            raise Invalid(f"a login by {kind} needs {' or '.join(names)}")


def _failure(error: exceptions.ClientException) -> Passing | FetchRefused:
    """Return what a failed login means; the library's texts stay where they are."""
    status = getattr(error, "http_status", None)
    kind = type(error).__name__
    if isinstance(error, exceptions.HttpError) and not is_passing(status):
        return FetchRefused(f"Keystone refuses the login: {kind} ({status})")
    if isinstance(error, (exceptions.HttpError, *_AWAY)):
        return Passing(f"Keystone does not answer: {kind} {status or ''}".rstrip())
    return FetchRefused(f"Keystone cannot be understood: {kind}")
