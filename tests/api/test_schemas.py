"""Bodies in: what an image record may hold.

Source: contract api-images 1.3, 5, 6 and 20; D-5, D-16, D-24.
"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.api.schemas import (
    ImageBodies,
    check_member_id,
    check_member_status,
    check_tag,
    image_schema,
)
from imagereg.errors import Forbidden, ImageRegError, Invalid
from tests.registry import LocalRegistry, add

BODIES = ImageBodies(image_schema(("raw", "iso"), ("bare",)))
LARGEST = 2**31 - 1


def each(name: str, *values: object) -> list[tuple[str, object]]:
    """Return the name with each of the values."""
    return [(name, value) for value in values]


@pytest.mark.parametrize(
    ("name", "value", "loaded"),
    [
        ("name", None, None),
        ("name", "", ""),
        ("name", "\uffff" * 255, "\uffff" * 255),
        ("min_disk", 1.0, 1),
        ("min_disk", LARGEST, LARGEST),
        ("min_ram", -0.0, 0),
        ("tags", ["a", "b", "a"], ("a", "b")),
        ("disk_format", None, None),
        ("disk_format", "raw", "raw"),
        ("visibility", "community", "community"),
        ("protected", True, True),
        ("os_hidden", False, False),
        ("a.b.c", "x", "x"),
        ("", "", ""),
        ("a" * 255, "x" * 100_000, "x" * 100_000),
        ("load_default", "x", "x"),
    ],
)
def test_what_a_record_may_hold(name: str, value: object, loaded: object) -> None:
    found = BODIES.check_value(name, value)

    assert found == loaded
    assert type(found) is type(loaded)
    assert BODIES.check_new({name: value}) == {name: loaded}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *each("name", 1, True, [], {}, "x" * 256, "\0", "\U0001f600"),
        *each("min_disk", -1, LARGEST + 1, 1.5, "1", None, True),
        *each("min_disk", 1e300, -1e300, 2**64, [], {}),
        *(("min_ram", float(text)) for text in ("nan", "inf", "-inf")),
        *each("tags", None, "a", [1], [None], ["x" * 256], ["\0"]),
        *each("tags", {}, ["\U0001f600"], [["a"]]),
        *each("disk_format", "qcow2", "RAW", "", 1, []),
        *each("visibility", "Public", "", None, 1, ["public"]),
        *each("protected", 0, 1, "true", None),
        *each("os_hidden", "True", None, []),
        *each("owner", 1, "x" * 256, "\0"),
        *each("free", 1, 1.5, True, None, [], {}, "\0", "\U0001f600"),
        *((name, "x") for name in ("x" * 256, "a\0b", "\U0001f600")),
    ],
)
def test_what_it_may_not(name: str, value: object) -> None:
    with pytest.raises(Invalid):
        BODIES.check_value(name, value)
    with pytest.raises(Invalid):
        BODIES.check_new({name: value})


@pytest.mark.parametrize(
    "value",
    [
        *("x", "", 1, None, "0" * 36, "00000000-0000-4000-8000-00000000000g"),
        *("{00000000-0000-4000-8000-000000000000}", "0" * 32),
        "00000000-0000-4000-8000-000000000000\n",
    ],
)
def test_an_id_is_a_uuid(value: object) -> None:
    with pytest.raises(Invalid):
        BODIES.check_new({"id": value})


@pytest.mark.parametrize(
    "body",
    [
        rb'{"name": "\ud800"}',
        rb'{"name": "\udc00\ud800"}',
        b'{"name": "\xed\xa0\x80"}',
        b'{"name": "\xff"}',
        b'{"min_disk": NaN}',
        b'{"min_disk": 1e999}',
        b'{"min_disk": 99999999999999999999999999}',
        b'{"tags": [' + b"[" * 2000 + b"]" * 2000 + b"]}",
        b'{"a": "' + b"x" * 200_000 + b'"}' * 2,
    ],
)
def test_text_that_no_database_holds_never_gets_in(
    registry: LocalRegistry, body: bytes
) -> None:
    assert registry.admin.request("POST", "/v2/images", body=body).status in (400, 413)


@pytest.mark.parametrize("text", ["\U0001f600", "ü", "a b", "%", "\\", "'", '"', "?#"])
def test_a_single_tag_may_be_any_text(registry: LocalRegistry, text: str) -> None:
    from urllib.parse import quote

    image_id = str(registry.admin.create()["id"])
    path = f"/v2/images/{image_id}/tags/{quote(text, safe='')}"

    assert registry.admin.request("PUT", path).status == 204
    assert registry.admin.show(image_id)["tags"] == [text]
    assert registry.admin.request("DELETE", path).status == 204


@pytest.mark.parametrize("tag", ["x" * 256, "a\0b"])
def test_a_single_tag_may_not_be_everything(tag: str) -> None:
    with pytest.raises(Invalid):
        check_tag(tag)


@pytest.mark.parametrize(
    ("member", "text"), [("p", "p"), (5, "5"), ("x" * 255, "x" * 255), ("ü", "ü")]
)
def test_a_member_is_opaque_text(member: object, text: str) -> None:
    assert check_member_id({"member": member, "more": 1}) == text


@pytest.mark.parametrize(
    "document",
    [
        *({}, [], None, "p", {"member": None}, {"member": ""}, {"member": []}),
        *({"member": {}}, {"member": True}, {"member": "x" * 256}, {"member": "\0"}),
        {"member": "\U0001f600"},
    ],
)
def test_a_member_is_never_nothing(document: object) -> None:
    with pytest.raises(Invalid):
        check_member_id(document)


@pytest.mark.parametrize(
    "document", [{}, [], {"status": "Accepted"}, {"status": None}, {"status": 1}]
)
def test_a_member_says_one_of_three_things(document: object) -> None:
    with pytest.raises(Invalid):
        check_member_status(document)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
KEYS = st.sampled_from(
    ["name", "tags", "id", "owner", "min_disk", "status", "locations", "stores", "self"]
) | st.text(max_size=260)


@given(JSON | st.dictionaries(KEYS, JSON, max_size=4))
def test_no_document_breaks_the_schema(document: object) -> None:
    try:
        loaded = BODIES.check_new(document)
    except (Invalid, Forbidden) as error:
        assert error.message
        return

    assert json.dumps(loaded)


@given(KEYS, JSON)
def test_no_value_breaks_an_operation(name: str, value: object) -> None:
    if name in ("status", "locations", "stores", "self", "id"):
        return

    try:
        BODIES.check_value(name, value)
    except ImageRegError as error:
        assert isinstance(error, Invalid)


@given(st.lists(JSON | st.fixed_dictionaries({"op": JSON, "path": JSON})))
def test_no_patch_breaks_the_parser(document: object) -> None:
    from imagereg.api.json_patch import V20, V21, parse

    for dialect in (V20, V21):
        try:
            parse(dialect, document, BODIES)
        except (Invalid, Forbidden):
            continue


@pytest.mark.parametrize(
    ("path", "name"),
    [("/x~1y", "x/y"), ("/~01", "~1"), ("/", ""), ("/ a ", "a"), ("/ü", "ü")],
)
def test_pointers(registry: LocalRegistry, path: str, name: str) -> None:
    image_id = str(registry.admin.create()["id"])

    answer = registry.admin.patch(image_id, {**add("", "v"), "path": path})

    assert (answer.status, answer.json()[name]) == (200, "v")


@pytest.mark.parametrize(
    "path", ["", "x", "/x/", "//x", "/x//y", "/x/y", "/~", "/~2", "/x~", "/tags/-", 1]
)
def test_pointers_that_point_nowhere(registry: LocalRegistry, path: object) -> None:
    image_id = str(registry.admin.create()["id"])

    answer = registry.admin.patch(image_id, {**add("", "v"), "path": path})

    assert answer.status == 400
