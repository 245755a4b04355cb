"""Who is calling and where the service is, as the environment or a cloud says it.

Nothing of it is taken from the command line, and nothing is written anywhere.

Source: contract compute-fetch C-14, auth 5; the variables are those of `openstack`.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagereg.client.credentials import ENDPOINTS
from imagereg.client.session import Trust
from imagereg.errors import Invalid
from imagereg.fetch.clouds import read_cloud
from imagereg.fetch.service import Auth, FixedAuth

#: Options of a login; the variable of each is ``OS_`` and the name in capitals.
_OPTIONS = (
    *("auth_type", "auth_url", "username", "user_id", "password", "token"),
    *("project_name", "project_id", "project_domain_name", "project_domain_id"),
    *("user_domain_name", "user_domain_id", "region_name", "interface", "cacert"),
    *("application_credential_id", "application_credential_name"),
    "application_credential_secret",
)

#: Older names -> those of today.
_ALIASES = {
    "tenant_name": "project_name",
    "tenant_id": "project_id",
    "auth_token": "token",
    "endpoint_type": "interface",
}

_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Access:
    """How to speak to a service.

    Attributes:
        endpoint: its URL, as far as somebody says it; else the catalogue does.
        trust: which certificates count, as far as somebody says it.
    """

    auth: Auth
    endpoint: str | None = None
    trust: Trust | None = None


def find_access(
    environ: Mapping[str, str], cloud: str | None = None, timeout_s: float = 60.0
) -> Access:
    """Return how to speak to the service of a cloud, or of the environment.

    Args:
        environ: the environment; ``OS_CLOUD`` names a cloud as well.
        cloud: a name in ``clouds.yaml``; variables of logins do not count then.
        timeout_s: how long Keystone may take to answer.

    Raises:
        Invalid: what is said there is not enough, or not understood.
    """
    cloud = cloud or environ.get("OS_CLOUD")
    said = read_cloud(cloud, environ) if cloud else _variables(environ)
    for old, new in _ALIASES.items():
        if said.get(old):
            said = {new: said[old], **said}
    trust = _trust(said)
    endpoint = said.get("image_endpoint_override") or said.get("endpoint")
    return Access(_auth(said, trust, timeout_s, endpoint), endpoint, trust)


def _variables(environ: Mapping[str, str]) -> Mapping[str, str]:
    names = (*_OPTIONS, *_ALIASES)
    found = {name: environ.get(f"OS_{name.upper()}", "") for name in names}
    found["endpoint"] = next(filter(None, map(environ.get, ENDPOINTS)), "") or ""
    return {name: value for name, value in found.items() if value}


def _trust(said: Mapping[str, str]) -> Trust | None:
    verify = _WORDS.get(said.get("verify", "true").lower())
    if verify is None:
        raise Invalid("`verify` of a cloud is neither true nor false")
    if verify and "cacert" not in said:
        return None
    file = Path(said["cacert"]).expanduser() if "cacert" in said else None
    return Trust(file, verify=verify)


def _auth(
    said: Mapping[str, str], trust: Trust | None, timeout_s: float, endpoint: str | None
) -> Auth:
    kind = _kind(said, endpoint)
    if kind == "none":
        return FixedAuth()
    if kind == "token" and "token" in said and (endpoint or "auth_url" not in said):
        return FixedAuth({"X-Auth-Token": said["token"]})
    if kind == "http_basic" and "username" in said and "password" in said:
        pair = f"{said['username']}:{said['password']}"
        encoded = b64encode(pair.encode()).decode()
        return FixedAuth({"Authorization": f"Basic {encoded}"})
    if kind in ("password", "token", "applicationcredential") and "auth_url" in said:
        return _keystone(kind, said, trust, timeout_s)
    message = (
        f"auth_type `{kind}` is not supported here, or lacks what goes with it: "
        "password, applicationcredential, token, http_basic and none are"
    )
    raise Invalid(message)


def _kind(said: Mapping[str, str], endpoint: str | None) -> str:
    """Return the way to log in, guessed from what is there if nobody names it."""
    named = said.get("auth_type", "").removeprefix("v3")
    if named:
        return "token" if named == "admin_token" else named
    if "token" in said:
        return "token"
    if "auth_url" not in said:
        return "none"
    has_secret = "application_credential_secret" in said
    return "applicationcredential" if has_secret else "password"


def _keystone(
    kind: str, said: Mapping[str, str], trust: Trust | None, timeout_s: float
) -> Auth:
    # keystoneauth comes with an extra, and takes its time to be imported.
    try:
        from imagereg.fetch.keystone import KeystoneAuth
    except ModuleNotFoundError as error:
        message = f"logins need {error.name}: install imagereg[keystone]"
        raise Invalid(message) from error
    return KeystoneAuth(kind, said, trust or Trust(), timeout_s)
