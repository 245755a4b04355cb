"""Versions: paths, headers and the document.  Source: contract api-images 1.1 and 2."""

import pytest

from imagereg.api.negotiation import Negotiation, advertised
from tests.registry import LocalRegistry

SINGLE = advertised(cache=False, several_stores=False)
EARLY = tuple(f"v2.{minor}" for minor in range(7, -1, -1))
V = "application/vnd.openstack.images-"


@pytest.mark.parametrize(
    ("cache", "several", "current", "ids"),
    [
        (
            True,
            True,
            "v2.18",
            tuple(f"v2.{n}" for n in (18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8)),
        ),
        (True, False, "v2.18", tuple(f"v2.{n}" for n in (18, 17, 16, 15, 14, 9))),
        (
            False,
            True,
            "v2.17",
            tuple(f"v2.{n}" for n in (15, 13, 12, 11, 10, 9, 8, 17)),
        ),
        (False, False, "v2.17", tuple(f"v2.{n}" for n in (15, 9, 17))),
    ],
)
def test_what_is_advertised(
    cache: bool, several: bool, current: str, ids: tuple[str, ...]
) -> None:
    found = advertised(cache=cache, several_stores=several)

    assert tuple(name for name, _ in found) == (*ids, *EARLY)
    assert [name for name, status in found if status == "CURRENT"] == [current]


@pytest.mark.parametrize(
    ("path", "accept", "canonical"),
    [
        ("/", "", "/"),
        ("", "", "/"),
        ("/versions", "", "/versions"),
        ("/versions/x/y", f"{V}v2", "/versions"),
        ("/versionsx", "", "/"),
        ("/healthcheck", f"{V}v2", "/healthcheck"),
        ("/healthcheck/x", "", "/"),
        ("/v2", "", "/v2"),
        ("/v2/", "", "/v2/"),
        ("/v2/images", "", "/v2/images"),
        ("/v2.0/images", "", "/v2/images"),
        ("/v2.17/images", "", "/v2/images"),
        ("/v2.17", "", "/v2"),
        ("/v2.8/images", "", "/"),
        ("/v2.99/images", "", "/"),
        ("/v3/images", "", "/"),
        ("/v1/images", "", "/"),
        ("/v2.017/images", "", "/"),
        ("/v2x/images", "", "/"),
        ("/v٢/images", "", "/"),
        ("/images", "", "/"),
        ("//v2/images", "", "/"),
        ("/v2//images", "", "/v2//images"),
        ("/v2/a\nb", "", "/v2/a\nb"),
        ("/images", f"{V}v2", "/v2/images"),
        ("/images", f"{V}v2.9", "/v2/images"),
        ("/images", f"{V}v2.99", "/"),
        ("/images", f" {V}v2 ", "/v2/images"),
        ("/v2/images", f"{V}v2", "/v2/v2/images"),
        ("/images", f"text/html, {V}v2", "/"),
    ],
)
def test_one_version_is_left_in_the_path(
    path: str, accept: str, canonical: str
) -> None:
    door = Negotiation(lambda environ, start: [], [name for name, _ in SINGLE])

    assert door.canonical(path, accept) == canonical


def test_the_document_links_to_the_host_that_was_asked(registry: LocalRegistry) -> None:
    answer = registry.client({}).get("/versions", Host="images.example.org:9292")

    links = {
        link["href"]
        for version in answer.json()["versions"]
        for link in version["links"]
    }
    assert links == {"http://images.example.org:9292/v2/"}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize(("path", "status"), [("/", 300), ("/versions", 200)])
def test_the_document_answers_any_method(
    registry: LocalRegistry, method: str, path: str, status: int
) -> None:
    assert registry.client({}).request(method, path).status == status


def test_the_bare_version_redirects(registry: LocalRegistry) -> None:
    answer = registry.client({}).get("/v2", Host="h")

    assert (answer.status, answer.body) == (302, b"")
    assert answer.headers["location"] == "http://h/v2/"
    assert "content-type" not in answer.headers


def test_health_is_plain(registry: LocalRegistry) -> None:
    answer = registry.client({}).get("/healthcheck")

    assert (answer.status, answer.body) == (200, b"OK")


def test_an_unknown_schema_is_not_found(registry: LocalRegistry) -> None:
    assert registry.admin.get("/v2/schemas/x").status == 404
    assert registry.admin.get("/v2/schemas/image/x").status == 404
