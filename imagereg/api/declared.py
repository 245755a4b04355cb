"""Custom properties that the operator declares in ``schema-image.json``.

A declared property may have another type than text, and must be what its schema
says.  The file is read once, at start.

Source: contract api-schemas 3.2.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastjsonschema

from imagereg.errors import ConfigurationError, Invalid

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeclaredProperties:
    """What a file declares.

    Attributes:
        schemas: property name -> its schema as clients see it.
        required: names that every new image must have.
    """

    schemas: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    checks: Mapping[str, Callable[[object], object]] = field(default_factory=dict)

    def __contains__(self, name: object) -> bool:
        return name in self.schemas

    def check(self, name: str, value: object) -> None:
        """Raise unless a declared property may have this value.

        Raises:
            Invalid: it breaks the schema.
        """
        try:
            self.checks[name](value)
        except fastjsonschema.JsonSchemaValueException as error:
            rule = error.message.removeprefix("data ")
            raise Invalid(f"property `{name}` {rule}") from error

    def check_required(self, document: Mapping[str, object]) -> None:
        """Raise unless a new image has all required properties.

        Raises:
            Invalid: one is missing.
        """
        for name in self.required:
            if name not in document:
                raise Invalid(f"property `{name}` is required")


def load_declared(path: Path | None, base: Mapping[str, Schema]) -> DeclaredProperties:
    """Read a file of declarations; without one nothing is declared.

    ``base`` holds the schemas of core fields, which no declaration changes.

    Raises:
        ConfigurationError: with every fault of the file.
    """
    if path is None:
        return DeclaredProperties()
    properties, required = _read(path)
    faults: list[str] = []
    schemas: dict[str, Schema] = {}
    checks: dict[str, Callable[[object], object]] = {}
    for name, schema in properties.items():
        if name in base:
            if schema != base[name]:
                faults.append(f"{path}: `{name}` is a core field of another kind")
            continue
        try:
            checks[name] = fastjsonschema.compile(schema, use_formats=False)
        except (fastjsonschema.JsonSchemaDefinitionException, AttributeError) as error:
            faults.append(f"{path}: `{name}`: {error}")
            continue
        schemas[name] = {**schema, "is_base": False}
    faults += [
        f"{path}: `{name}` is required and not declared"
        for name in required
        if name not in properties
    ]
    if faults:
        raise ConfigurationError(faults)
    return DeclaredProperties(schemas, tuple(required), checks)


def _read(path: Path) -> tuple[Mapping[str, Any], list[str]]:
    """Return the declarations of either form of file, and what is required."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"{path}: {error}"]) from error
    if not isinstance(document, dict):
        raise ConfigurationError([f"{path}: must be a JSON object"])
    properties, required = document, []
    if isinstance(document.get("properties"), dict):
        properties, required = document["properties"], document.get("required", [])
    if not isinstance(required, list) or not all(isinstance(n, str) for n in required):
        raise ConfigurationError([f"{path}: `required` must be a list of names"])
    wrong = [
        name for name, schema in properties.items() if not isinstance(schema, dict)
    ]
    if wrong:
        raise ConfigurationError([f"{path}: `{name}` has no schema" for name in wrong])
    return properties, required
