"""``glance-download`` between two real servers, each the other region of the other.

Source: contract api-images 18.1, 18.4 and 18.5; auth 1, rulings U-5 and U-7.
"""

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from tests import databases
from tests.conftest import Serve
from tests.server import PROGRAM, Config, Server, eventually
from tests.stores.web import Web, web_server
from tests.wire import ADMIN, Answer, Document, as_

DATA = bytes(range(256)) * 4096
SHA512 = hashlib.sha512(DATA).hexdigest()

CANARY = "gAAAA-canary-token-of-alice-7c1f"

HERE: Config = {
    "DEFAULT": {
        "enabled_import_methods": "[glance-download,glance-direct,web-download]",
        "debug": "true",
        "property_protection_file": "{dir}/etc/protections.conf",
    },
    # Loopback counts only where the operator names it.
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]"},
}

PROTECTIONS = {
    "protections.conf": "[^hw_secret]\ncreate = billing\nread = @\nupdate = billing\n"
    "delete = billing\n\n[.*]\ncreate = @\nread = @\nupdate = @\ndelete = @\n"
}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield the other region, which takes everybody for its administrator."""
    config: Config = {"paste_deploy": {"flavor": None}}
    server = Server(tmp_path_factory.mktemp("there"), config).start()
    yield server
    server.stop()


@pytest.fixture
def here(serve: Serve) -> Server:
    return serve(HERE, files=PROTECTIONS)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


def catalog(url: str, region: str = "North") -> str:
    """Return the header of a front end, in the old layout."""
    endpoint = {"region": region, "id": "1", "publicURL": url, "adminURL": "x"}
    other = {"region": "South", "publicURL": "http://192.0.2.1/"}
    services = [
        {"type": "identity", "endpoints": [{**endpoint, "publicURL": "http://no"}]},
        {"type": "image", "name": "glance", "endpoints": [other, endpoint]},
    ]
    return json.dumps(services)


def lent(url: str, token: str = CANARY) -> dict[str, str]:
    return {"X-Service-Catalog": catalog(url), "X-Auth-Token": token}


def remote(there: Server, **fields: object) -> Document:
    """Return an active image of the other region."""
    client = there.client()
    image_id = str(client.create(**fields)["id"])
    assert client.upload(image_id, DATA).status == 204
    return client.show(image_id)


def empty(here: Server) -> str:
    """Return the id of an image here that has no formats yet."""
    answer = here.client().request("POST", "/v2/images", document={"name": "copy"})
    assert answer.status == 201
    return str(answer.json()["id"])


def ask(
    here: Server,
    image_id: str,
    remote_id: object,
    headers: Mapping[str, str],
    **more: object,
) -> Answer:
    method = {
        "name": "glance-download",
        "glance_region": "north",
        "glance_image_id": remote_id,
        **more,
    }
    return here.client().request(
        "POST",
        f"/v2/images/{image_id}/import",
        document={"method": method},
        headers=headers,
    )


def ended(here: Server, image_id: str) -> Document:
    """Return the record once no task works on the image any more."""
    client = here.client()

    def is_unlocked() -> bool:
        return "os_glance_import_task" not in client.show(image_id)

    assert eventually(is_unlocked, 60), client.show(image_id)
    return client.show(image_id)


def task(here: Server, image_id: str) -> Document:
    answer = here.client(ADMIN).get(f"/v2/images/{image_id}/tasks")
    return dict(answer.json()["tasks"][0])


def check_retryable(here: Server, image_id: str, before: Document) -> None:
    """Assert that a failed import left nothing, and that nothing told the token."""
    record = ended(here, image_id)
    kept = {n: v for n, v in record.items() if n not in PASSING}
    assert kept == {n: v for n, v in before.items() if n not in PASSING}
    assert task(here, image_id)["status"] == "failure"
    assert here.stored_files() == []
    assert eventually(lambda: staged(here) == [])
    check_no_token(here)


PASSING = (
    "updated_at",
    "os_glance_importing_to_stores",
    "os_glance_failed_import",
)


def staged(here: Server) -> list[str]:
    root = here.state_dir / "staging"
    return [p.name for p in root.rglob("*") if p.is_file() and p.name != ".lock"]


def check_no_token(here: Server) -> None:
    """Assert that neither a file of the server nor a row holds the token."""
    rows = databases.everything(here.where)
    assert rows["images"]
    assert CANARY not in repr(rows)
    files = contents(here.where)
    assert any(path.name == "server.log" for path in files)
    assert [p for p, data in files.items() if CANARY.encode() in data] == []


def contents(where: Path) -> Mapping[Path, bytes]:
    """Return the files below a folder, but for those that go meanwhile."""
    found = {}
    for folder, _, names in os.walk(where):
        for path in (Path(folder, name) for name in names):
            with suppress(FileNotFoundError):
                found[path] = path.read_bytes()
    return found


def test_an_image_comes_with_formats_properties_and_bytes(
    here: Server, there: Server
) -> None:
    found = remote(
        there,
        name="far",
        disk_format="iso",
        container_format="ovf",
        hw_firmware_type="uefi",
        os_distro="debian",
        colour="red",
    )
    image_id = empty(here)

    answer = ask(here, image_id, str(found["id"]).upper(), lent(there.base + "/v2/"))
    record = ended(here, image_id)

    assert (answer.status, answer.body) == (202, b"")
    assert (record["status"], record["name"]) == ("active", "copy")
    assert (record["disk_format"], record["container_format"]) == ("iso", "ovf")
    assert (record["hw_firmware_type"], record["os_distro"]) == ("uefi", "debian")
    assert "colour" not in record
    assert record["os_hash_value"] == found["os_hash_value"] == SHA512
    assert here.client().download(image_id).body == DATA
    done = task(here, image_id)
    assert (done["status"], done["result"]) == ("success", {"image_id": image_id})
    assert eventually(lambda: staged(here) == [])
    check_no_token(here)


@pytest.mark.parametrize(
    ("headers", "more", "why"),
    [
        ({}, {}, "token"),
        ({"X-Auth-Token": CANARY}, {}, "catalog"),
        ({"X-Service-Catalog": "[]"}, {}, "token"),
        ({"X-Auth-Token": CANARY, "X-Service-Catalog": "{not"}, {}, "catalog"),
        ({"X-Auth-Token": CANARY, "X-Service-Catalog": '[{"type": 1}]'}, {}, "catalog"),
        (lent("file:///etc/passwd"), {}, "catalog"),
        (lent("http://far/?a="), {}, "catalog"),
        (lent("http://far", f"{CANARY},other"), {}, "token"),
        (lent("http://far"), {"glance_region": "East"}, "catalog"),
        (lent("http://far"), {"glance_service_interface": "internal"}, "catalog"),
        (lent("http://far"), {"glance_service_interface": "x"}, "interface"),
        (lent("http://far"), {"glance_image_id": "7"}, "does not look like a UUID"),
        (lent("http://far"), {"glance_image_id": None}, "glance_image_id"),
        (lent("http://far"), {"glance_region": 7}, "glance_region"),
        (lent("http://far"), {"glance_region": "r" * 256}, "glance_region"),
    ],
)
def test_what_cannot_work_is_refused_before_a_task_is_made(
    refusing: Server, headers: Mapping[str, str], more: Mapping[str, object], why: str
) -> None:
    image_id = empty(refusing)

    answer = ask(refusing, image_id, str(uuid4()), headers, **more)

    assert (answer.status, why in answer.body.decode()) == (400, True), answer
    assert CANARY.encode() not in answer.body
    assert refusing.client().show(image_id)["status"] == "queued"
    tasks = refusing.client(ADMIN).get(f"/v2/images/{image_id}/tasks").json()["tasks"]
    assert tasks == []
    check_no_token(refusing)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("here"), HERE, files=PROTECTIONS).start()
    yield server
    server.stop()


def test_a_malformed_catalog_is_told_of_and_nothing_else_suffers(
    refusing: Server,
) -> None:
    client = refusing.client({**as_(), "X-Service-Catalog": "{not json"})

    assert client.get("/v2/images").status == 200
    answer = ask(
        refusing,
        empty(refusing),
        str(uuid4()),
        {"X-Service-Catalog": "{not json", "X-Auth-Token": CANARY},
    )

    assert answer.status == 400
    assert "a service catalog is malformed" in refusing.log()


def test_a_server_that_runs_no_jobs_takes_no_token(serve: Serve, there: Server) -> None:
    found = remote(there)
    server = serve({**HERE, "imagereg": {"run_jobs": "false"}}, files=PROTECTIONS)
    image_id = empty(server)

    answer = ask(server, image_id, found["id"], lent(there.base))

    assert (answer.status, b"runs its jobs" in answer.body) == (400, True)
    assert server.client().show(image_id)["status"] == "queued"


@pytest.mark.parametrize("kind", ["absent", "elsewhere", "queued", "deactivated"])
def test_an_image_that_may_not_be_had_fails(
    here: Server, there: Server, kind: str
) -> None:
    image_id = empty(here)
    before = here.client().show(image_id)
    if kind == "absent":
        remote_id = str(uuid4())
    elif kind == "queued":
        remote_id = str(there.client().create()["id"])
    else:
        remote_id = str(remote(there)["id"])
    if kind == "deactivated":
        path = f"/v2/images/{remote_id}/actions/deactivate"
        assert there.client(ADMIN).request("POST", path).status == 204
    url = there.base if kind != "elsewhere" else there.base + "/nowhere"

    assert ask(here, image_id, remote_id, lent(url)).status == 202

    check_retryable(here, image_id, before)
    message = task(here, image_id)["message"]
    wanted = {
        "absent": "is not in region",
        "elsewhere": "gives no data",
        "queued": "is not active",
        "deactivated": "is not active",
    }
    assert wanted[kind] in message


def published(web: Web, remote_id: str, **more: object) -> None:
    """Let a web server be the other region."""
    record = {
        "id": remote_id,
        "status": "active",
        "disk_format": "raw",
        "container_format": "bare",
        "os_hash_algo": "sha512",
        "os_hash_value": SHA512,
        **more,
    }
    web.put(f"/v2/images/{remote_id}", json.dumps(record).encode())
    web.put(f"/v2/images/{remote_id}/file", DATA)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"os_hash_value": "0" * 128}, "are not those"),
        ({"os_hash_value": None, "checksum": "0" * 32}, "are not those"),
        ({"os_hash_value": None}, "no digest"),
        ({"os_hash_algo": "shake_128"}, "no digest"),
        ({"disk_format": "floppy"}, "disk_format"),
        ({"container_format": None}, "container_format"),
        ({"disk_format": "qcow2"}, "qcow2"),
        ({"hw_secret": "1", "hw_ok": "2"}, "hw_secret"),
        ({"status": ["active"]}, "is not active"),
    ],
)
def test_a_record_that_does_not_fit_fails_and_can_be_tried_again(
    here: Server, web: Web, more: Mapping[str, object], why: str
) -> None:
    remote_id, image_id = str(uuid4()), empty(here)
    before = here.client().show(image_id)
    published(web, remote_id, **more)

    assert ask(here, image_id, remote_id, lent(web.url(""))).status == 202

    check_retryable(here, image_id, before)
    assert why in task(here, image_id)["message"]

    published(web, remote_id)
    assert ask(here, image_id, remote_id, lent(web.url(""))).status == 202
    assert ended(here, image_id)["status"] == "active"
    assert {asked["X-Auth-Token"] for _, _, asked in web.asked} == {CANARY}


@pytest.mark.parametrize("status", [401, 403, 500])
def test_words_of_the_other_side_reach_nobody(
    here: Server, web: Web, status: int
) -> None:
    remote_id, image_id = str(uuid4()), empty(here)
    before = here.client().show(image_id)
    published(web, remote_id)
    web.put(f"/v2/images/{remote_id}/file", b"internal words", status=status)

    assert ask(here, image_id, remote_id, lent(web.url(""))).status == 202

    check_retryable(here, image_id, before)
    said = "the image service of region `north` gives no data"
    assert task(here, image_id)["message"] == said
    assert "internal words" not in here.log()


def test_the_token_follows_no_redirect_to_another_server(
    here: Server, web: Web
) -> None:
    remote_id, image_id = str(uuid4()), empty(here)
    before = here.client().show(image_id)
    with web_server() as thief:
        published(thief, remote_id)
        path = f"/v2/images/{remote_id}"
        web.redirect(path, thief.url(path))

        assert ask(here, image_id, remote_id, lent(web.url(""))).status == 202
        check_retryable(here, image_id, before)
        assert thief.asked == []

        # The same server may send on, as one does that wants another path.
        published(web, remote_id)
        path = f"/v2/images/{remote_id}"
        web.pages["/moved"] = web.pages[path]
        web.redirect(path, web.url("/moved"))
        assert ask(here, image_id, remote_id, lent(web.url(""))).status == 202
        assert ended(here, image_id)["status"] == "active"


def test_loopback_is_reached_only_where_the_operator_names_it(
    serve: Serve, there: Server
) -> None:
    found = remote(there)
    config = {**HERE, "import_filtering_opts": {}}
    server = serve(config, files=PROTECTIONS)
    image_id = empty(server)
    before = server.client().show(image_id)

    assert ask(server, image_id, found["id"], lent(there.base)).status == 202

    check_retryable(server, image_id, before)


def test_a_job_whose_process_died_fails_clearly_and_can_be_tried_again(
    here: Server, web: Web
) -> None:
    remote_id, image_id = str(uuid4()), empty(here)
    before = here.client().show(image_id)
    published(web, remote_id, hw_machine_type="q35")
    held = threading.Event()
    web.put(f"/v2/images/{remote_id}/file", DATA, held=held)
    assert ask(here, image_id, remote_id, lent(web.url(""))).status == 202
    path = f"/v2/images/{remote_id}/file"
    assert eventually(lambda: any(asked == path for _, asked, _ in web.asked))
    # The data are asked for first.
    assert eventually(lambda: "hw_machine_type" in here.client().show(image_id))

    here.kill9()
    here.start()
    held.set()

    check_retryable(here, image_id, before)
    assert "token was gone" in task(here, image_id)["message"]
    assert ask(here, image_id, remote_id, lent(web.url(""))).status == 202
    assert ended(here, image_id)["status"] == "active"


def test_only_the_process_that_has_the_token_does_the_work(
    serve: Serve, there: Server
) -> None:
    found = remote(there)
    server = serve(HERE, files=PROTECTIONS, workers=3)
    config = server.where / "etc" / "imagereg.conf"
    worker = subprocess.Popen(
        [str(PROGRAM), "worker", "--config", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ids = [empty(server) for _ in range(12)]
        for image_id in ids:
            assert ask(server, image_id, found["id"], lent(there.base)).status == 202

        assert {ended(server, each)["status"] for each in ids} == {"active"}
    finally:
        worker.terminate()
        worker.wait(60)
