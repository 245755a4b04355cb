"""Documents against schema documents.  Source: contract api-schemas 7 and 8."""

from collections.abc import Mapping

import pytest

from imagereg.errors import Invalid
from imagereg.metadefs.schemas import metadef_schemas
from imagereg.metadefs.validation import DEEPEST, check_document

SCHEMA: Mapping[str, object] = {
    "properties": {
        "word": {"type": "string", "maxLength": 3, "enum": ["a", "abc", "abcd", None]},
        "count": {"allOf": [{"$ref": "#/definitions/whole"}, {"default": 0}]},
        "words": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "uniqueItems": True,
        },
        "inner": {"type": "object", "required": ["flag"], "properties": {}},
        "map": {"type": "object", "additionalProperties": {"type": "boolean"}},
        "anything": {},
    },
    "required": ["word"],
    "additionalProperties": False,
    "definitions": {"whole": {"type": "integer", "minimum": 0}},
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"count": 1.0},
        {"count": 0},
        {"words": ["a", "b"]},
        {"inner": {"flag": 1, "other": 2}},
        {"map": {"a": True}},
        {"anything": None},
    ],
)
def test_what_fits_passes(more: Mapping[str, object]) -> None:
    check_document({"word": "abc", **more}, SCHEMA)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "the request body must be a JSON object"),
        ({}, "`word` is required"),
        ({"word": "abcd"}, "`word` must be at most 3 characters"),
        ({"word": "x"}, "`word` must be one of: a, abc, abcd"),
        ({"word": None}, "`word` must be of type string"),
        ({"word": "a", "count": True}, "`count` must be of type integer"),
        ({"word": "a", "count": 1.5}, "`count` must be of type integer"),
        ({"word": "a", "count": -1}, "`count` must be at least 0"),
        ({"word": "a", "words": []}, "`words` must not be empty"),
        ({"word": "a", "words": ["x", "x"]}, "`words` must not repeat itself"),
        ({"word": "a", "words": ["x", 1]}, "`words/1` must be of type string"),
        ({"word": "a", "inner": {}}, "`inner/flag` is required"),
        ({"word": "a", "map": {"k": 1}}, "`map/k` must be of type boolean"),
        ({"word": "a", "else": 1}, "`else` is not known here"),
        ({"word": "a", "anything": "\U0001f600"}, "characters that cannot be stored"),
        ({"word": "a", "anything": {"a\0": 1}}, "characters that cannot be stored"),
    ],
)
def test_the_first_fault_is_told_with_its_place(document: object, told: str) -> None:
    with pytest.raises(Invalid, match=told.replace("`", ".")):
        check_document(document, SCHEMA)


def test_nesting_has_an_end() -> None:
    value: object = 1
    for _ in range(DEEPEST + 1):
        value = [value]

    with pytest.raises(Invalid, match="nested too deeply"):
        check_document({"word": "a", "anything": value}, SCHEMA)


@pytest.mark.parametrize("path", metadef_schemas())
def test_each_reference_resolves_from_the_root(path: str) -> None:
    document = metadef_schemas()[path]
    waiting, found = [document], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            found |= {value["$ref"]} if "$ref" in value else set()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value

    known = {f"#/definitions/{name}" for name in document.get("definitions", ())}
    assert found <= known
    assert not {"type", "$schema"} & document.keys()
