"""A real server whose images lie in a real S3 service."""

import contextlib
import hashlib
import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from imagereg.stores.s3 import S3Driver
from tests.conftest import Serve
from tests.server import Config, Server
from tests.stores.bucket import Service
from tests.stores.s3_proxy import Fault, Proxy, s3_proxy
from tests.wire import ADMIN, Client, End, as_, head, raw

MiB = 1024 * 1024
CONF = Path(__file__).parent.parent / "conf"
DATA = random.Random(3).randbytes(13 * MiB + 1)


def s3_options(driver: S3Driver, **more: object) -> dict[str, object]:
    """Return a driver's options as a configuration file has them."""
    options = driver._options
    return {
        "s3_store_host": f"http://{options.host}",
        "s3_store_bucket": options.bucket,
        "s3_store_access_key": options.access_key,
        "s3_store_secret_key": options.secret_key,
        "s3_store_large_object_size": 0,
        "s3_store_large_object_chunk_size": 5,
        **more,
    }


def single(driver: S3Driver, **more: object) -> Config:
    """Return a configuration whose default store is the driver's bucket."""
    store = {"stores": "s3,http", "default_store": "s3"}
    return {"glance_store": {**store, **s3_options(driver, **more)}}


@pytest.fixture
def proxy(s3: Service) -> Iterator[Proxy]:
    with s3_proxy(s3.host) as running:
        yield running


@pytest.fixture
def driver(s3: Service, proxy: Proxy) -> S3Driver:
    return s3.driver(host=proxy.host)


@pytest.fixture
def server(serve: Serve, driver: S3Driver) -> Server:
    return serve(single(driver))


@pytest.fixture
def client(server: Server) -> Client:
    return server.client(ADMIN)


def objects(driver: S3Driver) -> list[str]:
    return [blob.key for blob in driver.list_blobs()]


def unfinished(driver: S3Driver) -> int:
    return len(driver._client.call("list_multipart_uploads").get("Uploads", ()))


def wait_for(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize("data", [DATA, b"small", b""], ids=["parts", "small", "empty"])
@pytest.mark.parametrize("chunked", [False, True])
def test_what_was_uploaded_comes_back(
    client: Client, driver: S3Driver, data: bytes, chunked: bool
) -> None:
    image_id = str(client.create()["id"])
    pieces = [data[at : at + 100_000] for at in range(0, len(data), 100_000)]

    sent = client.upload(image_id, iter(pieces) if chunked else data)

    image = client.show(image_id)
    assert sent.status == 204
    assert (image["status"], image["size"]) == ("active", len(data))
    assert image["checksum"] == hashlib.md5(data).hexdigest()
    assert image["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert client.download(image_id).body == data
    assert objects(driver) == [image_id]
    assert unfinished(driver) == 0


def test_ranges_are_read(client: Client) -> None:
    image_id = str(client.create()["id"])
    client.upload(image_id, DATA)

    part = client.download(image_id, Range=f"bytes={6 * MiB}-{6 * MiB + 9}")
    beyond = client.download(image_id, Range=f"bytes={len(DATA)}-")

    assert (part.status, part.body) == (206, DATA[6 * MiB :][:10])
    assert part.headers["content-range"] == (
        f"bytes {6 * MiB}-{6 * MiB + 9}/{len(DATA)}"
    )
    assert beyond.status == 416


def test_deleting_an_image_removes_its_object(client: Client, driver: S3Driver) -> None:
    image_id = str(client.create()["id"])
    client.upload(image_id, DATA)

    answer = client.request("DELETE", f"/v2/images/{image_id}")

    assert answer.status == 204
    assert objects(driver) == []


def test_an_object_in_the_way_is_replaced(client: Client, driver: S3Driver) -> None:
    image_id = str(client.create()["id"])
    driver._client.call("put_object", Key=image_id, Body=b"of an earlier crash")

    answer = client.upload(image_id, DATA)

    assert answer.status == 204
    assert client.download(image_id).body == DATA


def located(client: Client, image_id: str, url: str) -> int:
    """Ask for a location by PATCH, and return how it was answered."""
    change = {"op": "add", "path": "/locations/-", "value": {"url": url}}
    change["value"]["metadata"] = {}  # type: ignore[index] # a dict
    answer = client.request(
        "PATCH",
        f"/v2/images/{image_id}",
        body=json.dumps([change]).encode(),
        headers={"Content-Type": "application/openstack-images-v2.1-json-patch"},
    )
    return answer.status


def test_no_spelling_of_its_url_gives_away_the_data_of_another_image(
    serve: Serve, driver: S3Driver
) -> None:
    config = single(driver)
    server = serve({**config, "DEFAULT": {"show_multiple_locations": "true"}})
    owner, other = server.client(as_()), server.client(as_("bob", "project-b"))
    image_id = str(owner.create()["id"])
    assert owner.upload(image_id, b"mine").status == 204
    mine = str(other.create()["id"])
    place = f"{driver._options.host}/{driver._options.bucket}"
    odd = f"%{ord(image_id[0]):x}{image_id[1:]}"

    statuses = {
        url: located(other, mine, url)
        for url in (
            f"s3://{place}/{image_id}",
            f"s3+http://{place}/{image_id}",
            f"s3+https://{place}/{image_id}",
            f"S3://{place}/{image_id}",
            f"s3://key:secret@{place}/{image_id}",
            f"s3://@{place}/{image_id}",
            f"s3://{place}/{odd}",
        )
    }

    assert set(statuses.values()) == {400}, statuses
    assert other.download(mine).body == b""


def test_an_upload_never_writes_over_the_data_of_another_image(
    serve: Serve, driver: S3Driver
) -> None:
    config = single(driver)
    server = serve({**config, "DEFAULT": {"show_multiple_locations": "true"}})
    client = server.client(ADMIN)
    name = str(uuid4())
    driver._client.call("put_object", Key=name, Body=b"an object of its own")
    place = f"{driver._options.host}/{driver._options.bucket}/{name}"
    image_id = str(client.create()["id"])
    assert located(client, image_id, f"s3+http://{place}") == 200
    rival = str(client.create(id=name)["id"])

    refused = client.upload(rival, DATA)
    client.request("DELETE", f"/v2/images/{rival}")

    assert refused.status == 409
    assert client.download(image_id).body == b"an object of its own"


def test_a_client_that_hangs_up_leaves_nothing(
    server: Server, client: Client, driver: S3Driver
) -> None:
    image_id = str(client.create()["id"])
    announced = {**ADMIN, "Content-Length": str(len(DATA))}
    announced["Content-Type"] = "application/octet-stream"
    start = head("PUT", f"/v2/images/{image_id}/file", announced)

    raw(server.base, [start, DATA[: 12 * MiB]], End.CLOSE)

    wait_for(lambda: client.show(image_id)["status"] == "queued", "still saving")
    assert unfinished(driver) == 0
    assert objects(driver) == []
    assert client.upload(image_id, DATA).status == 204


@pytest.mark.parametrize(
    "moment",
    [
        Fault("PUT", "partNumber=2"),
        Fault("POST", "uploadId"),
        Fault("HEAD", "-"),
    ],
    ids=["between parts", "completing", "completed"],
)
def test_a_server_that_is_killed_leaves_nothing_that_is_not_cleared(
    server: Server, client: Client, driver: S3Driver, proxy: Proxy, moment: Fault
) -> None:
    image_id = str(client.create()["id"])
    held = threading.Event()
    fault = replace(moment, held=held)
    proxy.faults.append(fault)
    upload = threading.Thread(target=_upload_in_vain, args=(client, image_id))
    upload.start()
    wait_for(lambda: fault.times == 0, "the moment did not come")
    if moment.method != "PUT":
        wait_for(lambda: objects(driver) == [image_id], "it was not completed")

    server.kill9()
    upload.join()
    held.set()
    server.start()

    assert client.show(image_id)["status"] == "queued"
    assert objects(driver) == []
    assert unfinished(driver) == 0
    assert client.upload(image_id, DATA).status == 204
    assert client.download(image_id).body == DATA


def _upload_in_vain(client: Client, image_id: str) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException):
        client.upload(image_id, DATA)


def test_credentials_are_in_no_url_and_no_log(serve: Serve, driver: S3Driver) -> None:
    config = single(driver)
    config = {**config, "DEFAULT": {"debug": True, "show_multiple_locations": True}}
    server = serve(config)
    client = server.client(ADMIN)
    image_id = str(client.create()["id"])
    client.upload(image_id, DATA)

    url = client.show(image_id)["locations"][0]["url"]

    options = driver._options
    assert url == f"s3://{options.host}/{options.bucket}/{image_id}"
    assert options.secret_key not in server.log()
    assert options.access_key not in server.log()


@pytest.mark.parametrize(
    "account",
    [
        {"s3_store_secret_key": "geheim-0815"},
        {"s3_store_access_key": "test:reader", "s3_store_secret_key": "reading"},
        {"s3_store_bucket": "there-is-no-such-bucket"},
    ],
    ids=["wrong secret", "denied", "no bucket"],
)
def test_a_store_that_refuses_is_unavailable(
    serve: Serve, driver: S3Driver, account: dict[str, str]
) -> None:
    server = serve(single(driver, **account))
    client = server.client(ADMIN)
    image_id = str(client.create()["id"])

    answer = client.upload(image_id, b"bytes")

    assert answer.status == 503
    assert client.show(image_id)["status"] == "queued"
    told = answer.body.decode() + server.log()
    assert not any(secret in told for secret in ("geheim", "reading", "test:reader"))


def test_a_service_that_is_down_blocks_neither_start_nor_deletion(
    serve: Serve, s3: Service
) -> None:
    with s3_proxy(s3.host) as proxy:
        driver = s3.driver(host=proxy.host)
        server = serve(single(driver))
        client = server.client(ADMIN)
        images = [str(client.create()["id"]) for _ in range(3)]
        for image_id in images[:2]:
            client.upload(image_id, b"bytes")

    downloaded = client.download(images[0])
    uploaded = client.upload(images[2], b"bytes")
    begun = time.monotonic()
    deleted = client.request("DELETE", f"/v2/images/{images[0]}")
    took_s = time.monotonic() - begun
    server.restart()

    assert (downloaded.status, uploaded.status, deleted.status) == (503, 503, 204)
    # Nobody waits for what would be tried again and again.
    assert took_s < 30
    assert client.get(f"/v2/images/{images[0]}").status == 404
    assert client.show(images[1])["status"] == "active"
    assert client.show(images[2])["status"] == "queued"


def test_what_a_deletion_could_not_remove_goes_later(
    server: Server, client: Client, driver: S3Driver, proxy: Proxy
) -> None:
    image_id = str(client.create()["id"])
    client.upload(image_id, b"bytes")
    proxy.faults.append(Fault("DELETE", image_id, status=503))

    client.request("DELETE", f"/v2/images/{image_id}")
    kept = objects(driver)
    server.restart()

    assert kept == [image_id]
    assert objects(driver) == []


def test_an_image_goes_to_the_store_that_is_named(
    serve: Serve, driver: S3Driver
) -> None:
    none = dict.fromkeys(("stores", "default_store", "filesystem_store_datadir"))
    server = serve(
        {
            "DEFAULT": {"enabled_backends": "fast:file, cheap:s3"},
            "glance_store": {**none, "default_backend": "fast"},
            "fast": {"filesystem_store_datadir": "{dir}/fast"},
            "cheap": s3_options(driver, store_description="cold"),
        }
    )
    client = server.client(ADMIN)
    image_id = str(client.create()["id"])

    sent = client.request(
        "PUT",
        f"/v2/images/{image_id}/file",
        body=DATA,
        headers={
            "Content-Type": "application/octet-stream",
            "X-Image-Meta-Store": "cheap",
        },
    )

    details = client.get("/v2/info/stores/detail").json()["stores"]
    cheap = next(store for store in details if store["id"] == "cheap")
    assert sent.status == 204
    assert client.show(image_id)["stores"] == "cheap"
    assert objects(driver) == [image_id]
    assert client.download(image_id).body == DATA
    assert cheap["type"] == "s3"
    assert cheap["properties"] == {
        "s3_store_large_object_size": 0,
        "s3_store_large_object_chunk_size": 5 * MiB,
        "s3_store_thread_pools": 10,
    }


def test_the_sample_configuration_works(serve: Serve, driver: S3Driver) -> None:
    sample = ConfigParser()
    sample.read(CONF / "imagereg-s3.conf")
    config: dict[str, dict[str, object]] = {"DEFAULT": dict(sample.defaults())}
    options = driver._options
    ours = {
        "s3_store_host": f"http://{options.host}",
        "s3_store_bucket": options.bucket,
        "s3_store_access_key": options.access_key,
        "s3_store_secret_key": options.secret_key,
    }
    own = {key: value for key, value in sample["cheap"].items() if key in ours}
    readme = (CONF.parent / "README.md").read_text()

    none = dict.fromkeys(("stores", "default_store", "filesystem_store_datadir"))
    for name in sample.sections():
        own_keys = set(sample[name]) - set(sample.defaults())
        config[name] = {key: sample[name][key] for key in own_keys}
    config["glance_store"] |= none
    config["cheap"] |= ours
    client = serve(config).client(ADMIN)
    image_id = str(client.create()["id"])
    sent = client.upload(image_id, b"bytes")

    assert sent.status == 204
    assert objects(driver) == [image_id]
    assert own.keys() == ours.keys()
    assert all(f"{key} = {value}\n" in readme for key, value in own.items())


def test_each_process_has_connections_of_its_own(
    serve: Serve, driver: S3Driver
) -> None:
    client = serve(single(driver), workers=2).client(ADMIN)
    image_id = str(client.create()["id"])
    client.upload(image_id, DATA)

    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: client.download(image_id).body, range(16)))

    assert all(body == DATA for body in bodies)
