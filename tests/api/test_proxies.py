"""Headers of front ends: believed of trusted peers, for links alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registry import LocalRegistry
from tests.wire import ADMIN

PARSING = {"oslo_middleware": {"enable_proxy_headers_parsing": "true"}}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    made = LocalRegistry(tmp_path_factory.mktemp("proxies"), PARSING)
    yield made
    made.close()


def link(registry: LocalRegistry, headers: dict[str, str], peer: str) -> str:
    """Return the address that the service gives itself in its list of versions."""
    client = registry.client({})
    client.peer = peer
    document = client.request("GET", "/versions", headers=headers).json()
    href: str = document["versions"][0]["links"][0]["href"]
    return href


TOLD = [
    ({"X-Forwarded-Proto": "https"}, "https://localhost/v2/"),
    ({"X-Forwarded-Proto": "HTTPS, http"}, "https://localhost/v2/"),
    ({"X-Forwarded-Host": "images.example.org"}, "http://images.example.org/v2/"),
    ({"X-Forwarded-Host": "a.example:8080, b.example"}, "http://a.example:8080/v2/"),
    ({"X-Forwarded-Host": "[2001:db8::1]:92"}, "http://[2001:db8::1]:92/v2/"),
    ({"X-Forwarded-Prefix": "/image"}, "http://localhost/image/v2/"),
    ({"X-Forwarded-Prefix": "/a/b/"}, "http://localhost/a/b/v2/"),
    (
        {"Forwarded": "for=192.0.2.7;proto=https;host=a.example, host=b.example"},
        "https://a.example/v2/",
    ),
    ({"Forwarded": 'Host="a.example:99"; proto=https'}, "https://a.example:99/v2/"),
    (
        # The newer header makes the older ones void.
        {"Forwarded": "proto=https", "X-Forwarded-Host": "old.example"},
        "https://localhost/v2/",
    ),
    ({"X-Forwarded-Proto": "javascript"}, "http://localhost/v2/"),
    ({"X-Forwarded-Host": "a.example/x"}, "http://localhost/v2/"),
    ({"X-Forwarded-Host": "a@b.example"}, "http://localhost/v2/"),
    ({"X-Forwarded-Host": "a.example:123456"}, "http://localhost/v2/"),
    ({"X-Forwarded-Prefix": "//evil.example"}, "http://localhost/v2/"),
    ({"X-Forwarded-Prefix": "/a/../.."}, "http://localhost/v2/"),
    ({"X-Forwarded-Prefix": "evil"}, "http://localhost/v2/"),
    ({"Forwarded": "nonsense"}, "http://localhost/v2/"),
    ({"Forwarded": 'host="a'}, "http://localhost/v2/"),
]


@pytest.mark.parametrize(("headers", "href"), TOLD, ids=str)
def test_a_trusted_front_end_is_believed(
    registry: LocalRegistry, headers: dict[str, str], href: str
) -> None:
    assert link(registry, headers, "127.0.0.1") == href


@pytest.mark.parametrize("headers", [headers for headers, _ in TOLD], ids=str)
def test_nobody_else_is_believed(
    registry: LocalRegistry, headers: dict[str, str]
) -> None:
    assert link(registry, headers, "192.0.2.9") == "http://localhost/v2/"


def test_unless_asked_nobody_is_believed(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path)

    found = {link(registry, headers, "127.0.0.1") for headers, _ in TOLD}
    registry.close()

    assert found == {"http://localhost/v2/"}


def test_public_endpoint_comes_before_what_a_front_end_says(tmp_path: Path) -> None:
    options = {"DEFAULT": {"public_endpoint": "https://public.example/image"}}
    registry = LocalRegistry(tmp_path, {**PARSING, **options})

    href = link(registry, {"X-Forwarded-Host": "other.example"}, "127.0.0.1")
    registry.close()

    assert href == "https://public.example/image/v2/"


def test_links_of_new_images_are_those_of_the_front_end(
    registry: LocalRegistry,
) -> None:
    answer = registry.admin.request(
        "POST",
        "/v2/images",
        document={},
        headers={"X-Forwarded-Host": "a.example", "X-Forwarded-Prefix": "/image"},
    )

    place = f"http://a.example/image/v2/images/{answer.json()['id']}"
    assert answer.headers["location"] == place


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1"},
    ],
    ids=str,
)
def test_a_claimed_address_opens_nothing(
    registry: LocalRegistry, headers: dict[str, str]
) -> None:
    stranger = registry.client(ADMIN)
    stranger.peer = "192.0.2.9"

    assert stranger.request("GET", "/v2/images", headers=headers).status == 401


def test_a_front_end_stays_trusted_whoever_it_speaks_for(
    registry: LocalRegistry,
) -> None:
    headers = {"X-Forwarded-For": "192.0.2.9"}

    assert registry.admin.request("GET", "/v2/images", headers=headers).status == 200
