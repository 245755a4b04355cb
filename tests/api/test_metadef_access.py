"""Who may read and write metadata definitions.  Source: contract api-metadefs 1."""

import json

import pytest

from tests.api.metadef_server import CONTENT, NAMESPACES, PERSONAS, Author
from tests.conftest import Serve
from tests.server import Server
from tests.wire import Client, as_

PROPERTY = {"name": "prop", "title": "P", "type": "string"}
NEW_PROPERTY = {**PROPERTY, "name": "fresh"}

# Method, path below the namespace, body.
READS = (
    ("GET", "", None),
    ("GET", "/objects", None),
    ("GET", "/objects/obj", None),
    ("GET", "/properties", None),
    ("GET", "/properties/prop", None),
    ("GET", "/properties/x_prop?resource_type=OS::Glance::Image", None),
    ("GET", "/tags", None),
    ("GET", "/tags/tag", None),
    ("GET", "/resource_types", None),
)
WRITES = (
    ("POST", "/objects", {"name": "fresh"}),
    ("PUT", "/objects/obj", {"name": "obj"}),
    ("POST", "/properties", NEW_PROPERTY),
    ("PUT", "/properties/prop", PROPERTY),
    ("POST", "/tags", {"tags": [{"name": "tag"}]}),
    ("POST", "/tags/fresh", None),
    ("PUT", "/tags/tag", {"name": "tag"}),
    ("POST", "/resource_types", {"name": "Other"}),
    ("DELETE", "/resource_types/OS::Glance::Image", None),
    ("DELETE", "/objects/obj", None),
    ("DELETE", "/properties/prop", None),
    ("DELETE", "/tags/tag", None),
    ("DELETE", "/objects", None),
    ("DELETE", "/properties", None),
    ("DELETE", "/tags", None),
    ("DELETE", "", None),
)
DELETES = tuple(each for each in WRITES if each[0] == "DELETE")

# Persona -> status of reads and writes in a public and in a private namespace of the
# administrator's project; None stands for success.
MATRIX: dict[str, tuple[int | None, int | None, int | None, int | None]] = {
    "admin": (None, None, None, None),
    "colleague": (None, 403, None, 403),
    "stranger": (None, 403, 404, 404),
    "roleless": (404, 404, 404, 404),
    "service": (404, 404, 404, 404),
}


@pytest.mark.parametrize("who", MATRIX)
@pytest.mark.parametrize("visibility", ["public", "private"])
def test_each_persona_gets_what_the_contract_says(
    server: Server, who: str, visibility: str
) -> None:
    path = Author(server).add(visibility=visibility, **CONTENT)
    caller = Author(server, who)
    row = MATRIX[who]
    reads, writes = row[:2] if visibility == "public" else row[2:]

    wrong = []
    for steps, expected in ((READS, reads), (WRITES, writes)):
        for method, below, body in steps:
            status = caller.ask(method, path + below, body).status
            if status != expected and not (expected is None and status < 300):
                wrong.append((method, below, status, expected))

    assert wrong == []


@pytest.mark.parametrize(
    ("who", "listing", "creating"),
    [
        ("admin", 200, 201),
        ("colleague", 200, 403),
        ("stranger", 200, 403),
        ("roleless", 404, 403),
        ("service", 404, 403),
    ],
)
def test_collections(server: Server, who: str, listing: int, creating: int) -> None:
    caller = Author(server, who)
    client = server.client(PERSONAS[who])

    assert caller.ask("GET").status == listing
    assert client.get("/v2/metadefs/resource_types").status == listing
    created = caller.ask("POST", "", {"namespace": f"NS::by-{who}"})
    assert created.status == creating


def test_nobody_deletes_from_a_protected_namespace(server: Server) -> None:
    admin = Author(server)
    path = admin.add(protected=True, **CONTENT)
    before = admin.show(path)

    statuses = {admin.ask(*step[:1], path + step[1]).status for step in DELETES}

    assert statuses == {403}
    assert admin.show(path) == before
    assert admin.ask("POST", f"{path}/tags/more").status == 201
    name = path.removeprefix("/")
    assert admin.ask("PUT", path, {"namespace": name}).status == 200
    assert admin.ask("DELETE", path).status == 204


def test_a_private_namespace_is_seen_by_the_project_it_was_made_for(
    server: Server,
) -> None:
    admin = Author(server)
    path = admin.add(owner="project-s")

    assert Author(server, "stranger").ask("GET", path).status == 200
    assert Author(server, "colleague").ask("GET", path).status == 404


OPEN_POLICY = {
    "metadef_admin": "",
    "add_metadef_namespace": "role:member",
    "get_metadef_namespaces": "",
    "get_metadef_namespace": "",
}


def test_open_rules_do_not_let_strangers_or_the_anonymous_write(serve: Serve) -> None:
    server = serve(
        {
            "oslo_policy": {"policy_file": "{dir}/etc/policy.json"},
            "DEFAULT": {"allow_anonymous_access": "true"},
        },
        files={"policy.json": json.dumps(OPEN_POLICY)},
    )
    owner = server.client(as_("olga", "project-o"))
    stranger = server.client(as_("sam", "project-s"))
    homeless = server.client(as_("hal", ""))
    nobody = Client(server.base, {})
    document = {"namespace": "N", "visibility": "public", **CONTENT}

    created = owner.request("POST", NAMESPACES, document=document)
    refused = [
        client.request(method, f"{NAMESPACES}/N{below}", document=body).status
        for client in (stranger, nobody)
        for method, below, body in WRITES
    ]
    made = [
        client.request("POST", NAMESPACES, document={"namespace": "M"}).status
        for client in (nobody, homeless)
    ]
    kept = owner.get(f"{NAMESPACES}/N").json()
    by_owner = owner.request("DELETE", f"{NAMESPACES}/N/tags/tag")

    assert created.status == 201
    assert set(refused) == {403}
    assert made == [403, 403]
    assert kept.keys() >= CONTENT.keys()
    assert by_owner.status == 204


def test_each_kind_of_content_is_asked_for_at_creation(serve: Serve) -> None:
    policy = {
        "add_metadef_namespace": "role:member",
        "add_metadef_tag": "role:member",
        "get_metadef_object": "!",
        "get_metadef_resource_type": "!",
    }
    server = serve(
        {"oslo_policy": {"policy_file": "{dir}/etc/policy.json"}},
        files={"policy.json": json.dumps(policy)},
    )
    author = server.client(as_("olga", "project-o"))
    admin = Author(server)

    statuses = {
        kind: author.request(
            "POST", NAMESPACES, document={"namespace": f"N-{kind}", kind: value}
        ).status
        for kind, value in CONTENT.items()
    }
    path = admin.add(**CONTENT)

    assert statuses.pop("tags") == 201
    assert set(statuses.values()) == {403}
    # A list is refused as its rows are; one without rows has nothing to refuse.
    assert admin.ask("GET", f"{path}/objects").status == 403
    assert admin.ask("GET", f"{path}/resource_types").status == 403
    assert admin.ask("GET", f"{admin.add()}/objects").status == 200
