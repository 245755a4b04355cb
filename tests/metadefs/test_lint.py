"""Images' properties against definitions."""

import pytest

from imagereg.metadef_model import Association, Definition, MetadefObject, NewNamespace
from imagereg.metadefs.files import read_builtin
from imagereg.metadefs.lint import Level, fault, known_properties, lint

BUILTIN = known_properties(read_builtin())


@pytest.mark.parametrize(
    ("definition", "value", "told"),
    [
        ({"type": "integer", "minimum": 1}, "1", None),
        ({"type": "integer", "minimum": 1}, "0", "0 is less than 1"),
        ({"type": "integer", "maximum": 8}, "9", "9 is more than 8"),
        ({"type": "integer"}, "1.0", "`1.0` is not a whole number"),
        ({"type": "integer", "enum": ["1", "2"]}, "3", "`3` is none of: 1, 2"),
        ({"type": "integer"}, 4, None),
        ({"type": "number", "maximum": 1}, "0.5", None),
        ({"type": "number"}, "much", "`much` is not a number"),
        ({"type": "boolean"}, "Yes", None),
        ({"type": "boolean"}, True, None),
        ({"type": "boolean"}, "si", "`si` is neither true nor false"),
        ({"type": "string", "maxLength": 2}, "abc", "must have 0 to 2 characters"),
        ({"type": "string", "pattern": "^a"}, "ba", "does not fit the pattern ^a"),
        ({"type": "string", "pattern": "("}, "anything", None),
        ({"type": "string", "enum": ["a"]}, "b", "`b` is none of: a"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, "a, b", None),
        ({"type": "array", "items": {"enum": ["a"]}}, "a,c", "`c` is none of: a"),
        ({"type": "object"}, '{"a": 1}', None),
        ({"type": "object"}, "[1]", "is not a JSON object"),
        ({"type": "object"}, "{", "is not a JSON object"),
        ({"type": "integer", "operators": [">="]}, ">= 4", None),
    ],
)
def test_a_value_is_judged_by_its_type_and_limits(
    definition: Definition, value: object, told: str | None
) -> None:
    found = fault(definition, value)

    assert found is None if told is None else told in str(found)


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("hw_diskbus", "virtio", "hw_disk_bus"),
        ("HW_Firmware-Type", "uefi", "hw_firmware_type"),
        ("os_secureboot", "required", "os_secure_boot"),
        ("trait:HW_CPU_X86_AVX22", "required", "trait:HW_CPU_X86_AVX2"),
        ("colour", "red", None),
        ("trait:CUSTOM_X86_AVX", "required", None),
        ("hw_numa_cpus.3", "0-1", None),
    ],
)
def test_a_slip_of_the_pen_is_told(name: str, value: str, meant: str | None) -> None:
    findings = [*lint({name: value}, BUILTIN)]

    if meant is None:
        assert findings == []
    else:
        assert [each.level for each in findings] == [Level.WARNING]
        assert findings[0].text.endswith(f"did you mean {meant}?")


def test_a_name_is_no_slip_where_the_right_one_is_there_too() -> None:
    assert [*lint({"hw_diskbus": "x", "hw_disk_bus": "virtio"}, BUILTIN)] == []


def test_one_namespace_that_admits_a_value_is_enough() -> None:
    def namespace(*allowed: str) -> NewNamespace:
        return NewNamespace(
            name=allowed[0],
            properties={"p": {"type": "string", "enum": allowed}},
            associations=(Association("OS::Glance::Image", "x_"),),
        )

    known = known_properties([namespace("a"), namespace("b")])

    assert [*lint({"x_p": "b"}, known)] == []
    assert [each.level for each in lint({"x_p": "c"}, known)] == [Level.ERROR]


def test_only_definitions_for_images_count() -> None:
    group = MetadefObject("o", properties={"q": {"type": "integer"}})
    flavors = NewNamespace(
        "f", objects=(group,), associations=(Association("OS::Nova::Flavor"),)
    )
    images = NewNamespace(
        "i", objects=(group,), associations=(Association("OS::Glance::Image"),)
    )

    assert not known_properties([flavors])
    assert known_properties([images]).keys() == {"q"}
