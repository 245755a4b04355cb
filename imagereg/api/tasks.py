"""Views of background work.  Source: contract api-images 11.2 and 24."""

from flask import Response, request

from imagereg.api import bodies, problems, task_query
from imagereg.api.documents import Document, raw_task_document, task_document
from imagereg.api.images import json_answer
from imagereg.api.services import Call
from imagereg.errors import Invalid


def of_image(call: Call) -> Response:
    """List the tasks of an image."""
    tasks = call.services.tasks.of_image(call.grant)
    return json_answer({"tasks": [raw_task_document(task) for task in tasks]})


def index(call: Call) -> Response:
    """List tasks."""
    services = call.services
    asked = task_query.parse(
        request.query_string.decode("ascii"),
        default=services.page_default,
        largest=services.page_max,
    )
    tasks = services.tasks.page(call.grant, asked.query, asked.marker)
    document: Document = {
        "tasks": [task_document(task, whole=False) for task in tasks],
        "first": asked.link(None),
        "schema": "/v2/schemas/tasks",
    }
    if tasks and len(tasks) == asked.query.limit:
        document["next"] = asked.link(tasks[-1].id)
    return json_answer(document)


def show(call: Call) -> Response:
    """Show a task."""
    task = call.services.tasks.show(call.grant, call.ids["task_id"])
    return json_answer(task_document(task, whole=True))


def create(call: Call) -> Response:
    """Refuse to begin a task: images are imported by their own call.

    The reference's own documentation calls this way of importing obsolete; its
    checks, which skipped those of the newer way, were a security hole.

    Raises:
        Invalid: always; for what is wrong with the body, if anything is.
    """
    document = bodies.json_document(call.request, call.services.max_body_bytes)
    if not isinstance(document, dict):
        raise Invalid("the request body must be a JSON object")
    for name in ("type", "input"):
        if name not in document:
            raise Invalid(f"`{name}` is required")
    raise Invalid("tasks begin with POST /v2/images/{id}/import, not here")


def delete(call: Call) -> Response:
    """Refuse: tasks go by themselves."""
    explanation = "the method DELETE is not allowed for this resource"
    return problems.problem(405, explanation, {"Allow": "GET"})
