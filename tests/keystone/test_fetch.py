"""`imagereg-fetch` with logins at a real Keystone, whose catalogue names the service.

Source: contract compute-fetch C-5, C-14.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.fetch import Choices, FetchConfig, Fetcher, find_access
from imagereg.fetch.config import GlanceSection
from tests.fetch.conftest import DATA, MIB, upload_as
from tests.fetch.test_command import run
from tests.keystone.service import Keystone
from tests.server import Config, Server

pytestmark = pytest.mark.long

REGION = "nodes"


@pytest.fixture(scope="module")
def cloud(
    keystone: Keystone, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Yield the image service of a region, which asks about every token."""
    options = keystone.options(http_connect_timeout=60, token_cache_time=-1)
    config: Config = {
        "paste_deploy": {"flavor": "keystone"},
        "keystone_authtoken": options,
    }
    running = Server(tmp_path_factory.mktemp("cloud"), config).start()
    keystone.register(f"{running.base}/v2", REGION)
    yield running
    running.stop()


def upload(cloud: Server, keystone: Keystone, data: bytes) -> str:
    return upload_as(cloud, {"X-Auth-Token": keystone.login("demo-member")}, data)


def password(keystone: Keystone, user: str = "demo-member") -> dict[str, str]:
    return {
        "OS_AUTH_URL": keystone.url,
        "OS_USERNAME": user,
        "OS_PASSWORD": keystone.password,
        "OS_PROJECT_NAME": "demo",
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_REGION_NAME": REGION,
    }


def test_a_password_and_an_application_credential(
    keystone: Keystone, cloud: Server, tmp_path: Path
) -> None:
    image_id = upload(cloud, keystone, DATA)
    number, secret = keystone.credential("demo-member")
    (tmp_path / "clouds.yaml").write_text(
        f"""
clouds:
  node:
    auth_type: v3applicationcredential
    auth:
      auth_url: {keystone.url}
      application_credential_id: {number}
      application_credential_secret: {secret}
    region_name: {REGION}
    interface: public
"""
    )

    by_password = run(tmp_path, image_id, "--dest", "one", **password(keystone))
    by_credential = run(tmp_path, image_id, "--dest", "two", "--os-cloud", "node")
    wrong = {**password(keystone), "OS_PASSWORD": "wrong"}
    refused = run(tmp_path, image_id, "--dest", "three", **wrong)
    stranger = {**password(keystone, "other-member"), "OS_PROJECT_NAME": "other"}
    hidden = run(tmp_path, image_id, "--dest", "four", **stranger)

    ended = (by_password, by_credential, refused, hidden)
    assert [each.returncode for each in ended] == [0, 0, 4, 3], ended
    assert (tmp_path / "one").read_bytes() == DATA
    assert (tmp_path / "two").read_bytes() == DATA
    shown = "".join(each.stdout + each.stderr for each in ended)
    assert secret not in shown
    assert keystone.password not in shown


def test_a_token_that_ends_in_the_middle_is_renewed(
    keystone: Keystone, cloud: Server, tmp_path: Path
) -> None:
    size = 40 * MIB
    image_id = upload(cloud, keystone, bytes(size))
    auth = find_access(password(keystone)).auth
    first = auth.headers()["X-Auth-Token"]
    glance = GlanceSection(num_retries=5)
    node = Fetcher(FetchConfig(glance=glance), auth, Choices(limit_rate=64 * MIB))
    cut: list[str] = []

    def listen(progress: object) -> None:
        if getattr(progress, "event", "") == "progress" and not cut:
            cut.append(first)
            keystone.revoke(first)
            cloud.kill9_workers()

    result = node.fetch(image_id, tmp_path / "disk", progress=listen)

    assert cut
    assert (result.verified, result.size) == (True, size)
    assert auth.headers()["X-Auth-Token"] != first
