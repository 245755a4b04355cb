"""A file store in a temporary directory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.stores.filesystem import FileOptions, FilesystemDriver

Make = Callable[..., FilesystemDriver]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def build(*places: tuple[str, int], **options: object) -> FilesystemDriver:
        datadirs = tuple((tmp_path / name, rank) for name, rank in places)
        chosen = FileOptions(datadirs or ((tmp_path / "data", 0),), **options)  # type: ignore[arg-type]  # any option of FileOptions
        driver = FilesystemDriver(chosen)
        driver.prepare()
        return driver

    return build


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "data"
