"""Flavor ``keystone`` over the whole application, and an identity service that fails.

Source: contract auth 1, 1.1, 1.2, 3, rulings U-4 to U-6, U-8 to U-10.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from functools import partial
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.identity import validation
from imagereg.identity.outage import Outage
from tests.api.conftest import Make
from tests.identity.small_keystone import DEFAULT, PASSWORD, SmallKeystone
from tests.registry import LocalRegistry, merged
from tests.server import Config
from tests.wire import Answer

Fault = Callable[[str], None]


@pytest.fixture(scope="module")
def identity() -> Iterator[SmallKeystone]:
    service = SmallKeystone()
    yield service
    service.close()


ROOT = Path(__file__).parent.parent.parent


def config(identity: SmallKeystone, **options: object) -> Config:
    return {
        "paste_deploy": {"flavor": "keystone"},
        "keystone_authtoken": identity.options(**options),
    }


@pytest.fixture(scope="module")
def house(
    identity: SmallKeystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalRegistry]:
    made = LocalRegistry(tmp_path_factory.mktemp("keystone"), config(identity))
    yield made
    made.close()


@pytest.fixture
def other(identity: SmallKeystone, make: Make) -> Callable[..., LocalRegistry]:
    """Return what makes a registry with options of its own."""

    def build(more: Config | None = None, **options: object) -> LocalRegistry:
        files = {"p.conf": "[.*]\ncreate = service\nread = @\nupdate = @\ndelete = @\n"}
        return make(merged(config(identity, **options), more or {}), files=files)

    return build


@pytest.fixture
def fails(identity: SmallKeystone) -> Iterator[Fault]:
    """Yield what makes the identity service fail until the test ends."""

    def start(fault: str) -> None:
        identity.fault = fault

    yield start
    identity.fault = ""


def with_(token: str, service: str = "") -> dict[str, str]:
    return {"X-Auth-Token": token} | ({"X-Service-Token": service} if service else {})


def listed(registry: LocalRegistry, token: str, service: str = "") -> Answer:
    return registry.client(with_(token, service)).get("/v2/images")


def test_a_caller_is_whom_the_token_stands_for(
    house: LocalRegistry, identity: SmallKeystone
) -> None:
    mine = house.client(with_(identity.issue("p1")))
    image_id = mine.create()["id"]
    others = house.client(with_(identity.issue("p2")))
    admin = house.client(with_(identity.issue("p3", ("Admin", "member", "reader"))))

    assert mine.show(image_id)["owner"] == "p1"
    assert others.get(f"/v2/images/{image_id}").status == 404
    assert admin.get(f"/v2/images/{image_id}").status == 200


def test_the_sample_works_as_written(make: Make, identity: SmallKeystone) -> None:
    sample = (ROOT / "conf" / "imagereg-keystone.conf").read_text()
    written = ConfigParser()
    written.read_string(sample)
    lines = [line for line in sample.splitlines() if line and not line.startswith("#")]
    auth = dict(written["keystone_authtoken"])
    house = make(
        {
            "paste_deploy": dict(written["paste_deploy"]),
            "keystone_authtoken": auth
            | {"auth_url": f"{identity.base}/v3", "password": PASSWORD},
        }
    )

    assert listed(house, identity.issue()).status == 200
    in_readme = (ROOT / "README.md").read_text().replace("\n\n[", "\n[")
    assert "\n".join(lines) in in_readme


def test_the_older_header_carries_a_token_too(
    house: LocalRegistry, identity: SmallKeystone
) -> None:
    client = house.client({"X-Storage-Token": identity.issue("p-storage")})

    assert client.create()["owner"] == "p-storage"


@pytest.mark.parametrize("lasts_s", [-1, -3600, 0.0])
def test_an_expired_token_is_nobodys(
    house: LocalRegistry, identity: SmallKeystone, lasts_s: float
) -> None:
    assert listed(house, identity.issue(lasts_s=lasts_s)).status == 401


@pytest.mark.parametrize(
    "header", [{}, with_("unknown"), with_("a,b"), with_("x" * 9000)]
)
def test_nobody_is_told_where_to_get_a_token(
    house: LocalRegistry, identity: SmallKeystone, header: dict[str, str]
) -> None:
    answer = house.client(header).get("/v2/images")

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == f'Keystone uri="{identity.base}"'
    assert json.loads(answer.body)["error"]["code"] == 401
    assert house.client(header).get("/v2/nothing").body == answer.body
    assert house.client(header).get("/").status == 300


def test_clients_may_reach_keystone_elsewhere(
    other: Callable[..., LocalRegistry],
) -> None:
    house = other(www_authenticate_uri="https://identity.example.org")
    said = house.client({}).get("/v2/images").headers["www-authenticate"]

    assert said == 'Keystone uri="https://identity.example.org"'


@pytest.mark.parametrize(
    "scope",
    [{}, {"domain": DEFAULT}, {"system": {"all": True}}],
    ids=["unscoped", "domain", "system"],
)
def test_other_scopes_than_a_project_get_nothing(
    house: LocalRegistry, identity: SmallKeystone, scope: dict[str, object]
) -> None:
    image_id = house.client(with_(identity.issue("p1"))).create()["id"]
    roles = ("admin", "member", "reader") if scope else ()
    token = identity.issue(None, roles, 3600, **scope)

    assert listed(house, token).status == 403
    assert house.client(with_(token)).get(f"/v2/images/{image_id}").status == 404
    created = house.client(with_(token)).request("POST", "/v2/images", document={})
    assert created.status == 403


def test_a_service_may_bring_an_expired_token(
    house: LocalRegistry, identity: SmallKeystone
) -> None:
    old = identity.issue("p-old", lasts_s=-60)
    service = identity.issue("service", ("service",))
    nobody = identity.issue("service", ("member",))
    late = identity.issue("service", ("service",), lasts_s=-60)

    assert listed(house, old).status == 401
    assert listed(house, old, service).status == 200
    assert house.client(with_(old, service)).create()["owner"] == "p-old"
    assert [listed(house, old, each).status for each in (nobody, late, "x")] == [
        401
    ] * 3
    assert listed(house, old).status == 401
    assert listed(house, "", service).status == 401


def test_a_wrong_service_token_changes_nothing_for_the_user(
    house: LocalRegistry, identity: SmallKeystone
) -> None:
    token = identity.issue()

    assert listed(house, token, "garbage").status == 200
    assert listed(house, token, identity.issue("s", ("member",))).status == 200


def test_a_wrong_service_token_is_the_end_where_decisions_are_not_delayed(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    house = other(
        {"DEFAULT": {"allow_anonymous_access": "true"}}, delay_auth_decision="false"
    )
    token = identity.issue()

    assert listed(house, token).status == 200
    assert listed(house, token, "garbage").status == 401
    assert listed(house, token, identity.issue("s", ("member",))).status == 401
    assert house.client({}).get("/v2/images").status == 401


def test_roles_of_a_service_stay_its_own(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    protected: Config = {"DEFAULT": {"property_protection_file": "p.conf"}}
    user, admin = identity.issue(), identity.issue("s", ("admin", "service"))
    stranger = identity.issue("s", ("operator",))

    def create(house: LocalRegistry, service: str, **fields: object) -> int:
        client = house.client(with_(user, service))
        return client.request("POST", "/v2/images", document=fields).status

    strict = other(protected)
    assert create(strict, "", a="b") == 403
    assert create(strict, admin, a="b") == 201
    assert create(strict, admin, visibility="public") == 403
    assert create(strict, stranger) == 201
    lax = other(
        protected, service_token_roles="cloud", service_token_roles_required=False
    )
    assert create(lax, admin, a="b") == 201
    old = identity.issue(lasts_s=-60)
    assert listed(lax, old, admin).status == 401


def test_an_application_credential_may_do_what_its_rules_say(
    house: LocalRegistry, identity: SmallKeystone
) -> None:
    def status(method: str, service: str = "", kind: str = "image") -> int:
        rule = {"service": kind, "method": "GET", "path": "/v2/images"}
        token = identity.issue(application_credential={"access_rules": [rule]})
        client = house.client(with_(token, service))
        return client.request(method, "/v2/images", document={}).status

    assert (status("GET"), status("POST")) == (200, 401)
    assert status("GET", kind="compute") == 401
    assert status("POST", identity.issue("s", ("service",))) == 201


def test_rules_hold_beside_a_service_token_that_does_not_vouch(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    lax = other(service_token_roles_required=False)
    rule = {"service": "image", "method": "GET", "path": "/v2/images"}
    token = identity.issue(application_credential={"access_rules": [rule]})
    client = lax.client(with_(token, identity.issue("s", ("member",))))

    assert client.get("/v2/images").status == 200
    assert client.request("POST", "/v2/images", document={}).status == 401


def test_anonymous_readers_where_they_are_allowed(
    other: Callable[..., LocalRegistry], identity: SmallKeystone, fails: Fault
) -> None:
    house = other({"DEFAULT": {"allow_anonymous_access": "true"}})

    def write(token: str) -> int:
        client = house.client(with_(token) if token else {})
        return client.request("POST", "/v2/images", document={}).status

    assert (write(""), write("garbage"), write(identity.issue())) == (403, 403, 201)
    fails("500")
    assert (write(""), write(identity.issue())) == (403, 503)


@pytest.mark.parametrize(
    "fault", ["hang", "cut", "half", "redirect", "nonsense", "500", "503", "403", "429"]
)
def test_who_cannot_be_asked_about_has_to_come_back(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    fails: Fault,
    fault: str,
) -> None:
    # Nobody waits for long for one that hangs.
    house = other(http_connect_timeout=3) if fault == "hang" else other()
    known, unknown = identity.issue(), identity.issue()
    assert listed(house, known).status == 200
    fails(fault)

    answer = listed(house, unknown)

    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert b"identity service" in answer.body
    assert b"127.0.0.1" not in answer.body
    assert listed(house, known).status == 200
    assert listed(house, unknown, known).status == 503
    assert house.client({}).get("/v2/images").status == 401


@pytest.mark.parametrize("status", ["400", "404", "413", "431"])
def test_a_token_that_keystone_finds_odd_is_nobodys(
    house: LocalRegistry, identity: SmallKeystone, fails: Fault, status: str
) -> None:
    odd, good = identity.issue(), identity.issue()
    fails(status)

    assert listed(house, odd).status == 401
    fails("")
    assert listed(house, good).status == 200


@pytest.mark.parametrize("fault", ["500", "nonsense", "half", "cut"])
def test_an_odd_token_does_not_keep_others_out(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    fails: Fault,
    fault: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A busy machine must not need longer than nobody asks a service that failed.
    monkeypatch.setattr(validation, "Outage", partial(Outage, 3600.0))
    house = other()
    fails(fault)
    assert listed(house, identity.issue()).status == 503
    fails("")

    assert listed(house, identity.issue()).status == (
        200 if fault in ("500", "nonsense") else 503
    )


def test_a_passing_failure_is_not_told(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = other(http_request_max_retries=3)
    token = identity.issue()
    faults = iter(["500", "cut"])
    monkeypatch.setattr(
        type(identity), "fault", property(lambda _: next(faults, "")), raising=False
    )

    assert listed(house, token).status == 200


def test_nobody_listens_at_all(make: Make) -> None:
    gone = SmallKeystone()
    gone.close()
    house = make(config(gone))

    assert listed(house, "any").status == 503
    assert house.client({}).get("/v2/images").status == 401


def test_the_login_of_the_registry_is_renewed(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    house = other()
    assert listed(house, identity.issue()).status == 200
    logins = identity.asked["login"]
    identity.own.clear()

    assert listed(house, identity.issue()).status == 200
    assert identity.asked["login"] == logins + 1


def test_a_wrong_account_is_the_operators_fault(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = other(password="wrong-one")

    assert listed(house, identity.issue()).status == 503
    assert "[keystone_authtoken]" in caplog.text
    assert "wrong-one" not in caplog.text


def test_a_revoked_token_ends_when_nothing_is_remembered(
    other: Callable[..., LocalRegistry], identity: SmallKeystone, house: LocalRegistry
) -> None:
    forgetful, token = other(token_cache_time=-1), identity.issue()
    assert listed(forgetful, token).status == listed(house, token).status == 200
    del identity.tokens[token]

    assert listed(forgetful, token).status == 401
    assert listed(house, token).status == 200


def test_an_upload_outlives_its_token(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    house, token = other(token_cache_time=-1), identity.issue()
    client = house.client(with_(token))
    image_id = client.create()["id"]

    def pieces() -> Iterator[bytes]:
        yield b"first"
        del identity.tokens[token]
        yield b"second"

    assert client.upload(image_id, pieces()).status == 204
    assert client.get(f"/v2/images/{image_id}").status == 401
    fresh = house.client(with_(identity.issue()))
    assert fresh.show(image_id)["status"] == "active"
    assert fresh.download(image_id).body == b"firstsecond"


CATALOG = [
    {
        "type": "image",
        "name": "glance",
        "endpoints": [
            {"region": "two", "interface": "public", "url": "http://127.0.0.1:9/v2"}
        ],
    }
]
IMPORT: Config = {
    "DEFAULT": {"enabled_import_methods": "[glance-download]"},
    "imagereg": {"run_jobs": "true"},
}


def import_from(house: LocalRegistry, token: str) -> Answer:
    client = house.client(with_(token))
    image_id = client.create()["id"]
    method = {"name": "glance-download", "glance_image_id": image_id}
    method |= {"glance_region": "two", "glance_service_interface": "public"}
    return client.request(
        "POST", f"/v2/images/{image_id}/import", document={"method": method}
    )


def test_a_caller_lends_token_and_catalog_to_an_import(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    house = other(IMPORT)

    assert import_from(house, identity.issue(catalog=CATALOG)).status == 202
    refused = import_from(house, identity.issue())
    assert refused.status == 400
    assert b"catalog" in refused.body


def test_the_catalog_is_asked_for_only_where_it_is_wanted(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    listed(other(), identity.issue())
    wanted = identity.flags
    listed(other(include_service_catalog="false"), identity.issue())

    assert ("nocatalog" in wanted, "nocatalog" in identity.flags) == (False, True)


def test_no_token_and_no_password_is_written_anywhere(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    fails: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    house = other()
    user, service = identity.issue(), identity.issue("s", ("service",))
    answers = [
        listed(house, user, service),
        listed(house, "canary-token-wrong", "canary-token-other"),
        house.client(with_(user, service)).request("POST", "/v2/images", document={}),
    ]
    fails("500")
    answers.append(listed(house, identity.issue()))
    kept = repr(house.everything()) + repr(answers) + caplog.text

    assert [answer.status for answer in answers] == [200, 401, 201, 503]
    assert "canary-token" not in kept
    assert PASSWORD not in kept
    assert not any(name in kept for name in identity.own)


CREDENTIAL = {
    "auth_type": "v3applicationcredential",
    "username": None,
    "password": None,
    "project_name": None,
}


@pytest.mark.parametrize(
    ("login", "known"),
    [
        ({"application_credential_id": "c-1"}, "c-1"),
        ({"application_credential_name": "mine", "username": "bob"}, "bob/mine"),
    ],
)
@pytest.mark.parametrize("path", ["", "/", "/v3"])
def test_an_application_credential_logs_in(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    login: dict[str, object],
    known: str,
    path: str,
) -> None:
    identity.credentials[known] = "canary-secret"
    url = f"{identity.base}{path}"
    said = {**CREDENTIAL, **login, "auth_url": url}

    good = other(**said, application_credential_secret="canary-secret")
    bad = other(**said, application_credential_secret="another")

    assert listed(good, identity.issue()).status == 200
    assert listed(bad, identity.issue()).status == 503


def test_a_credential_that_was_deleted_makes_no_token_wrong(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    caplog: pytest.LogCaptureFixture,
) -> None:
    identity.credentials["c-1"] = "canary-secret"
    login = {"application_credential_id": "c-1"}
    house = other(**CREDENTIAL, **login, application_credential_secret="canary-secret")
    known, unknown = identity.issue(), identity.issue()
    statuses = [listed(house, known).status, listed(house, "wrong").status]
    asked = identity.asked["validate"]
    statuses.append(listed(house, "wrong").status)
    asked -= identity.asked["validate"]
    identity.forget("c-1")
    caplog.clear()

    answers = [listed(house, each) for each in (known, unknown, "unknown-too")]
    identity.credentials["c-1"] = "canary-secret"
    answers.append(listed(house, unknown))

    # One that is wrong is remembered.
    assert (statuses, asked) == ([200, 401, 401], 0)
    assert [answer.status for answer in answers] == [200, 503, 503, 200]
    assert "Keystone refuses the account of [keystone_authtoken] (404)" in caplog.text


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (CREDENTIAL, "application_credential_secret"),
        (CREDENTIAL, "application_credential_id"),
        ({**CREDENTIAL, "application_credential_name": "n"}, "username"),
        ({"auth_url": None}, "auth_url"),
        ({"username": None}, "username"),
        ({"password": None}, "password"),
        ({"project_name": None}, "project_name"),
        ({"cafile": "missing.pem"}, "missing.pem: no such file"),
        ({"certfile": "missing.pem"}, "missing.pem: no such file"),
        ({"keyfile": __file__}, "certfile is missing"),
    ],
)
def test_what_is_missing_stops_the_start(
    other: Callable[..., LocalRegistry], options: dict[str, object], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        other(**options)


def test_without_the_extra_it_is_named(
    other: Callable[..., LocalRegistry], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What importing does with a module that is not installed.
    monkeypatch.delitem(sys.modules, "imagereg.identity.keystone", raising=False)
    monkeypatch.setitem(sys.modules, "keystoneauth1", None)

    with pytest.raises(ConfigurationError, match=r"imagereg\[keystone\]"):
        other()


@pytest.mark.parametrize("plugin", ["password", "v3password"])
@pytest.mark.parametrize("suffix", ["caching", "cachemanagement"])
def test_other_ways_to_say_it(
    other: Callable[..., LocalRegistry],
    identity: SmallKeystone,
    plugin: str,
    suffix: str,
) -> None:
    house = other(
        {"paste_deploy": {"flavor": f"keystone+{suffix}"}},
        auth_type=plugin,
        auth_url=f"{identity.base}/v3",
        region_name="one",
        interface="public",
        user_domain_name="Default",
        project_domain_name="Default",
    )

    assert listed(house, identity.issue()).status == 200
    assert house.registry.cache is not None


def test_a_region_without_the_service_is_an_outage(
    other: Callable[..., LocalRegistry], identity: SmallKeystone
) -> None:
    assert listed(other(region_name="nowhere"), identity.issue()).status == 503


def test_many_threads(house: LocalRegistry, identity: SmallKeystone) -> None:
    tokens = [identity.issue(f"p{number}") for number in range(4)]
    asked = identity.asked["validate"]

    def owner(number: int) -> object:
        return house.client(with_(tokens[number % 4])).create()["owner"]

    with ThreadPoolExecutor(8) as pool:
        owners = list(pool.map(owner, range(24)))

    assert owners == [f"p{number % 4}" for number in range(24)]
    assert identity.asked["validate"] == asked + 4
