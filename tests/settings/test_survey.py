"""What `imagereg config check` tells beside faults."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from imagereg.cli import main
from imagereg.settings import load_settings
from imagereg.settings.survey import survey


def found(text: str) -> list[str]:
    """Return what is told of a file, without its place."""
    Path("a.conf").write_text(text)
    return [
        line.partition(": ")[2]
        for line in survey(load_settings([Path("a.conf")], environ={}))
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[DEFAULT]\nsql_connection = sqlite:///x\n",
            "[DEFAULT] sql_connection: an old name; is `[database] connection` meant?",
        ),
        (
            "[DEFAULT]\nflavor = keystone\n",
            "[DEFAULT] flavor: unknown option; is `[paste_deploy] flavor` meant?",
        ),
        (
            "[DEFAULT]\nimage_cach_dir = /x\n",
            "[DEFAULT] image_cach_dir: unknown option; is `image_cache_dir` meant?",
        ),
        (
            "[DEFAULT]\nfatal_deprecations = true\n",
            "[DEFAULT] fatal_deprecations: ignored: nothing here is deprecated",
        ),
        (
            "[DEFAULT]\nscrub_time = 9\n",
            "[DEFAULT] scrub_time: counts with delayed_delete = true",
        ),
        (
            "[DEFAULT]\nlimit_param_default = 9\napi_limit_max = 3\n",
            "[DEFAULT] limit_param_default: is more than api_limit_max, which counts"
            " then",
        ),
        (
            "[DEFAULT]\nmax_logfile_size_mb = 9\n",
            "[DEFAULT] max_logfile_size_mb: counts with log_rotation_type = size",
        ),
        (
            "[DEFAULT]\nlog_rotation_type = size\n",
            "[DEFAULT] log_rotation_type: there is no log_file",
        ),
        (
            "[DEFAULT]\nuse_json = true\nlogging_default_format_string = x\n",
            "[DEFAULT] logging_default_format_string: has no effect with use_json",
        ),
        (
            "[import_filtering_opts]\ndisallowed_hosts = [a]\nallowed_hosts = [b]\n",
            "[import_filtering_opts] disallowed_hosts: has no effect, because"
            " allowed_hosts is not empty",
        ),
        (
            "[imagereg]\nauth_users_file = a.conf\n",
            "[imagereg] auth_users_file: counts with flavor http_basic; the flavor is"
            " none",
        ),
        (
            "[paste_deploy]\nflavor = trusted-headers\n[imagereg]\n"
            "trusted_proxies = 0.0.0.0/0\n",
            "[imagereg] trusted_proxies: anybody can say to be anybody",
        ),
        (
            "[imagereg]\nverify_interval = 4\n",
            "[imagereg] verify_interval: counts with a verify_rate",
        ),
        (
            "[cors]\nallowed_origin = *\n",
            "[cors] allowed_origin: any page may act for whoever looks at it",
        ),
    ],
)
def test_what_is_unlikely_to_be_meant_is_told(text: str, told: str) -> None:
    assert told in found(text)


def test_an_ordinary_file_is_left_in_peace(tmp_path: Path) -> None:
    assert found(f"[DEFAULT]\nlog_dir = {tmp_path}\n[paste_deploy]\nflavor =\n") == []


def test_paths_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    told = found(
        f"[DEFAULT]\nlog_dir = {tmp_path}/none\n"
        f"property_protection_file = {tmp_path}/p.conf\n"
        f"[glance_store]\nfilesystem_store_datadir = {tmp_path}/file/images\n"
        f"[imagereg]\nstate_dir = {tmp_path}/new\nlimits_file = {tmp_path}/file\n"
    )

    assert told == [
        f"[DEFAULT] property_protection_file: {tmp_path}/p.conf does not exist",
        f"[DEFAULT] log_dir: {tmp_path}/none does not exist",
        f"{tmp_path}/file is no directory",
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_paths_without_permission_are_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    told = found(f"[imagereg]\nstate_dir = {closed}/state\n")

    assert any("cannot be written" in line for line in told)


def test_the_exit_status_tells_programs() -> None:
    Path("a.conf").write_text("[DEFAULT]\nbind_prot = 1\n")
    Path("good.conf").write_text("[DEFAULT]\nbind_port = 1\n")

    def status(*arguments: str) -> int:
        return CliRunner().invoke(main, ["config", "check", *arguments]).exit_code

    assert status("--config", "good.conf", "--strict") == 0
    assert status("--config", "a.conf") == 0
    assert status("--config", "a.conf", "--strict") == 1


def test_secrets_are_in_no_warning() -> None:
    Path("a.conf").write_text(
        "[DEFAULT]\nsql_connection = mysql://u:canary@h/d\nunknown = canary\n"
        "[keystone_authtoken]\npassword = canary\nadmin_password = canary\n"
        "[imagereg]\nevent_webhook = https://u:canary@h/\n"
    )

    shown = CliRunner().invoke(main, ["config", "check", "--config", "a.conf"])
    dumped = CliRunner().invoke(
        main, ["config", "dump", "--unknown", "--config", "a.conf"]
    )

    assert "sql_connection" in shown.output
    assert "canary" not in shown.output
    assert "canary" not in dumped.output
