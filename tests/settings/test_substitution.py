"""References to other options."""

import pytest

from tests.settings.conftest import Faults, Load


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$syslog_log_facility", "F"),
        ("${syslog_log_facility}x", "Fx"),
        ("<$syslog_log_facility>", "<F>"),
        ("$task.work_dir", "/w"),
        ("${task.work_dir}/x", "/w/x"),
        ("$TASK.work_dir", "/w"),
        ("${DEFAULT.syslog_log_facility}", "F"),
        ("$$syslog_log_facility", "$syslog_log_facility"),
        ("\\$syslog_log_facility", "$syslog_log_facility"),
        ("100% $ $1 ${} $-", "100% $ $1 ${} $-"),
        ("$bind_port", "9292"),  # a default
        ("$bind_host.", None),
        ("${bind_host}.", "."),  # unset
        ("$user_storage_quota", "0"),
        ("$glance_store.default_store", "file"),
        ("$os_glance_staging_store.filesystem_store_chunk_size", None),
        ("$nothing", None),
        ("$nothing.at_all", None),
        ("$log_date_format", None),  # itself
    ],
)
def test_references(
    load: Load, faults: Faults, text: str, expected: str | None
) -> None:
    source = f"[DEFAULT]\nlog_date_format = {text}\nsyslog_log_facility = F\n"
    source += "[task]\nwork_dir = /w\n"

    if expected is None:
        assert faults(source)[0].startswith("a.conf:2: [DEFAULT] log_date_format: `$")
    else:
        assert load(source).default.log_date_format == expected


def test_a_bare_name_is_looked_up_in_its_section_first(load: Load) -> None:
    settings = load(
        "[DEFAULT]\nwork_dir = /default\nrestore = r\n"
        "[task]\nwork_dir = /own\n[imagereg]\nevent_log = /$restore\n"
        "[taskflow_executor]\n[oslo_concurrency]\nlock_path = $work_dir\n"
    )

    assert str(settings.oslo_concurrency.lock_path) == "/default"
    assert str(settings.imagereg.event_log) == "/r"


def test_references_may_lead_on(load: Load) -> None:
    text = "[DEFAULT]\nrestore = $syslog_log_facility\n"
    text += "syslog_log_facility = ${log_date_format}2\nlog_date_format = $$1\n"

    assert load(text).default.restore == "$12"


def test_a_circle_is_a_fault_for_each_of_its_options(faults: Faults) -> None:
    text = "[DEFAULT]\nrestore = $log_date_format\nlog_date_format = $restore\n"

    assert faults(text) == (
        "a.conf:2: [DEFAULT] restore: `$restore` leads back to itself",
        "a.conf:3: [DEFAULT] log_date_format: `$log_date_format` leads back to itself",
    )


def test_the_environment_is_substituted_too(load: Load) -> None:
    settings = load("", {"OS_DEFAULT__RESTORE": "$bind_port"})

    assert settings.default.restore == "9292"


def test_every_text_of_a_repeatable_option_is_substituted(load: Load) -> None:
    settings = load(
        "[DEFAULT]\nrestore = x\n[oslo_policy]\npolicy_dirs = /$restore/1\n"
        "policy_dirs = /$restore/2\n"
    )

    assert list(map(str, settings.oslo_policy.policy_dirs)) == ["/x/1", "/x/2"]


def test_an_own_name_in_a_file_can_be_referred_to(load: Load) -> None:
    settings = load("[paths]\nbase = /b\n[task]\nwork_dir = $paths.base/w\n")

    assert str(settings.task.work_dir) == "/b/w"
