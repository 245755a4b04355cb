"""Which registry, and who is calling."""

import pytest

from imagereg.client.credentials import find_credentials, find_endpoint
from imagereg.errors import Invalid

TOKEN = {"X-Auth-Token": "t"}
BASIC = {"Authorization": "Basic dTpw"}


@pytest.mark.parametrize(
    ("option", "environ", "endpoint"),
    [
        ("http://a:9292", {"OS_ENDPOINT": "http://b"}, "http://a:9292"),
        ("https://a/image/v2/", {}, "https://a/image"),
        (None, {"OS_ENDPOINT": "http://b"}, "http://b"),
        (None, {"OS_IMAGE_URL": "http://c/v2", "OS_ENDPOINT": "http://b"}, "http://c"),
        (
            None,
            {"OS_IMAGE_ENDPOINT_OVERRIDE": "http://d", "OS_IMAGE_URL": "http://c"},
            "http://d",
        ),
    ],
)
def test_which_registry(
    option: str | None, environ: dict[str, str], endpoint: str
) -> None:
    assert find_endpoint(option, environ) == endpoint


@pytest.mark.parametrize("option", [None, "", "localhost:9292", "file:///x"])
def test_no_registry(option: str | None) -> None:
    with pytest.raises(Invalid):
        find_endpoint(option, {})


@pytest.mark.parametrize(
    ("token", "headers", "environ", "found"),
    [
        (None, (), {}, {}),
        (None, (), {"OS_AUTH_TYPE": "none", "OS_TOKEN": "t"}, {}),
        (None, (), {"OS_TOKEN": "t"}, TOKEN),
        (None, (), {"OS_AUTH_TOKEN": "t", "OS_AUTH_TYPE": "v3token"}, TOKEN),
        ("t", (), {"OS_TOKEN": "other", "OS_AUTH_TYPE": "v3password"}, TOKEN),
        (
            None,
            (),
            {"OS_AUTH_TYPE": "http_basic", "OS_USERNAME": "u", "OS_PASSWORD": "p"},
            BASIC,
        ),
        (
            None,
            ("X-Roles: a,b", "X-User-Id:u"),
            {},
            {"X-Roles": "a,b", "X-User-Id": "u"},
        ),
        ("t", ("X-Auth-Token: mine",), {}, {"X-Auth-Token": "mine"}),
    ],
)
def test_who_is_calling(
    token: str | None,
    headers: tuple[str, ...],
    environ: dict[str, str],
    found: dict[str, str],
) -> None:
    assert find_credentials(token, headers, environ) == found


@pytest.mark.parametrize(
    ("headers", "environ"),
    [
        (("no colon",), {}),
        ((": no name",), {}),
        ((), {"OS_AUTH_TYPE": "password", "OS_USERNAME": "u"}),
        ((), {"OS_AUTH_TYPE": "http_basic", "OS_USERNAME": "u"}),
        ((), {"OS_AUTH_TYPE": "token"}),
    ],
)
def test_nobody_is_calling(headers: tuple[str, ...], environ: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        find_credentials(None, headers, environ)
