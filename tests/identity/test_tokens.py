"""What a token's document says, and what its access rules admit."""

import json
from typing import Any

import pytest

from imagereg.errors import IdentityUnavailable
from imagereg.identity.tokens import AccessRule, parse_token

DOMAIN = {"id": "d", "name": "D"}
SAID: dict[str, Any] = {
    "user": {"id": "u", "name": "alice", "domain": DOMAIN},
    "project": {"id": "p", "name": "demo", "domain": DOMAIN},
    "roles": [{"id": "1", "name": "Member"}, {"id": "2", "name": " reader "}],
    "expires_at": "2026-11-21T18:08:39.000000Z",
}


def body(**changes: object) -> bytes:
    return json.dumps({"token": {**SAID, **changes}}).encode()


def test_a_token_names_user_project_and_roles() -> None:
    token = parse_token(body())

    assert (token.user_id, token.user_name, token.user_domain_id) == ("u", "alice", "d")
    assert (token.project_id, token.project_name) == ("p", "demo")
    assert token.project_domain_name == "D"
    assert token.roles == {"member", "reader"}
    assert token.expires_at == 1795284519.0
    assert token.is_admin_project
    assert (token.system_scope, token.domain_id, token.catalog) == (None, None, "")


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"system": {"all": True}}, "all"),
        ({"system": {"all": False}}, None),
        ({"system": {"all": "yes"}}, None),
        ({"system": None}, None),
    ],
)
def test_the_system_is_a_scope_only_as_a_whole(
    changes: dict[str, object], seen: str | None
) -> None:
    assert parse_token(body(**changes)).system_scope == seen


def test_other_scopes_and_facts() -> None:
    token = parse_token(body(domain=DOMAIN, project=None, roles=None))
    assert (token.domain_id, token.domain_name) == ("d", "D")
    assert (token.project_id, token.roles) == (None, frozenset())
    assert not parse_token(body(is_admin_project=False)).is_admin_project
    assert not parse_token(body(is_admin_project="True")).is_admin_project


def test_of_the_catalog_the_image_services_are_kept() -> None:
    def endpoint(interface: str, region: str) -> dict[str, str]:
        url = f"http://{region}/{interface}"
        return {"interface": interface, "region": region, "url": url}

    catalog = [
        {"type": "identity", "endpoints": [endpoint("public", "one")]},
        {
            "type": "image",
            "name": "glance",
            "endpoints": [endpoint("public", "one"), endpoint("internal", "two")],
        },
    ]

    kept = json.loads(parse_token(body(catalog=catalog)).catalog)

    assert kept == [
        {
            "type": "image",
            "name": "glance",
            "endpoints": [
                {"region": "one", "publicURL": "http://one/public"},
                {"region": "two", "internalURL": "http://two/internal"},
            ],
        }
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"token": null}',
        body(user=None),
        body(user={"name": "x"}),
        body(user={"id": 7}),
        body(expires_at=None),
        body(expires_at="tomorrow"),
        body(roles=["admin"]),
        body(roles=[{"name": None}]),
        body(project={"id": ["p"]}),
        body(catalog=[{"endpoints": []}]),
        body(application_credential={"access_rules": [{"path": "/v2"}]}),
        body(application_credential={"access_rules": 5}),
    ],
    ids=range(16),
)
def test_what_is_no_token_is_nobodys(text: bytes) -> None:
    with pytest.raises(IdentityUnavailable):
        parse_token(text)


@pytest.mark.parametrize(
    ("path", "asked", "admitted"),
    [
        ("/v2/images", "/v2/images", True),
        ("/v2/images", "/v2/images/", False),
        ("/v2/images", "/v2/imagesx", False),
        ("/v2/images/*", "/v2/images/a", True),
        ("/v2/images/*", "/v2/images/a/file", False),
        ("/v2/images/*", "/v2/images/", False),
        ("/v2/images/{id}/file", "/v2/images/a/file", True),
        ("/v2/images/{id}/file", "/v2/images/a/b/file", False),
        ("/v2/**", "/v2/images/a/file", True),
        ("/v2/**", "/v3/images", False),
        ("**", "/whatever/there/is", True),
        ("/v2/im.ges", "/v2/images", False),
        ("/v2/images/*/t{a", "/v2/images/x/t{a", True),
        ("/v2/**", "/v2/a\nb", True),
    ],
)
def test_paths_of_access_rules(path: str, asked: str, admitted: bool) -> None:
    rule = AccessRule("image", "get", path)

    assert rule.admits("image", "GET", asked) is admitted
    assert not rule.admits("image", "PUT", asked)
    assert not rule.admits("compute", "GET", asked)


def test_a_credential_without_rules_admits_all_and_with_none_of_them_nothing() -> None:
    free = parse_token(body(application_credential={"id": "1"}))
    empty = parse_token(body(application_credential={"access_rules": []}))

    assert free.admits("image", "GET", "/v2/images")
    assert not empty.admits("image", "GET", "/v2/images")
