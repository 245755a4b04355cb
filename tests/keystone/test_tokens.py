"""Flavor ``keystone`` against a real Keystone.

Source: contract auth 1, 1.2, 3, rulings U-8 to U-10.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from imagereg.api.services import Services
from tests.api.conftest import Make, make
from tests.keystone.service import Keystone
from tests.registry import LocalRegistry
from tests.server import Server
from tests.wire import End, head, raw

__all__ = ["make"]  # a fixture

pytestmark = pytest.mark.long


def config(keystone: Keystone, **options: object) -> dict[str, dict[str, object]]:
    return {
        "paste_deploy": {"flavor": "keystone"},
        # A machine that is busy with other tests takes its time.
        "keystone_authtoken": keystone.options(http_connect_timeout=60, **options),
    }


@pytest.fixture(scope="module")
def house(
    keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalRegistry]:
    """Yield a registry that remembers tokens for as long as is usual."""
    made = LocalRegistry(tmp_path_factory.mktemp("house"), config(keystone))
    yield made
    made.close()


@pytest.fixture(scope="module")
def forgetful(
    keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalRegistry]:
    """Yield a registry that asks about every token each time."""
    made = LocalRegistry(
        tmp_path_factory.mktemp("forgetful"), config(keystone, token_cache_time=-1)
    )
    yield made
    made.close()


def with_(token: str, service: str = "") -> dict[str, str]:
    return {"X-Auth-Token": token} | ({"X-Service-Token": service} if service else {})


def services_of(registry: LocalRegistry) -> Any:  # noqa: ANN401 - a look inside
    """Return what the views of a registry work with."""
    cells = registry.registry.app.view_functions["GET /v2/images"].__closure__ or ()
    found = [cell.cell_contents for cell in cells]
    return next(each for each in found if isinstance(each, Services))


def listed(registry: LocalRegistry, token: str, service: str = "") -> int:
    return registry.client(with_(token, service)).get("/v2/images").status


def test_roles_and_projects_are_those_of_keystone(
    keystone: Keystone, house: LocalRegistry
) -> None:
    member = house.client(with_(keystone.login("demo-member")))
    reader = house.client(with_(keystone.login("demo-reader")))
    stranger = house.client(with_(keystone.login("other-member", "other")))
    admin = house.client(with_(keystone.admin))
    path = f"/v2/images/{member.create()['id']}"
    public = {"name": "x", "visibility": "public"}

    statuses = [each.get(path).status for each in (member, reader, stranger, admin)]

    assert statuses == [200, 200, 404, 200]
    assert reader.request("POST", "/v2/images", document={}).status == 403
    assert member.request("POST", "/v2/images", document=public).status == 403
    assert admin.request("POST", "/v2/images", document=public).status == 201


@pytest.mark.parametrize(
    "token", ["garbage", "x" * 255, "gAAAAAB" + "A" * 180, "x" * 9000], ids=range(4)
)
def test_what_is_no_token_is_nobodys(house: LocalRegistry, token: str) -> None:
    answer = house.client(with_(token)).get("/v2/images")

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith('Keystone uri="http')


def test_a_revoked_token_passes_as_long_as_it_is_remembered(
    keystone: Keystone, house: LocalRegistry, forgetful: LocalRegistry
) -> None:
    token = keystone.login("demo-member")
    assert (listed(house, token), listed(forgetful, token)) == (200, 200)
    keystone.revoke(token)

    assert (listed(house, token), listed(forgetful, token)) == (200, 401)


def test_other_scopes_than_a_project_get_nothing(
    keystone: Keystone, house: LocalRegistry
) -> None:
    image_id = house.client(with_(keystone.admin)).create(visibility="public")["id"]
    admin = keystone.admin
    roles = keystone.call("GET", "/roles?name=admin", None, admin).document["roles"]
    path = f"/domains/default/users/{keystone.user_id(admin)}/roles/{roles[0]['id']}"
    assert keystone.call("PUT", path, None, admin).status == 204
    scopes: tuple[dict[str, Any], ...] = (
        {},
        {"system": {"all": True}},
        {"domain": {"id": "default"}},
    )

    for scope in scopes:
        token = keystone.login("admin", scope)
        shown = house.client(with_(token)).get(f"/v2/images/{image_id}")
        assert (listed(house, token), shown.status) == (403, 404), scope


def test_an_upload_outlives_its_token_which_then_counts_with_a_services(
    keystone: Keystone, forgetful: LocalRegistry, house: LocalRegistry
) -> None:
    member = keystone.login("demo-member")
    fresh = forgetful.client(with_(member))
    image_id = fresh.create()["id"]
    begun = time.time()
    service = keystone.login("imagereg", "service")
    slowness_s = time.time() - begun
    # A token ends with its credential, if that is sooner.
    short = keystone.credential("demo-member", 8 + 12 * slowness_s)
    token, ends = keystone.login_by(short)
    client = forgetful.client(with_(token))
    assert listed(house, token) == 200

    def pieces() -> Iterator[bytes]:
        yield b"before"
        time.sleep(max(0.0, ends - time.time()) + 1)
        yield b"after"

    assert client.upload(image_id, pieces()).status == 204
    assert fresh.show(image_id)["status"] == "active"
    assert fresh.download(image_id).body == b"beforeafter"
    # It is refused although it was remembered, and only a service can vouch for it.
    assert [listed(each, token) for each in (house, forgetful)] == [401, 401]
    assert [listed(each, token, service) for each in (house, forgetful)] == [200, 200]
    assert listed(forgetful, token, member) == 401
    assert listed(forgetful, token, "garbage") == 401


def test_access_rules_of_an_application_credential(
    keystone: Keystone, house: LocalRegistry
) -> None:
    rules = [{"service": "image", "method": "GET", "path": "/v2/images/**"}]
    limited, _ = keystone.login_by(
        keystone.credential("demo-member", access_rules=rules)
    )
    free, _ = keystone.login_by(keystone.credential("demo-member"))
    image_id = house.client(with_(free)).create()["id"]
    client = house.client(with_(limited))

    assert client.get(f"/v2/images/{image_id}").status == 200
    assert client.get("/v2/images").status == 401
    assert client.request("DELETE", f"/v2/images/{image_id}").status == 401
    assert (
        house.client(with_(free)).request("DELETE", f"/v2/images/{image_id}").status
        == 204
    )


def test_a_keystone_that_hangs_holds_up_strangers_only(
    keystone: Keystone, house: LocalRegistry, make: Make
) -> None:
    options = config(keystone)["keystone_authtoken"] | {"http_connect_timeout": 1}
    hasty = make({**config(keystone), "keystone_authtoken": options})
    known, unknown = keystone.login("demo-member"), keystone.login("demo-member")
    assert listed(house, known) == 200
    with keystone.frozen():
        answer = hasty.client(with_(unknown)).get("/v2/images")
        statuses = [listed(house, known), listed(hasty, known)]
        anonymous = hasty.client({}).get("/v2/images").status

    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    assert statuses == [200, 503]
    assert anonymous == 401
    assert listed(house, unknown) == 200


def test_the_registrys_own_token_is_renewed(
    keystone: Keystone, forgetful: LocalRegistry
) -> None:
    token = keystone.login("demo-member")
    assert listed(forgetful, token) == 200
    authenticator = services_of(forgetful).authenticator
    own = authenticator._tokens._service._adapter.get_token()
    keystone.revoke(own)

    assert listed(forgetful, token) == 200


def test_several_workers_and_threads(
    keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = tmp_path_factory.mktemp("workers")
    server = Server(where, config(keystone), workers=2).start()
    tokens = [keystone.login("demo-member"), keystone.login("other-member", "other")]

    def owner(number: int) -> object:
        return server.client(with_(tokens[number % 2])).create()["owner"]

    try:
        with ThreadPoolExecutor(8) as pool:
            owners = list(pool.map(owner, range(24)))
        twice = head("GET", "/v2/images", {"Connection": "close"}).replace(
            b"\r\n", f"\r\nX-Auth-Token: {tokens[0]}\r\nX-Auth-Token: x\r\n".encode(), 1
        )
        joined = raw(server.base, [twice], End.READ)
    finally:
        server.stop()

    assert owners[0] != owners[1]
    assert owners == owners[:2] * 12
    assert joined.startswith(b"HTTP/1.1 401 ")
    assert not any(token in server.log() for token in tokens)


def by_credential(keystone: Keystone, **login: object) -> dict[str, dict[str, object]]:
    """Return the configuration of a registry that has no password."""
    section = {
        "auth_url": keystone.url,
        "auth_type": "v3applicationcredential",
        "http_connect_timeout": 60,
        **login,
    }
    return {"paste_deploy": {"flavor": "keystone"}, "keystone_authtoken": section}


def test_a_registry_logs_in_by_its_own_application_credential(
    keystone: Keystone, tmp_path: Path
) -> None:
    # Restricted, with the one role that may confirm tokens, as it is made by default.
    credential = keystone.credential("imagereg", project="service")
    login = {
        "application_credential_id": credential[0],
        "application_credential_secret": credential[1],
    }
    server = Server(tmp_path, by_credential(keystone, **login)).start()
    member, other = keystone.login("demo-member"), keystone.login("demo-member")
    revoked, reader = keystone.login("demo-member"), keystone.login("demo-reader")
    try:
        client = server.client(with_(member))
        image_id = client.create()["id"]
        service = keystone.login("imagereg", "service")
        keystone.revoke(revoked)
        valid = [
            server.client(with_(token, vouching)).get(f"/v2/images/{image_id}").status
            for token, vouching in ((member, service), (reader, ""))
        ]
        invalid = [
            server.client(with_(token)).get("/v2/images").status
            for token in (revoked, "gAAAAAB" + "A" * 180)
        ]
        keystone.forget("imagereg", credential, "service")
        # Tokens of a credential end with it.  Who is remembered goes on; of others
        # nobody says who they are, which is no word against them.
        remembered = client.get("/v2/images").status
        answer = server.client(with_(other)).get("/v2/images")
        anonymous = server.client({}).get("/v2/images").status
    finally:
        server.stop()

    assert (valid, invalid) == ([200, 200], [401, 401])
    assert (remembered, anonymous) == (200, 401)
    assert (answer.status, "retry-after" in answer.headers) == (503, True)
    assert "Keystone refuses the account of [keystone_authtoken]" in server.log()
    assert credential[1] not in server.log()


def test_an_application_credential_has_a_name_that_is_its_users(
    keystone: Keystone, make: Make
) -> None:
    name = "imagereg-validator"
    _, secret = keystone.credential("imagereg", project="service", name=name)
    login = {
        "application_credential_name": name,
        "application_credential_secret": secret,
        "token_cache_time": -1,
    }
    named = make(by_credential(keystone, username="imagereg", **login))
    someones = make(by_credential(keystone, username="demo-member", **login))
    token = keystone.login("demo-member")

    assert listed(named, token) == 200
    assert listed(someones, token) == 503
