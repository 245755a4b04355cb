import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.errors import (
    ConfigurationError,
    StoreReadOnly,
    StoreUnavailable,
    UnknownStore,
)
from imagereg.model import Location
from imagereg.settings import (
    FileStoreSettings,
    HTTPStoreSettings,
    StoreSettings,
    load_settings,
)
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.memory import MemoryDriver
from imagereg.stores.store import Store, StoreTraits, UploadPlan

PLAN = UploadPlan("sha256")


def file_store(
    store_id: str,
    *places: Path,
    is_optional: bool = False,
    is_reserved: bool = False,
    metadata_file: Path | None = None,
) -> StoreSettings:
    options = FileStoreSettings(
        filesystem_store_datadir=None,
        filesystem_store_datadirs=tuple((path, 0) for path in places),
        filesystem_store_metadata_file=metadata_file,
    )
    return StoreSettings(
        id=store_id,
        type="file",
        options=options,
        description="disks",
        weight=7,
        optional=is_optional,
        reserved=is_reserved,
    )


@pytest.fixture
def catalog(tmp_path: Path) -> StoreCatalog:
    return StoreCatalog.open(
        (
            file_store("slow", tmp_path / "slow"),
            file_store("fast", tmp_path / "fast"),
            file_store(
                "os_glance_staging_store", tmp_path / "staging", is_reserved=True
            ),
        ),
        "fast",
    )


def test_knows_its_stores_in_order(catalog: StoreCatalog) -> None:
    assert [store.id for store in catalog] == ["slow", "fast"]
    assert len(catalog) == 2
    assert catalog.default is catalog["fast"]
    assert "slow" in catalog


def test_tells_what_was_configured(catalog: StoreCatalog, tmp_path: Path) -> None:
    store = catalog["slow"]

    assert (store.type, store.weight, store.description) == ("file", 7, "disks")
    assert store.writable
    assert store.properties == {
        "data_dir": str(tmp_path / "slow"),
        "chunk_size": 65536,
        "thin_provisioning": False,
    }


def test_several_directories_are_all_told(tmp_path: Path) -> None:
    wanted = file_store("disks", tmp_path / "a", tmp_path / "b")

    store = StoreCatalog.open((wanted,), "disks").default

    assert store.properties["data_dir"] == [str(tmp_path / "a"), str(tmp_path / "b")]


@pytest.mark.parametrize("store_id", ["", "other", "os_glance_staging_store"])
def test_nobody_can_name_an_unknown_or_reserved_store(
    catalog: StoreCatalog, store_id: str
) -> None:
    assert store_id not in catalog
    with pytest.raises(UnknownStore):
        catalog[store_id]


def test_the_service_has_its_staging(catalog: StoreCatalog, tmp_path: Path) -> None:
    catalog.staging.add("key", [b"bytes"], PLAN)

    assert (tmp_path / "staging" / "key").exists()


def test_staged_data_may_wait_in_any_store_that_takes_data(tmp_path: Path) -> None:
    wanted = [file_store(name, tmp_path / name) for name in ("one", "two")]

    catalog = StoreCatalog.open(wanted, "one", staging="two")

    assert catalog.staging is catalog["two"] is catalog.own("two")


@pytest.mark.parametrize("store_id", ["web", "absent"])
def test_staged_data_need_a_store_that_takes_data(
    tmp_path: Path, store_id: str
) -> None:
    web = StoreSettings("web", "http", HTTPStoreSettings())
    wanted = [file_store("one", tmp_path / "one"), web]

    with pytest.raises(ConfigurationError, match=store_id):
        StoreCatalog.open(wanted, "one", staging=store_id)


def test_the_service_finds_what_lies_in_its_own_stores(catalog: StoreCatalog) -> None:
    location = catalog.staging.add("key", [b"bytes"], PLAN).location

    assert catalog.find_for(location, reserved=True) is catalog.staging
    with pytest.raises(StoreUnavailable):
        catalog.find_for(location)
    with pytest.raises(StoreUnavailable):
        catalog.find_for(Location(location.url), reserved=True)


def test_finds_the_store_of_a_location(catalog: StoreCatalog, tmp_path: Path) -> None:
    location = catalog["slow"].add("key", [b"bytes"], PLAN).location

    assert catalog.find_for(location) is catalog["slow"]
    assert catalog.find_for(Location(location.url)) is catalog["slow"]
    assert catalog.find_for(Location(location.url, store="gone")) is catalog["slow"]
    assert catalog.find_for(Location(location.url, store="fast")) is catalog["slow"]


@pytest.mark.parametrize("url", ["s3://host/bucket/key", "file:///etc/passwd", ""])
def test_a_location_of_no_store_is_out_of_reach(
    catalog: StoreCatalog, url: str
) -> None:
    with pytest.raises(StoreUnavailable):
        catalog.find_for(Location(url, store="fast"))


def test_a_store_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    broken = file_store("one", tmp_path / "file" / "x")
    other = file_store("two", tmp_path / "file" / "y")

    with pytest.raises(ConfigurationError) as failure:
        StoreCatalog.open((broken, other), "one")

    assert [fault[:10] for fault in failure.value.faults] == [
        "store one:",
        "store two:",
    ]


def test_an_optional_store_that_cannot_be_used_takes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    broken = file_store("one", tmp_path / "file" / "x", is_optional=True)

    catalog = StoreCatalog.open((broken,), "one")

    assert not catalog.default.writable
    assert "store one takes no data" in caplog.text
    assert catalog.sweep() == 0
    assert "leftovers stay" in caplog.text


def test_a_bad_metadata_file_is_a_fault(tmp_path: Path) -> None:
    metadata = tmp_path / "metadata.json"
    metadata.write_text("{")
    wanted = file_store("one", tmp_path / "data", metadata_file=metadata)

    with pytest.raises(ConfigurationError, match=r"metadata\.json"):
        StoreCatalog.open((wanted,), "one")


def test_locations_carry_their_mountpoint(tmp_path: Path) -> None:
    entry = {"id": "disk", "mountpoint": str(tmp_path)}
    metadata = tmp_path / "metadata.json"
    metadata.write_text(json.dumps(entry))
    wanted = file_store("one", tmp_path / "data", metadata_file=metadata)

    stored = StoreCatalog.open((wanted,), "one").default.add("key", [], PLAN)

    assert stored.location.metadata == entry


def test_a_store_without_a_driver_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tape = StoreSettings(id="tape", type="tape", options=HTTPStoreSettings())

    catalog = StoreCatalog.open((tape, file_store("one", tmp_path)), "one")

    assert [store.id for store in catalog] == ["one"]
    assert "tape left out" in caplog.text
    with pytest.raises(ConfigurationError, match="default"):
        StoreCatalog.open((tape, file_store("one", tmp_path)), "tape")


def test_an_http_store_takes_no_data(tmp_path: Path) -> None:
    web = StoreSettings(id="web", type="http", options=HTTPStoreSettings())

    catalog = StoreCatalog.open((file_store("one", tmp_path), web), "one")

    assert not catalog["web"].writable
    assert catalog.find_for(Location("http://example.org/x")) is catalog["web"]
    with pytest.raises(StoreReadOnly):
        catalog["web"].add("key", [b"bytes"], PLAN)


@pytest.mark.parametrize(
    "options",
    [
        HTTPStoreSettings(http_proxy_information={"ftp": "proxy:3128"}),
        HTTPStoreSettings(https_ca_certificates_file=Path("/nonexistent/ca.pem")),
        FileStoreSettings(),
    ],
)
def test_options_an_http_store_cannot_use_are_a_fault(
    tmp_path: Path, options: HTTPStoreSettings | FileStoreSettings
) -> None:
    web = StoreSettings(id="web", type="http", options=options)

    with pytest.raises(ConfigurationError, match="store web"):
        StoreCatalog.open((file_store("one", tmp_path), web), "one")


def test_unverified_certificates_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = HTTPStoreSettings(https_insecure=True)
    web = StoreSettings(id="web", type="http", options=options)

    StoreCatalog.open((file_store("one", tmp_path), web), "one")

    assert "https_insecure" in caplog.text


def test_options_of_another_driver_are_a_fault() -> None:
    mixed = StoreSettings(id="one", type="file", options=HTTPStoreSettings())

    with pytest.raises(ConfigurationError, match="options"):
        StoreCatalog.open((mixed,), "one")


def test_sweeps_all_stores_of_old_leftovers(
    catalog: StoreCatalog, tmp_path: Path
) -> None:
    (tmp_path / "slow" / ".tmp" / "key.0123").touch()
    (tmp_path / "staging" / ".tmp" / "key.0123").touch()

    assert catalog.sweep() == 0
    assert catalog.sweep(older_than_s=0) == 2


def test_opens_what_the_settings_say(tmp_path: Path) -> None:
    conf = tmp_path / "imagereg.conf"
    conf.write_text(
        "[DEFAULT]\nenabled_backends = one:file, two:file\n"
        "[glance_store]\ndefault_backend = two\n"
        f"[imagereg]\nstate_dir = {tmp_path}\nupload_fsync = false\n"
    )

    catalog = StoreCatalog.from_settings(load_settings([conf], environ={}))

    assert [store.id for store in catalog] == ["one", "two"]
    assert catalog.default.id == "two"
    assert set(catalog.reserved) == {
        "os_glance_staging_store",
        "os_glance_tasks_store",
    }


def test_memory_stores_are_told_apart() -> None:
    def stores() -> Iterator[Store]:
        for name in ("one", "two"):
            yield Store(name, MemoryDriver(name), StoreTraits("memory"))

    catalog = StoreCatalog(stores(), "one")
    location = catalog["two"].add("key", [b"x"], PLAN).location

    assert catalog.find_for(Location(location.url)) is catalog["two"]
