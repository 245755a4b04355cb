"""Metadata definitions -> JSON.  What was never said is left out; null is not shown.

Source: contract api-metadefs 3 to 7.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import quote

from imagereg.api.documents import Document
from imagereg.metadef_model import (
    Association,
    Content,
    Definition,
    MetadefObject,
    MetadefTag,
    Namespace,
    NewNamespace,
    ResourceType,
)
from imagereg.model import format_time


def namespace_link(name: str) -> str:
    """Return the path of a namespace."""
    return f"/v2/metadefs/namespaces/{quote(name, safe=':')}"


def namespace_document(
    namespace: Namespace, associations: Iterable[Association] = ()
) -> Document:
    """Return the fields of a namespace, and what it is meant for."""
    document: Document = {
        "namespace": namespace.name,
        "display_name": namespace.display_name,
        "description": namespace.description,
        "visibility": str(namespace.visibility),
        "protected": namespace.protected,
        "owner": namespace.owner,
        **_times(namespace),
        "self": namespace_link(namespace.name),
        "schema": "/v2/schemas/metadefs/namespace",
    }
    meant = [association_document(each) for each in associations]
    if meant:
        document["resource_type_associations"] = meant
    return _said(document)


def whole_document(namespace: Namespace, content: Content) -> Document:
    """Return a namespace with all that it holds; empty kinds are left out."""
    document = namespace_document(namespace, content.associations)
    if content.properties:
        document["properties"] = content.properties
    if content.objects:
        document["objects"] = [
            stored_object(namespace, each) for each in content.objects
        ]
    if content.tags:
        document["tags"] = [tag_name(each) for each in content.tags]
    return document


def created_document(namespace: Namespace, new: NewNamespace) -> Document:
    """Return a new namespace with the content that was sent, without its links."""
    document = namespace_document(namespace)
    if new.associations is not None:
        document["resource_type_associations"] = [
            _association(each) for each in new.associations
        ]
    if new.properties is not None:
        document["properties"] = new.properties
    if new.objects is not None:
        document["objects"] = [_object(each) for each in new.objects]
    if new.tags is not None:
        document["tags"] = [tag_name(each) for each in new.tags]
    return document


def written_object(namespace: Namespace, each: MetadefObject) -> Document:
    """Return the answer to a write, which shows what was sent and no more."""
    return {
        **_object(each),
        **_times(each),
        "self": f"{namespace_link(namespace.name)}/objects/{quote(each.name, ':')}",
        "schema": "/v2/schemas/metadefs/object",
    }


def stored_object(namespace: Namespace, each: MetadefObject) -> Document:
    """Return an object as reads show it: with empty lists rather than none."""
    return {
        "required": each.required or (),
        "properties": each.properties or {},
        **written_object(namespace, each),
    }


def property_document(name: str, definition: Definition) -> Document:
    """Return one property by itself."""
    return {"name": name, **definition}


def properties_document(properties: Mapping[str, Definition]) -> Document:
    """Return all properties; each name is the key, and is not said twice."""
    return {"properties": properties}


def tag_document(tag: MetadefTag) -> Document:
    """Return one tag by itself."""
    return {"name": tag.name, **_times(tag)}


def tag_name(tag: MetadefTag) -> Document:
    """Return a tag as lists show it."""
    return {"name": tag.name}


def association_document(association: Association) -> Document:
    """Return an association as it is stored."""
    return {**_association(association), **_times(association)}


def resource_type_document(each: ResourceType) -> Document:
    """Return a resource type."""
    return {"name": each.name, **_times(each)}


def _object(each: MetadefObject) -> Document:
    return _said(
        {
            "name": each.name,
            "description": each.description,
            "required": each.required,
            "properties": each.properties,
        }
    )


def _association(each: Association) -> Document:
    return _said(
        {
            "name": each.name,
            "prefix": each.prefix,
            "properties_target": each.properties_target,
        }
    )


def _times(
    each: Namespace | MetadefObject | MetadefTag | Association | ResourceType,
) -> Document:
    return {
        "created_at": format_time(each.created_at_us),
        "updated_at": format_time(each.updated_at_us),
    }


def _said(document: Document) -> Document:
    return {name: value for name, value in document.items() if value is not None}
