"""Views of an image's members.  Source: contract api-images 20."""

from flask import Response

from imagereg.api.documents import member_document
from imagereg.api.images import json_answer
from imagereg.api.schemas import check_member_id, check_member_status
from imagereg.api.services import Call


def index(call: Call) -> Response:
    """List members."""
    found = call.services.members.list(call.grant)
    return json_answer(
        {
            "members": [member_document(member) for member in found],
            "schema": "/v2/schemas/members",
        }
    )


def show(call: Call) -> Response:
    """Show a member."""
    member = call.services.members.show(call.grant, call.ids["member_id"])
    return json_answer(member_document(member))


def add(call: Call) -> Response:
    """Add a member; the answer is 200, which clients rely on."""
    member_id = check_member_id(call.body)
    return json_answer(
        member_document(call.services.members.add(call.grant, member_id))
    )


def update(call: Call) -> Response:
    """Change a member's status."""
    status = check_member_status(call.body)
    member = call.services.members.set_status(call.grant, call.ids["member_id"], status)
    return json_answer(member_document(member))


def remove(call: Call) -> Response:
    """Remove a member."""
    call.services.members.remove(call.grant, call.ids["member_id"])
    return Response(status=204)
