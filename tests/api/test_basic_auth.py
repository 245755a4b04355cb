"""Flavor ``http_basic`` over the whole application.  Source: contract auth 5, U-2."""

import base64
import json
import re

import pytest

from imagereg.api.auth import IDENTITY_HEADERS
from imagereg.errors import ConfigurationError
from imagereg.identity.htpasswd import hash_password
from tests.api.conftest import Make
from tests.registry import LocalClient, LocalRegistry
from tests.server import Config

CONFIG: Config = {
    "paste_deploy": {"flavor": "http_basic"},
    "oslo_middleware": {"http_basic_auth_user_file": "{dir}/htpasswd"},
    "imagereg": {"auth_users_file": "{dir}/users.ini"},
}
FILES = {
    "htpasswd": "".join(
        f"{name}:{hash_password(name + ':pw', cost=4)}\n"
        for name in ("alice", "bob", "root", "äöü")
    ),
    "users.ini": "[alice]\nproject = p1\nuser_id = 7\n[root]\nroles = admin\n",
}


def basic(name: str, password: str | None = None, scheme: str = "Basic") -> str:
    text = f"{name}:{name + ':pw' if password is None else password}"
    return f"{scheme} {base64.b64encode(text.encode()).decode()}"


def as_user(name: str, password: str | None = None) -> dict[str, str]:
    return {"Authorization": basic(name, password)}


@pytest.fixture
def house(make: Make) -> LocalRegistry:
    return make(CONFIG, files=FILES)


def test_a_user_owns_what_he_creates_and_others_do_not_see_it(
    house: LocalRegistry,
) -> None:
    image = house.client(as_user("alice")).create()
    path = f"/v2/images/{image['id']}"

    assert image["owner"] == "p1"
    assert house.client(as_user("alice")).get(path).status == 200
    assert house.client(as_user("bob")).get(path).status == 404
    assert house.client(as_user("root")).get(path).status == 200


def test_a_user_without_an_entry_is_a_member_of_a_project_of_his_name(
    house: LocalRegistry,
) -> None:
    assert house.client(as_user("bob")).create()["owner"] == "bob"
    assert house.client(as_user("äöü")).create()["owner"] == "äöü"


def test_roles_are_those_of_the_account(house: LocalRegistry) -> None:
    public = {"name": "x", "visibility": "public"}

    def status(name: str) -> int:
        client = house.client(as_user(name))
        return client.request("POST", "/v2/images", document=public).status

    assert (status("bob"), status("root")) == (403, 201)


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "bAsIc"])
def test_the_scheme_is_taken_in_any_case(house: LocalRegistry, scheme: str) -> None:
    header = {"Authorization": basic("alice", scheme=scheme)}
    assert house.client(header).get("/v2/images").status == 200


@pytest.mark.parametrize(
    "header",
    [
        {},
        as_user("alice", "wrong"),
        as_user("eve", "alice:pw"),
        as_user("alice", ""),
        as_user("", "alice:pw"),
    ],
)
def test_nobody_is_let_in_or_told_why(
    house: LocalRegistry, header: dict[str, str]
) -> None:
    answer = house.client(header).get("/v2/images")

    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith('Basic realm="')
    assert json.loads(answer.body)["error"]["title"] == "Unauthorized"
    assert answer.body == house.client({}).get("/v2/nothing").body


@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc",
        "Digest username=alice",
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic YWxpY2U6cHc",  # no padding
        "Basic YWxpY2U=",  # no colon
        "Basic /////w==",  # not UTF-8
    ],
)
def test_what_cannot_be_decoded_is_the_clients_fault(
    house: LocalRegistry, header: str
) -> None:
    assert house.client({"Authorization": header}).get("/v2/images").status == 400


def test_after_ten_failures_a_peer_has_to_wait(house: LocalRegistry) -> None:
    eve = house.client(as_user("eve", "guess"))
    assert [eve.get("/v2/images").status for _ in range(11)] == [401] * 10 + [429]
    refused = house.client(as_user("bob")).get("/v2/images")
    assert refused.status == 429
    assert re.fullmatch(r"[1-9]\d?", refused.headers["retry-after"])

    elsewhere = LocalClient(house.registry.app, as_user("bob"), "192.0.2.7")
    assert elsewhere.get("/v2/images").status == 200


def test_discovery_needs_no_name(house: LocalRegistry) -> None:
    assert house.client({}).get("/").status == 300
    assert house.client({}).get("/versions").status == 200


@pytest.mark.parametrize("name", sorted(IDENTITY_HEADERS))
def test_no_identity_header_makes_a_difference(house: LocalRegistry, name: str) -> None:
    spoof = {name: "admin", "X-Identity-Status": "Confirmed"}

    assert house.client(spoof).get("/v2/images").status == 401
    owner = house.client({**spoof, **as_user("alice")}).create()["owner"]
    assert owner == "p1"


def test_anonymous_readers_where_they_are_allowed(make: Make) -> None:
    house = make({**CONFIG, "DEFAULT": {"allow_anonymous_access": "true"}}, files=FILES)

    assert house.client({}).request("POST", "/v2/images", document={}).status == 403
    assert house.client(as_user("alice", "no")).get("/v2/images").status == 401


def test_a_wrong_method_is_not_taken_for_a_second_attempt(house: LocalRegistry) -> None:
    client = house.client(as_user("alice"))
    assert client.request("PUT", "/v2/images").status == 405
    assert house.client({}).request("PUT", "/v2/images").status == 401


@pytest.mark.parametrize("missing", ["htpasswd", "users.ini"])
def test_a_missing_file_stops_the_start(make: Make, missing: str) -> None:
    files = {name: text for name, text in FILES.items() if name != missing}
    with pytest.raises(ConfigurationError, match=f"{missing}: cannot be read"):
        make(CONFIG, files=files)
