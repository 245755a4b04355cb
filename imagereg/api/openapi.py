"""The description of every operation, from the table of routes and the schemas.

Nothing in it is written twice: method, path and policy come from the routes, the
summary from the view, bodies from what checks them, and answers from the schema
documents of clients.  `operations.py` holds what is left to say.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from marshmallow import Schema

from imagereg.api import operations
from imagereg.api.location_schemas import (
    ExactText,
    ExpectedDigest,
    PatchedDigest,
    PatchedLocation,
    PostedLocation,
)
from imagereg.api.operations import JSON, Document
from imagereg.api.schemas import (
    LARGEST,
    UUID,
    Flag,
    MemberBody,
    MembershipBody,
    TagList,
    Text,
    Whole,
)
from imagereg.images.fields import NAME_LENGTH
from imagereg.metadefs.schemas import TAGS

if TYPE_CHECKING:
    from apispec.ext.marshmallow import MarshmallowPlugin

    from imagereg.api.dispatch import Route

_PARTS = re.compile(r"<(?:\w+:)?(\w+)>")

#: Methods whose requests have a body, unless the route refuses it.
_WRITING = ("POST", "PUT", "PATCH")

_STORABLE: Document = {"type": "string", "pattern": operations.STORABLE}


class Description:
    """The OpenAPI document of one registry, made when somebody first asks."""

    def __init__(
        self,
        routes: Sequence["Route"],
        image: Schema,
        documents: Mapping[str, Mapping[str, Any]],
    ) -> None:
        """Keep what the document is made from.

        Args:
            routes: the table of every URL.
            image: checks bodies about an image.
            documents: schema documents by path below ``/v2/schemas/``.
        """
        self._routes = routes
        self._image = image
        self._documents = documents

    @cached_property
    def document(self) -> Document:
        """Return the document."""
        # Costs more than all of the application, and most processes never need it.
        from apispec import APISpec
        from apispec.ext.marshmallow import MarshmallowPlugin

        plugin = MarshmallowPlugin()
        spec = APISpec(
            title="imagereg",
            version=version("imagereg"),
            openapi_version="3.1.0",
            info={"description": "An image registry that speaks the Image API v2."},
            plugins=[plugin],
        )
        _teach(plugin)
        for name, schema in self._checked().items():
            spec.components.schema(name, schema=schema)
        for name, document in (*self._plain(), *operations.SCHEMAS.items()):
            spec.components.schema(name, component=document)
        for route in self._routes:
            spec.path(
                path=_PARTS.sub(r"{\1}", route.path),
                operations={_method(route): self._operation(route)},
            )
        described: Document = spec.to_dict()
        schemas = described["components"]["schemas"]
        # A client may set any property of its own beside the fields.
        schemas["NewImage"]["additionalProperties"] = _STORABLE
        fields = schemas["NewImage"]["properties"]
        # Python's anchors mean nothing in the dialect of JSON Schema.
        fields["id"]["pattern"] = f"^{UUID.pattern}$"
        base = [name for name in fields if name != "id"]
        declared = self._declared()
        fields.update(declared)
        if "required" in self._documents["image"]:
            schemas["NewImage"]["required"] = self._documents["image"]["required"]
        schemas["Patch"] = operations.patch(base, declared)
        return described

    def _declared(self) -> Mapping[str, Document]:
        """Return the schemas of the properties that the operator declared."""
        return {
            name: {key: value for key, value in schema.items() if key != "is_base"}
            for name, schema in self._documents["image"]["properties"].items()
            if schema.get("is_base") is False
        }

    def _checked(self) -> Mapping[str, Schema]:
        """Return the schemas that check bodies, by name."""
        return {
            "NewImage": self._image,
            "NewMember": MemberBody(),
            "Membership": MembershipBody(),
            "ExpectedDigest": ExpectedDigest(),
            "NewLocation": PostedLocation(),
            "PatchedDigest": PatchedDigest(),
            "PatchedLocation": PatchedLocation(),
        }

    def _plain(self) -> list[tuple[str, Document]]:
        """Return name and content of the documents that clients know."""
        named = {**self._documents, "NewTags": TAGS}
        return [
            (name.replace("/", "."), rebased(document, name.replace("/", ".")))
            for name, document in named.items()
        ]

    def _operation(self, route: "Route") -> Document:
        name = operation_name(route)
        operation: Document = {
            "operationId": name,
            "summary": (route.view.__doc__ or "").partition("\n")[0].rstrip("."),
            "tags": [name.partition(".")[0]],
            "x-policy": str(route.action),
            "parameters": [
                *(self._part(route, part) for part in _PARTS.findall(route.path)),
                *operations.PARAMETERS.get(name, ()),
            ],
            "responses": _responses(route, name),
        }
        if route.before:
            operation["x-policy-before"] = [str(action) for action in route.before]
        if has_body(route):
            kinds = operations.BODIES.get(name, {JSON: "Anything"})
            operation["requestBody"] = {
                "required": name != "image_data.upload",
                "content": {kind: _content(schema) for kind, schema in kinds.items()},
            }
        return operation

    def _part(self, route: "Route", part: str) -> Document:
        schema: Document = {"type": "string", "minLength": 1}
        if route.path.startswith("/v2/schemas/"):
            schema["enum"] = sorted(self._documents)
        return {"in": "path", "name": part, "required": True, "schema": schema}


def operation_name(route: "Route") -> str:
    """Return the name of a route's operation: module and function of its view."""
    return f"{route.view.__module__.rpartition('.')[2]}.{route.view.__name__}"


def has_body(route: "Route") -> bool:
    """Return whether requests to a route have a body."""
    return route.method in _WRITING and not route.bodyless


def statuses(route: "Route") -> tuple[int, ...]:
    """Return every status that a route may answer, rising."""
    name = operation_name(route)
    success = operations.SUCCESS.get(name, operations.USUAL[route.method])
    refusals = {400, *operations.REFUSALS.get(name, ())}
    if not route.open:
        refusals |= {401, 403, 404, 431}
    if route.method in (*_WRITING, "DELETE"):
        refusals.add(409)
    if has_body(route):
        refusals.add(413)
    return tuple(sorted({*success, *refusals}))


def rebased(value: Any, name: str) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Return part of a schema with its references pointing to component ``name``."""
    if isinstance(value, Mapping):
        return {
            key: item.replace("#/", f"#/components/schemas/{name}/", 1)
            if key == "$ref" and isinstance(item, str)
            else rebased(item, name)
            for key, item in value.items()
        }
    return [rebased(item, name) for item in value] if isinstance(value, list) else value


def _method(route: "Route") -> str:
    """Return the method a route is described under; ``*`` is told of as GET."""
    return "get" if route.method == "*" else route.method.lower()


def _content(schema: str) -> Document:
    return {"schema": {"$ref": f"#/components/schemas/{schema}"}}


def _responses(route: "Route", name: str) -> Document:
    answers: Document = {}
    for status in statuses(route):
        answer: Document = {"description": "Done" if status < 400 else "Refused"}
        if status in (200, 201) and name in operations.ANSWERS:
            answer["content"] = {JSON: _content(operations.ANSWERS[name])}
        answers[str(status)] = answer
    return answers


def _teach(plugin: "MarshmallowPlugin") -> None:
    """Tell the plugin what our own fields take."""
    # Made together with the document; apispec gives neither call a type.
    converter: Any = plugin.converter
    for field, kind in (
        (Text, "string"),
        (ExactText, "string"),
        (Flag, "boolean"),
        (Whole, "integer"),
        (TagList, "array"),
    ):
        converter.map_to_openapi_type(field, kind, None)
    converter.add_attribute_function(_bounds)


def _bounds(converter: object, field: object, **options: object) -> Document:
    """Return the limits of one of our own fields; apispec asks for each field."""
    if isinstance(field, Text):
        longest = {} if field.longest is None else {"maxLength": field.longest}
        return {"pattern": operations.STORABLE, **longest}
    if isinstance(field, Whole):
        return {"minimum": 0, "maximum": LARGEST}
    if isinstance(field, TagList):
        return {"items": {**_STORABLE, "maxLength": NAME_LENGTH}}
    return {}
