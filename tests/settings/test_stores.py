"""From options to stores."""

from pathlib import Path

import pytest

from imagereg.settings import FileStoreSettings, StoreSettings
from tests.settings.conftest import Faults, Load

S3 = "s3_store_host = h\ns3_store_access_key = a\ns3_store_secret_key = s\n"
S3 += "s3_store_bucket = images\n"


def _multi(backends: str, rest: str = "", default: str = "fast") -> str:
    return (
        f"[DEFAULT]\nenabled_backends = {backends}\n"
        f"[glance_store]\ndefault_backend = {default}\n{rest}"
    )


def _directory(store: StoreSettings) -> Path | None:
    assert isinstance(store.options, FileStoreSettings)
    return store.options.filesystem_store_datadir


def test_without_any_option_there_is_a_file_and_a_web_store(
    load: Load, tmp_path: Path
) -> None:
    settings = load()

    assert [(store.id, store.type) for store in settings.stores] == [
        ("file", "file"),
        ("http", "http"),
    ]
    assert settings.multi_store is False
    assert settings.default_store == "file"
    assert _directory(settings.stores[0]) == tmp_path / "state/images"
    assert _directory(settings.staging) == tmp_path / "state/staging"
    assert _directory(settings.tasks_store) == tmp_path / "state/tasks"
    assert settings.staging.reserved
    assert settings.tasks_store.reserved
    assert not settings.stores[0].reserved


def test_stores_of_many_backends_stand_in_their_order(
    load: Load, tmp_path: Path
) -> None:
    settings = load(
        _multi(
            "web:http,Cheap:s3,fast:filesystem",
            f"[cheap]\n{S3}weight = 5\nstore_description = cold\n"
            "[backend_defaults]\nweight = 1\nfilesystem_store_chunk_size = 7\n",
        )
    )
    by_id = {store.id: store for store in settings.stores}

    assert settings.multi_store is True
    assert settings.default_store == "fast"
    assert list(by_id) == ["web", "Cheap", "fast"]
    assert [store.type for store in settings.stores] == ["http", "s3", "file"]
    assert [store.weight for store in settings.stores] == [1, 5, 1]
    assert (by_id["Cheap"].description, by_id["web"].description) == ("cold", None)
    assert by_id["fast"].options == FileStoreSettings(
        filesystem_store_datadir=tmp_path / "state/stores/fast",
        filesystem_store_chunk_size=7,
    )


def test_shared_defaults_do_not_reach_the_stores_of_the_service(load: Load) -> None:
    text = _multi("fast:file", "[backend_defaults]\nfilesystem_store_datadir = /d\n")

    assert _directory(load(text).staging) != Path("/d")


@pytest.mark.parametrize(
    ("name", "driver"),
    [
        ("file", "file"),
        ("filesystem", "file"),
        ("http", "http"),
        ("https", "http"),
        ("s3", "s3"),
        ("s3+https", "s3"),
    ],
)
def test_single_stores_go_by_the_names_of_their_schemes(
    load: Load, name: str, driver: str
) -> None:
    settings = load(
        f"[glance_store]\nstores = {name},{name}\ndefault_store = {name}\n{S3}"
    )

    assert [store.id for store in settings.stores] == [driver]
    assert settings.default_store == driver


def test_an_unknown_single_store_is_refused(faults: Faults) -> None:
    assert faults("[glance_store]\nstores = file,rbd\n") == (
        "a.conf:2: [glance_store] stores: store type `rbd` is not supported;"
        " there are file, s3, http",
    )


@pytest.mark.parametrize(
    ("default", "part"),
    [
        ("", "default_backend: must be set when enabled_backends is"),
        ("other", "default_backend: `other` is none of the stores"),
    ],
)
def test_the_default_store_must_exist(faults: Faults, default: str, part: str) -> None:
    assert part in faults(_multi("fast:file", default=default))[0]


@pytest.mark.parametrize("store_id", ["database", "Cors", "backend_defaults", "vault"])
def test_a_store_cannot_have_the_section_of_something_else(
    faults: Faults, store_id: str
) -> None:
    found = faults(_multi(f"{store_id}:http", default=store_id))

    assert f"`{store_id}` is the name of another section" in found[-1]


def test_several_directories_replace_the_one(load: Load) -> None:
    text = "filesystem_store_datadirs = /a:5\nfilesystem_store_datadirs = /b\n"
    settings = load(f"[glance_store]\nfilesystem_store_datadir =\n{text}")
    options = settings.stores[0].options

    assert isinstance(options, FileStoreSettings)
    assert options.filesystem_store_datadir is None
    assert options.directories == ((Path("/a"), 5), (Path("/b"), 0))


def test_one_directory_has_no_priority() -> None:
    options = FileStoreSettings(filesystem_store_datadir=Path("/a"))

    assert options.directories == ((Path("/a"), 0),)


def test_one_and_several_directories_exclude_each_other(faults: Faults) -> None:
    text = "filesystem_store_datadirs = /a:5\nfilesystem_store_datadir = /b\n"

    assert faults(f"[glance_store]\n{text}") == (
        "a.conf:2: [glance_store] filesystem_store_datadirs: filesystem_store_datadir"
        " is set too; only one of them may be",
    )


def test_a_directory_named_twice_warns(load: Load) -> None:
    text = "filesystem_store_datadirs = /a\nfilesystem_store_datadirs = /a:0\n"
    settings = load(f"[glance_store]\n{text}")
    options = settings.stores[0].options

    assert isinstance(options, FileStoreSettings)
    assert options.filesystem_store_datadirs == ((Path("/a"), 0),)
    assert settings.warnings == (
        "a.conf:3: [glance_store] filesystem_store_datadirs: names a directory twice",
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "",
            [
                "s3_store_host: must be set",
                "s3_store_access_key: must be set",
                "s3_store_secret_key: must be set",
                "s3_store_bucket: must be set",
            ],
        ),
        (S3 + "s3_store_host = ftp://h", ["s3_store_host: expected a host, or an"]),
        (S3 + "s3_store_host = https://", ["s3_store_host: expected a host, or an"]),
        (S3 + "s3_store_host = a://b://c", ["s3_store_host: expected a host, or an"]),
        (
            S3 + "s3_store_bucket = My_Images\ns3_store_bucket_url_format = virtual",
            ["s3_store_bucket: cannot be part of a host name"],
        ),
        (S3 + "s3_store_large_object_chunk_size = 4", ["of at least 5, not `4`"]),
        (S3 + "s3_store_thread_pools = 0", ["of at least 1, not `0`"]),
    ],
)
def test_s3_stores_are_checked(faults: Faults, text: str, parts: list[str]) -> None:
    found = faults(_multi("fast:s3", f"[fast]\n{text}\n"))

    assert len(found) == len(parts)
    assert all(part in fault for part, fault in zip(parts, found, strict=True))


def test_an_optional_store_that_is_broken_is_left_out(load: Load) -> None:
    settings = load(
        _multi("fast:file,cheap:s3,tape:tape", "[cheap]\noptional = true\n")
        + f"{S3}s3_store_host = ftp://h\n[tape]\noptional = yes\n"
    )

    assert [store.id for store in settings.stores] == ["fast"]
    assert [line.rpartition("; ")[2] for line in settings.warnings] == [
        "store `cheap` is left out",
        "store `tape` is left out",
    ]


def test_an_optional_store_in_order_stays(load: Load) -> None:
    settings = load(_multi("fast:file", "[fast]\noptional = true\n"))

    assert settings.stores[0].optional


def test_insecure_web_stores_warn(load: Load) -> None:
    settings = load("[glance_store]\nhttps_insecure = true\n")

    assert settings.warnings == (
        "a.conf:2: [glance_store] https_insecure: certificates are not verified",
    )


def test_the_staging_uri_of_one_store_goes_before_the_section(load: Load) -> None:
    text = "[DEFAULT]\nnode_staging_uri = file:///a%20b\n"
    text += "[os_glance_staging_store]\nfilesystem_store_datadir = /s\n"

    assert _directory(load(text).staging) == Path("/a b")


def test_the_staging_uri_does_not_count_among_many_stores(load: Load) -> None:
    text = "[DEFAULT]\nnode_staging_uri = file:///u\nenabled_backends = fast:file\n"
    text += "[glance_store]\ndefault_backend = fast\n"
    text += "[os_glance_staging_store]\nfilesystem_store_datadir = /s\n"
    settings = load(text)

    assert _directory(settings.staging) == Path("/s")
    assert settings.warnings == (
        "a.conf:2: [DEFAULT] node_staging_uri: not used with enabled_backends;"
        " see [os_glance_staging_store]",
    )


def test_the_work_area_has_two_names(load: Load) -> None:
    text = "[task]\nwork_dir = /w\n"
    section = "[os_glance_tasks_store]\nfilesystem_store_datadir = /t\n"

    assert _directory(load(text).tasks_store) == Path("/w")
    assert _directory(load(text + section).tasks_store) == Path("/t")


@pytest.mark.parametrize(
    ("text", "owners"),
    [
        (
            _multi(
                "fast:file,slow:file",
                "[backend_defaults]\nfilesystem_store_datadir = /d\n",
            ),
            "by fast and by slow",
        ),
        (
            "[glance_store]\nfilesystem_store_datadir = /d\n"
            "[os_glance_staging_store]\nfilesystem_store_datadir = /x/../d\n",
            "by file and by os_glance_staging_store",
        ),
        (
            "[DEFAULT]\nimage_cache_dir = /d\n"
            "[glance_store]\nfilesystem_store_datadir = /d\n",
            "by the image cache and by file",
        ),
    ],
)
def test_no_directory_has_two_owners(faults: Faults, text: str, owners: str) -> None:
    found = faults(text)

    assert len(found) == 1
    assert found[0].endswith(f"is used both {owners}")


def test_a_directory_twice_in_one_store_has_one_owner(load: Load) -> None:
    text = "filesystem_store_datadirs = /a\nfilesystem_store_datadirs = /b/../a:0\n"

    assert load(f"[glance_store]\n{text}").warnings == ()
