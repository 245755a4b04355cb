"""Names that nobody knows, or that do not count where they stand."""

import pytest

from tests.settings.conftest import Faults, Load

MULTI = "[DEFAULT]\nenabled_backends = a:file\n[glance_store]\ndefault_backend = a\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[DEFAULT]\nbind_prot = 1",
            "a.conf:2: [DEFAULT] bind_prot: unknown option; is `bind_port` meant?",
        ),
        (
            "[DEFAULT]\nBIND_PORT = 1",
            "a.conf:2: [DEFAULT] BIND_PORT: unknown option; is `bind_port` meant?",
        ),
        ("[DEFAULT]\nzzz = 1", "a.conf:2: [DEFAULT] zzz: unknown option"),
        (
            "[databse]\nconnection = x\nother = y",
            "a.conf:2: [databse]: unknown section; is `database` meant?",
        ),
        (
            "[default]\nbind_port = 1",
            "a.conf:2: [default]: unknown section; is `DEFAULT` meant?",
        ),
        ("[zzz]\na = 1", "a.conf:2: [zzz]: unknown section"),
    ],
)
def test_unknown_names_warn_with_the_nearest_known_one(
    load: Load, text: str, expected: str
) -> None:
    assert load(text).warnings == (expected,)


def test_unknown_names_are_faults_where_the_operator_wants_it(faults: Faults) -> None:
    text = "[DEFAULT]\nbind_prot = 1\n[imagereg]\nstrict_config = true\n[zzz]\na = 1"

    assert faults(text) == (
        "a.conf:2: [DEFAULT] bind_prot: unknown option; is `bind_port` meant?",
        "a.conf:6: [zzz]: unknown section",
    )


def test_ignored_options_are_never_faults(load: Load) -> None:
    text = "[DEFAULT]\ntransport_url = x\n[imagereg]\nstrict_config = true\n"

    assert len(load(text).warnings) == 1


def test_an_empty_section_is_no_matter(load: Load) -> None:
    assert load("[zzz]\n").warnings == ()


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (
            "OS_DEFAULT__BIND_PROT",
            (
                "$OS_DEFAULT__BIND_PROT: [DEFAULT] bind_prot: unknown option;"
                " is `bind_port` meant?",
            ),
        ),
        ("OS_ZZZ__A", ()),  # it may belong to another program
        ("OS_AUTH_URL", ()),
    ],
)
def test_variables_of_known_sections_are_checked(
    load: Load, variable: str, expected: tuple[str, ...]
) -> None:
    assert load("", {variable: "x"}).warnings == expected


def test_the_command_line_is_checked_too(load: Load) -> None:
    assert load("", {}, {("DEFAULT", "zzz"): "1"}).warnings == (
        "command line: [DEFAULT] zzz: unknown option",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[glance_store]\ndefault_backend = a", "it counts with enabled_backends only"),
        ("[glance_store]\nweight = 1", "it counts with enabled_backends only"),
        ("[backend_defaults]\nanything = 1", "it counts with enabled_backends only"),
        (
            MULTI + "filesystem_store_datadir = /x",
            "it does not count with enabled_backends; each store has its section",
        ),
        (
            MULTI + "stores = file",
            "it does not count with enabled_backends; each store has its section",
        ),
        (
            MULTI + "[a]\ns3_store_host = h",
            "it is no option of a store of type file",
        ),
        (
            MULTI + "[a]\nrbd_store_pool = p",
            "there is no such store driver; the drivers are file, s3 and http",
        ),
        (
            MULTI + "[os_glance_staging_store]\nvmware_server_host = h",
            "there is no such store driver; the drivers are file, s3 and http",
        ),
    ],
)
def test_options_that_count_elsewhere_are_named(
    load: Load, text: str, reason: str
) -> None:
    warnings = load(text).warnings

    assert len(warnings) == 1
    assert warnings[0].endswith(f": ignored: {reason}")


def test_options_of_stores_count_in_the_shared_section(load: Load) -> None:
    text = MULTI + "[backend_defaults]\nweight = 5\ns3_store_host = h\n[a]\n"

    assert load(text + "store_description = d").warnings == ()
