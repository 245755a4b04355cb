"""Pages of other origins: what preflights are told, how answers are marked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.api.routes import ROUTES
from imagereg.errors import ConfigurationError
from tests.registry import LocalClient, LocalRegistry
from tests.wire import ADMIN, Answer

PAGE = "https://dashboard.example.org"
OTHER = "http://localhost:8000"
LISTED = {"cors": {"allowed_origin": f"{PAGE},{OTHER}"}}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    made = LocalRegistry(tmp_path_factory.mktemp("cors"), LISTED)
    yield made
    made.close()


def preflight(
    client: LocalClient, path: str = "/v2/images", /, **headers: str | None
) -> Answer:
    """Ask as a browser does before a PATCH with a token."""
    asked: dict[str, str | None] = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "content-type,x-auth-token",
    }
    asked |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in asked.items() if value is not None}
    return client.request("OPTIONS", path, headers=sent)


def permissions(answer: Answer) -> dict[str, str]:
    """Return the headers that a browser minds."""
    return {
        name: value
        for name, value in answer.headers.items()
        if name.startswith("access-control-")
    }


def nobody(registry: LocalRegistry) -> LocalClient:
    return registry.client({})


@pytest.mark.parametrize("origin", [PAGE, OTHER])
def test_a_listed_origin_is_allowed_what_it_asks(
    registry: LocalRegistry, origin: str
) -> None:
    answer = preflight(nobody(registry), Origin=origin)

    assert answer.status == 200
    assert permissions(answer) == {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "PATCH",
        "access-control-allow-headers": "content-type, x-auth-token",
        "access-control-max-age": "3600",
    }
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": f"{PAGE}.evil.org"},
        {"Origin": "null"},
        {"Origin": None},
        {"Access_Control_Request_Method": "TRACE"},
        {"Access_Control_Request_Method": None},
        {"Access_Control_Request_Headers": "x-auth-token,x-roles"},
        {"Access_Control_Request_Headers": "x-identity-status"},
        {"Access_Control_Request_Headers": "x-project-id"},
    ],
    ids=str,
)
def test_anything_else_is_allowed_nothing(
    registry: LocalRegistry, headers: dict[str, str | None]
) -> None:
    answer = preflight(nobody(registry), **headers)

    assert (answer.status, permissions(answer)) == (200, {})


def test_a_preflight_tells_nothing_of_what_is_there(registry: LocalRegistry) -> None:
    image = registry.admin.create(visibility="private")
    paths = [
        *(route.path for route in ROUTES),
        f"/v2/images/{image['id']}",
        "/v2/images/00000000-0000-4000-8000-000000000000",
        "/nowhere",
    ]

    answers = {repr(preflight(nobody(registry), path)) for path in paths}

    assert len(answers) == 1
    assert "x-openstack-request-id" not in answers.pop()


def test_a_preflight_is_no_call(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = registry.registry.app
    asked: list[str] = []
    monkeypatch.setattr(
        app, "before_request_funcs", {None: [lambda: asked.append("called")]}
    )

    preflight(registry.admin)
    assert asked == []

    registry.admin.get("/v2/images")
    assert asked == ["called"]


@pytest.mark.parametrize(
    ("path", "status"), [("/v2/images", 200), ("/v2/images/none", 404), ("/x", 300)]
)
def test_answers_are_marked_refusals_too(
    registry: LocalRegistry, path: str, status: int
) -> None:
    answer = registry.admin.get(path, Origin=PAGE)

    assert answer.status == status
    assert permissions(answer) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "X-Image-Meta-Checksum, X-Auth-Token, "
        "X-Subject-Token, X-Service-Token, X-OpenStack-Request-ID",
    }


def test_a_caller_who_is_nobody_reads_its_refusal(registry: LocalRegistry) -> None:
    answer = nobody(registry).get("/v2/images", Origin=PAGE)

    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", ["https://evil.example.org", "null"])
def test_answers_to_others_are_not_marked(registry: LocalRegistry, origin: str) -> None:
    answer = registry.admin.get("/v2/images", Origin=origin)

    assert (answer.status, permissions(answer)) == (200, {})
    assert answer.headers["vary"] == "Origin"


def test_without_an_origin_there_is_no_mark_at_all(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path)

    asked = preflight(registry.admin)
    answer = registry.admin.get("/v2/images", Origin=PAGE)
    registry.close()

    assert (asked.status, permissions(asked)) == (200, {})
    assert (permissions(answer), answer.headers.get("vary")) == ({}, None)


def test_all_origins_are_never_sent_credentials(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, {"cors": {"allowed_origin": "*"}})

    asked = preflight(nobody(registry), Origin="https://any.example")
    answer = registry.client(ADMIN).get("/v2/images", Origin="https://any.example")
    registry.close()

    assert permissions(asked)["access-control-allow-origin"] == "*"
    assert permissions(answer)["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in {*asked.headers, *answer.headers}


def test_the_options_are_honoured(tmp_path: Path) -> None:
    options = {
        "allowed_origin": PAGE,
        "allow_credentials": "false",
        "max_age": 0,
        "allow_methods": "GET,PATCH",
        "allow_headers": "X-Mine,X-Roles",
        "expose_headers": "",
    }
    registry = LocalRegistry(tmp_path, {"cors": options})
    client = nobody(registry)

    mine = preflight(client, Access_Control_Request_Headers="x-mine")
    identity = preflight(client, Access_Control_Request_Headers="x-roles")
    method = preflight(client, Access_Control_Request_Method="DELETE")
    answer = registry.admin.get("/v2/images", Origin=PAGE)
    registry.close()

    assert permissions(mine) == {
        "access-control-allow-origin": PAGE,
        "access-control-allow-methods": "PATCH",
        "access-control-allow-headers": "x-mine",
    }
    assert (permissions(identity), permissions(method)) == ({}, {})
    assert permissions(answer) == {"access-control-allow-origin": PAGE}


@pytest.mark.parametrize(
    "origin", ["dashboard.example.org", f"{PAGE}/", f"{PAGE}/x", "https://*.example"]
)
def test_what_is_no_origin_stops_the_start(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\[cors\] allowed_origin"):
        LocalRegistry(tmp_path, {"cors": {"allowed_origin": origin}})
