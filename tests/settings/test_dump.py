"""The effective settings as text, the sample file, and the commands."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from imagereg.settings import SECTIONS, Settings
from imagereg.settings.dump import dump_settings
from imagereg.settings.options import Option, options_of
from imagereg.settings.sample import sample_lines
from imagereg.settings.storage import DRIVERS, CommonOptions
from tests.settings.conftest import Load
from tests.settings.rows import HONOURED

SAMPLE = Path(__file__).parents[2] / "conf" / "imagereg.conf"
TEXT = """\
[DEFAULT]
log_date_format = $$%Y
restore = " two blanks "
syslog_log_facility = one
  two
enabled_backends = fast:file,wide:file,web:http
default_log_levels = a=INFO,b=DEBUG
public_endpoint = https://user:hunter2@images.example.org
[glance_store]
default_backend = fast
[fast]
filesystem_store_file_perm = 640
weight = 5
[wide]
filesystem_store_datadirs = /a:1
filesystem_store_datadirs = /b
[oslo_policy]
policy_dirs = one
policy_dirs = two
[paste_deploy]
flavor = keystone+cachemanagement
[import_filtering_opts]
allowed_ports = [1,2]
allowed_schemes = []
[image_format]
vmdk_allowed_types =
[inject_metadata_properties]
inject = a:1,b:2
"""


def _bare(settings: Settings) -> Settings:
    return replace(settings, config_files=(), search_path=(), warnings=(), origins={})


@pytest.mark.parametrize("text", ["", TEXT, "[imagereg]\nstate_dir = /s\n"])
@pytest.mark.parametrize("with_defaults", [True, False])
def test_a_dump_loads_to_the_same_settings(
    load: Load, text: str, *, with_defaults: bool
) -> None:
    settings = load(text.replace("user:hunter2@", ""))

    again = load("\n".join(dump_settings(settings, with_defaults=with_defaults)))

    assert _bare(again) == _bare(settings)


def test_a_dump_names_the_origin_of_each_value(load: Load) -> None:
    settings = load(
        "[DEFAULT]\nbind_port = 1\n[oslo_policy]\npolicy_dirs = /a\npolicy_dirs = /b",
        {"OS_CORS__MAX_AGE": "2"},
        {("wsgi", "task_pool_threads"): "3"},
    )

    assert list(dump_settings(settings)) == [
        *("[DEFAULT]", "# a.conf:2", "bind_port = 1", ""),
        *("[oslo_policy]", "# a.conf:5", "policy_dirs = /a", "policy_dirs = /b", ""),
        *("[cors]", "# $OS_CORS__MAX_AGE", "max_age = 2", ""),
        *("[wsgi]", "# command line", "task_pool_threads = 3", ""),
    ]


def test_a_dump_can_show_what_nobody_set(load: Load, tmp_path: Path) -> None:
    lines = list(dump_settings(load(), with_defaults=True))
    at = lines.index("bind_port = 9292")

    assert lines[at - 3 : at] == ["# default", "#bind_host =", "# default"]
    assert f"connection = sqlite:///{tmp_path}/state/registry.sqlite" in lines
    assert f"filesystem_store_datadir = {tmp_path}/state/images" in lines


def test_a_dump_masks_secrets(load: Load) -> None:
    text = TEXT + "[database]\nconnection = mysql://u:hunter2@h/d\n"
    text += "[keystone_authtoken]\npassword = hunter2\n"
    text += "[imagereg]\nevent_webhook = http://h/hunter2\n"

    lines = list(dump_settings(load(text)))

    assert "hunter2" not in "".join(lines)
    assert "connection = ***" in lines
    assert "password = ***" in lines
    assert "public_endpoint = https://***@images.example.org" in lines


def _all_options() -> Iterator[tuple[str, Option]]:
    for table in (*SECTIONS.values(), *DRIVERS.values(), CommonOptions):
        yield from options_of(table).items()


OPTIONS = list(_all_options())


def test_the_sample_file_is_up_to_date() -> None:
    assert SAMPLE.read_text(encoding="utf-8").splitlines() == list(sample_lines())


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_the_sample_file_says_all_of_an_option(name: str, option: Option) -> None:
    text = SAMPLE.read_text(encoding="utf-8")
    match = re.search(rf"\n\n((?:# .*\n)+)#{name} = ", text)

    assert match is not None
    words = match[1].replace("\n# ", " ")
    default = option.shown or ",".join(option.kind.show(option.default)) or "unset"
    assert f"Default: {default}" in words
    assert not option.unit or f", in {option.unit}." in words
    assert option.text.endswith(".")


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_numbers_have_a_unit_and_nothing_else_has(name: str, option: Option) -> None:
    kind = option.kind.words
    is_number = kind.startswith(("a whole number", "octal", "digits"))

    assert bool(option.unit) is is_number, name


def test_the_sample_file_loads_as_it_is(load: Load) -> None:
    settings = load(SAMPLE.read_text(encoding="utf-8"))

    assert settings.warnings == ()
    assert settings.origins == {}


def test_the_sample_file_loads_with_every_option_set(load: Load) -> None:
    text = re.sub(r"(?m)^#(?=[a-z])", "", SAMPLE.read_text(encoding="utf-8"))

    settings = load(text)

    assert [store.id for store in settings.stores] == ["fast", "wide", "cheap", "web"]
    assert {(section, name) for section, name, *_ in HONOURED} - {
        ("glance_store", "stores"),
        ("glance_store", "default_store"),
    } <= settings.origins.keys()
    assert all("enabled_backends" in line for line in settings.warnings)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["config", *arguments])


def test_the_command_shows_the_settings() -> None:
    Path("a.conf").write_text("[DEFAULT]\nbind_port = 1\nbind_prot = 2\n")

    shown = _run("dump", "--config", "a.conf")
    full = _run("dump", "--config-file", "a.conf", "--defaults", "--unknown")

    assert shown.output == "[DEFAULT]\n# a.conf:2\nbind_port = 1\n\n"
    assert "\n# default\nbacklog = 4096\n" in full.output
    assert full.output.endswith(
        "\n# a.conf:3: [DEFAULT] bind_prot: unknown option; is `bind_port` meant?\n"
    )


def test_the_command_tells_faults_and_warnings() -> None:
    Path("d").mkdir()
    Path("d/a.conf").write_text("[DEFAULT]\nbind_port = x\nbacklog = y\n")
    Path("good.conf").write_text("[DEFAULT]\nbind_prot = 1\n")

    good, bad = (
        _run("check", "--config", "good.conf"),
        _run("check", "--config-dir", "d"),
    )

    assert good.exit_code == 0
    assert good.output == (
        "warning: good.conf:2: [DEFAULT] bind_prot: unknown option;"
        " is `bind_port` meant?\n"
    )
    assert bad.exit_code == 1
    assert len(bad.output.splitlines()) == 2
    assert bad.output.startswith("imagereg: d/a.conf:2: [DEFAULT] bind_port: expected")


def test_the_command_writes_the_sample_file() -> None:
    assert _run("sample").output == SAMPLE.read_text(encoding="utf-8")


def test_loading_an_ordinary_file_imports_nothing_heavy() -> None:
    Path("a.conf").write_text(TEXT)
    program = (
        "import sys; from pathlib import Path;"
        "from imagereg.settings import load_settings;"
        "load_settings([Path('a.conf')], environ={});"
        "print(*sys.modules)"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()

    assert "imagereg.settings" in loaded
    assert not {"difflib", "hashlib", "flask", "peewee", "yaml"}.intersection(loaded)
