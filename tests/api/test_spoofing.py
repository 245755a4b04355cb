"""No header makes a caller somebody else, in any mode, from any peer.

The headers are those of the contract, written down once more, so that one that the
code forgot is missed here.  Each is tried alone, and then all of them at once on real
servers, in every spelling that reaches one.

Source: contract auth 1, 7; rulings U-1 to U-3.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace

import pytest
from flask import Flask

from imagereg.api.auth import IDENTITY_HEADERS
from imagereg.api.dispatch import identify
from imagereg.api.services import Services
from imagereg.errors import Invalid, Unauthenticated
from imagereg.identity.htpasswd import hash_password
from imagereg.model import Caller
from tests.api.test_basic_auth import as_user
from tests.identity.small_keystone import SmallKeystone
from tests.registry import LocalClient, LocalRegistry
from tests.server import Config, Server
from tests.wire import End, Headers, as_, head, raw

#: Every identity header of the contract, with a value that would be worth having.
HOSTILE: Mapping[str, str] = {
    "X-Identity-Status": "Confirmed",
    "X-Service-Identity-Status": "Confirmed",
    "X-Is-Admin-Project": "False",
    "OpenStack-System-Scope": "all",
    "X-Domain-Id": "domain-z",
    "X-Domain-Name": "domain-z",
    "X-Roles": "admin",
    "X-Role": "admin",
    "X-User": "mallory",
    "X-Tenant": "project-z",
    "X-Tenant-Id": "project-z",
    "X-Tenant-Name": "project-z",
    "X-Service-Roles": "admin,service",
    "X-Service-Domain-Id": "domain-z",
    "X-Service-Domain-Name": "domain-z",
    **{
        f"X-{whose}{what}{part}": f"{what.lower()}-z"
        for whose in ("", "Service-")
        for what in ("User", "Project")
        for part in ("-Id", "-Name", "-Domain-Id", "-Domain-Name")
    },
}

#: What else speaks for somebody, elsewhere.
OTHERS: Mapping[str, str] = {
    "X-Service-Catalog": "[]",
    "Forwarded": "for=127.0.0.1",
    "X-Forwarded-For": "127.0.0.1",
    "X-Forwarded-User": "admin",
    "X-Real-IP": "127.0.0.1",
    "X-Remote-User": "admin",
    "Remote-User": "admin",
    "X-Auth-User": "admin",
    "X-ImageReg-Duplicate": "x-roles",
}

TRUSTED, STRANGER = "127.0.0.1", "192.0.2.66"

ANONYMOUS: Config = {"DEFAULT": {"allow_anonymous_access": "true"}}
FILES = {"htpasswd": f"alice:{hash_password('alice:pw', cost=4)}\n"}
BASIC: Config = {
    "paste_deploy": {"flavor": "http_basic"},
    "oslo_middleware": {"http_basic_auth_user_file": "htpasswd"},
}
PROXIES: Config = {"oslo_middleware": {"enable_proxy_headers_parsing": "true"}}


def configs(identity: SmallKeystone) -> dict[str, Config]:
    """Return a configuration for each mode that decides who calls."""
    keystone: Config = {
        "paste_deploy": {"flavor": "keystone"},
        "keystone_authtoken": identity.options(http_connect_timeout=30),
    }
    return {
        "none": {"paste_deploy": {"flavor": None}},
        "headers": PROXIES,
        "headers-anonymous": {**PROXIES, **ANONYMOUS},
        "basic": BASIC,
        "basic-anonymous": {**BASIC, **ANONYMOUS},
        "keystone": keystone,
        "keystone-anonymous": {**keystone, **ANONYMOUS},
    }


class Houses:
    """A registry for each mode, and what an honest caller sends there."""

    def __init__(
        self, made: Mapping[str, LocalRegistry], honest: Mapping[str, Headers]
    ) -> None:
        self._made = made
        self._honest = honest

    def app(self, mode: str) -> Flask:
        """Return the application of a mode."""
        return self._made[mode].registry.app

    def caller(
        self, mode: str, headers: Headers, peer: str, **environ: object
    ) -> Caller | str:
        """Return who calls, or what he is told who is nobody."""
        app = self.app(mode)
        context = app.test_request_context(
            "/v2/images",
            headers=dict(headers),
            environ_base={"REMOTE_ADDR": peer, **environ},
        )
        with context:
            try:
                return replace(identify(services_of(app)), request_id="")
            except (Unauthenticated, Invalid) as error:
                return type(error).__name__

    def honest(self, mode: str) -> Headers:
        """Return what proves who an ordinary caller is."""
        return self._honest.get(mode.partition("-")[0], {})


def services_of(app: Flask) -> Services:
    """Return what the views of a registry work with."""
    cells = app.view_functions["GET /v2/images"].__closure__ or ()
    found = (cell.cell_contents for cell in cells)
    return next(each for each in found if isinstance(each, Services))


@pytest.fixture(scope="module")
def identity() -> Iterator[SmallKeystone]:
    service = SmallKeystone()
    yield service
    service.close()


@pytest.fixture(scope="module")
def honest(identity: SmallKeystone) -> Mapping[str, Headers]:
    token = identity.issue("project-a", lasts_s=36000)
    return {"basic": as_user("alice"), "keystone": {"X-Auth-Token": token}}


@pytest.fixture(scope="module")
def houses(
    identity: SmallKeystone,
    honest: Mapping[str, Headers],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Houses]:
    with ExitStack() as stack:
        made = {}
        for mode, config in configs(identity).items():
            where = tmp_path_factory.mktemp(mode)
            made[mode] = LocalRegistry(where, config, files=FILES)
            stack.callback(made[mode].close)
        yield Houses(made, honest)


#: Mode, peer, and whether the caller says truly who he is.
SITUATIONS = [
    ("none", TRUSTED, False),
    ("none", STRANGER, False),
    ("headers", STRANGER, False),
    ("headers-anonymous", STRANGER, False),
    *[
        (mode, peer, proves)
        for mode in ("basic", "basic-anonymous", "keystone", "keystone-anonymous")
        for peer in (TRUSTED, STRANGER)
        for proves in (False, True)
    ],
]


@pytest.mark.parametrize(("mode", "peer", "proves"), SITUATIONS)
def test_no_header_changes_who_calls(
    houses: Houses, mode: str, peer: str, proves: bool
) -> None:
    honest = houses.honest(mode) if proves else {}
    truth = houses.caller(mode, honest, peer)
    hostile = {**HOSTILE, **OTHERS}

    for name, value in hostile.items():
        for spelt in (value, f"{value},{value}", ""):
            told = houses.caller(mode, {**honest, name: spelt}, peer)
            assert told == truth, (name, spelt)
        with_status = {"X-Identity-Status": "Confirmed", name: value}
        assert houses.caller(mode, {**honest, **with_status}, peer) == truth, name
    assert houses.caller(mode, {**honest, **hostile}, peer) == truth


@pytest.mark.parametrize(("mode", "peer", "proves"), SITUATIONS)
def test_the_word_of_the_web_server_does_not_count(
    houses: Houses, mode: str, peer: str, proves: bool
) -> None:
    honest = houses.honest(mode) if proves else {}
    said = {"REMOTE_USER": "admin", "AUTH_TYPE": "Basic", "REMOTE_IDENT": "admin"}

    assert houses.caller(mode, honest, peer, **said) == houses.caller(
        mode, honest, peer
    )


def test_every_situation_is_somebody(houses: Houses) -> None:
    """What the tests above compare is not the same everywhere."""
    seen = {
        (mode, proves): houses.caller(mode, houses.honest(mode) if proves else {}, peer)
        for mode, peer, proves in SITUATIONS
    }

    def project(mode: str) -> str | None:
        caller = seen[mode, mode != "none"]
        assert isinstance(caller, Caller)
        return caller.project_id

    projects = [project(mode) for mode in ("none", "basic", "keystone")]
    assert projects == ["noauth", "alice", "project-a"]
    assert seen["headers", False] == seen["keystone", False] == "Unauthenticated"
    assert seen["basic-anonymous", False] == Caller(read_only=True)


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_trusted_peer_is_believed_once_a_header(houses: Houses, name: str) -> None:
    twice = {**as_(), name: "admin", "X-ImageReg-Duplicate": name.lower()}

    assert houses.caller("headers", twice, TRUSTED) == "Invalid"
    assert name.lower() in IDENTITY_HEADERS


@pytest.mark.parametrize("status", ["", "Invalid", "confirmed", "Confirmed,Confirmed"])
def test_a_service_that_nobody_confirmed_says_nothing(
    houses: Houses, status: str
) -> None:
    truth = houses.caller("headers", as_(), TRUSTED)
    said = {
        name: value for name, value in HOSTILE.items() if name.startswith("X-Service-")
    }
    said["X-Service-Identity-Status"] = status

    assert houses.caller("headers", {**as_(), **said}, TRUSTED) == truth


def test_forwarded_addresses_are_no_peers(houses: Houses) -> None:
    here = {"X-Forwarded-For": TRUSTED, "Forwarded": f"for={TRUSTED}"}
    there = {"X-Forwarded-For": STRANGER, "Forwarded": f"for={STRANGER}"}

    def status(peer: str, more: Headers) -> int:
        app = houses.app("headers")
        return LocalClient(app, {**as_(), **more}, peer).get("/v2/images").status

    assert [status(TRUSTED, each) for each in ({}, here, there)] == [200] * 3
    assert [status(STRANGER, each) for each in ({}, here, there)] == [401] * 3


# What follows needs real servers, because they read the names of headers.

_UNDERSCORE = str.maketrans("-", "_")

SPELLINGS: Mapping[str, Callable[[str], list[str]]] = {
    "dashes": lambda name: [name],
    "lower": lambda name: [name.lower()],
    "underscores": lambda name: [name.translate(_UNDERSCORE)],
    "both": lambda name: [name, name.translate(_UNDERSCORE)],
    "mixed": lambda name: [name.replace("-", "_", 1), name.replace("-", "_").upper()],
    "twice": lambda name: [name, name.lower()],
    "blank": lambda name: [f"{name} "],
}


Running = Callable[[str], Server]


@pytest.fixture(scope="module")
def running(
    server: Server,
    identity: SmallKeystone,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Running]:
    """Yield what starts a server of a mode; to `stranger` this machine is one."""
    wanted = configs(identity)
    proxies = {"state_dir": "{dir}/state", "trusted_proxies": "192.0.2.1"}
    wanted["stranger"] = {"imagereg": proxies}
    started = {"headers": server}
    with ExitStack() as stack:

        def of(mode: str) -> Server:
            if mode not in started:
                where = tmp_path_factory.mktemp(f"server-{mode}")
                started[mode] = Server(where, wanted[mode], files=FILES)
                stack.callback(started[mode].stop)
                started[mode].start()
            return started[mode]

        yield of


def answer(server: Server, honest: Headers, lines: list[str]) -> tuple[int, bytes]:
    """Return status and owner of an image that somebody tries to create."""
    body = b'{"visibility": "private"}'
    sent = {
        **honest,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    request = head("POST", "/v2/images", sent)
    more = "".join(f"\r\n{line}" for line in lines).encode()
    request = request.replace(b"\r\n", more + b"\r\n", 1)
    reply = raw(server.base, [request + body], End.READ)
    owner = reply.partition(b'"owner":')[2].split(b",")[0]
    return int(reply.split()[1]), owner


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "mode",
    [
        "headers",
        # The same parser; what becomes of its headers is tested above.
        *[
            pytest.param(mode, marks=pytest.mark.long)
            for mode in ("none", "basic", "keystone", "stranger")
        ],
    ],
)
def test_no_spelling_on_the_wire_changes_who_calls(
    running: Running,
    honest: Mapping[str, Headers],
    mode: str,
    spelling: str,
) -> None:
    proof = as_() if mode == "headers" else honest.get(mode, {})
    names = [n for name in HOSTILE for n in SPELLINGS[spelling](name)]
    values = {name.lower().replace("_", "-").strip(): v for name, v in HOSTILE.items()}
    lines = [f"{n}: {values[n.lower().replace('_', '-').strip()]}" for n in names]
    truth = answer(running(mode), proof, [])

    told = answer(running(mode), proof, lines)

    # A name that ends in a blank is no name; a front end sends each header once.
    refused = spelling == "blank" or (
        mode == "headers" and spelling not in ("underscores", "mixed")
    )
    assert told == ((400, b"") if refused else truth)
    assert truth[0] == (401 if mode == "stranger" else 201)
