"""Custom properties that the operator declares in `schema-image.json`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from imagereg.api.declared import load_declared
from imagereg.errors import ConfigurationError
from tests.server import Server
from tests.wire import Client

V21 = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
DECLARED = {
    "properties": {
        "kernel_id": {"type": ["null", "string"], "pattern": "^[0-9a-f-]{36}$"},
        "cores": {"type": "integer", "minimum": 1},
        "distro": {"type": "string", "enum": ["debian", "fedora"]},
        "parts": {"type": "array", "items": {"type": "string"}},
        "name": {
            "type": ["null", "string"],
            "description": "Name for people to read",
            "maxLength": 255,
        },
    },
    "required": ["distro"],
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    where = tmp_path_factory.mktemp("declared")
    files = {"schema-image.json": json.dumps(DECLARED)}
    server = Server(where, files=files).start()
    yield server.client()
    server.stop()


def patch(client: Client, image: str, *operations: Mapping[str, object]) -> int:
    return client.request(
        "PATCH",
        f"/v2/images/{image}",
        body=json.dumps(operations).encode(),
        headers=V21,
    ).status


def test_values_keep_the_declared_type(client: Client) -> None:
    wanted = {"distro": "debian", "cores": 4, "parts": ["a", "b"], "kernel_id": None}

    made = client.create(**wanted)

    shown = client.show(made["id"])
    listed = client.get("/v2/images?cores=4").json()["images"]
    assert {name: made[name] for name in wanted} == wanted
    assert {name: shown[name] for name in wanted} == wanted
    assert [image["cores"] for image in listed] == [4]


@pytest.mark.parametrize(
    "wrong",
    [
        {"cores": 0},
        {"cores": "4"},
        {"cores": True},
        {"distro": "beos"},
        {"parts": "a"},
        {"kernel_id": "x"},
        {"undeclared": 4},
        {"undeclared": None},
    ],
    ids=str,
)
def test_a_value_that_breaks_its_declaration_is_refused(
    client: Client, wrong: dict[str, object]
) -> None:
    image = client.create(distro="debian")["id"]
    name, value = next(iter(wrong.items()))
    operation = {"op": "add", "path": f"/{name}", "value": value}

    posted = client.request(
        "POST", "/v2/images", document={"distro": "debian", **wrong}
    )

    assert posted.status == 400
    assert name.encode() in posted.body
    assert patch(client, image, operation) == 400


def test_a_required_property_is_asked_for_once(client: Client) -> None:
    image = client.create(distro="debian")["id"]
    rename = {"op": "replace", "path": "/name", "value": "n"}
    remove = {"op": "remove", "path": "/distro"}

    assert client.request("POST", "/v2/images", document={"name": "n"}).status == 400
    assert patch(client, image, rename) == 200
    assert patch(client, image, remove) == 403


def test_a_value_can_change_its_type_within_the_declaration(client: Client) -> None:
    kernel = "00000000-0000-4000-8000-000000000001"
    image = client.create(distro="fedora", kernel_id=None)["id"]
    operation = {"op": "replace", "path": "/kernel_id", "value": kernel}

    assert patch(client, image, operation) == 200
    assert client.show(image)["kernel_id"] == kernel
    assert patch(client, image, {**operation, "value": None}) == 200
    assert client.show(image)["kernel_id"] is None


def test_the_schema_shows_what_is_declared(client: Client) -> None:
    document = client.get("/v2/schemas/image").json()

    assert document["properties"]["cores"] == {
        "type": "integer",
        "minimum": 1,
        "is_base": False,
    }
    assert "is_base" not in document["properties"]["name"]
    assert document["required"] == ["distro"]
    items = client.get("/v2/schemas/images").json()["properties"]["images"]["items"]
    assert items["properties"]["cores"]["is_base"] is False


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Expecting property name"),
        ("[]", "must be a JSON object"),
        ('{"status": {"type": "integer"}}', "`status` is a core field"),
        ('{"x": {"type": "nonsense"}}', "`x`"),
        ('{"x": 3}', "`x` has no schema"),
        ('{"properties": {}, "required": ["x"]}', "`x` is required"),
        ('{"properties": {}, "required": "x"}', "list of names"),
    ],
)
def test_a_faulty_file_stops_the_start(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "schema-image.json"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=fault):
        load_declared(path, {"status": {"type": "string"}})


def test_the_sample_file_loads() -> None:
    sample = Path(__file__).parents[2] / "conf" / "schema-image.json"

    declared = load_declared(sample, {})

    assert len(declared.schemas) == 9
    assert declared.required == ()
