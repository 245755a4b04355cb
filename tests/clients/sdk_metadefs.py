"""A namespace's life with openstacksdk; run by the clients' own Python.

Usage: sdk_metadefs.py URL.  Prints what it saw as one JSON object.
"""

import json
import sys

import openstack  # type: ignore[import-not-found]  # only the clients' Python has it
from openstack import exceptions

NAME = "SDK::Cars"
PROPERTY = {"title": "Colour", "type": "string"}


def main(url: str) -> dict[str, object]:
    """Create, read, change and delete each kind of definition."""
    images = openstack.connect(auth_type="none", endpoint=url).image
    images.create_metadef_namespace(namespace=NAME, visibility="public")
    images.update_metadef_namespace(NAME, display_name="Cars", visibility="public")
    images.create_metadef_object(
        NAME, name="Engine", properties={"size": {"title": "S", "type": "integer"}}
    )
    images.update_metadef_object(
        "Engine",
        NAME,
        name="Engine",
        description="Motor",
        properties={"size": {"title": "S", "type": "integer"}},
    )
    images.create_metadef_property(NAME, name="colour", **PROPERTY)
    images.update_metadef_property(
        "colour", NAME, name="colour", enum=["red"], **PROPERTY
    )
    images.post(f"/metadefs/namespaces/{NAME}/tags/fast")
    images.create_metadef_resource_type_association(
        NAME, name="OS::Glance::Image", prefix="x_"
    )
    seen = read(images)
    images.delete_metadef_property("colour", NAME)
    images.delete_metadef_object("Engine", NAME)
    images.delete_metadef_resource_type_association("OS::Glance::Image", NAME)
    images.delete_metadef_namespace(NAME)
    try:
        seen["gone"] = images.get_metadef_namespace(NAME).namespace
    except exceptions.NotFoundException:
        seen["gone"] = None
    return seen


def read(images: object) -> dict[str, object]:
    """Return what the registry says about the namespace."""
    image: openstack.image.v2._proxy.Proxy = images
    namespace = image.get_metadef_namespace(NAME)
    thing = image.get_metadef_object("Engine", NAME)
    colour = image.get_metadef_property("colour", NAME)
    tags = image.get(f"/metadefs/namespaces/{NAME}/tags").json()["tags"]
    associations = image.metadef_resource_type_associations(NAME)
    return {
        "listed": NAME in [each.namespace for each in image.metadef_namespaces()],
        "shown": [namespace.visibility, namespace.display_name],
        "object": [thing.name, thing.description, list(thing.properties)],
        "property": [colour.name, colour.type, colour.enum],
        "properties": [each.name for each in image.metadef_properties(NAME)],
        "tags": [each["name"] for each in tags],
        "types": [each.name for each in image.metadef_resource_types()],
        "associations": [[each.name, each.prefix] for each in associations],
    }


if __name__ == "__main__":
    json.dump(main(sys.argv[1]), sys.stdout)
