"""Every driver of the catalogue keeps the contract."""

from pathlib import Path

import pytest

from imagereg.stores import catalog
from imagereg.stores.driver import StoreDriver
from imagereg.stores.filesystem import FileOptions, FilesystemDriver
from imagereg.stores.memory import MemoryDriver
from tests.stores.conformance import StoreConformance


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


def test_every_driver_of_the_catalogue_is_tested() -> None:
    tested = {each.store_type for each in StoreConformance.__subclasses__()}

    assert tested >= set(catalog._OPENERS)
