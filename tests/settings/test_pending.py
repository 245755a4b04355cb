"""Options that do nothing yet are named, all of them and no others."""

import re
from dataclasses import fields
from pathlib import Path

import imagereg
from imagereg.settings import SECTIONS, load_settings
from imagereg.settings.pending import PENDING, pending

#: Options that act through another name, or while the settings are worked out.
WORKED_OUT = {
    ("DEFAULT", "use_keystone_limits"),
    ("DEFAULT", "log_dir"),
    ("DEFAULT", "node_staging_uri"),
    ("glance_store", "default_backend"),
    ("paste_deploy", "caching"),
    ("paste_deploy", "cachemanagement"),
    ("imagereg", "state_dir"),
    ("imagereg", "strict_config"),
}

#: Words that the code has for other things as well.
AMBIGUOUS = {
    "backends",
    "cafile",
    "image_cache_dir",
    "insecure",
    "interface",
    "metrics",
    "password",
    "project_domain_id",
    "project_domain_name",
    "project_name",
    "region_name",
    "user_domain_id",
    "user_domain_name",
    "username",
}


def test_what_no_code_reads_is_pending_and_nothing_else() -> None:
    package = Path(imagereg.__file__).parent
    code = "\n".join(
        path.read_text()
        for path in package.rglob("*.py")
        if "settings" not in path.relative_to(package).parts
    )
    words = set(re.findall(r"\w+", code))
    unread = {
        (section, item.name)
        for section, table in SECTIONS.items()
        for item in fields(table)
        if item.name not in words
    }
    listed = {key for key in PENDING if key[1] not in AMBIGUOUS}

    assert unread - WORKED_OUT == listed


def test_an_option_without_effect_is_told(tmp_path: Path) -> None:
    conf = tmp_path / "a.conf"
    conf.write_text("[imagereg]\nremote_user = true\n[task]\ntask_time_to_live = 4\n")

    told = pending(load_settings([conf], environ={}))

    assert told == (
        "[imagereg] remote_user: has no effect in this version:"
        " identities come from flavors alone",
    )
