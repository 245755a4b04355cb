"""What is S3's own: URLs, parts, signed URLs, leftovers, options."""

import logging
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from imagereg.errors import (
    BlobNotFound,
    ConfigurationError,
    StoreFull,
    StoreUnavailable,
)
from imagereg.model import Location
from imagereg.settings import S3StoreSettings, StoreSettings
from imagereg.stores import s3_upload
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.s3 import S3Driver, s3_options
from imagereg.stores.s3_client import S3Options, region_of
from imagereg.stores.s3_part import SLICE_BYTES, Part
from imagereg.stores.s3_upload import MAX_PARTS, MiB, PartPlan
from tests.stores.bucket import Service
from tests.stores.conformance import put, read
from tests.stores.s3_proxy import s3_proxy

SETTINGS = S3StoreSettings(
    s3_store_host="http://s3.test:9000",
    s3_store_access_key="the-key",
    s3_store_secret_key="the-secret",
    s3_store_bucket="images",
)
OPTIONS = s3_options(SETTINGS)
GiB = 1024 * MiB
KEY = "3c9d0e52-7c2f-4f0b-9a43-0a1b2c3d4e5f"


# URLs


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("s3.test", f"s3://s3.test/images/{KEY}"),
        ("http://s3.test:9000", f"s3://s3.test:9000/images/{KEY}"),
        ("http://s3.test:80/", f"s3://s3.test/images/{KEY}"),
        ("https://S3.Test", f"s3+https://s3.test/images/{KEY}"),
        ("https://s3.test:443", f"s3+https://s3.test/images/{KEY}"),
        ("https://s3.test:80", f"s3+https://s3.test:80/images/{KEY}"),
        ("http://[::1]:9000", f"s3://[::1]:9000/images/{KEY}"),
    ],
)
def test_urls_name_host_bucket_and_key(host: str, url: str) -> None:
    driver = S3Driver(s3_options(replace(SETTINGS, s3_store_host=host)))

    assert driver._url(KEY) == url
    assert driver._parse(url) == KEY


@pytest.mark.parametrize(
    "url",
    [
        f"s3://s3.test:9000/images/{KEY}",
        f"s3+http://s3.test:9000/images/{KEY}",
        f"s3+https://s3.test:9000/images/{KEY}",
        f"s3://key:secret@s3.test:9000/images/{KEY}",
        f"s3://key:se/cr@et@s3.test:9000/images/{KEY}",
        f"s3://key:a+b/c==@S3.test:9000/images/{KEY}",
    ],
)
def test_urls_of_old_rows_are_understood(url: str) -> None:
    driver = S3Driver(OPTIONS)

    assert driver.owns(url)
    assert driver.canonical(url) == f"s3://s3.test:9000/images/{KEY}"


@pytest.mark.parametrize(
    "url",
    [
        f"http://s3.test:9000/images/{KEY}",
        f"s3://s3.test/images/{KEY}",
        f"s3://s3.test:9000/other/{KEY}",
        f"s3://s3.test:9000/images2/{KEY}",
        "s3://s3.test:9000/images/",
        "s3://s3.test:9000/images",
        "s3://s3.test:9000/images/a/b",
        "s3://s3.test:9000/images/a%2Fb",
        "s3://s3.test:9000/images/..",
        f"s3://s3://s3.test:9000/images/{KEY}",
        "s3://",
    ],
)
def test_urls_of_other_places_are_not_its_own(url: str) -> None:
    driver = S3Driver(OPTIONS)

    assert not driver.owns(url)
    for use in (driver.delete, driver.size, driver.canonical):
        with pytest.raises(BlobNotFound):
            use(url)
    with pytest.raises(BlobNotFound):
        driver.signed_url(url, 60)


def test_a_location_without_store_is_found_by_its_url() -> None:
    wanted = [
        StoreSettings("one", "s3", SETTINGS),
        StoreSettings("two", "s3", replace(SETTINGS, s3_store_bucket="more")),
    ]
    catalog = StoreCatalog.open(wanted, "one")

    found = catalog.find_for(Location(f"s3://a:b@s3.test:9000/more/{KEY}"))

    assert found is catalog["two"]


# Options


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("s3-us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("s3.dualstack.ap-south-1.amazonaws.com", "ap-south-1"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("S3.eu-west-2.amazonaws.com:443", "eu-west-2"),
        ("s3.eu-central-2.wasabisys.com", "eu-central-2"),
        ("s3.us-west-004.backblazeb2.com", "us-west-004"),
        ("fra1.digitaloceanspaces.com", "fra1"),
        ("s3.fr-par.scw.cloud", "fr-par"),
        ("s3.amazonaws.com", None),
        ("s3.eu-central-1.amazonaws.com.example.org", None),
        ("s3.example.org", None),
        ("127.0.0.1:9000", None),
    ],
)
def test_hosts_of_well_known_providers_tell_the_region(
    host: str, region: str | None
) -> None:
    assert region_of(host) == region
    assert replace(OPTIONS, host=host).known_region == region
    assert replace(OPTIONS, host=host, region="mine").known_region == "mine"


@pytest.mark.parametrize(
    ("protected", "expected"),
    [(False, "when_required"), (True, "when_supported")],
)
def test_checksums_are_for_who_asks_for_protection(
    protected: bool, expected: str
) -> None:
    options = s3_options(
        replace(
            SETTINGS,
            s3_store_enable_data_integrity_protection=protected,
            s3_store_request_checksum_calculation="when_supported",
            s3_store_response_checksum_validation="when_supported",
        )
    )

    assert options.request_checksums == expected
    assert options.response_checksums == expected


@pytest.mark.parametrize("text", ["", "no certificate"])
def test_bad_authorities_show_at_start(tmp_path: Path, text: str) -> None:
    ca_file = tmp_path / "ca.pem"
    ca_file.write_text(text)
    wanted = StoreSettings("s3", "s3", replace(SETTINGS, s3_store_cacert=ca_file))

    with pytest.raises(ConfigurationError, match=r"store s3: .*ca\.pem"):
        StoreCatalog.open([wanted], "s3")
    optional = StoreCatalog.open([replace(wanted, optional=True)], "s3")

    assert not optional["s3"].writable


def test_the_environment_of_the_operator_is_left_aside(
    s3: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("[default]\ns3 =\n  addressing_style = virtual\n")
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ACCESS_KEY_ID": "wrong",
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "AWS_SESSION_TOKEN": "wrong",
        "AWS_DEFAULT_REGION": "wrong",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)

    driver = s3.driver()

    assert read(driver.open(put(driver, "key", b"bytes"), 0, None)) == b"bytes"


@pytest.mark.parametrize("size", [5, 11 * MiB])
@pytest.mark.parametrize("secure", [False, True])
def test_checksums_guard_the_bytes_where_wanted(
    s3: Service, tmp_path: Path, size: int, secure: bool
) -> None:
    wanted = "when_supported"
    checks = {"request_checksums": wanted, "response_checksums": wanted}
    data = os.urandom(size)
    bucket = s3.driver()._options.bucket
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))

    with s3_proxy(s3.host, tls if secure else None) as proxy:
        driver = S3Driver(
            s3.options(
                host=proxy.host,
                bucket=bucket,
                secure=secure,
                ca_file=CERTIFICATE if secure else None,
                part_bytes=5 * MiB,
                **checks,
            )
        )
        url = put(driver, "key", data)
        got = read(driver.open(url, 0, size))
        part = read(driver.open(url, 2, 2))

    assert (got, part) == (data, data[2:4])


CERTIFICATE = Path(__file__).parent.parent / "policy" / "tls" / "cert.pem"


def test_certificates_are_checked(s3: Service) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERTIFICATE, CERTIFICATE.with_name("key.pem"))

    with s3_proxy(s3.host, tls) as proxy:
        options = s3.options(host=proxy.host, secure=True)
        with pytest.raises(StoreUnavailable):
            S3Driver(options).find("key")

    assert proxy.asked == []


# Parts


@pytest.mark.parametrize(
    ("announced", "first", "part", "senders"),
    [
        (0, 10, 10, 3),
        (5 * MiB, 48, 10, 3),
        (99 * MiB, 48, 10, 3),
        (100 * MiB, 10, 10, 3),
        (200 * GiB, 21, 21, 1),
        (5 * 1024 * GiB, 525, 525, 1),
    ],
)
def test_parts_are_as_long_as_they_must(
    announced: int, first: int, part: int, senders: int
) -> None:
    plan = PartPlan.of(OPTIONS, announced)

    assert (plan.first_bytes, plan.part_bytes) == (first * MiB, part * MiB)
    assert plan.senders_at(1) == senders


@pytest.mark.parametrize("announced", [GiB, 97 * GiB + 1, 1024 * GiB, 5000 * GiB])
def test_there_are_never_too_many_parts(announced: int) -> None:
    assert -(-announced // PartPlan.of(OPTIONS, announced).part_bytes) <= MAX_PARTS


def test_an_image_of_unknown_length_may_reach_a_tebibyte() -> None:
    plan = PartPlan.of(OPTIONS, 0)

    lengths = [plan.bytes_of(number) for number in range(1, MAX_PARTS + 1)]

    assert lengths[0] == lengths[1599] == 10 * MiB
    assert lengths[1600] == 20 * MiB
    assert sum(lengths) > 1024 * GiB
    assert [plan.senders_at(number) for number in (1, 1601, 3201)] == [3, 1, 1]


def test_few_threads_mean_few_parts() -> None:
    assert PartPlan.of(replace(OPTIONS, threads=1), 0).senders_at(1) == 1
    assert PartPlan.of(replace(OPTIONS, threads=2), 0).senders_at(1) == 2


def part_of(*chunks: bytes) -> Part:
    part = Part()
    for chunk in chunks:
        part.append(memoryview(chunk))
    return part


def test_a_part_reads_like_a_file() -> None:
    chunks = [b"ab", b"", os.urandom(SLICE_BYTES + 5), b"yz"]
    whole = b"".join(chunks)
    part = part_of(*chunks)

    pieces = list(iter(lambda: bytes(part.read(10)), b""))

    assert b"".join(pieces) == whole
    assert max(map(len, pieces)) == SLICE_BYTES
    assert len(part) == part.tell() == len(whole)
    for position in (0, 1, 2, 3, 100, len(whole) - 1, len(whole)):
        assert part.seek(position) == position == part.tell()
        rest = b"".join(iter(lambda: bytes(part.read()), b""))
        assert rest == whole[position:]
    assert part.seek(-2, 2) == len(whole) - 2
    assert part.read() == b"yz"


def test_more_parts_than_there_may_be_are_refused(
    s3: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "MAX_PARTS", 2)
    driver = s3.driver(part_bytes=5 * MiB, single_bytes=0)

    with (
        driver.writer("key", 0, replace=True) as writer,
        pytest.raises(StoreFull),
    ):
        writer.write(bytes(16 * MiB))

    assert driver.sweep(key="key") == 0


def test_a_writer_that_is_too_slow_gives_up(
    s3: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_upload, "PATIENCE_S", -1.0)
    driver = s3.driver(part_bytes=5 * MiB, single_bytes=0)

    with pytest.raises(StoreUnavailable, match="too slowly"):
        put(driver, "key", bytes(11 * MiB))


# Signed URLs


@pytest.fixture
def signed(s3: Service) -> Iterator[tuple[S3Driver, str]]:
    driver = s3.driver()
    yield driver, put(driver, "key", b"0123456789")


def fetch(url: str, **headers: str) -> tuple[bytes, Any]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        return answer.read(), answer.headers


def test_a_signed_url_reads_the_blob(signed: tuple[S3Driver, str]) -> None:
    driver, url = signed

    link = driver.signed_url(url, 60, 'größe "1".img')

    body, headers = fetch(link)
    assert body == b"0123456789"
    assert headers["Content-Disposition"] == (
        "attachment; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%221%22.img"
    )
    assert fetch(link, Range="bytes=2-4")[0] == b"234"
    assert "X-Amz-Signature" in link
    assert driver._options.secret_key not in link


def test_a_signed_url_is_good_for_one_blob_and_one_while(
    signed: tuple[S3Driver, str],
) -> None:
    driver, url = signed
    put(driver, "other", b"other")
    link = driver.signed_url(url, 60)
    short = driver.signed_url(url, 1)
    # The service's clock has seconds, so two must pass.
    deadline = time.monotonic() + 2.1
    while time.monotonic() < deadline:
        time.sleep(0.05)

    for wrong in (link.replace("/key?", "/other?"), short):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            fetch(wrong)
        assert refusal.value.code == 403
        refusal.value.close()


@pytest.mark.parametrize(("asked", "given"), [(0, 1), (60, 60), (10**9, 604800)])
def test_no_signature_is_good_for_longer_than_a_week(asked: int, given: int) -> None:
    link = S3Driver(OPTIONS).signed_url(f"s3://s3.test:9000/images/{KEY}", asked)

    assert f"X-Amz-Expires={given}&" in link
    assert link.startswith(f"http://s3.test:9000/images/{KEY}?")


def test_signing_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        S3Driver(OPTIONS).signed_url(f"s3://s3.test:9000/images/{KEY}", 60)

    assert "X-Amz" not in caplog.text
    assert "the-key" not in caplog.text


@pytest.mark.parametrize(
    ("style", "start"),
    [
        ("path", "http://s3.test:9000/images/"),
        ("virtual", "http://images.s3.test:9000/"),
    ],
)
def test_the_bucket_stands_where_the_operator_wants_it(style: str, start: str) -> None:
    driver = S3Driver(replace(OPTIONS, addressing=style))

    assert driver.signed_url(f"s3://s3.test:9000/images/{KEY}", 9).startswith(start)


# Leftovers


def begin(driver: S3Driver, key: str) -> None:
    """Begin an upload that nobody will finish."""
    client = driver._client
    upload = client.call("create_multipart_upload", Key=key)["UploadId"]
    client.call("upload_part", Key=key, UploadId=upload, PartNumber=1, Body=b"x")


def unfinished(driver: S3Driver) -> list[str]:
    found = driver._client.call("list_multipart_uploads").get("Uploads", ())
    return sorted(each["Key"] for each in found)


def test_uploads_of_one_key_are_swept_with_it(s3: Service) -> None:
    driver = s3.driver()
    for key in (KEY, KEY, f"{KEY}-more", "other"):
        begin(driver, key)

    counted = driver.sweep(key=KEY, pretend=True)
    swept = driver.sweep(key=KEY)

    assert (counted, swept) == (2, 2)
    assert unfinished(driver) == [f"{KEY}-more", "other"]


def test_silent_uploads_of_images_are_swept_and_no_others(
    s3: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = s3.driver()
    begin(driver, KEY)
    begin(driver, "backup-of-somebody-else")

    early = driver.sweep()
    monkeypatch.setattr("imagereg.stores.s3.SILENCE_S", -60.0)
    still_early = driver.sweep(older_than_s=3600)
    counted = driver.sweep(older_than_s=-60, pretend=True)
    late = driver.sweep(older_than_s=-60)

    assert (early, still_early, counted, late) == (0, 0, 1, 1)
    assert unfinished(driver) == ["backup-of-somebody-else"]


def test_an_upload_under_way_is_never_swept(
    s3: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = s3.driver(part_bytes=5 * MiB, single_bytes=0)
    monkeypatch.setattr("imagereg.stores.s3.SILENCE_S", -60.0)

    with driver.writer(KEY, 0, replace=True) as writer:
        writer.write(bytes(6 * MiB))
        swept = driver.sweep(key=KEY) + driver.sweep(older_than_s=-60)
        url = writer.commit().url

    assert swept == 0
    assert driver.size(url) == 6 * MiB


def test_a_child_process_has_a_client_of_its_own(s3: Service) -> None:
    driver = s3.driver()
    url = put(driver, "key", b"bytes")
    parent = driver._client._client(hasty=False)

    child = os.fork()
    if not child:  # pragma: no cover - the child ends without a report
        code = 1
        try:
            is_new = driver._client._client(hasty=False) is not parent
            is_good = read(driver.open(url, 0, None)) == b"bytes"
            code = 0 if is_new and is_good else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert read(driver.open(url, 0, None)) == b"bytes"


def test_a_listing_goes_beyond_one_page(s3: Service) -> None:
    driver = s3.driver()
    names = sorted(str(uuid4()) for _ in range(3))
    for name in names:
        put(driver, name, name.encode())
    real = driver._client.pages

    driver._client.pages = lambda operation, **more: real(  # type: ignore[method-assign] # smaller pages
        operation, PaginationConfig={"PageSize": 2}, **more
    )

    assert [blob.key for blob in driver.list_blobs()] == names


def test_options_do_not_show_their_keys() -> None:
    assert "the-secret" not in repr(OPTIONS)
    assert "the-key" not in repr(OPTIONS)
    assert isinstance(OPTIONS, S3Options)
