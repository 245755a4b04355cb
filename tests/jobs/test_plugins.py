"""The steps of an import, each on data of its own."""

import bz2
import gzip
import subprocess
from pathlib import Path

import pytest

from imagereg.errors import (
    ConfigurationError,
    ImageNotFound,
    TooLarge,
    UnsafeContent,
)
from imagereg.jobs.plugins import ImportPlugin, ImportWork, PluginResult, load_plugins
from imagereg.jobs.plugins.conversion import Conversion
from imagereg.jobs.plugins.decompression import Decompression
from imagereg.jobs.plugins.injection import Injection
from imagereg.model import Image, Status
from imagereg.settings import Settings, load_settings
from imagereg.stores.driver import BlobReader
from imagereg.stores.formats import FormatRules
from imagereg.stores.memory import MemoryDriver
from tests.stores import disks

MIB = 1024 * 1024
NOTHING = PluginResult()
KEY = "11111111-2222-4333-8444-555555555555"


def wanted() -> None:
    """Say that the work goes on."""


def work(
    folder: Path,
    data: bytes,
    disk_format: str = "raw",
    container_format: str = "bare",
    roles: frozenset[str] = frozenset({"member"}),
) -> ImportWork:
    driver = MemoryDriver()
    with driver.writer(KEY, 0, replace=False) as writer:
        writer.write(data)
        url = writer.commit().url

    image = Image(
        KEY,
        0,
        0,
        status=Status.IMPORTING,
        disk_format=disk_format,
        container_format=container_format,
    )

    def opened(offset: int = 0, length: int | None = None) -> BlobReader:
        return driver.open(url, offset, length)

    return ImportWork(image, roles, len(data), opened, folder, wanted)


def data_of(result: PluginResult) -> bytes:
    assert result.data is not None
    return b"".join(result.data)


def qcow2_of(folder: Path, content: bytes) -> bytes:
    source, target = folder / "raw", folder / "qcow2"
    source.write_bytes(content)
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, target], check=True
    )
    data = target.read_bytes()
    source.unlink()
    target.unlink()
    return data


def test_properties_are_injected_but_for_those_who_are_spared(tmp_path: Path) -> None:
    step = Injection({"imported": "yes"}, frozenset({"admin"}))
    admin = frozenset({"admin", "member"})

    assert step.run(work(tmp_path, b"x")) == PluginResult(
        properties={"imported": "yes"}
    )
    assert step.run(work(tmp_path, b"x", roles=admin)) == NOTHING


def test_packed_data_are_unpacked(tmp_path: Path) -> None:
    content = b"disk" * 100_000
    result = Decompression(MIB).run(work(tmp_path, bz2.compress(content)))
    assert data_of(result) == content
    assert result.fields == {}


@pytest.mark.parametrize("data", [b"", b"x", disks.qcow2()])
def test_data_that_are_not_packed_stay(tmp_path: Path, data: bytes) -> None:
    assert Decompression(MIB).run(work(tmp_path, data)) == NOTHING
    assert not [*tmp_path.iterdir()]


def test_images_that_are_meant_to_be_packed_stay_so(tmp_path: Path) -> None:
    packed = gzip.compress(b"disk")
    step = Decompression(MIB)
    assert step.run(work(tmp_path, packed, container_format="compressed")) == NOTHING


def test_unpacking_ends_at_the_size_limit(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        Decompression(MIB).run(work(tmp_path, gzip.compress(bytes(MIB + 1))))


def test_a_disk_is_converted(tmp_path: Path) -> None:
    content = b"boot" + bytes(5 * MIB) + b"data" * 1000
    content = content.ljust(6 * MIB, b"\0")
    packed = qcow2_of(tmp_path, content)

    raw = Conversion("raw", FormatRules()).run(work(tmp_path, packed, "qcow2"))

    assert raw.fields == {"disk_format": "raw"}
    assert data_of(raw) == content


def test_a_disk_is_converted_to_another_format(tmp_path: Path) -> None:
    result = Conversion("qcow2", FormatRules()).run(work(tmp_path, bytes(MIB), "raw"))

    assert result.fields == {"disk_format": "qcow2"}
    assert data_of(result).startswith(b"QFI\xfb")


@pytest.mark.parametrize(
    ("disk_format", "container_format"),
    [("raw", "bare"), ("iso", "bare"), ("aki", "bare"), ("qcow2", "ovf")],
)
def test_what_is_no_disk_to_convert_stays(
    tmp_path: Path, disk_format: str, container_format: str
) -> None:
    given = work(tmp_path, disks.iso(), disk_format, container_format)
    assert Conversion("raw", FormatRules()).run(given) == NOTHING


@pytest.mark.parametrize(
    "data",
    [
        disks.qcow2(backing=64),
        disks.qcow2(features=4),
        disks.qed(),
        disks.iso(),
        bytes(64 * 1024),
    ],
    ids=["backing", "data-file", "qed", "iso", "raw"],
)
def test_hostile_and_mislabelled_disks_never_reach_qemu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # Where no qemu-img is.
    with pytest.raises(UnsafeContent):
        Conversion("raw", FormatRules()).run(work(tmp_path, data, "qcow2"))
    assert not [*tmp_path.iterdir()]


def test_a_disk_labelled_raw_is_not_taken_for_what_it_looks_like(
    tmp_path: Path,
) -> None:
    """qemu would open a qcow2 inside, and what that refers to."""
    hostile = qcow2_of(tmp_path, bytes(MIB))
    with pytest.raises(UnsafeContent):
        Conversion("qcow2", FormatRules()).run(work(tmp_path, hostile, "raw"))


def test_long_work_stops_when_nobody_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise ImageNotFound(KEY)

    monkeypatch.setattr("imagereg.stores.compression._LOOK_S", 0.0)
    given = work(tmp_path, gzip.compress(bytes(4 * MIB)))
    unwanted = ImportWork(
        given.image, given.roles, given.size, given.open, given.scratch, gone
    )
    with pytest.raises(ImageNotFound):
        Decompression(1 << 40).run(unwanted)


def configured(folder: Path, plugins: str) -> Settings:
    path = folder / "imagereg.conf"
    path.write_text(
        f"[image_import_opts]\nimage_import_plugins = {plugins}\n"
        "[inject_metadata_properties]\ninject = a:1,b:2\nignore_user_roles = Admin\n"
        "[image_conversion]\noutput_format = qcow2\n"
        "[DEFAULT]\nimage_size_cap = 77\n"
    )
    return load_settings([path], environ={})


def test_steps_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    plugins = load_plugins(
        configured(
            tmp_path,
            "[image_decompression, image_conversion, inject_image_metadata, no_op]",
        )
    )
    unpack, convert, inject, nothing = plugins
    assert unpack == Decompression(77)
    assert isinstance(convert, Conversion)
    assert convert.output_format == "qcow2"
    assert inject == Injection({"a": "1", "b": "2"}, frozenset({"admin"}))
    given: ImportPlugin = nothing
    assert given.run(work(tmp_path, b"")) == NOTHING


def test_conversion_without_its_programs_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(tmp_path, "[image_conversion]")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="needs qemu-img"):
        load_plugins(settings)
