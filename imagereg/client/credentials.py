"""Who is calling, as headers of a request.

Source: contract api-clients 1; the environment variables are those of `openstack`.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence

from imagereg.errors import Invalid

#: Environment variables that say where the registry is, best first.
ENDPOINTS = ("OS_IMAGE_ENDPOINT_OVERRIDE", "OS_IMAGE_URL", "OS_ENDPOINT")


def find_endpoint(option: str | None, environ: Mapping[str, str]) -> str:
    """Return the URL of the registry, without ``/v2`` and slashes at its end.

    Raises:
        Invalid: nobody says it, or it is no http(s) URL.
    """
    named = [option, *(environ.get(name) for name in ENDPOINTS)]
    endpoint = next((text for text in named if text), None)
    if endpoint is None:
        raise Invalid(f"no endpoint: use --endpoint, or set {ENDPOINTS[0]}")
    if not endpoint.startswith(("http://", "https://")):
        raise Invalid(f"the endpoint `{endpoint}` is no http or https URL")
    return endpoint.rstrip("/").removesuffix("/v2").rstrip("/")


def find_credentials(
    token: str | None, headers: Sequence[str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the headers that say who is calling.

    A token goes before a user's name and password, and options before the
    environment.  ``headers`` are sent as they are, in place of others of their name.

    Raises:
        Invalid: a header has no colon, or the way of ``OS_AUTH_TYPE`` is unknown.
    """
    found = _from_environment(environ) if token is None else _token(token)
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise Invalid(f"`{header}` is no header: write `NAME: VALUE`")
        found[name.strip()] = value.strip()
    return found


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    token = environ.get("OS_TOKEN") or environ.get("OS_AUTH_TOKEN")
    user, password = environ.get("OS_USERNAME"), environ.get("OS_PASSWORD")
    kind = environ.get("OS_AUTH_TYPE", "").removeprefix("v3")
    if kind in ("", "token", "admin_token") and token:
        return _token(token)
    if kind == "http_basic" and user and password:
        encoded = b64encode(f"{user}:{password}".encode()).decode()
        return {"Authorization": f"Basic {encoded}"}
    if kind in ("", "none"):
        return {}
    message = (
        f"OS_AUTH_TYPE `{kind}` is not supported here, or lacks what goes with it: "
        "use a token (`openstack token issue`), http_basic or none"
    )
    raise Invalid(message)


def _token(token: str) -> dict[str, str]:
    return {"X-Auth-Token": token}
