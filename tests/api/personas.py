"""Who may do what: one valid request to each route, and its answer to each persona.

A route without rows here fails the sweeps of `test_enforcement.py` and
`api/test_personas.py`: add a line to `ASKS` and the rows to both tables.

Source: contract policy 6 to 9 with rulings P-4 and P-7, api-images 3 and 4.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from imagereg.api.dispatch import Route
from imagereg.model import Visibility
from tests import databases
from tests.registry import PATCH, LocalRegistry, replace
from tests.wire import ADMIN, Answer, Document, Headers, as_

OWNER, MEMBER, PENDING = "project-owner", "project-member", "project-pending"

#: Persona -> the headers of a request; the columns of the tables, in order.
PERSONAS: Mapping[str, Headers] = {
    "admin": ADMIN,
    "owner": as_("olga", OWNER),
    "reader": as_("rita", OWNER, ("reader",)),
    "member": as_("mary", MEMBER),
    "pending": as_("pete", PENDING),
    "stranger": as_("stan", "project-stranger"),
    "service": as_("nova", "project-service", ("service",)),
    "bare": as_("bill", OWNER, ("foo",)),
    "anonymous": {},
}

DATA = b"the bytes of an image"

BYTES = {"Content-Type": "application/octet-stream"}

LOCATION = {"url": "http://192.168.0.1/image"}

IMPORT = {"method": {"name": "web-download", "uri": "http://192.168.0.1/image"}}
COPY = {"method": {"name": "copy-image"}, "stores": ["cheap"]}

#: The id of no image.
ABSENT = "00000000-0000-4000-8000-000000000000"

# Makes what a route needs and returns the parts of its path.
Prepare = Callable[[LocalRegistry, str], Mapping[str, str]]


def nothing(registry: LocalRegistry, visibility: str) -> Mapping[str, str]:
    """Make nothing."""
    return {}


def an_image(status: str = "active") -> Prepare:
    """Return what makes a shared image, and changes its visibility in the end."""

    def prepare(registry: LocalRegistry, visibility: str) -> Mapping[str, str]:
        admin = registry.admin
        image_id = str(
            admin.create(owner=OWNER, name="n", colour="blue", tags=["old"])["id"]
        )
        members = f"/v2/images/{image_id}/members"
        for project in (MEMBER, PENDING):
            done(admin.request("POST", members, document={"member": project}))
        accepted = {"status": "accepted"}
        done(admin.request("PUT", f"{members}/{MEMBER}", document=accepted))
        if status != "queued":
            done(admin.upload(image_id, DATA))
        if status == "deactivated":
            path = f"/v2/images/{image_id}/actions/deactivate"
            done(admin.request("POST", path))
        if visibility != "shared":
            done(admin.patch(image_id, replace("visibility", visibility)))
        return {"image_id": image_id}

    return prepare


NUMBERS = count()


def a_namespace(registry: LocalRegistry, visibility: str) -> Mapping[str, str]:
    """Make a namespace of metadata definitions with one thing of each kind."""
    name = f"NS::{next(NUMBERS)}"
    document = {
        "namespace": name,
        "owner": OWNER,
        "visibility": visibility,
        "objects": [{"name": "obj"}],
        "properties": {"prop": {"title": "P", "type": "string"}},
        "tags": [{"name": "old"}],
        "resource_type_associations": [{"name": "OS::Glance::Image"}],
    }
    done(registry.admin.request("POST", "/v2/metadefs/namespaces", document=document))
    return {"namespace": name}


def a_name(registry: LocalRegistry, visibility: str) -> Mapping[str, str]:
    """Think of a name that no namespace has."""
    return {"fresh": f"NS::{next(NUMBERS)}"}


def a_copy(registry: LocalRegistry, visibility: str) -> Mapping[str, str]:
    """Make an image of which a second copy lies in a store ``web``."""
    ids = an_image()(registry, visibility)
    databases.execute(
        registry.where,
        "INSERT INTO image_locations (image_id, url, metadata, store) "
        "VALUES (?, 'http://192.168.0.1/copy', '{}', 'web')",
        ids["image_id"],
    )
    return ids


def a_task(registry: LocalRegistry, visibility: str) -> Mapping[str, str]:
    """Make a task that waits for its turn."""
    ids = an_image("queued")(registry, "private")
    path = f"/v2/images/{ids['image_id']}"
    done(registry.admin.request("POST", f"{path}/locations", document=LOCATION))
    return {"task_id": registry.admin.get(f"{path}/tasks").json()["tasks"][0]["id"]}


def done(answer: Answer) -> None:
    """Assert that a request of the preparations succeeded."""
    assert answer.status < 300, answer


@dataclass(frozen=True)
class Ask:
    """A valid request to one route.

    Attributes:
        document: what is sent as JSON, with the same parts in it as a path.
        prepare: makes what the path names.
        ids: parts of the path that are always the same.
    """

    document: object = None
    body: bytes | None = None
    headers: Headers = field(default_factory=dict)
    prepare: Prepare = nothing
    ids: Mapping[str, str] = field(default_factory=dict)

    def send(
        self,
        registry: LocalRegistry,
        route: Route,
        headers: Headers,
        ids: Mapping[str, str],
    ) -> Answer:
        """Send the request for the caller of ``headers``."""
        path, body = route.path, self.body
        if self.document is not None:
            body = json.dumps(self.document).encode()
        for name, value in {**self.ids, **ids}.items():
            path = path.replace(f"<{name}>", value).replace(f"<path:{name}>", value)
            body = body and body.replace(f"<{name}>".encode(), value.encode())
        assert "<" not in path, f"{path} has parts without a value"
        return registry.client(headers).request(
            "GET" if route.method == "*" else route.method,
            path,
            body=body,
            headers=self.headers,
        )


def patch(*operations: Document) -> Ask:
    """Return a PATCH of an image."""
    body = json.dumps(operations).encode()
    return Ask(body=body, headers=PATCH, prepare=an_image())


IMAGE = "/v2/images/<image_id>"
ACTIVE = Ask(prepare=an_image())
TAG = Ask(prepare=an_image(), ids={"tag": "old"})
ONE_MEMBER = Ask(prepare=an_image(), ids={"member_id": MEMBER})

#: Valid requests to what lies below a namespace: method, path, body, parts of the path.
_DEFINITIONS: tuple[tuple[str, str, object, Mapping[str, str]], ...] = (
    ("GET", "", None, {}),
    ("PUT", "", {"namespace": "<namespace>"}, {}),
    ("DELETE", "", None, {}),
    ("GET", "/resource_types", None, {}),
    ("POST", "/resource_types", {"name": "OS::Nova::Flavor"}, {}),
    (
        "DELETE",
        "/resource_types/<resource_type>",
        None,
        {"resource_type": "OS::Glance::Image"},
    ),
    ("GET", "/objects", None, {}),
    ("POST", "/objects", {"name": "new"}, {}),
    ("DELETE", "/objects", None, {}),
    ("GET", "/objects/<name>", None, {"name": "obj"}),
    ("PUT", "/objects/<name>", {"name": "obj"}, {"name": "obj"}),
    ("DELETE", "/objects/<name>", None, {"name": "obj"}),
    ("GET", "/properties", None, {}),
    ("POST", "/properties", {"name": "new", "title": "N", "type": "string"}, {}),
    ("DELETE", "/properties", None, {}),
    ("GET", "/properties/<name>", None, {"name": "prop"}),
    (
        "PUT",
        "/properties/<name>",
        {"name": "prop", "title": "N", "type": "string"},
        {"name": "prop"},
    ),
    ("DELETE", "/properties/<name>", None, {"name": "prop"}),
    ("GET", "/tags", None, {}),
    ("POST", "/tags", {"tags": [{"name": "new"}]}, {}),
    ("DELETE", "/tags", None, {}),
    ("GET", "/tags/<tag>", None, {"tag": "old"}),
    ("POST", "/tags/<tag>", None, {"tag": "new"}),
    ("PUT", "/tags/<tag>", {"name": "new"}, {"tag": "old"}),
    ("DELETE", "/tags/<tag>", None, {"tag": "old"}),
)

NAMESPACE = "/v2/metadefs/namespaces/<namespace>"

DEFINITIONS: Mapping[str, Ask] = {
    f"{method} {NAMESPACE}{path}": Ask(document=body, prepare=a_namespace, ids=ids)
    for method, path, body, ids in _DEFINITIONS
}

#: Route, and what is asked where there are several things to ask -> a valid request.
ASKS: Mapping[str, Ask] = {
    "* /": Ask(),
    "* /versions": Ask(),
    "* /v2": Ask(),
    "GET /healthcheck": Ask(),
    "GET /livez": Ask(),
    "GET /readyz": Ask(),
    "GET /metrics": Ask(),
    "GET /openapi.json": Ask(),
    "GET /v2/schemas/<path:name>": Ask(ids={"name": "image"}),
    "GET /v2/info/import": Ask(),
    "GET /v2/info/usage": Ask(),
    "GET /v2/info/stores": Ask(),
    "GET /v2/info/stores/detail": Ask(),
    "POST /v2/images": Ask(document={"name": "new", "colour": "red"}),
    "POST /v2/images: for another": Ask(document={"owner": "project-else"}),
    "POST /v2/images: for nobody": Ask(document={"owner": None}),
    "POST /v2/images: public": Ask(document={"visibility": "public"}),
    "POST /v2/images: community": Ask(document={"visibility": "community"}),
    "GET /v2/images": Ask(),
    f"GET {IMAGE}": ACTIVE,
    f"PATCH {IMAGE}": patch(replace("name", "new")),
    f"PATCH {IMAGE}: nothing": patch(),
    f"PATCH {IMAGE}: public": patch(replace("visibility", "public")),
    f"PATCH {IMAGE}: community": patch(replace("visibility", "community")),
    f"PATCH {IMAGE}: owner": patch(replace("owner", "project-stranger")),
    f"DELETE {IMAGE}": ACTIVE,
    f"PUT {IMAGE}/file": Ask(body=DATA, headers=BYTES, prepare=an_image("queued")),
    f"PUT {IMAGE}/stage": Ask(body=DATA, headers=BYTES, prepare=an_image("queued")),
    f"PUT {IMAGE}/stage: range": Ask(
        body=DATA,
        headers={**BYTES, "Content-Range": f"bytes 5-{len(DATA) + 4}/100"},
        prepare=an_image("queued"),
    ),
    f"GET {IMAGE}/stage": Ask(prepare=an_image("queued")),
    f"POST {IMAGE}/import": Ask(document=IMPORT, prepare=an_image("queued")),
    f"POST {IMAGE}/import: copy": Ask(document=COPY, prepare=an_image()),
    f"GET {IMAGE}/file": ACTIVE,
    f"GET {IMAGE}/file: deactivated": Ask(prepare=an_image("deactivated")),
    f"POST {IMAGE}/actions/deactivate": ACTIVE,
    f"POST {IMAGE}/actions/reactivate": Ask(prepare=an_image("deactivated")),
    f"GET {IMAGE}/members": ACTIVE,
    f"POST {IMAGE}/members": Ask(
        document={"member": "project-new"}, prepare=an_image()
    ),
    f"GET {IMAGE}/members/<member_id>": ONE_MEMBER,
    f"PUT {IMAGE}/members/<member_id>": Ask(
        document={"status": "rejected"}, prepare=an_image(), ids={"member_id": MEMBER}
    ),
    f"DELETE {IMAGE}/members/<member_id>": ONE_MEMBER,
    f"PUT {IMAGE}/tags/<tag>": Ask(prepare=an_image(), ids={"tag": "new"}),
    f"DELETE {IMAGE}/tags/<tag>": TAG,
    f"POST {IMAGE}/locations": Ask(document=LOCATION, prepare=an_image("queued")),
    f"GET {IMAGE}/locations": ACTIVE,
    f"GET {IMAGE}/tasks": ACTIVE,
    "DELETE /v2/stores/<store_id>/<image_id>": Ask(
        prepare=a_copy, ids={"store_id": "web"}
    ),
    "GET /v2/tasks": Ask(),
    # What it refuses nobody may do; see the view.
    "POST /v2/tasks": Ask(document={"type": "import", "input": {}}),
    "GET /v2/tasks/<task_id>": Ask(prepare=a_task),
    "DELETE /v2/tasks/<task_id>": Ask(prepare=a_task),
    "GET /v2/cache": Ask(),
    "DELETE /v2/cache": Ask(),
    "PUT /v2/cache/<image_id>": ACTIVE,
    "DELETE /v2/cache/<image_id>": ACTIVE,
    "GET /v2/cache/nodes/<image_id>": ACTIVE,
    "POST /v2/cache/clean": Ask(),
    "POST /v2/cache/prune": Ask(),
    "GET /v2/metadefs/namespaces": Ask(),
    "GET /v2/metadefs/resource_types": Ask(),
    "POST /v2/metadefs/namespaces": Ask(
        document={"namespace": "<fresh>"}, prepare=a_name
    ),
    "POST /v2/metadefs/namespaces: for another": Ask(
        document={"namespace": "<fresh>", "owner": "project-else"}, prepare=a_name
    ),
    **DEFINITIONS,
}

Table = Mapping[str, Mapping[str, Mapping[str, int]]]


def parse_table(text: str) -> Table:
    """Return request -> visibility -> persona -> status.

    A request's line ends in a colon; below it stand its rows, one for each kind of
    image, or one row ``any`` where the image does not matter.  ``open`` is both
    ``public`` and ``community``.
    """
    table: dict[str, dict[str, dict[str, int]]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        kind, *statuses = line.split()
        if kind not in ("any", "private", "shared", "open", "public"):
            requests = [request.strip() for request in line.split("|")]
            continue
        row = dict(zip(PERSONAS, map(int, statuses), strict=True))
        kinds = ("public", "community") if kind == "open" else (kind,)
        for request in requests:
            for each in kinds:
                table.setdefault(request, {})[each] = row
    return table


#: With the built-in rules, on images.
_BUILT_IN = parse_table(
    """
    * /
      any      300 300 300 300 300 300 300 300 300
    * /versions | GET /healthcheck | GET /openapi.json | GET /v2/schemas/<path:name>
      any      200 200 200 200 200 200 200 200 200
    GET /livez | GET /readyz
      any      200 200 200 200 200 200 200 200 200
    GET /metrics
      any      404 404 404 404 404 404 404 404 404
    GET /v2/info/import | GET /v2/info/usage | GET /v2/info/stores
      any      200 200 200 200 200 200 200 200 200
    * /v2
      any      302 302 302 302 302 302 302 302 302
    GET /v2/info/stores/detail
      any      200 403 403 403 403 403 200 403 403
    POST /v2/images | POST /v2/images: community
      any      201 201 403 201 201 201 403 403 403
    POST /v2/images: for another | POST /v2/images: for nobody
      any      201 403 403 403 403 403 403 403 403
    POST /v2/images: public
      any      201 403 403 403 403 403 403 403 403
    GET /v2/images
      any      200 200 200 200 200 200 403 403 403

    GET /v2/images/<image_id>
      private  200 200 200 404 404 404 404 404 404
      shared   200 200 200 200 200 404 404 404 404
      open     200 200 200 200 200 200 404 404 404
    PATCH /v2/images/<image_id>: nothing
      private  200 200 200 404 404 404 404 404 403
      shared   200 200 200 200 200 404 404 404 403
      open     200 200 200 200 200 200 404 404 403
    PATCH /v2/images/<image_id> | PATCH /v2/images/<image_id>: community
      private  200 200 403 404 404 404 404 404 403
      shared   200 200 403 403 403 404 404 404 403
      open     200 200 403 403 403 403 404 404 403
    PATCH /v2/images/<image_id>: public | PATCH /v2/images/<image_id>: owner
      private  200 403 403 404 404 404 404 404 403
      shared   200 403 403 403 403 404 404 404 403
      open     200 403 403 403 403 403 404 404 403
    DELETE /v2/images/<image_id> | PUT /v2/images/<image_id>/file
      private  204 204 403 404 404 404 404 404 403
      shared   204 204 403 403 403 404 404 404 403
      open     204 204 403 403 403 403 404 404 403
    POST /v2/images/<image_id>/actions/deactivate
      private  204 204 403 404 404 404 404 404 403
      shared   204 204 403 403 403 404 404 404 403
      open     204 204 403 403 403 403 404 404 403
    POST /v2/images/<image_id>/actions/reactivate
      private  204 204 403 404 404 404 404 404 403
      shared   204 204 403 403 403 404 404 404 403
      open     204 204 403 403 403 403 404 404 403
    POST /v2/images/<image_id>/import
      private  202 202 403 404 404 404 404 404 403
      shared   202 202 403 403 403 404 404 404 403
      open     202 202 403 403 403 403 404 404 403
    POST /v2/images/<image_id>/import: copy
      private  202 403 403 404 404 404 404 404 403
      shared   202 403 403 403 403 404 404 404 403
      open     202 403 403 403 403 403 404 404 403
    PUT /v2/images/<image_id>/stage | PUT /v2/images/<image_id>/stage: range
      private  204 204 403 404 404 404 404 404 403
      shared   204 204 403 403 403 404 404 404 403
      open     204 204 403 403 403 403 404 404 403
    GET /v2/images/<image_id>/stage
      private  200 200 403 404 404 404 404 404 403
      shared   200 200 403 403 403 404 404 404 403
      open     200 200 403 403 403 403 404 404 403
    PUT /v2/images/<image_id>/tags/<tag> | DELETE /v2/images/<image_id>/tags/<tag>
      private  204 204 403 404 404 404 404 404 403
      shared   204 204 403 403 403 404 404 404 403
      open     204 204 403 403 403 403 404 404 403
    GET /v2/images/<image_id>/file
      private  200 200 403 404 404 404 404 404 404
      shared   200 200 403 200 200 404 404 404 404
      open     200 200 403 200 200 200 404 404 404
    GET /v2/images/<image_id>/file: deactivated
      private  200 403 403 404 404 404 404 404 404
      shared   200 403 403 403 403 404 404 404 404
      open     200 403 403 403 403 403 404 404 404
    GET /v2/images/<image_id>/members
      private  403 403 403 404 404 404 404 404 404
      shared   200 200 200 200 200 404 404 404 404
      open     403 403 403 403 403 403 404 404 404
    POST /v2/images/<image_id>/members
      private  403 403 403 404 404 404 404 404 403
      shared   200 200 403 403 403 404 404 404 403
      open     403 403 403 403 403 403 404 404 403
    GET /v2/images/<image_id>/members/<member_id>
      private  404 404 404 404 404 404 404 404 404
      shared   200 200 200 200 404 404 404 404 404
      open     404 404 404 404 404 404 404 404 404
    PUT /v2/images/<image_id>/members/<member_id>
      private  403 403 403 404 404 404 404 404 403
      shared   200 403 403 200 404 404 404 404 403
      open     403 403 403 403 403 403 404 404 403
    DELETE /v2/images/<image_id>/members/<member_id>
      private  403 403 403 404 404 404 404 404 403
      shared   204 204 403 403 403 404 404 404 403
      open     403 403 403 403 403 403 404 404 403
    GET /v2/images/<image_id>/locations
      private  200 403 403 404 404 404 404 404 404
      shared   200 403 403 403 403 404 404 404 404
      open     200 403 403 403 403 403 200 404 404
    POST /v2/images/<image_id>/locations
      private  202 202 403 404 404 404 404 404 403
      shared   202 202 403 403 403 404 404 404 403
      open     202 202 403 403 403 403 202 404 403
    DELETE /v2/stores/<store_id>/<image_id>
      private  204 403 403 404 404 404 404 404 403
      shared   204 403 403 403 403 404 404 404 403
      open     204 403 403 403 403 403 404 404 403
    GET /v2/images/<image_id>/tasks
      private  200 200 200 404 404 404 404 404 404
      shared   200 200 200 200 200 404 404 404 404
      open     200 200 200 200 200 200 404 404 404
    GET /v2/tasks | GET /v2/tasks/<task_id>
      any      200 403 403 403 403 403 403 403 403
    POST /v2/tasks
      any      400 403 403 403 403 403 403 403 403
    DELETE /v2/tasks/<task_id>
      any      405 403 403 403 403 403 403 403 403
    GET /v2/cache | POST /v2/cache/clean | POST /v2/cache/prune
      any      200 403 403 403 403 403 403 403 403
    DELETE /v2/cache
      any      204 403 403 403 403 403 403 403 403
    PUT /v2/cache/<image_id>
      private  202 403 403 404 404 404 404 403 403
      shared   202 403 403 403 403 404 404 403 403
      open     202 403 403 403 403 403 403 403 403
    DELETE /v2/cache/<image_id>
      private  204 403 403 404 404 404 404 403 403
      shared   204 403 403 403 403 404 404 403 403
      open     204 403 403 403 403 403 403 403 403
    GET /v2/cache/nodes/<image_id>
      private  200 403 403 404 404 404 404 403 404
      shared   200 403 403 403 403 404 404 403 404
      open     200 403 403 403 403 403 403 403 403
    """
)

#: With the origin's ``policy.json``, on images: its rules admit nearly everybody, and
#: visibility and ownership alone decide, whatever the roles (ruling P-4).
_ORIGIN = parse_table(
    """
    * /
      any      300 300 300 300 300 300 300 300 300
    * /versions | GET /healthcheck | GET /openapi.json | GET /v2/schemas/<path:name>
      any      200 200 200 200 200 200 200 200 200
    GET /livez | GET /readyz
      any      200 200 200 200 200 200 200 200 200
    GET /metrics
      any      404 404 404 404 404 404 404 404 404
    GET /v2/info/import | GET /v2/info/usage | GET /v2/info/stores
      any      200 200 200 200 200 200 200 200 200
    * /v2
      any      302 302 302 302 302 302 302 302 302
    GET /v2/info/stores/detail
      any      200 403 403 403 403 403 200 403 403
    POST /v2/images
      any      201 201 201 201 201 201 201 201 403
    POST /v2/images: community
      any      201 201 403 201 201 201 403 403 403
    POST /v2/images: for another | POST /v2/images: for nobody
      any      201 403 403 403 403 403 403 403 403
    POST /v2/images: public
      any      201 403 403 403 403 403 403 403 403
    GET /v2/images
      any      200 200 200 200 200 200 200 200 200

    GET /v2/images/<image_id> | GET /v2/images/<image_id>/file
      private  200 200 200 404 404 404 404 200 404
      shared   200 200 200 200 200 404 404 200 404
      open     200 200 200 200 200 200 200 200 200
    PATCH /v2/images/<image_id>: nothing
      private  200 200 200 404 404 404 404 200 403
      shared   200 200 200 200 200 404 404 200 403
      open     200 200 200 200 200 200 200 200 403
    PATCH /v2/images/<image_id>
      private  200 200 200 404 404 404 404 200 403
      shared   200 200 200 403 403 404 404 200 403
      open     200 200 200 403 403 403 403 200 403
    PATCH /v2/images/<image_id>: community
      private  200 200 403 404 404 404 404 403 403
      shared   200 200 403 403 403 404 404 403 403
      open     200 200 403 403 403 403 403 403 403
    PATCH /v2/images/<image_id>: public | PATCH /v2/images/<image_id>: owner
      private  200 403 403 404 404 404 404 403 403
      shared   200 403 403 403 403 404 404 403 403
      open     200 403 403 403 403 403 403 403 403
    DELETE /v2/images/<image_id> | PUT /v2/images/<image_id>/file
      private  204 204 204 404 404 404 404 204 403
      shared   204 204 204 403 403 404 404 204 403
      open     204 204 204 403 403 403 403 204 403
    POST /v2/images/<image_id>/actions/deactivate
      private  204 204 204 404 404 404 404 204 403
      shared   204 204 204 403 403 404 404 204 403
      open     204 204 204 403 403 403 403 204 403
    POST /v2/images/<image_id>/actions/reactivate
      private  204 204 204 404 404 404 404 204 403
      shared   204 204 204 403 403 404 404 204 403
      open     204 204 204 403 403 403 403 204 403
    POST /v2/images/<image_id>/import
      private  202 202 202 404 404 404 404 202 403
      shared   202 202 202 403 403 404 404 202 403
      open     202 202 202 403 403 403 403 202 403
    POST /v2/images/<image_id>/import: copy
      private  202 403 403 404 404 404 404 403 403
      shared   202 403 403 403 403 404 404 403 403
      open     202 403 403 403 403 403 403 403 403
    PUT /v2/images/<image_id>/stage | PUT /v2/images/<image_id>/stage: range
      private  204 204 204 404 404 404 404 204 403
      shared   204 204 204 403 403 404 404 204 403
      open     204 204 204 403 403 403 403 204 403
    GET /v2/images/<image_id>/stage
      private  200 200 200 404 404 404 404 200 403
      shared   200 200 200 403 403 404 404 200 403
      open     200 200 200 403 403 403 403 200 403
    PUT /v2/images/<image_id>/tags/<tag> | DELETE /v2/images/<image_id>/tags/<tag>
      private  204 204 204 404 404 404 404 204 403
      shared   204 204 204 403 403 404 404 204 403
      open     204 204 204 403 403 403 403 204 403
    GET /v2/images/<image_id>/file: deactivated
      private  200 403 403 404 404 404 404 403 404
      shared   200 403 403 403 403 404 404 403 404
      open     200 403 403 403 403 403 403 403 403
    GET /v2/images/<image_id>/members
      private  403 403 403 404 404 404 404 403 404
      shared   200 200 200 200 200 404 404 200 404
      open     403 403 403 403 403 403 403 403 403
    POST /v2/images/<image_id>/members
      private  403 403 403 404 404 404 404 403 403
      shared   200 200 200 403 403 404 404 200 403
      open     403 403 403 403 403 403 403 403 403
    GET /v2/images/<image_id>/members/<member_id>
      private  404 404 404 404 404 404 404 404 404
      shared   200 200 200 200 404 404 404 200 404
      open     404 404 404 404 404 404 404 404 404
    PUT /v2/images/<image_id>/members/<member_id>
      private  403 403 403 404 404 404 404 403 403
      shared   200 403 403 200 404 404 404 403 403
      open     403 403 403 403 403 403 403 403 403
    DELETE /v2/images/<image_id>/members/<member_id>
      private  403 403 403 404 404 404 404 403 403
      shared   204 204 204 403 403 404 404 204 403
      open     403 403 403 403 403 403 403 403 403
    GET /v2/images/<image_id>/locations
      private  200 403 403 404 404 404 404 403 404
      shared   200 403 403 403 403 404 404 403 404
      open     200 403 403 403 403 403 200 403 403
    POST /v2/images/<image_id>/locations
      private  202 202 403 404 404 404 404 403 403
      shared   202 202 403 403 403 404 404 403 403
      open     202 202 403 403 403 403 202 403 403
    DELETE /v2/stores/<store_id>/<image_id>
      private  204 204 204 404 404 404 404 204 403
      shared   204 204 204 403 403 404 404 204 403
      open     204 204 204 403 403 403 403 204 403
    GET /v2/images/<image_id>/tasks
      private  200 200 200 404 404 404 404 200 404
      shared   200 200 200 200 200 404 404 200 404
      open     200 200 200 200 200 200 200 200 200
    GET /v2/tasks | GET /v2/tasks/<task_id>
      any      200 403 403 403 403 403 403 403 403
    POST /v2/tasks
      any      400 403 403 403 403 403 403 403 403
    DELETE /v2/tasks/<task_id>
      any      405 403 403 403 403 403 403 403 403
    GET /v2/cache | POST /v2/cache/clean | POST /v2/cache/prune
      any      200 403 403 403 403 403 403 403 403
    DELETE /v2/cache
      any      204 403 403 403 403 403 403 403 403
    PUT /v2/cache/<image_id>
      private  202 403 403 404 404 404 404 403 403
      shared   202 403 403 403 403 404 404 403 403
      open     202 403 403 403 403 403 403 403 403
    DELETE /v2/cache/<image_id>
      private  204 403 403 404 404 404 404 403 403
      shared   204 403 403 403 403 404 404 403 403
      open     204 403 403 403 403 403 403 403 403
    GET /v2/cache/nodes/<image_id>
      private  200 403 403 404 404 404 404 403 404
      shared   200 403 403 403 403 404 404 403 404
      open     200 403 403 403 403 403 403 403 403
    """
)

#: What administrators alone do to definitions, if the origin's file does not say it.
NEWER = (
    "/resource_types/<resource_type>",
    *("/objects/<name>", "/properties/<name>", "/tags", "/tags/<tag>"),
)


def definitions(reading: str, writing: str, newer: str) -> Table:
    """Return the rows of all requests below a namespace, from those of each group.

    ``ok`` stands for the success of the request's method.
    """
    success = {"GET": 200, "PUT": 200, "POST": 201, "DELETE": 204}
    table: dict[str, Mapping[str, Mapping[str, int]]] = {}
    for method, path, _, _ in _DEFINITIONS:
        rows = reading if method == "GET" else writing
        if method == "DELETE" and path in NEWER:
            rows = newer
        text = rows.replace("ok", str(success[method]))
        table |= parse_table(f"{method} {NAMESPACE}{path}\n{text}")
    return table


_ADMINS_ALONE = """
    private  ok  403 403 404 404 404 404 404 404
    public   ok  403 403 403 403 403 404 404 404
"""

BUILT_IN: Table = {
    **_BUILT_IN,
    **parse_table(
        """
        GET /v2/metadefs/namespaces | GET /v2/metadefs/resource_types
          any      200 200 200 200 200 200 404 404 404
        POST /v2/metadefs/namespaces | POST /v2/metadefs/namespaces: for another
          any      201 403 403 403 403 403 403 403 403
        """
    ),
    **definitions(
        """
        private  ok  ok  ok  404 404 404 404 404 404
        public   ok  ok  ok  ok  ok  ok  404 404 404
        """,
        _ADMINS_ALONE,
        _ADMINS_ALONE,
    ),
}

ORIGIN: Table = {
    **_ORIGIN,
    **parse_table(
        """
        GET /v2/metadefs/namespaces | GET /v2/metadefs/resource_types
          any      200 200 200 200 200 200 200 200 200
        POST /v2/metadefs/namespaces | POST /v2/metadefs/namespaces: for another
          any      201 201 201 201 201 201 201 201 403
        """
    ),
    **definitions(
        """
        private  ok  ok  ok  404 404 404 404 ok  404
        public   ok  ok  ok  ok  ok  ok  ok  ok  ok
        """,
        """
        private  ok  ok  ok  404 404 404 404 ok  404
        public   ok  ok  ok  403 403 403 403 ok  403
        """,
        """
        private  ok  403 403 404 404 404 404 403 404
        public   ok  403 403 403 403 403 403 403 403
        """,
    ),
}


def key(route: Route) -> str:
    """Return the name of a route in the tables."""
    return f"{route.method} {route.path}"


def requests_to(route: Route) -> Mapping[str, Ask]:
    """Return the valid requests to a route, by their names in the tables."""
    name = key(route)
    return {
        request: ask
        for request, ask in ASKS.items()
        if request == name or request.startswith(f"{name}: ")
    }


KINDS = ("any", *(str(visibility) for visibility in Visibility))
