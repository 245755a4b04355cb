"""The OpenAPI description says what the routes do.

Source: contract api-images 3; the tables of `personas.py`.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from imagereg.api import operations
from imagereg.api.dispatch import Route
from imagereg.api.openapi import has_body, operation_name, rebased, statuses
from imagereg.api.routes import ROUTES
from imagereg.images.fields import WRITABLE
from tests.api.personas import BUILT_IN, ORIGIN, key, requests_to
from tests.registry import LocalRegistry
from tests.wire import Document


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Document:
    made = LocalRegistry(tmp_path_factory.mktemp("described"))
    answer = made.client({}).get("/openapi.json")
    made.close()
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


TEXT = {"type": "string", "pattern": operations.STORABLE, "maxLength": 255}


def operation(described: Document, route: Route) -> Document:
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", route.path)
    method = "get" if route.method == "*" else route.method.lower()
    found: Document = described["paths"][path][method]
    return found


@pytest.mark.parametrize("route", ROUTES, ids=key)
def test_every_route_is_described_with_its_policy(
    described: Document, route: Route
) -> None:
    found = operation(described, route)

    parts = [each["name"] for each in found["parameters"] if each["in"] == "path"]
    assert found["x-policy"] == route.action
    assert found.get("x-policy-before", []) == [str(each) for each in route.before]
    assert parts == re.findall(r"<(?:\w+:)?(\w+)>", route.path)
    assert ("requestBody" in found) == has_body(route)
    assert found["summary"]


def test_nothing_else_is_described(described: Document) -> None:
    found = [each for path in described["paths"].values() for each in path.values()]
    names = {each["operationId"] for each in found}

    assert len(found) == len(names) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=key)
def test_a_body_is_described_by_what_checks_it(route: Route) -> None:
    assert (operation_name(route) in operations.BODIES) == has_body(route)


@pytest.mark.parametrize(
    "facts",
    [
        operations.PARAMETERS,
        operations.SUCCESS,
        operations.REFUSALS,
        operations.BODIES,
        operations.ANSWERS,
    ],
)
def test_facts_are_about_operations_that_exist(facts: dict[str, object]) -> None:
    assert facts.keys() <= {operation_name(route) for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=key)
def test_every_answer_to_a_persona_is_described(route: Route) -> None:
    given = {
        status
        for table in (BUILT_IN, ORIGIN)
        for request in requests_to(route)
        for row in table[request].values()
        for status in row.values()
    }

    assert given <= set(statuses(route))


def test_every_reference_leads_somewhere(described: Document) -> None:
    for reference in references(described):
        found: Any = described
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]

        assert isinstance(found, dict), reference


def references(value: object) -> Iterator[str]:
    """Yield every reference in part of a document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_references_of_a_schema_point_into_its_component() -> None:
    schema = {"items": [{"$ref": "#/definitions/x"}], "$ref": "#/definitions/y"}

    assert rebased(schema, "thing") == {
        "items": [{"$ref": "#/components/schemas/thing/definitions/x"}],
        "$ref": "#/components/schemas/thing/definitions/y",
    }


def test_the_body_of_a_new_image_is_that_of_its_schema(described: Document) -> None:
    image = described["components"]["schemas"]["NewImage"]

    assert image["properties"]["min_disk"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 2**31 - 1,
    }
    assert image["properties"]["name"] == {**TEXT, "type": ["string", "null"]}
    assert image["properties"]["visibility"]["enum"] == [
        *("public", "community", "shared", "private")
    ]
    assert image["properties"]["tags"]["items"] == TEXT
    assert image["additionalProperties"]["type"] == "string"


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("größe\n", True),
        ("\uffff", True),
        ("a\0b", False),
        ("\U0001f600", False),
    ],
)
def test_texts_are_what_every_database_can_store(text: str, fits: bool) -> None:
    assert bool(re.search(operations.STORABLE, text)) is fits


@pytest.mark.parametrize(
    ("field", "kind"), [("/name", ["string", "null"]), ("/min_disk", "integer")]
)
def test_a_patch_takes_what_a_field_takes(
    described: Document, field: str, kind: object
) -> None:
    schemas = described["components"]["schemas"]
    values = {
        each["properties"]["path"].get("const"): each["properties"].get("value")
        for each in schemas["Patch"]["items"]["anyOf"]
    }

    name = values[field]["$ref"].rpartition("/")[2]
    assert schemas["NewImage"]["properties"][name]["type"] == kind


def test_every_field_that_clients_may_set_is_described(described: Document) -> None:
    schemas = described["components"]["schemas"]
    kinds = [each["properties"] for each in schemas["Patch"]["items"]["anyOf"]]
    paths = {each["path"].get("const") for each in kinds}

    assert schemas["NewImage"]["properties"].keys() == WRITABLE | {"id"}
    assert paths == {f"/{name}" for name in WRITABLE} | {"/locations", None}


def test_locations_are_described_as_they_are_patched(described: Document) -> None:
    schemas = described["components"]["schemas"]
    kinds = [each["properties"] for each in schemas["Patch"]["items"]["anyOf"]]
    item = {"$ref": "#/components/schemas/PatchedLocation"}
    written = {
        op: (each["path"], each["value"])
        for each in kinds
        if item in (each.get("value"), each.get("value", {}).get("items"))
        for op in each["op"]["enum"]
    }
    removed = [each["path"] for each in kinds if each["op"] == {"const": "remove"}]

    place = written["add"][0]
    assert written.keys() == {"add", "replace"}
    assert written["replace"] == (
        {"const": "/locations"},
        {"type": "array", "items": item},
    )
    assert place in removed
    assert [
        bool(re.search(place["pattern"], path))
        for path in ("/locations/-", "/locations/12", "/locations", "/locations/x")
    ] == [True, True, False, False]
    location = schemas["PatchedLocation"]
    assert location["required"] == ["metadata", "url"]
    assert location["properties"]["metadata"] == {"type": "object"}
    assert location["properties"]["url"] == {"type": "string", "maxLength": 255}
    assert schemas["PatchedDigest"]["properties"].keys() == {
        *("checksum", "os_hash_algo", "os_hash_value")
    }


def test_what_the_operator_declares_is_described(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    number = {"type": "integer", "minimum": 1}
    declared = {"properties": {"a/b~c": number}, "required": ["a/b~c"]}
    made = LocalRegistry(
        tmp_path_factory.mktemp("declared"),
        files={"schema-image.json": json.dumps(declared)},
    )

    document = made.client({}).get("/openapi.json").json()
    body = {"op": "replace", "path": "/a~1b~0c", "value": 0}
    image = made.admin.create(**{"a/b~c": 2})
    refused = made.admin.patch(str(image["id"]), body)
    made.close()

    schemas = document["components"]["schemas"]
    values = {
        each["properties"]["path"].get("const"): each["properties"].get("value")
        for each in schemas["Patch"]["items"]["anyOf"]
    }
    assert schemas["NewImage"]["properties"]["a/b~c"] == number
    assert schemas["NewImage"]["required"] == ["a/b~c"]
    assert values["/a~1b~0c"] == number
    assert refused.status == 400


def test_the_formats_are_those_of_the_settings(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    config = {"image_format": {"disk_formats": "raw,lace"}}
    made = LocalRegistry(tmp_path_factory.mktemp("formats"), config)

    document = made.client({}).get("/openapi.json").json()
    made.close()

    image = document["components"]["schemas"]["NewImage"]
    assert image["properties"]["disk_format"]["enum"] == ["raw", "lace", None]


def test_who_does_not_ask_does_not_pay() -> None:
    program = "import sys, imagereg.app; print('apispec' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert json.loads(done.stdout.lower()) is False
