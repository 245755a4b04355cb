"""Namespaces and what they hold.  Source: contract api-metadefs 3 to 8."""

import pytest

from tests.api.metadef_server import CONTENT, Author
from tests.server import Server

LONG = "n" * 81


@pytest.fixture
def admin(server: Server) -> Author:
    return Author(server)


@pytest.mark.parametrize(
    ("below", "body", "status"),
    [
        ("", {"namespace": "x", "objects": [{"description": "no name"}]}, 400),
        ("", {"namespace": "x", "objects": [{"name": "a"}, {"name": "a"}]}, 409),
        ("", {"namespace": "x", "tags": [{"name": LONG}]}, 400),
        ("", {"namespace": "x", "properties": {LONG: {}}}, 400),
        ("", {"namespace": "x", "properties": {"p": {"type": "string"}}}, 400),
        ("", {"namespace": "\U0001f600"}, 400),
        ("", {"namespace": "x", "created_at": "now"}, 403),
        ("", [], 400),
        ("/objects", {"name": "obj"}, 409),
        ("/objects", {"name": "o", "required": ["a", "a"]}, 400),
        ("/objects", {"name": "o", "self": "/x"}, 403),
        ("/properties", {"name": "p", "title": "t", "type": "text"}, 400),
        ("/properties", {"name": "p", "title": "t", "type": None}, 400),
        (
            "/properties",
            {"name": "p", "title": "t", "type": "string", "enum": [1]},
            400,
        ),
        (
            "/properties",
            {"name": "p", "title": "t", "type": "array", "items": {"enum": ["a"]}},
            400,
        ),
        (
            "/properties",
            {"name": "p", "title": "t", "type": "string", "required": ["a"]},
            400,
        ),
        (
            "/properties",
            {"name": "p", "title": "t", "type": "string", "minLength": -1},
            400,
        ),
        (
            "/properties",
            {"name": "p", "title": "t", "type": "integer", "maximum": 1e300},
            400,
        ),
        (
            "/objects",
            {
                "name": "o",
                "properties": {"p": {"title": "t", "type": "string", "x": 1}},
            },
            400,
        ),
        ("/resource_types", {"name": "r", "prefix": LONG}, 400),
        ("/properties", {"name": "prop", "title": "t", "type": "string"}, 409),
        ("/properties", {"name": "p", "updated_at": "now"}, 403),
        ("/tags", {"tags": [{"name": "a", "colour": "red"}]}, 400),
        ("/tags", {}, 400),
        ("/tags/tag", None, 409),
        (f"/tags/{LONG}", None, 400),
        ("/resource_types", {"name": "OS::Glance::Image"}, 409),
        ("/resource_types", {"name": "r", "created_at": "now"}, 403),
    ],
)
def test_what_cannot_be_stored_is_refused(
    admin: Author, below: str, body: object, status: int
) -> None:
    path = admin.add(**CONTENT)
    target = path + below if below else ""

    assert admin.ask("POST", target, body).status == status


def test_bottomless_documents_are_refused(admin: Author) -> None:
    deep: object = "x"
    for _ in range(200):
        deep = [deep]
    body = {"name": "p", "title": "t", "type": "array", "default": deep}

    assert admin.ask("POST", f"{admin.add()}/properties", body).status == 400


@pytest.mark.parametrize(
    ("below", "body"),
    [
        ("/objects/obj", {"name": "other"}),
        ("/properties/prop", {"name": "other", "title": "t", "type": "string"}),
        ("/tags/tag", {"name": "other"}),
    ],
)
def test_renaming_onto_a_taken_name_is_a_conflict(
    admin: Author, below: str, body: dict[str, object]
) -> None:
    path = admin.add(**CONTENT)
    collection = below.rpartition("/")[0]
    if collection == "/tags":
        admin.ask("POST", f"{path}/tags/other")
    else:
        admin.ask("POST", path + collection, body)
    before = admin.show(path)

    answer = admin.ask("PUT", path + below, body)

    assert answer.status == 409
    assert admin.show(path) == before


def test_a_taken_name_undoes_the_whole_creation(admin: Author) -> None:
    path = admin.add()
    name = path.removeprefix("/")

    answer = admin.ask("POST", "", {"namespace": name, **CONTENT})

    assert answer.status == 409
    assert "tags" not in admin.show(path)


def test_a_property_is_kept_in_the_types_that_clients_know(admin: Author) -> None:
    path = admin.add()
    body = {
        "name": "p",
        "title": "t",
        "type": "integer",
        "default": True,
        "minimum": 1.9,
        "maxLength": 3.0,
        "items": {"type": "string", "enum": ["a"]},
    }

    made = admin.ask("POST", f"{path}/properties", body).json()

    assert made == {
        **body,
        "default": "True",
        "minimum": 1,
        "maxLength": 3,
    }
    assert admin.show(f"{path}/properties/p") == made


def test_a_resource_type_brings_its_prefix(admin: Author) -> None:
    path = admin.add(**CONTENT)
    wanted = "?resource_type=OS::Glance::Image"

    shown = admin.ask("GET", path + wanted).json()
    prefixed = shown["objects"][0]
    single = admin.show(f"{path}/properties/x_prop{wanted}")

    assert shown["properties"] == {
        "x_prop": {"title": "P", "type": "integer", "minimum": 1}
    }
    assert prefixed["required"] == ["x_in_obj"]
    assert prefixed["properties"] == {"x_in_obj": {"type": "string", "title": "In"}}
    assert single["name"] == "prop"
    assert admin.ask("GET", f"{path}/properties/prop{wanted}").status == 404
    assert admin.ask("GET", f"{path}/properties/prop?resource_type=R").status == 404


def test_a_put_takes_what_a_get_gave(admin: Author) -> None:
    path = admin.add(description="d", **CONTENT)
    before = admin.show(path)
    body = {
        key: value
        for key, value in before.items()
        if key not in ("self", "schema", "created_at", "updated_at")
    }

    answer = admin.ask("PUT", path, body)

    assert answer.status == 200
    assert "objects" not in answer.json()
    assert {**admin.show(path), "updated_at": 0} == {**before, "updated_at": 0}


def test_what_a_put_leaves_out_falls_back(admin: Author) -> None:
    path = admin.add(description="d", visibility="public", owner="somebody")

    shown = admin.ask("PUT", path, {"namespace": path.removeprefix("/")}).json()

    assert "description" not in shown
    assert (shown["visibility"], shown["owner"]) == ("private", "project-admin")


def test_tags_are_replaced_unless_a_header_says_append(admin: Author) -> None:
    path = admin.add(tags=[{"name": "a"}])
    tags = f"{path}/tags"

    admin.ask("POST", tags, {"tags": [{"name": "b"}]}, X_Openstack_Append="yes")
    clash = admin.ask(
        "POST", tags, {"tags": [{"name": "c"}, {"name": "b"}]}, X_Openstack_Append="1"
    )
    appended = admin.show(f"{tags}?sort_key=name&sort_dir=asc")
    admin.ask("POST", tags, {"tags": [{"name": "d"}]})

    assert clash.status == 409
    assert appended == {"tags": [{"name": "a"}, {"name": "b"}]}
    assert admin.show(tags) == {"tags": [{"name": "d"}]}


def test_names_are_case_sensitive(admin: Author) -> None:
    path = admin.add(tags=[{"name": "Tag"}, {"name": "tag"}])

    assert admin.ask("GET", f"{path}/tags/TAG").status == 404


def test_pages_join_to_the_whole_list(admin: Author) -> None:
    kind = admin.add().removeprefix("/")[:40]
    meant = [{"name": kind}]
    paths = [admin.add(resource_type_associations=meant) for _ in range(5)]
    following = f"?limit=2&resource_types={kind}"

    seen: list[str] = []
    while following:
        page = admin.ask("GET", following).json()
        seen += [row["namespace"] for row in page["namespaces"]]
        following = page.get("next", "").partition("namespaces")[2]

    assert seen == [path.removeprefix("/") for path in reversed(paths)]
    assert page["first"].endswith(f"?limit=2&resource_types={kind.replace(':', '%3A')}")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("?sort_key=colour", 400),
        ("?sort_dir=up", 400),
        ("?limit=1.5", 400),
        ("?limit=99999999999999999999999999", 200),
        ("?visibility=shared", 400),
        ("?marker=nowhere", 404),
        *(
            (f"?sort_key={key}&sort_dir=asc", 200)
            for key in ("id", "owner", "protected")
        ),
        ("{ns}/objects?limit=0", 400),
        ("{ns}/objects?limit=1&marker=x&sort_key=y&visibility=shared", 200),
        ("{ns}/objects?sort_dir=z", 400),
        ("{ns}/tags?sort_key=id", 400),
        ("{ns}/tags?limit=0", 200),
        ("{ns}/tags?marker=x", 404),
    ],
)
def test_parameters_of_lists(admin: Author, path: str, status: int) -> None:
    namespace = admin.add()

    assert admin.ask("GET", path.replace("{ns}", namespace)).status == status


@pytest.mark.parametrize("key", ["namespace", "display_name", "owner", "protected"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
def test_a_marker_leads_on_in_every_order(
    admin: Author, key: str, direction: str
) -> None:
    kind = admin.add().removeprefix("/")[:40]
    meant = [{"name": kind}]
    for fields in ({"display_name": "b"}, {"protected": True}, {}, {"owner": "o"}):
        admin.add(resource_type_associations=meant, **fields)
    query = f"?resource_types={kind}&sort_key={key}&sort_dir={direction}"

    rows = [row["namespace"] for row in admin.ask("GET", query).json()["namespaces"]]
    after = admin.ask("GET", f"{query}&marker={rows[1]}").json()["namespaces"]

    assert len(rows) == 4
    assert [row["namespace"] for row in after] == rows[2:]


def test_a_stranger_cannot_use_a_hidden_namespace_as_a_marker(
    server: Server, admin: Author
) -> None:
    hidden = admin.add().removeprefix("/")

    answer = Author(server, "stranger").ask("GET", f"?marker={hidden}")

    assert answer.status == 404


@pytest.mark.parametrize(
    ("method", "below", "body"),
    [
        ("GET", "/objects/none", None),
        ("PUT", "/objects/none", {"name": "other"}),
        ("PUT", "/properties/none", {"name": "p", "title": "t", "type": "string"}),
        ("GET", "/properties/none?resource_type=none", None),
        ("GET", "/tags/none", None),
        ("PUT", "/tags/none", {"name": "other"}),
        ("DELETE", "/tags/none", None),
        ("DELETE", "/resource_types/none", None),
    ],
)
def test_what_is_not_there_is_not_found(
    admin: Author, method: str, below: str, body: object
) -> None:
    assert admin.ask(method, admin.add(**CONTENT) + below, body).status == 404


def test_a_query_string_must_be_text(admin: Author) -> None:
    assert admin.ask("GET", "?marker=%ff").status == 400
    assert admin.ask("GET", "?" + "&".join(["a=b"] * 1001)).status == 400


@pytest.mark.parametrize(
    ("method", "below", "allowed"),
    [
        ("PATCH", "", "DELETE, GET, PUT"),
        ("PUT", "/objects", "DELETE, GET, POST"),
        ("PATCH", "/tags/tag", "DELETE, GET, POST, PUT"),
        ("GET", "/resource_types/R", "DELETE"),
    ],
)
def test_wrong_methods_are_told_the_right_ones(
    admin: Author, method: str, below: str, allowed: str
) -> None:
    answer = admin.ask(method, admin.add() + below)

    assert (answer.status, answer.headers["allow"]) == (405, allowed)
