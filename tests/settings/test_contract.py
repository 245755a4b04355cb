"""Every row of the contract's tables, see `rows`."""

from pathlib import Path
from typing import Any

import pytest

from imagereg.settings import SECTIONS, Settings
from imagereg.settings.options import options_of
from imagereg.settings.service import default_workers
from imagereg.settings.storage import DRIVERS
from tests.settings.conftest import Faults, Load
from tests.settings.rows import HONOURED, IGNORED, IGNORED_SECTIONS, STORES

ELSEWHERE = {("DEFAULT", "workers"), ("glance_store", "default_backend")}
S3 = "s3_store_host = h\ns3_store_access_key = a\ns3_store_secret_key = s\n"
S3 += "s3_store_bucket = images\n"


def _store_text(driver: str, line: str = "") -> str:
    own = S3 if driver == "s3" else ""
    return (
        f"[DEFAULT]\nenabled_backends = a:{driver}\n[glance_store]\n"
        f"default_backend = a\n[a]\n{own}{line}\n"
    )


def _expected(default: object, state: Path) -> object:
    match default:
        case "@sqlite":
            return f"sqlite:///{state}/registry.sqlite"
        case "@../policy.d":
            return (state.parent / "policy.d",)
        case str() if default.startswith("@"):
            return state / default[1:]
    return default


def _value(settings: Settings, section: str, name: str) -> Any:  # noqa: ANN401 - any option
    return getattr(getattr(settings, section.lower()), name)


@pytest.mark.parametrize(("section", "name", "default", "text", "value"), HONOURED)
def test_honoured_options_have_their_default_and_are_read(
    load: Load,
    tmp_path: Path,
    section: str,
    name: str,
    default: object,
    text: str,
    value: object,
) -> None:
    untouched, changed = load(), load(f"[{section}]\n{name} = {text}\n")

    assert _value(untouched, section, name) == _expected(default, tmp_path / "state")
    assert _value(changed, section, name) == value
    assert changed.warnings == ()


@pytest.mark.parametrize(("driver", "name", "default", "text", "value"), STORES)
def test_store_options_have_their_default_and_are_read(
    load: Load,
    tmp_path: Path,
    driver: str,
    name: str,
    default: object,
    text: str,
    value: object,
) -> None:
    untouched = load(_store_text(driver)).stores[0].options
    changed = load(_store_text(driver, f"{name} = {text}")).stores[0].options

    assert getattr(untouched, name) == _expected(default, tmp_path / "state")
    assert getattr(changed, name) == value


def test_no_option_is_missing_from_these_rows() -> None:
    declared = {
        (section, name)
        for section, table in SECTIONS.items()
        for name in options_of(table)
    }
    declared_by_drivers = {
        (driver, name)
        for driver, table in DRIVERS.items()
        for name in options_of(table)
    }

    assert {(row[0], row[1]) for row in HONOURED} | ELSEWHERE == declared
    assert {(row[0], row[1]) for row in STORES} == declared_by_drivers


def test_there_is_a_worker_for_each_cpu_up_to_eight(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load().default.workers == default_workers()
    assert load("[DEFAULT]\nworkers = 3").default.workers == 3

    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert default_workers() == 8

    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert default_workers() == 1


@pytest.mark.parametrize(("section", "name"), IGNORED)
def test_ignored_options_are_named_with_the_reason(
    load: Load, section: str, name: str
) -> None:
    settings = load(f"[{section}]\n{name} = any hunter2\n")

    assert len(settings.warnings) == 1
    assert settings.warnings[0].startswith(f"a.conf:2: [{section}] {name}: ignored: ")
    assert "hunter2" not in settings.warnings[0]
    assert settings.without_effect == settings.warnings


@pytest.mark.parametrize("section", IGNORED_SECTIONS)
def test_ignored_sections_are_named_once(load: Load, section: str) -> None:
    settings = load(f"[{section}]\none = 1\ntwo = 2\n")

    assert len(settings.warnings) == 1
    assert settings.warnings[0].startswith(f"a.conf:2: [{section}]: ignored: ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("metadata_encryption_key = hunter2", "metadata_encryption_key: cannot be"),
        ("owner_is_tenant = false", "owner_is_tenant: cannot be honoured"),
        ("enabled_backends = a:rbd", "store type `rbd` is not supported"),
        ("enabled_backends = a:swift", "store type `swift` is not supported"),
        ("enabled_backends = a:cinder", "store type `cinder` is not supported"),
        ("enabled_backends = a:vmware", "store type `vmware` is not supported"),
        ("enabled_backends = a:tape", "store type `tape` is not known"),
        ("enabled_backends = os_glance_a:file", "prefix os_glance_ is reserved"),
        ("hashing_algorithm = sha3", "hashing_algorithm: expected the name of a hash"),
        ("image_size_cap = 0", "image_size_cap: expected a whole number from 1"),
        ("limit_param_default = 0", "limit_param_default: expected a whole number"),
        ("api_limit_max = 0", "api_limit_max: expected a whole number of at least 1"),
        ("node_staging_uri = /s", "node_staging_uri: expected file://"),
        ("enabled_import_methods = web-download", "expected a list in brackets"),
        ("enabled_import_methods = [x]", "expected only glance-direct"),
        ("property_protection_rule_format = Roles", "expected one of roles, policies"),
        ("use_keystone_limits = true", "set [imagereg] limits_file"),
        ("user_storage_quota = 1 GB", "expected digits and one of B, KB"),
        ("log_file = $no_such_option", "names no option that is known or set"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    faults: Faults, text: str, part: str
) -> None:
    found = faults(f"[DEFAULT]\n{text}\n[glance_store]\ndefault_backend = a\n")

    assert part in found[0]
    assert found[0].startswith("a.conf:2: [DEFAULT] ")
    assert "hunter2" not in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "metadata_encryption_key =",
        "owner_is_tenant = True",
        "use_keystone_limits = true\n[imagereg]\nlimits_file = /l",
    ],
)
def test_what_asks_for_nothing_impossible_is_accepted(load: Load, text: str) -> None:
    assert load(f"[DEFAULT]\n{text}\n").warnings == ()


@pytest.mark.parametrize(
    ("flavor", "base", "caching", "management"),
    [
        ("", "", False, False),
        ("caching", "", True, False),
        ("cachemanagement", "", True, True),
        ("keystone", "keystone", False, False),
        ("keystone+caching", "keystone", True, False),
        ("trusted-headers+cachemanagement", "trusted-headers", True, True),
        ("http_basic+caching", "http_basic", True, False),
    ],
)
def test_the_flavor_is_taken_apart(
    load: Load, tmp_path: Path, flavor: str, base: str, caching: bool, management: bool
) -> None:
    settings = load(f"[paste_deploy]\nflavor = {flavor}\n")
    paste = settings.paste_deploy

    assert (paste.flavor, paste.caching) == (base, caching)
    assert paste.cachemanagement is management
    assert paste.written == flavor
    assert settings.default.image_cache_dir == (
        tmp_path / "state/cache" if caching else None
    )


def test_an_unknown_flavor_is_refused(faults: Faults) -> None:
    assert (
        "expected nothing or one of keystone, "
        in faults("[paste_deploy]\nflavor = kerberos\n")[0]
    )


def test_a_cache_directory_that_is_named_stays(load: Load) -> None:
    text = "[DEFAULT]\nimage_cache_dir = /c\n[paste_deploy]\nflavor = caching\n"

    assert load(text).default.image_cache_dir == Path("/c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("log_file = a.log", "a.log"),
        ("log_dir = d", "d/imagereg.log"),
        ("log_dir = d\nlog_file = a.log", "d/a.log"),
    ],
)
def test_the_log_file_lies_in_the_log_directory(
    load: Load, tmp_path: Path, text: str, expected: str | None
) -> None:
    assert load(f"[DEFAULT]\n{text}\n").default.log_file == (
        expected and tmp_path / expected
    )


def test_identity_headers_are_never_allowed_across_origins(load: Load) -> None:
    settings = load("[cors]\nallow_headers = X-Roles,x-user-id,X-Mine\n")

    assert settings.cors.allow_headers == ("X-Mine",)
    assert settings.warnings == (
        "a.conf:2: [cors] allow_headers: headers of identity are left out",
    )


def test_secrets_are_not_in_the_representation(load: Load) -> None:
    text = "[database]\nconnection = mysql://u:hunter2@h/d\n[keystone_authtoken]\n"
    text += "password = hunter2\n[imagereg]\nevent_webhook = http://h/hunter2\n"
    text += "[glance_store]\nstores = file,s3,http\n" + S3.replace(
        "= s\n", "= hunter2\n"
    )
    text += "http_proxy_information = http:u:hunter2@h\n"

    assert "hunter2" not in repr(load(text))
