"""The part of the table of every URL that is about metadata definitions.

Source: contract api-metadefs 2.
"""

from imagereg.api import metadef_contents as contents
from imagereg.api import metadef_targets as targets
from imagereg.api import metadefs
from imagereg.api.dispatch import Route
from imagereg.policy.actions import Action

NAMESPACES = "/v2/metadefs/namespaces"
NAMESPACE = f"{NAMESPACES}/<namespace>"
OBJECTS = f"{NAMESPACE}/objects"
OBJECT = f"{OBJECTS}/<name>"
PROPERTIES = f"{NAMESPACE}/properties"
PROPERTY = f"{PROPERTIES}/<name>"
TAGS = f"{NAMESPACE}/tags"
TAG = f"{TAGS}/<tag>"
ASSOCIATIONS = f"{NAMESPACE}/resource_types"
ASSOCIATION = f"{ASSOCIATIONS}/<resource_type>"
RESOURCE_TYPES = "/v2/metadefs/resource_types"

METADEF_ROUTES = (
    Route(
        "GET",
        NAMESPACES,
        Action.GET_METADEF_NAMESPACES,
        targets.collection,
        metadefs.index,
        before=(Action.LIST_METADEF_RESOURCE_TYPES,),
    ),
    Route(
        "POST",
        NAMESPACES,
        Action.ADD_METADEF_NAMESPACE,
        targets.proposed,
        metadefs.create,
        names=targets.new_namespace,
    ),
    Route(
        "GET",
        NAMESPACE,
        Action.GET_METADEF_NAMESPACE,
        targets.stored,
        metadefs.show,
        bodyless=True,
        before=(
            Action.LIST_METADEF_RESOURCE_TYPES,
            Action.GET_METADEF_OBJECTS,
            Action.GET_METADEF_PROPERTIES,
            Action.GET_METADEF_TAGS,
        ),
    ),
    Route(
        "PUT",
        NAMESPACE,
        Action.MODIFY_METADEF_NAMESPACE,
        targets.namespace_body,
        metadefs.replace,
    ),
    Route(
        "DELETE",
        NAMESPACE,
        Action.DELETE_METADEF_NAMESPACE,
        targets.stored,
        metadefs.delete,
        bodyless=True,
    ),
    Route(
        "GET",
        RESOURCE_TYPES,
        Action.LIST_METADEF_RESOURCE_TYPES,
        targets.collection,
        metadefs.resource_types,
        bodyless=True,
    ),
    Route(
        "GET",
        ASSOCIATIONS,
        Action.LIST_METADEF_RESOURCE_TYPES,
        targets.stored,
        metadefs.associations,
        bodyless=True,
    ),
    Route(
        "POST",
        ASSOCIATIONS,
        Action.ADD_METADEF_RESOURCE_TYPE_ASSOCIATION,
        targets.association_body,
        metadefs.associate,
        names=targets.new_association,
    ),
    Route(
        "DELETE",
        ASSOCIATION,
        Action.REMOVE_METADEF_RESOURCE_TYPE_ASSOCIATION,
        targets.stored,
        metadefs.dissociate,
        bodyless=True,
    ),
    Route("GET", OBJECTS, Action.GET_METADEF_OBJECTS, targets.stored, contents.objects),
    Route(
        "POST",
        OBJECTS,
        Action.ADD_METADEF_OBJECT,
        targets.object_body,
        contents.add_object,
        names=targets.new_object,
    ),
    Route(
        "DELETE",
        OBJECTS,
        Action.DELETE_METADEF_NAMESPACE,
        targets.stored,
        contents.clear_objects,
    ),
    Route(
        "GET",
        OBJECT,
        Action.GET_METADEF_OBJECT,
        targets.stored,
        contents.show_object,
        bodyless=True,
    ),
    Route(
        "PUT",
        OBJECT,
        Action.MODIFY_METADEF_OBJECT,
        targets.object_body,
        contents.replace_object,
    ),
    Route(
        "DELETE",
        OBJECT,
        Action.DELETE_METADEF_OBJECT,
        targets.stored,
        contents.remove_object,
        bodyless=True,
    ),
    Route(
        "GET",
        PROPERTIES,
        Action.GET_METADEF_PROPERTIES,
        targets.stored,
        contents.properties,
        bodyless=True,
    ),
    Route(
        "POST",
        PROPERTIES,
        Action.ADD_METADEF_PROPERTY,
        targets.property_body,
        contents.add_property,
        names=targets.new_property,
    ),
    Route(
        "DELETE",
        PROPERTIES,
        Action.DELETE_METADEF_NAMESPACE,
        targets.stored,
        contents.clear_properties,
    ),
    Route(
        "GET",
        PROPERTY,
        Action.GET_METADEF_PROPERTY,
        targets.property_of_type,
        contents.show_property,
    ),
    Route(
        "PUT",
        PROPERTY,
        Action.MODIFY_METADEF_PROPERTY,
        targets.property_body,
        contents.replace_property,
    ),
    Route(
        "DELETE",
        PROPERTY,
        Action.REMOVE_METADEF_PROPERTY,
        targets.stored,
        contents.remove_property,
    ),
    Route("GET", TAGS, Action.GET_METADEF_TAGS, targets.stored, contents.tags),
    Route("POST", TAGS, Action.ADD_METADEF_TAGS, targets.tags_body, contents.add_tags),
    Route(
        "DELETE",
        TAGS,
        Action.DELETE_METADEF_TAGS,
        targets.stored,
        contents.clear_tags,
        before=(Action.DELETE_METADEF_NAMESPACE,),
    ),
    Route(
        "GET",
        TAG,
        Action.GET_METADEF_TAG,
        targets.stored,
        contents.show_tag,
        bodyless=True,
    ),
    Route(
        "POST",
        TAG,
        Action.ADD_METADEF_TAG,
        targets.tag_of_path,
        contents.add_tag,
        bodyless=True,
    ),
    Route("PUT", TAG, Action.MODIFY_METADEF_TAG, targets.tag_body, contents.rename_tag),
    Route(
        "DELETE",
        TAG,
        Action.DELETE_METADEF_TAG,
        targets.stored,
        contents.remove_tag,
        bodyless=True,
    ),
)
