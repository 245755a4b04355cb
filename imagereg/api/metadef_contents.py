"""Views of what a namespace holds: objects, properties, tags.

Source: contract api-metadefs 4 to 6.
"""

from flask import Response, request

from imagereg.api import metadef_documents as documents
from imagereg.api import metadef_query
from imagereg.api.images import json_answer
from imagereg.api.services import Call

_TRUE = ("true", "1", "yes", "on")


def objects(call: Call) -> Response:
    """List objects; parameters are checked, and steer nothing."""
    metadef_query.check_objects(
        metadef_query.Query(request.query_string.decode("ascii"))
    )
    found = call.services.metadefs.contents.objects(call.grant)
    namespace = call.grant.namespace
    return json_answer(
        {
            "objects": [documents.stored_object(namespace, each) for each in found],
            "schema": "/v2/schemas/metadefs/objects",
        }
    )


def show_object(call: Call) -> Response:
    """Show an object."""
    found = call.services.metadefs.contents.object(call.grant, call.ids["name"])
    return json_answer(documents.stored_object(call.grant.namespace, found))


def add_object(call: Call) -> Response:
    """Add an object."""
    made = call.services.metadefs.contents.add_object(call.grant, call.body)
    return json_answer(documents.written_object(call.grant.namespace, made), 201)


def replace_object(call: Call) -> Response:
    """Write an object anew."""
    written = call.services.metadefs.contents.replace_object(
        call.grant, call.ids["name"], call.body
    )
    return json_answer(documents.written_object(call.grant.namespace, written))


def remove_object(call: Call) -> Response:
    """Delete an object."""
    call.services.metadefs.contents.remove_object(call.grant, call.ids["name"])
    return Response(status=204)


def clear_objects(call: Call) -> Response:
    """Delete all objects."""
    call.services.metadefs.contents.clear_objects(call.grant)
    return Response(status=204)


def properties(call: Call) -> Response:
    """List properties."""
    found = call.services.metadefs.contents.properties(call.grant)
    return json_answer(documents.properties_document(found))


def show_property(call: Call) -> Response:
    """Show a property, under its bare name."""
    name, definition = call.services.metadefs.contents.property(
        call.grant, call.ids["name"], call.body
    )
    return json_answer(documents.property_document(name, definition))


def add_property(call: Call) -> Response:
    """Add a property."""
    name, definition = call.body
    call.services.metadefs.contents.add_property(call.grant, name, definition)
    return json_answer(documents.property_document(name, definition), 201)


def replace_property(call: Call) -> Response:
    """Write a property anew."""
    name, definition = call.body
    call.services.metadefs.contents.replace_property(
        call.grant, call.ids["name"], name, definition
    )
    return json_answer(documents.property_document(name, definition))


def remove_property(call: Call) -> Response:
    """Delete a property."""
    call.services.metadefs.contents.remove_property(call.grant, call.ids["name"])
    return Response(status=204)


def clear_properties(call: Call) -> Response:
    """Delete all properties."""
    call.services.metadefs.contents.clear_properties(call.grant)
    return Response(status=204)


def tags(call: Call) -> Response:
    """List tags."""
    asked = metadef_query.Query(request.query_string.decode("ascii"))
    found = call.services.metadefs.contents.tags(call.grant, metadef_query.tags(asked))
    return json_answer({"tags": [documents.tag_name(each) for each in found]})


def show_tag(call: Call) -> Response:
    """Show a tag."""
    found = call.services.metadefs.contents.tag(call.grant, call.ids["tag"])
    return json_answer(documents.tag_document(found))


def add_tag(call: Call) -> Response:
    """Add one tag."""
    made = call.services.metadefs.contents.add_tag(call.grant, call.body)
    return json_answer(documents.tag_document(made), 201)


def add_tags(call: Call) -> Response:
    """Replace all tags, or add some where a header says so."""
    append = request.headers.get("X-Openstack-Append", "").strip().lower() in _TRUE
    made = call.services.metadefs.contents.add_tags(
        call.grant, call.body, instead=not append
    )
    return json_answer({"tags": [documents.tag_name(each) for each in made]}, 201)


def rename_tag(call: Call) -> Response:
    """Rename a tag."""
    renamed = call.services.metadefs.contents.rename_tag(
        call.grant, call.ids["tag"], call.body
    )
    return json_answer(documents.tag_document(renamed))


def remove_tag(call: Call) -> Response:
    """Delete a tag."""
    call.services.metadefs.contents.remove_tag(call.grant, call.ids["tag"])
    return Response(status=204)


def clear_tags(call: Call) -> Response:
    """Delete all tags."""
    call.services.metadefs.contents.clear_tags(call.grant)
    return Response(status=204)
