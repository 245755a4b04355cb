"""Which files are read, and what goes before what."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.settings import Settings, load_settings, sources
from imagereg.settings.sources import find_files
from tests.settings.conftest import Faults, Load


def _write(path: str, port: int) -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"[DEFAULT]\nbind_port = {port}\n", encoding="utf-8")
    return file


def _port(
    *files: str, dirs: tuple[str, ...] = (), environ: Mapping[str, str] = {}
) -> int:
    settings = load_settings(
        [Path(file) for file in files], [Path(name) for name in dirs], environ
    )
    return settings.default.bind_port


def test_no_file_at_all_is_legal(tmp_path: Path) -> None:
    settings = load_settings(environ={})

    assert settings.config_files == ()
    assert settings.warnings == ()
    assert settings.database.connection == f"sqlite:///{tmp_path}/state/registry.sqlite"
    assert settings.search_path == (tmp_path, tmp_path / "system")


def test_the_later_file_goes_before_the_earlier() -> None:
    _write("a.conf", 1)
    _write("b.conf", 2)

    assert _port("a.conf", "b.conf") == 2
    assert _port("b.conf", "a.conf") == 1


def test_directories_are_read_after_files_by_name() -> None:
    _write("a.conf", 1)
    _write("d/2.conf", 22)
    _write("d/1.conf", 21)
    _write("d/3.txt", 23)

    assert _port("a.conf", dirs=("d",)) == 22


def test_a_variable_names_a_list_of_files() -> None:
    _write("a.conf", 1)
    _write("b.conf", 2)

    assert _port(environ={"IMAGEREG_CONFIG": "a.conf:b.conf:"}) == 2
    assert _port("a.conf", environ={"IMAGEREG_CONFIG": "b.conf"}) == 1


def test_a_directory_of_the_reference_is_read_in_its_order() -> None:
    environ = {"OS_GLANCE_CONFIG_DIR": "glance"}
    _write("glance/glance-api.conf", 1)

    assert _port(environ=environ) == 1

    _write("glance/glance-image-import.conf", 2)

    assert _port(environ=environ) == 1
    assert [path.name for path in find_files((), (), environ)] == [
        "glance-image-import.conf",
        "glance-api.conf",
    ]


def test_a_file_of_this_name_is_found_here_then_in_the_system() -> None:
    _write("system/imagereg.conf", 1)

    assert _port(environ={"IMAGEREG_CONFIG": ""}) == 1

    _write("imagereg.conf", 2)

    assert _port() == 2


def test_command_line_environment_files_in_this_order(load: Load) -> None:
    text, environ = "[DEFAULT]\nbind_port = 1", {"OS_DEFAULT__BIND_PORT": "2"}
    overrides = {("DEFAULT", "bind_port"): "3"}

    assert load(text, environ, overrides).default.bind_port == 3
    assert load(text, environ).default.bind_port == 2
    assert load(text).default.bind_port == 1
    assert load().default.bind_port == 9292


def test_the_origin_of_a_value_is_known(load: Load) -> None:
    settings = load(
        "[DEFAULT]\n\nbind_port = 1",
        {"OS_DEFAULT__BACKLOG": "2"},
        {("DEFAULT", "workers"): "3"},
    )

    assert dict(settings.origins) == {
        ("DEFAULT", "bind_port"): "a.conf:3",
        ("DEFAULT", "backlog"): "$OS_DEFAULT__BACKLOG",
        ("DEFAULT", "workers"): "command line",
    }


def test_store_sections_can_be_set_by_the_environment(load: Load) -> None:
    settings = load(
        environ={
            "OS_DEFAULT__ENABLED_BACKENDS": "my-fast:file",
            "OS_GLANCE_STORE__DEFAULT_BACKEND": "my-fast",
            "OS_MY_FAST__STORE_DESCRIPTION": "by variable",
        }
    )

    assert settings.stores[0].description == "by variable"
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("files", "dirs", "expected"),
    [
        (("none.conf",), (), "none.conf: cannot be read: No such file or directory"),
        ((), ("none",), "none: cannot be read: No such file or directory"),
        (("latin.conf",), (), "latin.conf: is not UTF-8 text"),
    ],
)
def test_files_that_cannot_be_read_are_faults(
    files: tuple[str, ...], dirs: tuple[str, ...], expected: str
) -> None:
    Path("latin.conf").write_bytes(b"[DEFAULT]\nlog_file = \xe9\n")

    with pytest.raises(ConfigurationError) as caught:
        _port(*files, dirs=dirs)

    assert caught.value.faults == (expected,)


def test_a_byte_order_mark_does_no_harm() -> None:
    Path("a.conf").write_text("[DEFAULT]\r\nbind_port = 5\r\n", encoding="utf-8-sig")

    assert _port("a.conf") == 5


def test_all_faults_are_told_at_once(faults: Faults) -> None:
    text = "[DEFAULT]\nbind_port = x\noops\n[cors]\nmax_age = y\n[glance_store]\n"
    text += "default_store = s3\n"

    assert faults(text, {"OS_WSGI__TASK_POOL_THREADS": "0"}) == (
        "a.conf:3: expected `name = value`",
        "a.conf:2: [DEFAULT] bind_port: expected a whole number from 0 to 65535,"
        " not `x`",
        "a.conf:5: [cors] max_age: expected a whole number of at least 0, not `y`",
        "$OS_WSGI__TASK_POOL_THREADS: [wsgi] task_pool_threads: expected a whole"
        " number of at least 1, not `0`",
        "a.conf:7: [glance_store] default_store: `s3` is none of the stores",
    )


@pytest.mark.parametrize(
    "text",
    [
        "[database]\nconnection = oracle://u:hunter2@h",
        "[DEFAULT]\npublic_endpoint = ftp://u:hunter2@h",
        "[DEFAULT]\nbind_port = 1\nhunter2",
    ],
)
def test_faults_do_not_show_secrets(faults: Faults, text: str) -> None:
    assert "hunter2" not in "".join(faults(text))


@pytest.mark.parametrize("name", ["bind_port", "bind_host", "log_file", "restore"])
def test_an_empty_text_is_unset(load: Load, name: str) -> None:
    assert getattr(load(f"[DEFAULT]\n{name} =").default, name) == getattr(
        load().default, name
    )


def _state_dirs(settings: Settings) -> set[Path]:
    stores = (*settings.stores[:1], settings.staging, settings.tasks_store)
    directories = {
        directory
        for store in stores
        for directory, _ in getattr(store.options, "directories", ())
    }
    return {directory.parent for directory in directories}


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("", {}, "state"),
        ("", {"IMAGEREG_STATE_DIR": "e"}, "e"),
        ("", {"IMAGEREG_STATE_DIR": "/e"}, "/e"),
        ("f", {}, "f"),
        ("f", {"IMAGEREG_STATE_DIR": ""}, "f"),
        ("f", {"IMAGEREG_STATE_DIR": "e"}, "e"),
        ("f", {"IMAGEREG_STATE_DIR": "e", "OS_IMAGEREG__STATE_DIR": "o"}, "o"),
    ],
)
def test_the_state_directory_is_chosen_by_file_or_environment(
    load: Load, tmp_path: Path, text: str, environ: dict[str, str], expected: str
) -> None:
    settings = load(f"[imagereg]\nstate_dir = {text}", environ)

    assert settings.imagereg.state_dir == tmp_path / expected
    assert _state_dirs(settings) == {tmp_path / expected}
    assert settings.oslo_concurrency.lock_path == tmp_path / expected / "locks"


def test_files_beside_the_configuration_are_found(tmp_path: Path) -> None:
    first, second = _write("one/a.conf", 1), _write("two/b.conf", 2)
    for name in ("one/x", "two/x", "one/y", "one/schema-image.json"):
        Path(name).touch()

    settings = load_settings([first, second], environ={})

    assert settings.find_file("x") == tmp_path / "two/x"
    assert settings.find_file("y") == tmp_path / "one/y"
    assert settings.find_file("z") is None
    assert settings.find_file(tmp_path / "one/y") == tmp_path / "one/y"
    assert settings.schema_image_file == tmp_path / "one/schema-image.json"


def test_relative_names_start_beside_the_configuration(tmp_path: Path) -> None:
    Path("etc").mkdir()
    Path("etc/a.conf").write_text(
        "[DEFAULT]\nproperty_protection_file = p.conf\nlog_file = l.log\n"
        "[oslo_policy]\npolicy_dirs = one\npolicy_dirs = /two\n",
        encoding="utf-8",
    )

    settings = load_settings([Path("etc/a.conf")], environ={})

    assert settings.default.property_protection_file == tmp_path / "etc/p.conf"
    assert settings.default.log_file == tmp_path / "l.log"
    assert settings.oslo_policy.policy_dirs == (tmp_path / "etc/one", Path("/two"))


@pytest.mark.parametrize(
    ("files", "text", "expected"),
    [
        ((), "", None),
        (("policy.json",), "", "policy.json"),
        (("policy.json", "policy.yaml"), "", "policy.yaml"),
        (("policy.json",), "policy_file = absent.yaml", "absent.yaml"),
        (("policy.json",), "policy_file =", "policy.json"),
    ],
)
def test_the_policy_file_is_the_named_one_or_the_one_that_is_there(
    load: Load, tmp_path: Path, files: tuple[str, ...], text: str, expected: str | None
) -> None:
    for name in files:
        Path(name).touch()

    settings = load(f"[oslo_policy]\n{text}")

    assert settings.oslo_policy.policy_file == (expected and tmp_path / expected)


def test_the_system_directory_is_the_documented_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()

    assert str(sources.SYSTEM_DIR) == "/etc/imagereg"
