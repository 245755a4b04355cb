"""The table of every URL: method, path, policy, target, view.

`action` has no default, so a route that names none is refused by the type checker.
Discovery and health have an action too, whose rule is always ``@``.

Source: contract api-images 3.
"""

from imagereg.api import (
    actions,
    cache,
    discovery,
    health_views,
    image_data,
    images,
    imports,
    locations,
    members,
    metrics,
    staging,
    tags,
    targets,
    tasks,
)
from imagereg.api.dispatch import Route
from imagereg.api.metadef_routes import METADEF_ROUTES
from imagereg.policy.actions import Action

IMAGES = "/v2/images"
IMAGE = "/v2/images/<image_id>"
FILE = f"{IMAGE}/file"
STAGE = f"{IMAGE}/stage"
TAG = f"{IMAGE}/tags/<tag>"
MEMBERS = f"{IMAGE}/members"
MEMBER = f"{MEMBERS}/<member_id>"
LOCATIONS = f"{IMAGE}/locations"
TASKS = "/v2/tasks"
TASK = f"{TASKS}/<task_id>"
CACHE = "/v2/cache"
CACHED = f"{CACHE}/<image_id>"

ROUTES = (
    Route("*", "/", Action.DISCOVER, targets.nothing, discovery.choices, open=True),
    Route(
        "*",
        "/versions",
        Action.DISCOVER,
        targets.nothing,
        discovery.versions,
        open=True,
    ),
    Route("*", "/v2", Action.DISCOVER, targets.nothing, discovery.redirect, open=True),
    Route(
        "GET",
        "/healthcheck",
        Action.DISCOVER,
        targets.nothing,
        health_views.check,
        open=True,
        head=True,
    ),
    Route(
        "GET",
        "/livez",
        Action.DISCOVER,
        targets.nothing,
        health_views.live,
        open=True,
        head=True,
    ),
    Route(
        "GET",
        "/readyz",
        Action.DISCOVER,
        targets.nothing,
        health_views.ready,
        open=True,
        head=True,
    ),
    Route(
        "GET",
        "/metrics",
        Action.DISCOVER,
        targets.nothing,
        metrics.show,
        open=True,
    ),
    Route(
        "GET",
        "/openapi.json",
        Action.DISCOVER,
        targets.nothing,
        discovery.openapi,
        open=True,
    ),
    Route(
        "GET",
        "/v2/schemas/<path:name>",
        Action.DISCOVER,
        targets.nothing,
        discovery.schema,
        bodyless=True,
    ),
    Route(
        "GET",
        "/v2/info/import",
        Action.DISCOVER,
        targets.nothing,
        discovery.import_info,
        bodyless=True,
    ),
    Route(
        "GET",
        "/v2/info/usage",
        Action.DISCOVER,
        targets.nothing,
        discovery.usage,
        unlisted=True,
    ),
    Route(
        "GET",
        "/v2/info/stores",
        Action.DISCOVER,
        targets.several_stores,
        discovery.stores,
        bodyless=True,
    ),
    Route(
        "GET",
        "/v2/info/stores/detail",
        Action.STORES_INFO_DETAIL,
        targets.several_stores,
        discovery.stores_detail,
        bodyless=True,
    ),
    Route(
        "POST",
        IMAGES,
        Action.ADD_IMAGE,
        targets.proposed,
        images.create,
        names=targets.new_image,
    ),
    Route("GET", IMAGES, Action.GET_IMAGES, targets.collection, images.index),
    Route("GET", IMAGE, Action.GET_IMAGE, targets.stored, images.show, bodyless=True),
    Route("PATCH", IMAGE, Action.MODIFY_IMAGE, targets.patched, images.update),
    Route(
        "DELETE",
        IMAGE,
        Action.DELETE_IMAGE,
        targets.stored,
        images.delete,
        bodyless=True,
    ),
    Route("PUT", FILE, Action.UPLOAD_IMAGE, targets.uploaded, image_data.upload),
    Route(
        "GET",
        FILE,
        Action.DOWNLOAD_IMAGE,
        targets.downloaded,
        image_data.download,
        bodyless=True,
        head=True,
    ),
    Route("PUT", STAGE, Action.MODIFY_IMAGE, targets.staged, staging.stage),
    Route(
        "GET",
        STAGE,
        Action.MODIFY_IMAGE,
        targets.stageable,
        staging.show,
        bodyless=True,
    ),
    Route(
        "POST",
        f"{IMAGE}/actions/deactivate",
        Action.DEACTIVATE,
        targets.stored,
        actions.deactivate,
        bodyless=True,
    ),
    Route(
        "POST",
        f"{IMAGE}/actions/reactivate",
        Action.REACTIVATE,
        targets.stored,
        actions.reactivate,
        bodyless=True,
    ),
    Route(
        "GET",
        MEMBERS,
        Action.GET_MEMBERS,
        targets.stored,
        members.index,
        bodyless=True,
        before=(Action.GET_IMAGE,),
    ),
    Route(
        "POST",
        MEMBERS,
        Action.ADD_MEMBER,
        targets.member_body,
        members.add,
        before=(Action.GET_IMAGE,),
        names=targets.new_member,
    ),
    Route(
        "GET",
        MEMBER,
        Action.GET_MEMBER,
        targets.stored,
        members.show,
        bodyless=True,
        before=(Action.GET_IMAGE,),
        conceal=True,
    ),
    Route(
        "PUT",
        MEMBER,
        Action.MODIFY_MEMBER,
        targets.member_body,
        members.update,
        before=(Action.GET_IMAGE, Action.GET_MEMBER),
    ),
    Route(
        "DELETE",
        MEMBER,
        Action.DELETE_MEMBER,
        targets.stored,
        members.remove,
        bodyless=True,
        before=(Action.GET_IMAGE, Action.GET_MEMBER),
    ),
    Route("PUT", TAG, Action.MODIFY_IMAGE, targets.stored, tags.add, bodyless=True),
    Route(
        "DELETE", TAG, Action.MODIFY_IMAGE, targets.stored, tags.remove, bodyless=True
    ),
    Route(
        "POST", f"{IMAGE}/import", Action.MODIFY_IMAGE, targets.imported, imports.begin
    ),
    Route(
        "POST",
        LOCATIONS,
        Action.ADD_IMAGE_LOCATION,
        targets.posted_location,
        locations.add,
    ),
    Route(
        "GET",
        LOCATIONS,
        Action.FETCH_IMAGE_LOCATION,
        targets.stored,
        locations.index,
        unlisted=True,
    ),
    Route(
        "DELETE",
        "/v2/stores/<store_id>/<image_id>",
        Action.DELETE_IMAGE_LOCATION,
        targets.in_store,
        locations.remove,
        bodyless=True,
        before=(Action.GET_IMAGE_LOCATION,),
    ),
    Route(
        "GET",
        f"{IMAGE}/tasks",
        Action.GET_IMAGE,
        targets.stored,
        tasks.of_image,
        bodyless=True,
        unlisted=True,
    ),
    Route("GET", TASKS, Action.TASKS_API_ACCESS, targets.nothing, tasks.index),
    Route("POST", TASKS, Action.TASKS_API_ACCESS, targets.nothing, tasks.create),
    Route("GET", TASK, Action.TASKS_API_ACCESS, targets.nothing, tasks.show),
    Route("DELETE", TASK, Action.TASKS_API_ACCESS, targets.nothing, tasks.delete),
    Route("GET", CACHE, Action.CACHE_LIST, targets.nothing, cache.index, bodyless=True),
    Route("DELETE", CACHE, Action.CACHE_DELETE, targets.nothing, cache.clear),
    Route("PUT", CACHED, Action.CACHE_IMAGE, targets.cache_entry, cache.queue),
    Route("DELETE", CACHED, Action.CACHE_DELETE, targets.cached, cache.delete),
    Route(
        "GET",
        f"{CACHE}/nodes/<image_id>",
        Action.LIST_CACHED_NODES,
        targets.cache_entry,
        cache.nodes,
        bodyless=True,
    ),
    Route("POST", f"{CACHE}/clean", Action.CACHE_CLEAN, targets.nothing, cache.clean),
    Route("POST", f"{CACHE}/prune", Action.CACHE_PRUNE, targets.nothing, cache.prune),
    *METADEF_ROUTES,
)
