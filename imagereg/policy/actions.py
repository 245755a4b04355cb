"""Every policy name: its built-in rule, the older one, and what it guards.

Source: contract policy 5.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Action(StrEnum):
    """A name that the service asks a decision for, or that rules build upon."""

    DEFAULT = "default"
    CONTEXT_IS_ADMIN = "context_is_admin"
    SERVICE_API = "service_api"
    ADD_IMAGE = "add_image"
    GET_IMAGES = "get_images"
    GET_IMAGE = "get_image"
    MODIFY_IMAGE = "modify_image"
    PUBLICIZE_IMAGE = "publicize_image"
    COMMUNITIZE_IMAGE = "communitize_image"
    DELETE_IMAGE = "delete_image"
    UPLOAD_IMAGE = "upload_image"
    DOWNLOAD_IMAGE = "download_image"
    DOWNLOAD_FROM_STORE = "download_from_store"
    GET_IMAGE_LOCATION = "get_image_location"
    SET_IMAGE_LOCATION = "set_image_location"
    DELETE_IMAGE_LOCATION = "delete_image_location"
    ADD_IMAGE_LOCATION = "add_image_location"
    FETCH_IMAGE_LOCATION = "fetch_image_location"
    ADD_MEMBER = "add_member"
    DELETE_MEMBER = "delete_member"
    GET_MEMBER = "get_member"
    GET_MEMBERS = "get_members"
    MODIFY_MEMBER = "modify_member"
    DEACTIVATE = "deactivate"
    REACTIVATE = "reactivate"
    COPY_IMAGE = "copy_image"
    LIST_CACHED_NODES = "list_cached_nodes"
    MANAGE_IMAGE_CACHE = "manage_image_cache"
    CACHE_IMAGE = "cache_image"
    CACHE_LIST = "cache_list"
    CACHE_DELETE = "cache_delete"
    CACHE_CLEAN = "cache_clean"
    CACHE_PRUNE = "cache_prune"
    STORES_INFO_DETAIL = "stores_info_detail"
    TASKS_API_ACCESS = "tasks_api_access"
    GET_TASK = "get_task"
    GET_TASKS = "get_tasks"
    ADD_TASK = "add_task"
    MODIFY_TASK = "modify_task"
    METADEF_DEFAULT = "metadef_default"
    METADEF_ADMIN = "metadef_admin"
    GET_METADEF_NAMESPACES = "get_metadef_namespaces"
    GET_METADEF_NAMESPACE = "get_metadef_namespace"
    ADD_METADEF_NAMESPACE = "add_metadef_namespace"
    MODIFY_METADEF_NAMESPACE = "modify_metadef_namespace"
    DELETE_METADEF_NAMESPACE = "delete_metadef_namespace"
    GET_METADEF_OBJECTS = "get_metadef_objects"
    GET_METADEF_OBJECT = "get_metadef_object"
    ADD_METADEF_OBJECT = "add_metadef_object"
    MODIFY_METADEF_OBJECT = "modify_metadef_object"
    DELETE_METADEF_OBJECT = "delete_metadef_object"
    GET_METADEF_PROPERTIES = "get_metadef_properties"
    GET_METADEF_PROPERTY = "get_metadef_property"
    ADD_METADEF_PROPERTY = "add_metadef_property"
    MODIFY_METADEF_PROPERTY = "modify_metadef_property"
    REMOVE_METADEF_PROPERTY = "remove_metadef_property"
    GET_METADEF_TAGS = "get_metadef_tags"
    GET_METADEF_TAG = "get_metadef_tag"
    ADD_METADEF_TAG = "add_metadef_tag"
    ADD_METADEF_TAGS = "add_metadef_tags"
    MODIFY_METADEF_TAG = "modify_metadef_tag"
    DELETE_METADEF_TAG = "delete_metadef_tag"
    DELETE_METADEF_TAGS = "delete_metadef_tags"
    LIST_METADEF_RESOURCE_TYPES = "list_metadef_resource_types"
    GET_METADEF_RESOURCE_TYPE = "get_metadef_resource_type"
    ADD_METADEF_RESOURCE_TYPE_ASSOCIATION = "add_metadef_resource_type_association"
    REMOVE_METADEF_RESOURCE_TYPE_ASSOCIATION = (
        "remove_metadef_resource_type_association"
    )

    #: Versions, health, schemas and ``/info``: always allowed, in no policy file.
    DISCOVER = "discover"

    #: Our own, unknown to the reference: who is told why a request was refused.
    EXPLAIN_DENIAL = "explain_denial"


@dataclass(frozen=True, slots=True)
class Default:
    """What holds for a name that no policy file mentions.

    Attributes:
        check: the rule.
        old: the deprecated rule, which also admits while the operator has not
            asked to enforce the new defaults.
        old_name: the name under which files knew it; an entry of that name counts.
        guards: one sentence about what it governs, with method and path.
        scope: `project`, or None where the caller's scope does not matter.
    """

    name: str
    check: str
    guards: str
    old: str | None = None
    old_name: str | None = None
    scope: str | None = "project"


# The building blocks of contract policy 5, under its own abbreviations.
_A = "rule:context_is_admin"
_D = "rule:default"
_OWN = "project_id:%(project_id)s"
_MEMBER_OF_OWNER = f"{_A} or (role:member and {_OWN})"
_READER_OF_OWNER = f"{_A} or (role:reader and {_OWN})"
_VISIBLE = (
    f"{_OWN} or project_id:%(member_id)s or 'community':%(visibility)s"
    " or 'public':%(visibility)s or 'shared':%(visibility)s"
)
_DOWNLOAD = f"{_A} or (role:member and ({_VISIBLE}))"
_SEE_MEMBERS = f"{_A} or role:reader and ({_OWN} or project_id:%(member_id)s)"
_ADD = f"{_A} or (role:member and {_OWN} and project_id:%(owner)s)"
_GET = f"{_A} or (role:reader and ({_VISIBLE}))"
_ADD_LOCATION = f"rule:service_api or (role:member and {_OWN} and project_id:%(owner)s)"
_ANSWER = f"{_A} or (role:member and project_id:%(member_id)s)"
_SEE_METADEF = f"{_A} or (role:reader and ({_OWN} or 'public':%(visibility)s))"

_IMAGE = "/v2/images/{image_id}"
_NS = "/v2/metadefs/namespaces/{namespace}"


# Each row: name, check, older check, what it guards.
_Row = tuple[str, str, str | None, str]

# A caller's scope is no matter to these.
_BUILDING_BLOCKS: tuple[_Row, ...] = (
    ("default", "", _A, "Stands in for a name that nothing defines."),
    ("context_is_admin", "role:admin", None, "Says who is an administrator."),
    (
        "service_api",
        "role:service or role:admin",
        None,
        "Says who is another service of the cloud.",
    ),
    (
        "metadef_default",
        "",
        None,
        "Building block: reading metadata definitions.",
    ),
    ("metadef_admin", _A, None, "Building block: writing metadata definitions."),
)

_IMAGES: tuple[_Row, ...] = (
    ("add_image", _ADD, _D, "POST /v2/images: create an image record."),
    ("get_images", _READER_OF_OWNER, _D, "GET /v2/images: list images."),
    (
        "get_image",
        _GET,
        _D,
        f"GET {_IMAGE}: show an image; refused, it hides the image everywhere.",
    ),
    (
        "modify_image",
        _MEMBER_OF_OWNER,
        _D,
        f"PATCH {_IMAGE}, PUT and DELETE {_IMAGE}/tags/{{tag}}, PUT {_IMAGE}/stage,"
        f" POST {_IMAGE}/import except copy-image: change an image.",
    ),
    (
        "publicize_image",
        _A,
        None,
        f"POST /v2/images, PATCH {_IMAGE}: set visibility public.",
    ),
    (
        "communitize_image",
        _MEMBER_OF_OWNER,
        _D,
        f"POST /v2/images, PATCH {_IMAGE}: set visibility community.",
    ),
    ("delete_image", _MEMBER_OF_OWNER, _D, f"DELETE {_IMAGE}: delete an image."),
    (
        "upload_image",
        _MEMBER_OF_OWNER,
        _D,
        f"PUT {_IMAGE}/file: upload data.",
    ),
    (
        "download_image",
        _DOWNLOAD,
        _D,
        f"GET {_IMAGE}/file: download image data, from the cache as well.",
    ),
    (
        "download_from_store",
        _DOWNLOAD,
        None,
        f"GET {_IMAGE}/file?prefer=: choose the store to download from.",
    ),
    ("deactivate", _MEMBER_OF_OWNER, _D, f"POST {_IMAGE}/actions/deactivate."),
    ("reactivate", _MEMBER_OF_OWNER, _D, f"POST {_IMAGE}/actions/reactivate."),
    (
        "copy_image",
        _A,
        None,
        f"POST {_IMAGE}/import with method copy-image: copy data to more stores.",
    ),
)

_MEMBERS = f"{_IMAGE}/members"
_MEMBER = f"{_MEMBERS}/{{member_id}}"
_STORED = "DELETE /v2/stores/{store}/{image_id}"
_LOCATIONS_AND_MEMBERS: tuple[_Row, ...] = (
    (
        "get_image_location",
        _READER_OF_OWNER,
        _D,
        f"GET {_IMAGE} and /v2/images: show the locations; {_STORED}.",
    ),
    (
        "set_image_location",
        _MEMBER_OF_OWNER,
        _D,
        f"PATCH {_IMAGE}: add or replace locations.",
    ),
    (
        "delete_image_location",
        _A,
        _D,
        f"PATCH {_IMAGE}: remove a location; {_STORED}.",
    ),
    (
        "add_image_location",
        _ADD_LOCATION,
        None,
        f"POST {_IMAGE}/locations: add one.",
    ),
    (
        "fetch_image_location",
        "rule:service_api",
        None,
        f"GET {_IMAGE}/locations: read the locations.",
    ),
    ("add_member", _MEMBER_OF_OWNER, _D, f"POST {_MEMBERS}: share an image."),
    (
        "delete_member",
        _MEMBER_OF_OWNER,
        _D,
        f"DELETE {_MEMBER}: stop sharing.",
    ),
    (
        "get_member",
        _SEE_MEMBERS,
        _D,
        f"GET {_MEMBER}: show a member; each row of the members list.",
    ),
    ("get_members", _SEE_MEMBERS, _D, f"GET {_MEMBERS}: list the members."),
    (
        "modify_member",
        _ANSWER,
        _D,
        f"PUT {_MEMBER}: accept or reject an image.",
    ),
)

_CACHE = "rule:manage_image_cache"
_NOTHING = "Nothing: kept for older files, see tasks_api_access."
_OPERATIONS: tuple[_Row, ...] = (
    ("list_cached_nodes", _A, None, "GET /v2/cache/nodes/{image_id}: list them."),
    (
        "manage_image_cache",
        _A,
        None,
        "Every method of /v2/cached_images and /v2/queued_images: the older cache API.",
    ),
    ("cache_image", _A, _CACHE, "PUT /v2/cache/{image_id}: queue for the cache."),
    ("cache_list", _A, _CACHE, "GET /v2/cache: list the cache."),
    ("cache_delete", _A, _CACHE, "DELETE /v2/cache[/{image_id}]: drop cached images."),
    ("cache_clean", _A, None, "POST /v2/cache/clean: drop broken entries."),
    ("cache_prune", _A, None, "POST /v2/cache/prune: shrink to the size limit."),
    (
        "stores_info_detail",
        f"{_A} or rule:service_api",
        _A,
        "GET /v2/info/stores/detail: show the stores with their settings.",
    ),
    ("tasks_api_access", _A, None, "Every method of /v2/tasks[/{task_id}]."),
    ("get_task", _D, _D, _NOTHING),
    ("get_tasks", _D, _D, _NOTHING),
    ("add_task", _D, _D, _NOTHING),
    ("modify_task", _D, None, _NOTHING),
)

_METADEF_READERS = (
    ("get_metadef_namespaces", "GET /v2/metadefs/namespaces: list namespaces."),
    (
        "get_metadef_namespace",
        f"GET {_NS}: show it; refused, it hides it.",
    ),
    ("get_metadef_objects", f"GET {_NS}/objects: list objects."),
    ("get_metadef_object", f"GET {_NS}/objects/{{object}}: show an object."),
    ("get_metadef_properties", f"GET {_NS}/properties: list properties."),
    (
        "get_metadef_property",
        f"GET {_NS}/properties/{{property}}: show one.",
    ),
    ("get_metadef_tags", f"GET {_NS}/tags: list tags."),
    ("get_metadef_tag", f"GET {_NS}/tags/{{tag}}: show a tag."),
    (
        "list_metadef_resource_types",
        f"GET /v2/metadefs/resource_types and {_NS}/resource_types: list both.",
    ),
    (
        "get_metadef_resource_type",
        f"GET {_NS}/properties/{{property}}?resource_type=: without prefix.",
    ),
)

_METADEF_WRITERS = (
    ("add_metadef_namespace", "POST /v2/metadefs/namespaces: add a namespace."),
    ("modify_metadef_namespace", f"PUT {_NS}: change a namespace."),
    (
        "delete_metadef_namespace",
        f"DELETE {_NS}, {_NS}/objects, {_NS}/properties and {_NS}/tags: delete.",
    ),
    ("add_metadef_object", f"POST {_NS}/objects: add an object."),
    ("modify_metadef_object", f"PUT {_NS}/objects/{{object}}: change it."),
    ("delete_metadef_object", f"DELETE {_NS}/objects/{{object}}: delete it."),
    ("add_metadef_property", f"POST {_NS}/properties: add a property."),
    ("modify_metadef_property", f"PUT {_NS}/properties/{{property}}: change it."),
    (
        "remove_metadef_property",
        f"DELETE {_NS}/properties/{{property}}: delete it.",
    ),
    ("add_metadef_tag", f"POST {_NS}/tags/{{tag}}: add one tag."),
    ("add_metadef_tags", f"POST {_NS}/tags: set all tags, or add several."),
    ("modify_metadef_tag", f"PUT {_NS}/tags/{{tag}}: rename a tag."),
    ("delete_metadef_tag", f"DELETE {_NS}/tags/{{tag}}: delete one tag."),
    ("delete_metadef_tags", f"DELETE {_NS}/tags: delete all tags, in addition."),
    (
        "add_metadef_resource_type_association",
        f"POST {_NS}/resource_types: add one.",
    ),
    (
        "remove_metadef_resource_type_association",
        f"DELETE {_NS}/resource_types/{{resource_type}}: end an association.",
    ),
)


def _every_default() -> Iterator[Default]:
    """Yield all of them, in the order in which samples and tables show them."""
    for name, check, old, guards in _BUILDING_BLOCKS:
        yield Default(name, check, guards, old=old, scope=None)
    for name, check, old, guards in (*_IMAGES, *_LOCATIONS_AND_MEMBERS, *_OPERATIONS):
        old_name = "manage_image_cache" if old == _CACHE else None
        yield Default(name, check, guards, old=old, old_name=old_name)
    for name, guards in _METADEF_READERS:
        check = _READER_OF_OWNER if name.endswith("_namespaces") else _SEE_METADEF
        yield Default(name, check, guards, old="rule:metadef_default")
    for name, guards in _METADEF_WRITERS:
        yield Default(name, "rule:metadef_admin", guards)


#: Every rule name of the reference.
DEFAULTS: Mapping[str, Default] = MappingProxyType(
    {default.name: default for default in _every_default()}
)

#: Actions of this registry alone.  They are kept apart from the 67 names of the
#: reference, and a policy file may override them all the same.
OWN: Mapping[str, Default] = MappingProxyType(
    {
        Action.EXPLAIN_DENIAL.value: Default(
            Action.EXPLAIN_DENIAL.value,
            _A,
            "The text of every 403 answer: say which rule refused, and why.",
            scope=None,
        )
    }
)

#: All names that have a built-in rule and may be overridden.
REGISTERED: Mapping[str, Default] = MappingProxyType({**DEFAULTS, **OWN})

#: Names that are built in beside the actions: the origin's text uses
#: ``rule:restricted`` to shut an action for everyone (ruling P-1).
BUILT_IN: Mapping[str, str] = MappingProxyType({"restricted": "!"})

#: Names of older releases, accepted without effect.  Source: contract policy 10.
RETIRED = frozenset({"copy_from"})
