"""Administrators are told why; nobody else learns anything of the rules."""

from collections.abc import Callable

import pytest

from tests.server import Server
from tests.wire import ADMIN, Client, as_

PROTECTIONS = """
[^billing_]
create = billing
read = billing
update = !
delete = !

[.*]
create = @
read = @
update = @
delete = @
"""


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve(
        {
            "oslo_policy": {"policy_file": "{dir}/etc/policy.json"},
            "DEFAULT": {"property_protection_file": "{dir}/etc/protections.conf"},
        },
        files={
            "policy.json": '{"delete_image": "role:janitor"}',
            "protections.conf": PROTECTIONS,
        },
    )


def refused(client: Client, method: str, path: str, document: object = None) -> str:
    answer = client.request(
        method, path, document=document, headers={"Accept": "application/json"}
    )
    assert answer.status == 403
    return str(answer.json()["message"])


def test_an_administrator_learns_which_rule_refused_and_why(server: Server) -> None:
    image = server.client(ADMIN).create()["id"]

    message = refused(server.client(ADMIN), "DELETE", f"/v2/images/{image}")

    assert "rule `delete_image` (policy.json, line 1) refuses" in message
    assert "`role:janitor` is false" in message


def test_others_learn_the_name_of_the_action_alone(server: Server) -> None:
    image = server.client().create()["id"]

    message = refused(server.client(), "DELETE", f"/v2/images/{image}")

    assert message == "you are not authorized to complete delete_image action"


def test_an_administrator_learns_which_section_decided(server: Server) -> None:
    message = refused(
        server.client(ADMIN), "POST", "/v2/images", {"billing_code": "42"}
    )

    assert message.startswith("attribute `billing_code` is reserved: section")
    assert "[^billing_], line 2: create" in message


def test_others_learn_that_the_property_is_reserved(server: Server) -> None:
    billing = server.client(as_("bill", "project-a", ("billing", "member")))

    message = refused(server.client(), "POST", "/v2/images", {"billing_code": "42"})

    assert message == "attribute `billing_code` is reserved"
    assert billing.create(billing_code="42")["billing_code"] == "42"
