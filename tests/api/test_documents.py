"""Documents out.  Source: contract api-images 5 and 10.1; rulings S-8, P-10."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.api.documents import DocumentOptions, image_document, page_document
from imagereg.approved import ImageView
from imagereg.model import Image, Location, format_time
from tests.registry import SEVERAL_STORES, LocalRegistry, merged, replace
from tests.wire import as_

PLACES = (
    Location("file:///a", {"k": "v"}, "slow"),
    Location("http://user:secret@host/b?c=d", {}, "fast"),
    Location("http://host/c", {}, None),
)


def document(options: DocumentOptions, **fields: object) -> dict[str, object]:
    """Return the document of an image of this data."""
    facts: dict[str, object] = {"locations": PLACES, **fields}
    image = Image("i d", 0, 10**6, **facts)  # type: ignore[arg-type] # the tests know the fields
    stores = tuple(place.store for place in image.locations if place.store)
    return image_document(ImageView(image, image.locations, stores), options)


def test_the_keys_of_a_record() -> None:
    found = document(DocumentOptions(), properties={"free": "x", "empty": None})

    assert found["free"] == "x"
    assert found["empty"] == ""
    assert found["self"] == "/v2/images/i%20d"
    assert found["file"] == "/v2/images/i%20d/file"
    assert found["updated_at"] == "1970-01-01T00:00:01Z"
    assert not {"stores", "locations", "direct_url"} & found.keys()


def test_a_property_never_hides_a_field() -> None:
    found = document(DocumentOptions(), properties={"status": "active", "owner": "me"})

    assert (found["status"], found["owner"]) == ("queued", None)


def test_locations_come_best_first_and_without_passwords() -> None:
    weights = {"fast": 10, "slow": 1}
    options = DocumentOptions(direct_url=True, locations=True, weights=weights)

    found = document(options)

    assert found["stores"] == "fast,slow"
    assert found["direct_url"] == "http://host/b?c=d"
    assert [place["url"] for place in found["locations"]] == [  # type: ignore[attr-defined] # a list of objects
        "http://host/b?c=d",
        "file:///a",
        "http://host/c",
    ]
    assert "secret" not in str(found)


def test_an_image_without_data_has_no_places() -> None:
    options = DocumentOptions(direct_url=True, locations=True, weights={"fast": 1})

    found = document(options, locations=())

    assert found["locations"] == []
    assert not {"stores", "direct_url"} & found.keys()


@pytest.mark.parametrize("following", [None, "/v2/images?marker=x"])
def test_the_envelope_of_a_page(following: str | None) -> None:
    found = page_document([], "/v2/images", following)

    assert found.get("next") == following
    assert found["schema"] == "/v2/schemas/images"


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_999_999, "1970-01-01T00:00:01Z"),
        (4_102_444_800_000_000, "2100-01-01T00:00:00Z"),
    ],
)
def test_times_are_told_to_the_second(time_us: int, text: str) -> None:
    assert format_time(time_us) == text


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry that shows locations to all whom a rule admits."""
    options = {"show_multiple_locations": "true", "show_image_direct_url": "true"}
    made = LocalRegistry(
        tmp_path_factory.mktemp("shown"),
        merged(
            SEVERAL_STORES,
            {"DEFAULT": options, "oslo_policy": {"policy_file": "policy.json"}},
        ),
        files={"policy.json": json.dumps({"get_image_location": "role:insider"})},
    )
    yield made
    made.close()


@pytest.mark.parametrize(
    ("roles", "sees"),
    [(("member", "reader"), False), (("member", "reader", "insider"), True)],
)
def test_a_rule_decides_who_sees_locations(
    shown: LocalRegistry, roles: tuple[str, ...], sees: bool
) -> None:
    client = shown.client(as_(roles=roles))
    image_id = str(client.create()["id"])
    client.upload(image_id, b"data")

    found = client.show(image_id)

    assert bool(found["locations"]) is sees
    assert ("direct_url" in found) is sees
    assert found["stores"] == "fast"


def test_locations_of_what_is_out_of_use_are_the_administrators(
    shown: LocalRegistry,
) -> None:
    insider = shown.client(as_(roles=("member", "reader", "insider")))
    admin = shown.client(as_("a", "x", ("admin", "insider")))
    image_id = str(insider.create()["id"])
    insider.upload(image_id, b"data")
    admin.request("POST", f"/v2/images/{image_id}/actions/deactivate")

    theirs, ours = insider.show(image_id), admin.show(image_id)

    assert theirs["locations"] == []
    assert not {"stores", "direct_url"} & theirs.keys()
    assert ours["stores"] == "fast"
    assert ours["locations"]
    assert insider.patch(image_id, replace("name", "x")).json()["locations"] == []


def test_no_path_of_this_machine_is_told_unasked(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path)
    image_id = str(registry.admin.create()["id"])
    registry.admin.upload(image_id, b"data")

    answers = [
        registry.admin.get(path).body
        for path in (
            f"/v2/images/{image_id}",
            "/v2/images",
            f"/v2/images/{image_id}/file",
            "/v2/images/x",
        )
    ]

    assert not any(str(tmp_path).encode() in body for body in answers)
    registry.close()
