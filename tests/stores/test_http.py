"""The http driver with servers that do not behave."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from imagereg.errors import StoreUnavailable
from imagereg.settings.imaging import ImportFiltering
from imagereg.stores.fetcher import Fetcher
from imagereg.stores.http import HTTPDriver
from imagereg.stores.url_filter import URLFilter
from tests.stores.conformance import read
from tests.stores.web import Web, web_server


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


@pytest.fixture
def driver() -> HTTPDriver:
    options = replace(ImportFiltering(), allowed_hosts=("127.0.0.1",), allowed_ports=())
    return HTTPDriver(Fetcher(URLFilter(options)))


def test_a_source_that_does_not_know_head_has_a_size(
    web: Web, driver: HTTPDriver
) -> None:
    assert driver.size(web.put("/x", b"bytes", knows_head=False)) == 5


def test_a_source_that_does_not_say_its_size_has_none(
    web: Web, driver: HTTPDriver
) -> None:
    url = web.put("/x", b"bytes", says_length=False)

    with pytest.raises(StoreUnavailable):
        driver.size(url)
    with pytest.raises(StoreUnavailable):
        driver.open(url, 0, None)
    assert read(driver.open(url, 1, 3)) == b"yte"


def test_a_source_that_ends_early_is_not_passed_off_as_whole(
    web: Web, driver: HTTPDriver
) -> None:
    unsaid = web.put("/x", b"bytes", says_length=False, ranges=False)
    broken = web.put("/y", b"bytes", cut=1)

    for url in (unsaid, broken):
        with pytest.raises(StoreUnavailable):
            read(driver.open(url, 0, 6 if url == unsaid else 5))


@pytest.mark.parametrize(
    "content_range", ["", "bytes 0-4/5", "bytes 3-1/5", "bytes 1-x/5", "lines 1-2/5"]
)
def test_another_range_than_asked_for_is_no_answer(
    web: Web, driver: HTTPDriver, content_range: str
) -> None:
    headers = {"Content-Range": content_range}
    url = web.put("/x", b"ytes", status=206, headers=headers, ranges=False)

    with pytest.raises(StoreUnavailable):
        driver.open(url, 1, 2)


def test_more_than_asked_for_is_dropped(web: Web, driver: HTTPDriver) -> None:
    headers = {"Content-Range": "bytes 1-4/5"}
    url = web.put("/x", b"ytes", status=206, headers=headers, ranges=False)

    assert read(driver.open(url, 1, 2)) == b"yt"


def test_what_the_filter_refuses_now_cannot_be_read(web: Web) -> None:
    driver = HTTPDriver(Fetcher(URLFilter(ImportFiltering())))

    with pytest.raises(StoreUnavailable):
        driver.open(web.put("/x", b"bytes"), 0, None)
    assert web.asked == []
