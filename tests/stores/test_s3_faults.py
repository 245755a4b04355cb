"""An S3 store when the service, the network or the account fails.

Every request goes to the real service, through a proxy that breaks some of them.
"""

import hashlib
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from imagereg.errors import (
    BlobExists,
    BlobNotFound,
    Forbidden,
    StoreFull,
    StoreUnavailable,
)
from imagereg.stores import s3_client
from imagereg.stores.s3 import S3Driver
from imagereg.stores.s3_client import S3Client
from imagereg.stores.s3_reader import RESUMES
from tests.server import free_port
from tests.stores.bucket import Service
from tests.stores.conformance import MiB, put, read
from tests.stores.s3_proxy import Fault, Proxy, s3_proxy

#: Each fault is met several times over, and waited for in between.
pytestmark = pytest.mark.long

DATA = random.Random(7).randbytes(11 * MiB + 5)
SMALL = b"bytes"
PARTS = {"part_bytes": 5 * MiB, "single_bytes": 0, "threads": 2}


@pytest.fixture
def proxy(s3: Service) -> Iterator[Proxy]:
    with s3_proxy(s3.host) as running:
        yield running


@pytest.fixture
def driver(s3: Service, proxy: Proxy) -> S3Driver:
    """Return a driver that sends through the proxy, in parts of 5 MiB."""
    driver = s3.driver(host=proxy.host, **PARTS)
    proxy.asked.clear()
    return driver


@pytest.fixture
def look(s3: Service, driver: S3Driver) -> S3Client:
    """Return a client that looks into the bucket past the proxy."""
    return s3.client(driver._options)


@pytest.fixture
def twice(monkeypatch: pytest.MonkeyPatch, driver: S3Driver) -> None:
    """Let the driver ask twice, and wait for as long as it does otherwise."""
    monkeypatch.setattr(driver._client, "_clients", {})
    monkeypatch.setattr(s3_client, "ATTEMPTS", 2)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, driver: S3Driver, twice: None) -> None:
    """Let it wait for a second, for tests in which nothing else must succeed."""
    options = replace(driver._options, timeout_s=2)
    monkeypatch.setattr(driver._client, "_options", options)
    monkeypatch.setattr(s3_client, "HASTY_READ_S", 1)


def unfinished(look: S3Client) -> int:
    return len(look.call("list_multipart_uploads").get("Uploads", ()))


def objects(look: S3Client) -> list[str]:
    return [each["Key"] for each in look.call("list_objects_v2").get("Contents", ())]


# Uploads


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", "partNumber", status=503, code="SlowDown"),
        Fault("PUT", "partNumber=2", status=500, times=2),
        Fault("PUT", "partNumber=2", cut_request=3 * MiB),
        Fault("PUT", "partNumber=3", lose_answer=True),
        Fault("POST", "uploads", status=503),
        Fault("POST", "uploadId", status=500),
        Fault("POST", "uploadId", lose_answer=True),
        Fault("HEAD", "key", status=503),
    ],
    ids=lambda fault: f"{fault.method}-{fault.text}-{fault.status}",
)
def test_an_upload_outlives_a_passing_fault(
    driver: S3Driver, proxy: Proxy, look: S3Client, fault: Fault
) -> None:
    proxy.faults.append(fault)

    url = put(driver, "key", DATA, replace=True)

    assert fault.times == 0
    assert read(driver.open(url, 0, None)) == DATA
    assert unfinished(look) == 0


@pytest.mark.parametrize(
    "fault",
    [
        Fault("PUT", "/key", status=500),
        Fault("PUT", "/key", cut_request=2),
        Fault("PUT", "/key", lose_answer=True),
    ],
    ids=["refused", "cut", "unanswered"],
)
@pytest.mark.parametrize("replace", [False, True])
def test_a_small_upload_outlives_a_passing_fault(
    driver: S3Driver, proxy: Proxy, fault: Fault, replace: bool
) -> None:
    proxy.faults.append(Fault(**vars(fault)))

    url = put(driver, "key", SMALL, replace=replace)

    assert proxy.faults[0].times == 0
    assert read(driver.open(url, 0, None)) == SMALL


def test_a_lost_answer_is_no_taken_key(driver: S3Driver, proxy: Proxy) -> None:
    proxy.faults.append(Fault("POST", "uploadId", lose_answer=True))

    url = put(driver, "key", DATA, replace=False)

    assert driver.size(url) == len(DATA)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault("PUT", "partNumber=2", status=503, times=99), "just now"),
        (Fault("PUT", "partNumber=1", cut_request=10, times=99), "does not answer"),
        (Fault("POST", "uploads", status=500, times=99), "just now"),
        (Fault("POST", "uploadId", status=503, times=99), "just now"),
        (Fault("POST", "uploadId", status=400, code="InvalidPart"), "just now"),
        (Fault("PUT", "partNumber=2", status=403, code="AccessDenied"), "refuses"),
    ],
    ids=["part", "cut", "begin", "complete", "invalid", "denied"],
)
@pytest.mark.usefixtures("twice")
def test_an_upload_that_cannot_go_on_leaves_nothing(
    driver: S3Driver, proxy: Proxy, look: S3Client, fault: Fault, said: str
) -> None:
    proxy.faults.append(fault)

    with pytest.raises(StoreUnavailable, match=said):
        put(driver, "key", DATA, replace=True)

    assert objects(look) == []
    assert unfinished(look) == 0
    assert driver._client.live == set()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (507, "InsufficientStorage"),
        (403, "QuotaExceeded"),
        (400, "EntityTooLarge"),
    ],
)
def test_a_store_without_room_is_full(
    driver: S3Driver, proxy: Proxy, look: S3Client, status: int, code: str
) -> None:
    fault = Fault("PUT", "partNumber=2", status=status, code=code, times=9)
    proxy.faults.append(fault)

    with pytest.raises(StoreFull):
        put(driver, "key", DATA)

    assert unfinished(look) == 0


@pytest.mark.usefixtures("impatient")
def test_a_service_that_hangs_is_given_up(
    driver: S3Driver, proxy: Proxy, look: S3Client
) -> None:
    held = threading.Event()
    proxy.faults.append(Fault("PUT", "partNumber=1", held=held, times=9))

    with pytest.raises(StoreUnavailable, match="does not answer"):
        put(driver, "key", DATA)

    held.set()
    assert objects(look) == []


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "parts"])
def test_another_size_than_was_sent_is_no_success(
    driver: S3Driver, proxy: Proxy, look: S3Client, data: bytes
) -> None:
    wrong = {"Content-Length": str(len(data) - 1)}
    proxy.faults.append(Fault("HEAD", "key", headers=wrong))

    with pytest.raises(StoreUnavailable, match="another size"):
        put(driver, "key", data, replace=True)

    assert objects(look) == []


def test_another_object_than_was_sent_is_no_success(
    driver: S3Driver, proxy: Proxy, look: S3Client
) -> None:
    proxy.faults.append(Fault("HEAD", "key", headers={"ETag": '"another"'}))

    with pytest.raises(StoreUnavailable, match="another object"):
        put(driver, "key", SMALL, replace=True)

    # It is not ours, so it stays.
    assert objects(look) == ["key"]


@pytest.mark.usefixtures("twice")
def test_nothing_is_said_to_be_stored_that_cannot_be_asked_for(
    driver: S3Driver, proxy: Proxy, look: S3Client
) -> None:
    proxy.faults.append(Fault("HEAD", "key", status=503, times=99))

    with pytest.raises(StoreUnavailable):
        put(driver, "key", DATA, replace=True)

    assert objects(look) == []


def test_damaged_bytes_of_a_small_image_are_refused(
    driver: S3Driver, look: S3Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "imagereg.stores.s3_upload.Part.md5", lambda _: hashlib.md5(b"others")
    )

    with pytest.raises(StoreUnavailable):
        put(driver, "key", SMALL)

    assert objects(look) == []


def test_a_service_without_conditions_is_looked_at_first(
    driver: S3Driver, proxy: Proxy, look: S3Client
) -> None:
    proxy.faults.append(Fault("PUT", "/key", status=501, code="NotImplemented"))

    url = put(driver, "key", SMALL, replace=False)

    assert read(driver.open(url, 0, None)) == SMALL
    proxy.faults.append(Fault("PUT", "/other", status=501, code="NotImplemented"))
    with driver.writer("other", 3, replace=False) as late:
        late.write(b"two")
        look.call("put_object", Key="other", Body=b"one")
        with pytest.raises(BlobExists):
            late.commit()
    assert read(driver.open(url.replace("key", "other"), 0, None)) == b"one"


class _Gone(Exception):
    pass


def test_a_client_that_goes_away_leaves_nothing(
    driver: S3Driver, look: S3Client
) -> None:
    def upload() -> None:
        with driver.writer("key", 0, replace=True) as writer:
            writer.write(DATA)
            assert unfinished(look) == 1
            raise _Gone

    with pytest.raises(_Gone):
        upload()

    assert unfinished(look) == 0
    assert objects(look) == []


@pytest.mark.usefixtures("twice")
def test_what_cannot_be_aborted_is_logged_and_swept(
    driver: S3Driver,
    proxy: Proxy,
    look: S3Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.faults.append(Fault("DELETE", "uploadId", status=503, times=2))
    with driver.writer("key", 0, replace=True) as writer:
        writer.write(DATA)

    left = unfinished(look)
    swept = driver.sweep(key="key")

    assert (left, swept, unfinished(look)) == (1, 1, 0)
    assert "key: remains of an upload stay" in caplog.text


def test_two_uploads_of_one_key_do_not_mix(driver: S3Driver, look: S3Client) -> None:
    other = DATA[::-1]
    with (
        driver.writer("key", 0, replace=True) as one,
        driver.writer("key", 0, replace=True) as two,
    ):
        for start in range(0, len(DATA), MiB):
            one.write(DATA[start : start + MiB])
            two.write(other[start : start + MiB])
        one.commit()
        url = two.commit().url

    assert read(driver.open(url, 0, None)) == other
    assert unfinished(look) == 0


# Downloads


@pytest.mark.parametrize("cut", [0, 1, 100_000, 5 * MiB])
def test_a_download_goes_on_where_it_was_cut(
    driver: S3Driver, proxy: Proxy, cut: int
) -> None:
    url = put(driver, "key", DATA)
    proxy.faults.append(Fault("GET", "key", cut_answer=cut, times=2))

    assert read(driver.open(url, 3, len(DATA) - 5)) == DATA[3:-2]
    assert proxy.count("GET", "key") == 3


def test_a_download_that_is_cut_for_ever_ends(driver: S3Driver, proxy: Proxy) -> None:
    url = put(driver, "key", DATA)
    proxy.asked.clear()
    proxy.faults.append(Fault("GET", "key", cut_answer=MiB, times=99))

    with pytest.raises(StoreUnavailable):
        read(driver.open(url, 0, None))

    assert proxy.count("GET", "key") <= 1 + RESUMES


def test_a_download_is_never_pieced_together_of_two_objects(
    driver: S3Driver, proxy: Proxy
) -> None:
    url = put(driver, "key", DATA)
    proxy.faults.append(Fault("GET", "key", cut_answer=2 * MiB))
    reader = driver.open(url, 0, None)
    chunks = iter(reader)
    next(chunks)
    put(driver, "key", DATA[::-1], replace=True)

    with pytest.raises(StoreUnavailable):
        list(chunks)
    reader.close()


def test_an_object_that_is_shorter_than_its_header_says_is_no_short_one(
    driver: S3Driver, proxy: Proxy
) -> None:
    url = put(driver, "key", SMALL)
    longer = {"Content-Length": "9"}
    fault = Fault("GET", "key", headers=longer, cut_answer=5, times=99)
    proxy.faults.append(fault)

    with pytest.raises(StoreUnavailable):
        read(driver.open(url, 0, None))


def test_a_service_that_ignores_ranges_is_not_believed(
    driver: S3Driver, proxy: Proxy
) -> None:
    url = put(driver, "key", DATA)
    other = {"Content-Range": f"bytes 0-9/{len(DATA)}"}
    proxy.faults.append(Fault("GET", "key", headers=other))

    with pytest.raises(StoreUnavailable, match="something else"):
        driver.open(url, 10, 10)


@pytest.mark.usefixtures("impatient")
def test_a_download_from_a_service_that_hangs_is_given_up(
    driver: S3Driver, proxy: Proxy, look: S3Client
) -> None:
    look.call("put_object", Key="key", Body=SMALL)
    url = driver._url("key")
    held = threading.Event()
    proxy.faults.append(Fault("GET", "key", held=held, times=9))

    with pytest.raises(StoreUnavailable, match="does not answer"):
        driver.open(url, 0, None)
    held.set()


# The service, the bucket, the account

Use = Callable[[S3Driver, str], object]

USES: dict[str, Use] = {
    "write": lambda driver, _: put(driver, "other", SMALL, replace=True),
    "write parts": lambda driver, _: put(driver, "other", DATA, replace=True),
    "write new": lambda driver, _: put(driver, "other", SMALL),
    "open": lambda driver, url: driver.open(url, 0, None),
    "open part": lambda driver, url: driver.open(url, 1, 2),
    "size": lambda driver, url: driver.size(url),
    "find": lambda driver, _: driver.find("key"),
    "delete": lambda driver, url: driver.delete(url),
    "sweep": lambda driver, _: driver.sweep(),
    "list": lambda driver, _: list(driver.list_blobs()),
}


@pytest.fixture(params=USES)
def use(request: pytest.FixtureRequest) -> Use:
    return USES[request.param]


@pytest.mark.usefixtures("impatient")
def test_a_service_that_is_down_is_unavailable(s3: Service, use: Use) -> None:
    driver = S3Driver(s3.options(host=f"127.0.0.1:{free_port()}", timeout_s=2, **PARTS))

    with pytest.raises(StoreUnavailable, match="the store does not answer just now"):
        use(driver, driver._url("key"))


def test_without_a_bucket_nobody_can_tell(s3: Service, use: Use) -> None:
    driver = S3Driver(s3.options(**PARTS))

    with pytest.raises(StoreUnavailable, match="the bucket of the store does not"):
        use(driver, driver._url("key"))


@pytest.mark.parametrize(
    "account",
    [
        {"secret_key": "geheim-0815"},
        {"access_key": "nobody-4711", "secret_key": "geheim-0815"},
        {"access_key": "test:reader", "secret_key": "reading"},
    ],
    ids=["wrong secret", "unknown key", "denied"],
)
def test_a_refused_account_is_told_and_its_keys_are_not(
    s3: Service, use: Use, account: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    bucket = s3.driver()._options.bucket
    driver = S3Driver(s3.options(bucket=bucket, **PARTS, **account))

    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises((StoreUnavailable, Forbidden)) as failure,
    ):
        use(driver, driver._url("key"))

    assert "the store refuses access" in str(failure.value)
    assert failure.value.__cause__ is None
    told = f"{failure.value!r} {caplog.text} {driver._options!r}"
    for secret in ("geheim", "4711", "reading", "Signature="):
        assert secret not in told


def test_what_the_service_says_is_not_repeated(
    driver: S3Driver, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.faults.append(Fault("GET", "key", status=400, code="Bad\n<b>"))

    with pytest.raises(StoreUnavailable) as failure:
        driver.open(driver._url("key"), 0, None)

    assert str(failure.value) == "the store cannot do this just now"
    assert "the secret is testing" not in caplog.text


def test_a_delete_that_is_refused_is_forbidden(driver: S3Driver, proxy: Proxy) -> None:
    url = put(driver, "key", SMALL)
    proxy.faults.append(Fault("DELETE", "key", status=403, code="AccessDenied"))

    with pytest.raises(Forbidden):
        driver.delete(url)

    assert driver.find("key") == url


def test_a_delete_asks_once_and_waits_not_long(driver: S3Driver, proxy: Proxy) -> None:
    url = put(driver, "key", SMALL)
    proxy.asked.clear()
    proxy.faults.append(Fault("HEAD", "key", status=503, times=99))

    with pytest.raises(StoreUnavailable):
        driver.delete(url)

    assert len(proxy.asked) == 1


def test_the_bucket_is_created_at_an_upload_if_so_configured(s3: Service) -> None:
    options = s3.options(create_bucket=True, **PARTS)
    driver = S3Driver(options)

    before = driver.find("key")
    with pytest.raises(BlobNotFound):
        driver.delete(driver._url("key"))
    url = put(driver, "key", DATA)

    assert before is None
    assert read(driver.open(url, 0, None)) == DATA


def test_two_uploads_may_create_the_bucket_at_once(s3: Service) -> None:
    options = s3.options(create_bucket=True, **PARTS)
    one, two = S3Driver(options), S3Driver(options)
    one._create()

    two._create()

    assert two.find("key") is None


def test_an_address_nobody_listens_on_is_told_soon(s3: Service) -> None:
    with socket.socket() as deaf:
        # A queue of one that is full: a connection attempt hangs.
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        driver = S3Driver(s3.options(host=f"127.0.0.1:{port}"))

        with pytest.raises(StoreUnavailable):
            driver.delete(driver._url("key"))

        for filler in fillers:
            filler.close()


@pytest.fixture
def mute() -> Iterator[str]:
    """Yield the address of a service that takes connections and never answers."""
    with socket.socket() as listener:
        # The kernel accepts, and takes what its buffers hold.
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("name", ["write", "write parts", "open", "list"])
def test_a_service_that_never_answers_is_given_up_in_time(
    s3: Service, mute: str, name: str
) -> None:
    driver = S3Driver(s3.options(host=mute, timeout_s=2, **PARTS))
    url = driver._url("key")
    begun = time.monotonic()

    with pytest.raises(StoreUnavailable, match="does not answer"):
        USES[name](driver, url)

    # Two attempts of one second, and a pause between them.
    assert time.monotonic() - begun < 2 + 18


def test_a_service_that_falls_silent_ends_an_upload_in_time(
    driver: S3Driver, proxy: Proxy, impatient: None
) -> None:
    """The parts, then the abort: nothing waits for as long as it likes."""
    held = threading.Event()
    for method in ("PUT", "DELETE", "HEAD", "POST"):
        text = "uploadId" if method == "POST" else "key"
        proxy.faults.append(Fault(method, text, held=held, times=99))
    begun = time.monotonic()

    with pytest.raises(StoreUnavailable, match="does not answer"):
        put(driver, "key", DATA, replace=True)

    took_s = time.monotonic() - begun
    held.set()
    assert took_s < 20


def test_one_answer_that_is_lost_costs_half_the_patience(
    s3: Service, proxy: Proxy
) -> None:
    driver = s3.driver(host=proxy.host, timeout_s=6)
    url = put(driver, "key", SMALL)
    held = threading.Event()
    proxy.faults.append(Fault("HEAD", "key", held=held))

    size = driver.size(url)

    held.set()
    assert size == len(SMALL)
