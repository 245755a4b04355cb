"""Built-in rules, a policy file and a scope together, decided as by the reference."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagereg.errors import ConfigurationError
from imagereg.policy.actions import DEFAULTS
from imagereg.policy.rules import load_rule_set
from tests.policy.oracle import Oracle

NAMES = (
    *("default", "context_is_admin", "service_api", "manage_image_cache"),
    *("cache_image", "cache_list", "get_image", "add_image", "publicize_image"),
    *("stores_info_detail", "get_task", "metadef_default", "metadef_admin"),
    *("get_metadef_tag", "helper"),
)
TEXTS = st.sampled_from(
    [
        *("", "@", "!", "role:a", "rule:context_is_admin", "rule:default"),
        *("role:reader and project_id:%(project_id)s", "not role:member"),
        *("rule:cache_list", "rule:manage_image_cache", "rule:service_api"),
        "rule:metadef_admin or rule:metadef_default",
    ]
)
FILES = st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=4)
CALLERS: list[dict[str, object]] = [
    {"roles": roles, "project_id": "p", **scope}
    for roles in (["admin"], ["member", "reader"], ["reader"], ["service"], ["a"], [])
    for scope in ({}, {"system_scope": "all"}, {"domain_id": "d", "project_id": None})
]
TARGETS: list[dict[str, object]] = [
    {"project_id": "p", "owner": "p", "visibility": "private", "member_id": None},
    {"project_id": "q", "owner": "q", "visibility": "public", "member_id": None},
    {"project_id": "q", "owner": "q", "visibility": "shared", "member_id": "p"},
    {},
]


def check_service(
    texts: Mapping[str, str], enforce_new_defaults: bool, names: Iterable[str]
) -> None:
    """Check that each name is decided as by the reference, for every caller."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "policy.json"
        file.write_text(json.dumps(texts))
        try:
            rules = load_rule_set(file, enforce_new_defaults=enforce_new_defaults)
        except ConfigurationError as refused:
            assert "refers to itself" in refused.message  # ruling P-2
            return
        reference = Oracle.of_service(file, enforce_new_defaults=enforce_new_defaults)
        for credentials in CALLERS:
            for target in TARGETS:
                for name in names:
                    ours = rules.decide(credentials, name, target).allowed
                    theirs = reference.allows(name, target, credentials)
                    assert ours is theirs, (name, credentials, target)


@settings(max_examples=15, deadline=None, database=None)
@given(FILES, st.booleans())
def test_a_service_decides_as_the_reference_does(
    texts: dict[str, str], enforce_new_defaults: bool
) -> None:
    check_service(texts, enforce_new_defaults, {*NAMES} & {*DEFAULTS})


@pytest.mark.long
@settings(max_examples=400, deadline=None, database=None)
@given(FILES, st.booleans())
def test_many_services_decide_as_the_reference_does(
    texts: dict[str, str], enforce_new_defaults: bool
) -> None:
    check_service(texts, enforce_new_defaults, DEFAULTS)
