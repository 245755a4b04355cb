"""Who is believed to be whom, and on whose word.

Source: contract auth 2, 3, 7 and rulings U-1, U-3, U-4, U-6, U-7.
"""

import json
from collections.abc import Iterator

import pytest

from imagereg.api.auth import IDENTITY_HEADERS, split_roles
from imagereg.errors import ConfigurationError
from imagereg.server import check_exposure
from tests.api.conftest import Make
from tests.api.personas import PERSONAS, an_image
from tests.registry import LocalClient, LocalRegistry
from tests.server import Server
from tests.wire import ADMIN, End, as_, head, raw

NO_AUTH = {"paste_deploy": {"flavor": None}}


@pytest.fixture(scope="module")
def open_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry where nobody checks identities."""
    made = LocalRegistry(tmp_path_factory.mktemp("open"), NO_AUTH)
    yield made
    made.close()


@pytest.mark.parametrize("name", sorted(IDENTITY_HEADERS))
def test_without_identity_layer_no_header_makes_a_difference(
    open_house: LocalRegistry, name: str
) -> None:
    created = open_house.client({name: "project-else"}).create()

    assert created["owner"] == "noauth"
    shown = open_house.client({name: "member", "X-Roles": "foo"}).get(
        f"/v2/images/{created['id']}"
    )
    assert shown.status == 200


def test_headers_count_without_identity_layer_where_tests_want_it(make: Make) -> None:
    registry = make({**NO_AUTH, "imagereg": {"noauth_headers": "true"}})

    owner = registry.client({"X-Project-Id": "p", "X-Roles": "member, Reader,"})
    image_id = owner.create()["id"]
    bare = registry.client({"X-Project-Id": "p", "X-Roles": ""})

    assert owner.show(image_id)["owner"] == "p"
    assert bare.get(f"/v2/images/{image_id}").status == 404
    assert registry.client({}).show(image_id)["owner"] == "p"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_without_identity_layer_this_machine_is_served(
    open_house: LocalRegistry, host: str
) -> None:
    check_exposure(open_house.settings, host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.1", "", "localhost.example.org", "2130706433"]
)
def test_without_identity_layer_other_machines_are_not_served(
    open_house: LocalRegistry, host: str
) -> None:
    with pytest.raises(ConfigurationError, match="nobody checks identities"):
        check_exposure(open_house.settings, host)


def test_the_operator_may_insist(make: Make, registry: LocalRegistry) -> None:
    insisting = make({**NO_AUTH, "imagereg": {"allow_open_noauth": "true"}})

    check_exposure(insisting.settings, "0.0.0.0")
    check_exposure(registry.settings, "0.0.0.0")


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.2", "::ffff:192.0.2.1", "::2"])
def test_a_peer_that_is_not_trusted_is_nobody(
    registry: LocalRegistry, peer: str
) -> None:
    stranger = LocalClient(registry.registry.app, ADMIN, peer)

    forwarded = {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}

    assert stranger.get("/v2/images").status == 401
    assert stranger.request("GET", "/v2/images", headers=forwarded).status == 401
    assert stranger.get("/").status == 300


def test_a_mapped_address_is_the_address_that_it_maps(registry: LocalRegistry) -> None:
    front_end = LocalClient(registry.registry.app, ADMIN, "::ffff:127.0.0.1")

    assert front_end.get("/v2/images").status == 200


def test_a_network_of_front_ends_can_be_trusted(make: Make) -> None:
    registry = make({"imagereg": {"trusted_proxies": "192.0.2.0/24, 2001:db8::/32"}})

    def status(peer: str) -> int:
        return LocalClient(registry.registry.app, ADMIN, peer).get("/v2/images").status

    assert [status("192.0.2.77"), status("2001:db8::5")] == [200, 200]
    assert [status("127.0.0.1"), status("192.0.3.1")] == [401, 401]


def test_a_peer_that_is_not_trusted_is_anonymous_where_that_is_allowed(
    make: Make,
) -> None:
    registry = make({"DEFAULT": {"allow_anonymous_access": "true"}})
    image_id = an_image()(registry, "private")["image_id"]
    stranger = LocalClient(registry.registry.app, ADMIN, "192.0.2.1")

    assert stranger.get(f"/v2/images/{image_id}").status == 404
    assert stranger.request("POST", "/v2/images", document={}).status == 403


@pytest.mark.parametrize("status", ["", "Invalid", "confirmed", "CONFIRMED", " "])
def test_only_a_confirmed_identity_counts(registry: LocalRegistry, status: str) -> None:
    answer = registry.client({**ADMIN, "X-Identity-Status": status}).get("/v2/images")

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Keystone")
    assert json.loads(answer.body)["error"]["code"] == 401


@pytest.mark.parametrize("path", ["/v2/images", "/v2/nothing", "/v2/images/x/y/z"])
def test_without_identity_unknown_paths_look_like_known_ones(
    registry: LocalRegistry, path: str
) -> None:
    assert registry.client({}).get(path).status == 401


@pytest.mark.parametrize("name", sorted(IDENTITY_HEADERS))
@pytest.mark.parametrize("value", ["a\tb", "a\x7f", "a" * 8193])
def test_no_identity_header_may_be_malformed(
    registry: LocalRegistry, name: str, value: str
) -> None:
    headers = {k: v for k, v in ADMIN.items() if k.lower() != name}

    assert registry.client({**headers, name: value}).get("/v2/images").status == 400


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("", set()),
        (",", set()),
        ("Admin", {"admin"}),
        (" member ,READER,,member", {"member", "reader"}),
        ("two words", {"two words"}),
    ],
)
def test_roles_are_trimmed_lowered_and_never_empty(text: str, roles: set[str]) -> None:
    assert split_roles(text) == roles


def test_older_headers_name_the_same(registry: LocalRegistry) -> None:
    headers = {
        "X-Identity-Status": "Confirmed",
        "X-User": "u",
        "X-Tenant-Id": "project-old",
        "X-Role": "member,reader",
    }

    assert registry.client(headers).create()["owner"] == "project-old"


@pytest.mark.parametrize("status", ["", "Invalid", "confirmed"])
def test_service_roles_count_only_with_a_confirmed_service(
    make: Make, status: str
) -> None:
    section = "[.*]\ncreate = service\nread = @\nupdate = @\ndelete = @\n"
    registry = make(
        {"DEFAULT": {"property_protection_file": "p.conf"}}, files={"p.conf": section}
    )

    def create(service: str) -> int:
        headers = {"X-Service-Roles": "service", "X-Service-Identity-Status": service}
        client = registry.client({**as_(), **headers})
        return client.request("POST", "/v2/images", document={"a": "b"}).status

    assert create(status) == 403
    assert create("Confirmed") == 201


@pytest.mark.parametrize("scope", ["OpenStack-System-Scope", "X-Domain-Id"])
def test_other_scopes_than_a_project_get_nothing(
    registry: LocalRegistry, scope: str
) -> None:
    image_id = an_image()(registry, "public")["image_id"]
    client = registry.client({**ADMIN, scope: "all"})

    assert client.get("/v2/images").status == 403
    assert client.get(f"/v2/images/{image_id}").status == 404
    assert b"scope" in client.get("/v2/images").body


# What follows needs a real server, because it parses the headers.


@pytest.mark.parametrize("name", ["X-Roles", "X-Project-Id", "X-Identity-Status"])
def test_an_identity_header_that_comes_twice_is_refused(
    server: Server, name: str
) -> None:
    twice = f"\r\n{name.upper()}: admin\r\n".encode()
    request = head("GET", "/v2/images", {**as_(), "Connection": "close"})

    reply = raw(server.base, [request.replace(b"\r\n", twice, 1)], End.READ)

    assert reply.startswith(b"HTTP/1.1 400 ")
    assert b"came more than once" in reply


@pytest.mark.parametrize("name", ["X_Roles", "x_roles", "X-Project_Id"])
def test_header_names_with_an_underscore_do_not_exist(
    server: Server, name: str
) -> None:
    private = server.client(ADMIN).create(visibility="private", owner="project-z")
    headers = {**as_(), name: "admin", "Connection": "close"}

    reply = raw(
        server.base, [head("GET", f"/v2/images/{private['id']}", headers)], End.READ
    )

    assert reply.startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize(
    ("name", "status"), [("X-ImageReg-Duplicate", 200), ("X_IMAGEREG_DUPLICATE", 200)]
)
def test_the_servers_own_word_is_not_the_clients(
    server: Server, name: str, status: int
) -> None:
    answer = server.client().request("GET", "/v2/images", headers={name: "x-roles"})

    assert answer.status == status


def test_every_persona_is_somebody_else() -> None:
    assert len({tuple(sorted(each.items())) for each in PERSONAS.values()}) == len(
        PERSONAS
    )
