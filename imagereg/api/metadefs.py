"""Views of metadata definitions: namespaces and resource types.

Source: contract api-metadefs 3 and 7.
"""

from flask import Response, request

from imagereg.api import metadef_documents as documents
from imagereg.api import metadef_query
from imagereg.api.documents import Document
from imagereg.api.images import json_answer
from imagereg.api.services import Call


def index(call: Call) -> Response:
    """List namespaces."""
    services = call.services
    asked = metadef_query.Query(request.query_string.decode("ascii"))
    query = metadef_query.namespaces(
        asked,
        call.grant.caller,
        default=services.page_default,
        largest=services.page_max,
    )
    page = services.metadefs.page(call.grant, query, asked.get("marker"))
    document: Document = {
        "namespaces": [documents.namespace_document(*row) for row in page.rows],
        "first": asked.link(None),
        "schema": "/v2/schemas/metadefs/namespaces",
    }
    if page.next_marker is not None:
        document["next"] = asked.link(page.next_marker)
    return json_answer(document)


def create(call: Call) -> Response:
    """Create a namespace with its content."""
    namespace = call.services.metadefs.create(call.grant, call.body)
    response = json_answer(documents.created_document(namespace, call.body), 201)
    link = documents.namespace_link(namespace.name)
    response.headers["Location"] = f"{request.root_url}{link.lstrip('/')}"
    return response


def show(call: Call) -> Response:
    """Show a namespace with all that it holds."""
    resource_type = request.args.get("resource_type")
    content = call.services.metadefs.show(call.grant, resource_type)
    return json_answer(documents.whole_document(call.grant.namespace, content))


def replace(call: Call) -> Response:
    """Write a namespace's fields anew."""
    namespace = call.services.metadefs.replace(call.grant, call.body)
    return json_answer(documents.namespace_document(namespace))


def delete(call: Call) -> Response:
    """Delete a namespace and all that it holds."""
    call.services.metadefs.delete(call.grant)
    return Response(status=204)


def resource_types(call: Call) -> Response:
    """List all resource types."""
    found = call.services.metadefs.contents.resource_types(call.grant)
    return json_answer(
        {"resource_types": [documents.resource_type_document(each) for each in found]}
    )


def associations(call: Call) -> Response:
    """List what a namespace is meant for."""
    found = call.services.metadefs.contents.associations(call.grant)
    shown = [documents.association_document(each) for each in found]
    return json_answer({"resource_type_associations": shown})


def associate(call: Call) -> Response:
    """Say that a namespace is meant for a resource type."""
    made = call.services.metadefs.contents.associate(call.grant, call.body)
    return json_answer(documents.association_document(made), 201)


def dissociate(call: Call) -> Response:
    """Say that a namespace is not meant for a resource type."""
    call.services.metadefs.contents.dissociate(call.grant, call.ids["resource_type"])
    return Response(status=204)
