"""What schemathesis is taught about imagereg; loaded by its own Python.

Without help it would hardly ever meet something that exists: two of three requests
are sent to an image, a namespace or a task that was made for them.
"""

import json
import os
import urllib.request
from itertools import count, cycle
from urllib.error import HTTPError

import schemathesis  # type: ignore[import-not-found]  # only its own Python has it

BASE = os.environ["IMAGEREG_FUZZED"]
MEDIA_TYPES = (
    "application/openstack-images-v2.0-json-patch",
    "application/openstack-images-v2.1-json-patch",
)

NUMBERS = count()
TURNS = cycle(range(3))
STATUSES = cycle(("queued", "active", "deactivated"))


@schemathesis.serializer(*MEDIA_TYPES)  # type: ignore[untyped-decorator]  # see the import
def as_json(context: object, value: object) -> bytes:
    """Return a PATCH as bytes."""
    return json.dumps(value, default=str).encode()


@schemathesis.hook  # type: ignore[untyped-decorator]  # see the import
def before_call(context: object, case: "schemathesis.Case", kwargs: object) -> None:
    """Point a request at what exists, two times of three."""
    parts = case.path_parameters
    if not parts or not next(TURNS):
        return
    if "image_id" in parts:
        parts["image_id"] = new_image()
    if "member_id" in parts:
        parts["member_id"] = "guest"
    if "namespace" in parts:
        parts["namespace"] = new_namespace()
        parts.update({name: "known" for name in ("name", "tag") if name in parts})
        if "resource_type" in parts:
            parts["resource_type"] = "OS::Glance::Image"
    if "task_id" in parts:
        parts["task_id"] = new_task()


def new_image() -> str:
    """Return the id of a shared image with a tag, a property and a member."""
    made = send(
        "POST",
        "/v2/images",
        {
            "disk_format": "raw",
            "container_format": "bare",
            "tags": ["known"],
            "colour": "red",
        },
    )
    path = f"/v2/images/{made['id']}"
    status = next(STATUSES)
    if status != "queued":
        send("PUT", f"{path}/file", b"0123456789")
    if status == "deactivated":
        send("POST", f"{path}/actions/deactivate", b"")
    send("POST", f"{path}/members", {"member": "guest"})
    return str(made["id"])


def new_namespace() -> str:
    """Return the name of a namespace with one definition of each kind."""
    name = f"Fuzz::{next(NUMBERS)}"
    send(
        "POST",
        "/v2/metadefs/namespaces",
        {
            "namespace": name,
            "objects": [{"name": "known"}],
            "properties": {"known": {"title": "Known", "type": "string"}},
            "tags": [{"name": "known"}],
            "resource_type_associations": [{"name": "OS::Glance::Image"}],
        },
    )
    return name


def new_task() -> str:
    """Return the id of a task, which will soon have failed."""
    made = send(
        "POST", "/v2/images", {"disk_format": "raw", "container_format": "bare"}
    )
    path = f"/v2/images/{made['id']}"
    send("POST", f"{path}/locations", {"url": "http://127.0.0.1:9/nothing"})
    tasks = send("GET", f"{path}/tasks", b"")["tasks"]
    assert isinstance(tasks, list)
    return str(tasks[0]["id"]) if tasks else "none"


def send(method: str, path: str, body: bytes | object) -> dict[str, object]:
    """Send a request and return the document of its answer, if it has one."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/octet-stream"}
    wanted = urllib.request.Request(BASE + path, data or None, headers, method=method)
    try:
        with urllib.request.urlopen(wanted, timeout=60) as answer:
            text = answer.read()
    except HTTPError as refusal:
        if refusal.code >= 500:
            raise
        return {"id": "none", "tasks": []}
    document: dict[str, object] = json.loads(text) if text else {}
    return document
