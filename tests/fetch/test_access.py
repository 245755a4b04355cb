"""Who is calling, and where the service is, without a word on the command line.

Source: contract compute-fetch C-5, C-14, auth 5.
"""

import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.client.session import Trust
from imagereg.errors import FetchRefused, FetchUnreachable, Invalid
from imagereg.fetch import Choices, FetchConfig, Fetcher, Progress, find_access
from imagereg.fetch.config import GlanceSection
from tests.fetch.conftest import DATA, MIB, upload_as
from tests.fetch.test_command import run
from tests.identity.small_keystone import PASSWORD, SmallKeystone
from tests.server import Config, Server

SECRET = "canary-secret-of-a-credential"


@pytest.fixture(scope="module")
def identity() -> Iterator[SmallKeystone]:
    service = SmallKeystone()
    service.credentials["ac-1"] = SECRET
    yield service
    service.close()


@pytest.fixture(scope="module")
def cloud(
    identity: SmallKeystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Yield an image service that the catalogue names."""
    options = identity.options(token_cache_time=-1, http_connect_timeout=30)
    config: Config = {
        "paste_deploy": {"flavor": "keystone"},
        "keystone_authtoken": options,
    }
    running = Server(tmp_path_factory.mktemp("cloud"), config).start()
    identity.image_url = f"{running.base}/v2"
    yield running
    running.stop()


@pytest.fixture(scope="module")
def image(cloud: Server, identity: SmallKeystone) -> str:
    """Return the id of an image that everybody sees."""
    token = identity.issue("p-admin", ("admin", "member", "reader"))
    return upload_as(cloud, {"X-Auth-Token": token}, DATA, visibility="public")


def password(identity: SmallKeystone, **more: str) -> dict[str, str]:
    return {
        "OS_AUTH_URL": identity.base,
        "OS_USERNAME": "alice",
        "OS_PASSWORD": PASSWORD,
        "OS_PROJECT_NAME": "demo",
        **more,
    }


def write_clouds(where: Path, identity: SmallKeystone) -> None:
    (where / "clouds.yaml").write_text(
        f"""
clouds:
  lab:
    auth_type: v3applicationcredential
    auth: {{auth_url: "{identity.base}", application_credential_id: ac-1}}
    region_name: one
  sold:
    profile: vendor
    auth_type: v3applicationcredential
    auth: {{application_credential_id: ac-1}}
  wrong:
    auth: {{auth_url: "{identity.base}", username: alice, password: canary-wrong}}
"""
    )
    (where / "clouds-public.yaml").write_text(
        f"""
public-clouds:
  vendor:
    auth: {{auth_url: "http://127.0.0.1:9"}}
    regions: [two, {{name: one, values: {{auth: {{auth_url: "{identity.base}"}}}}}}]
"""
    )
    secret = f"{{auth: {{application_credential_secret: {SECRET}}}}}"
    (where / "secure.yaml").write_text(f"clouds: {{lab: {secret}, sold: {secret}}}\n")


def is_clean(text: str) -> bool:
    return "canary" not in text


def test_a_password_and_the_catalogue_are_enough(
    identity: SmallKeystone, image: str, tmp_path: Path
) -> None:
    ended = run(tmp_path, image, "--dest", "disk", **password(identity))

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "disk").read_bytes() == DATA
    assert is_clean(ended.stdout + ended.stderr)


@pytest.mark.parametrize(
    ("words", "variables"),
    [
        (["--os-cloud", "lab"], {}),
        ([], {"OS_CLOUD": "lab"}),
        (["--os-cloud", "sold"], {"OS_REGION_NAME": "one"}),
    ],
    ids=["option", "variable", "region of a vendor"],
)
def test_a_cloud_with_an_application_credential(
    identity: SmallKeystone,
    image: str,
    tmp_path: Path,
    words: list[str],
    variables: dict[str, str],
) -> None:
    write_clouds(tmp_path, identity)

    ended = run(tmp_path, image, "--dest", "disk", *words, **variables)

    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "disk").read_bytes() == DATA


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"OS_PASSWORD": "canary-wrong"}, 4, "refuses the login"),
        ({"OS_AUTH_URL": "http://127.0.0.1:9"}, 9, "does not answer"),
        ({"OS_REGION_NAME": "two"}, 2, "region `two`"),
        ({"OS_INTERFACE": "internal"}, 2, "interface `internal`"),
        ({"OS_CLOUD": "none"}, 2, "no clouds.yaml knows"),
        ({"OS_AUTH_TYPE": "v3oidcpassword"}, 2, "not supported"),
        ({"OS_PASSWORD": ""}, 2, "needs password"),
    ],
)
def test_failed_logins_have_their_exit_status(
    identity: SmallKeystone,
    image: str,
    tmp_path: Path,
    change: dict[str, str],
    status: int,
    told: str,
) -> None:
    variables = password(identity, **change)

    ended = run(tmp_path, image, "--dest", "disk", "--retries", "0", **variables)

    assert (ended.returncode, ended.stdout) == (status, "")
    assert told in ended.stderr
    assert is_clean(ended.stderr)


def fetcher(environ: dict[str, str], retries: int = 5) -> Fetcher:
    config = FetchConfig(glance=GlanceSection(num_retries=retries))
    return Fetcher(config, find_access(environ).auth, Choices(limit_rate=64 * MIB))


def test_a_token_that_ends_in_the_middle_is_renewed(
    identity: SmallKeystone, cloud: Server, tmp_path: Path
) -> None:
    # Far more than sockets hold of what was sent before the connection broke.
    size = 40 * MIB
    admin = {"X-Auth-Token": identity.issue("p-admin", ("admin", "member", "reader"))}
    image_id = upload_as(cloud, admin, bytes(size), visibility="public")
    logins = identity.asked["login"]
    cut: list[int] = []

    def listen(progress: Progress) -> None:
        if progress.event == "progress" and not cut:
            cut.append(progress.done)
            identity.tokens.clear()
            cloud.kill9_workers()

    result = fetcher(password(identity)).fetch(
        image_id, tmp_path / "disk", progress=listen
    )

    assert 0 < cut[0] < size
    assert (result.verified, result.size) == (True, size)
    # Ours twice, and once that of the registry's new process.
    assert identity.asked["login"] >= logins + 3
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not any(b"canary" in path.read_bytes() for path in left)


def test_a_login_that_is_refused_again_is_the_end(
    identity: SmallKeystone, cloud: Server, image: str, tmp_path: Path
) -> None:
    """The service believes another Keystone than the one that gave the token."""
    other = SmallKeystone()
    other.image_url = cloud.base

    try:
        with pytest.raises(FetchRefused, match="401"):
            fetcher(password(other)).fetch(image, tmp_path / "disk")
    finally:
        other.close()

    assert other.asked["login"] == 2


@pytest.mark.parametrize(
    ("environ", "headers", "endpoint"),
    [
        ({}, {}, None),
        ({"OS_AUTH_TYPE": "none", "OS_ENDPOINT": "http://a"}, {}, "http://a"),
        (
            {"OS_TOKEN": "t", "OS_IMAGE_URL": "http://a"},
            {"X-Auth-Token": "t"},
            "http://a",
        ),
        ({"OS_AUTH_TOKEN": "t"}, {"X-Auth-Token": "t"}, None),
        ({"OS_AUTH_TYPE": "v3token", "OS_TOKEN": "t"}, {"X-Auth-Token": "t"}, None),
        (
            {"OS_AUTH_TYPE": "http_basic", "OS_USERNAME": "u", "OS_PASSWORD": "p:w"},
            {"Authorization": "Basic dTpwOnc="},
            None,
        ),
    ],
    ids=range(6),
)
def test_what_needs_no_login(
    environ: dict[str, str], headers: dict[str, str], endpoint: str | None
) -> None:
    found = find_access(environ)

    assert (dict(found.auth.headers()), found.endpoint) == (headers, endpoint)
    assert not found.auth.renew()


def cloud_of(where: Path, text: str, name: str = "c") -> dict[str, str]:
    """Return an environment in which a file describes a cloud."""
    (where / "given.yaml").write_text(text)
    return {"OS_CLOUD": name, "OS_CLIENT_CONFIG_FILE": str(where / "given.yaml")}


def test_clouds_without_keystone(tmp_path: Path) -> None:
    text = """
clouds:
  c:
    auth_type: http_basic
    auth: {endpoint: "http://127.0.0.1:9292", username: demo, password: 1234}
    cacert: /etc/ca.pem
    image_api_version: 2
  n: {auth_type: none, auth: {endpoint: "http://b"}, verify: false}
"""
    basic = find_access(cloud_of(tmp_path, text))
    nobody = find_access(cloud_of(tmp_path, text), "n")

    encoded = basic.auth.headers()["Authorization"].removeprefix("Basic ")
    assert b64decode(encoded) == b"demo:1234"
    assert basic.endpoint == "http://127.0.0.1:9292"
    assert basic.trust == Trust(Path("/etc/ca.pem"))
    assert (dict(nobody.auth.headers()), nobody.endpoint) == ({}, "http://b")
    assert nobody.trust == Trust(verify=False)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "clouds: []",
        "clouds: {d: {}}",
        "clouds: {c: 5}",
        "clouds: {c: {auth: canary}}",
        "clouds: {c: {verify: perhaps, auth: {token: canary}}}",
        "clouds: {c: {auth: {auth_url: 'http://k', password: canary}}}",
        "clouds: {c: {auth_type: http_basic, auth: {username: canary}}}",
        "clouds: {c: {auth_type: v3applicationcredential, auth: {auth_url: 'http://k'}}}",
        "clouds: {c: canary",
    ],
    ids=range(10),
)
def test_clouds_that_say_too_little(tmp_path: Path, text: str) -> None:
    with pytest.raises(Invalid) as told:
        find_access(cloud_of(tmp_path, text))

    assert is_clean(told.value.message)


def test_where_clouds_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    settings = home / ".config" / "openstack"
    for folder in (here, settings):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    environ = {"HOME": str(home)}

    def endpoint() -> str | None:
        return find_access(environ, "c").endpoint

    with pytest.raises(Invalid):
        endpoint()
    cloud_text = "clouds: {{c: {{auth_type: none, auth: {{endpoint: {}}}}}}}"
    (settings / "clouds.yml").write_text(cloud_text.format("http://home"))
    assert endpoint() == "http://home"
    (here / "clouds.yaml").write_text(cloud_text.format("http://here"))
    assert endpoint() == "http://here"
    (settings / "secure.yaml").write_text(cloud_text.format("http://secure"))
    assert endpoint() == "http://secure"


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # What importing does with a module that is not installed.
    monkeypatch.delitem(sys.modules, "imagereg.fetch.keystone", raising=False)
    monkeypatch.setitem(sys.modules, "keystoneauth1", None)

    with pytest.raises(Invalid, match=r"imagereg\[keystone\]"):
        find_access({"OS_AUTH_URL": "http://k"})


def test_a_keystone_that_is_away_is_asked_again(
    identity: SmallKeystone, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "fault", "away")
    mine = fetcher(password(identity), retries=1)
    asked = identity.asked["login"]

    with pytest.raises(FetchUnreachable):
        mine.fetch(image, tmp_path / "disk")

    assert identity.asked["login"] >= asked + 2
