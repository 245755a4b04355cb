"""Every driver of the catalogue keeps the contract."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imagereg.settings.imaging import ImportFiltering
from imagereg.stores import catalog
from imagereg.stores.driver import StoreDriver
from imagereg.stores.fetcher import Fetcher
from imagereg.stores.filesystem import FileOptions, FilesystemDriver
from imagereg.stores.http import HTTPDriver
from imagereg.stores.memory import MemoryDriver
from imagereg.stores.url_filter import URLFilter
from tests.stores.bucket import Service
from tests.stores.conformance import MiB, ReadOnlyConformance, StoreConformance
from tests.stores.web import Web, web_server


class TestMemoryDriver(StoreConformance):
    @pytest.fixture
    def driver(self) -> StoreDriver:
        return MemoryDriver()


class TestFilesystemDriver(StoreConformance):
    store_type = "file"

    @pytest.fixture
    def driver(self, tmp_path: Path) -> StoreDriver:
        driver = FilesystemDriver(FileOptions(datadirs=((tmp_path / "images", 0),)))
        driver.prepare()
        return driver


class TestThinFilesystemDriver(StoreConformance):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> StoreDriver:
        options = FileOptions(datadirs=((tmp_path, 0),), is_thin=True, fsync=False)
        driver = FilesystemDriver(options)
        driver.prepare()
        return driver


class TestFilesystemDriverOfTwoDirectories(StoreConformance):
    @pytest.fixture
    def driver(self, tmp_path: Path) -> StoreDriver:
        places = ((tmp_path / "one", 10), (tmp_path / "two", 10))
        driver = FilesystemDriver(FileOptions(datadirs=places, fsync=False))
        driver.prepare()
        return driver


class TestS3Driver(StoreConformance):
    store_type = "s3"

    @pytest.fixture
    def driver(self, s3: Service) -> StoreDriver:
        return s3.driver()


class TestS3DriverOfSmallParts(StoreConformance):
    @pytest.fixture
    def driver(self, s3: Service) -> StoreDriver:
        # The smallest that the service takes, so that large blobs go in several.
        return s3.driver(part_bytes=5 * MiB, single_bytes=0, threads=1)


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


def web_driver() -> HTTPDriver:
    options = replace(ImportFiltering(), allowed_hosts=("127.0.0.1",), allowed_ports=())
    return HTTPDriver(Fetcher(URLFilter(options)))


class TestHTTPDriver(ReadOnlyConformance):
    store_type = "http"

    @pytest.fixture
    def driver(self) -> StoreDriver:
        return web_driver()

    @pytest.fixture
    def publish(self, web: Web) -> Callable[[bytes], str]:
        return lambda data: web.put("/blob", data)


class TestHTTPDriverWithoutRanges(ReadOnlyConformance):
    @pytest.fixture
    def driver(self) -> StoreDriver:
        return web_driver()

    @pytest.fixture
    def publish(self, web: Web) -> Callable[[bytes], str]:
        return lambda data: web.put("/blob", data, ranges=False)


def test_every_driver_of_the_catalogue_is_tested() -> None:
    kinds = (StoreConformance, ReadOnlyConformance)
    tested = {each.store_type for kind in kinds for each in kind.__subclasses__()}

    assert tested >= set(catalog._OPENERS)
