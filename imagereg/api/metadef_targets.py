"""Path and body of a request about metadata definitions -> what the gate judges.

Bodies are read before the namespace is looked for, as the reference does, so a
malformed request is told so whoever sends it.

Source: contract api-metadefs 1 and 2.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flask import Request

from imagereg.api import bodies
from imagereg.metadef_model import (
    Association,
    Definition,
    MetadefObject,
    MetadefTag,
    NewNamespace,
)
from imagereg.metadefs import definitions
from imagereg.model import Caller
from imagereg.policy.actions import Action
from imagereg.targets import AllNamespaces, OwnProject, StoredNamespace, Target

if TYPE_CHECKING:
    from imagereg.api.services import Services
    from imagereg.api.targets import Finder


def collection(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, object]:
    """Return all namespaces, or all resource types."""
    return AllNamespaces(), None


def stored(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, object]:
    """Return the namespace that the path names."""
    return StoredNamespace(services.metadefs.repository.get(ids["namespace"])), None


def proposed(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, NewNamespace]:
    """Return what the body proposes; each kind of content in it is asked for too."""
    new = definitions.parse_namespace(_document(request, services))
    content = (
        (new.associations, Action.ADD_METADEF_RESOURCE_TYPE_ASSOCIATION),
        (new.objects, Action.ADD_METADEF_OBJECT),
        (new.properties, Action.ADD_METADEF_PROPERTY),
        (new.tags, Action.ADD_METADEF_TAG),
    )
    also = (action for given, action in content if given is not None)
    return OwnProject((Action.ADD_METADEF_NAMESPACE, *also)), new


def property_of_type(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, str | None]:
    """Return the namespace, and the resource type whose prefix the name has."""
    resource_type = request.args.get("resource_type")
    namespace = services.metadefs.repository.get(ids["namespace"])
    if resource_type is None:
        return StoredNamespace(namespace), None
    asks = (Action.GET_METADEF_PROPERTY, Action.GET_METADEF_RESOURCE_TYPE)
    return StoredNamespace(namespace, asks), resource_type


def tag_of_path(
    request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
) -> tuple[Target, MetadefTag]:
    """Return the namespace, and the tag that the path wants to be made."""
    tag = definitions.parse_tag({"name": ids["tag"]})
    return stored(request, caller, services, ids)[0], tag


def new_namespace(body: NewNamespace) -> Mapping[str, object]:
    """Return what the creation of a namespace names."""
    return {"namespace": body.name}


def new_association(body: Association) -> Mapping[str, object]:
    """Return what the association of a resource type names."""
    return {"resource_type": body.name}


def new_object(body: MetadefObject) -> Mapping[str, object]:
    """Return what the creation of an object names."""
    return {"name": body.name}


def new_property(body: tuple[str, Definition]) -> Mapping[str, object]:
    """Return what the creation of a property names."""
    return {"name": body[0]}


def _with_body(parse: Callable[[object], object]) -> "Finder":
    """Return a finder of the namespace of the path that also reads the body."""

    def find(
        request: Request, caller: Caller, services: "Services", ids: Mapping[str, str]
    ) -> tuple[Target, object]:
        body = parse(_document(request, services))
        return stored(request, caller, services, ids)[0], body

    return find


namespace_body = _with_body(definitions.parse_namespace)
object_body = _with_body(definitions.parse_object)
property_body = _with_body(definitions.parse_property)
tag_body = _with_body(definitions.parse_tag)
tags_body = _with_body(definitions.parse_tags)
association_body = _with_body(definitions.parse_association)


def _document(request: Request, services: "Services") -> object:
    return bodies.json_document(request, services.max_body_bytes)
