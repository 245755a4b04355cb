"""Callers and namespaces for the tests of metadata definitions."""

from collections.abc import Mapping
from uuid import uuid4

from tests.server import Server
from tests.wire import ADMIN, Answer, Client, as_

NAMESPACES = "/v2/metadefs/namespaces"

#: A caller of each kind; the namespaces of these tests belong to the administrator's
#: project unless they say something else.
PERSONAS: Mapping[str, Mapping[str, str]] = {
    "admin": ADMIN,
    "colleague": as_("colin", "project-admin", ("member", "reader")),
    "stranger": as_("sam", "project-s", ("member", "reader")),
    "roleless": as_("norman", "project-s", ("bystander",)),
    "service": as_("nova", "service", ("service",)),
}

CONTENT: Mapping[str, object] = {
    "objects": [
        {
            "name": "obj",
            "required": ["in_obj"],
            "properties": {"in_obj": {"title": "In", "type": "string"}},
        }
    ],
    "properties": {"prop": {"title": "P", "type": "integer", "minimum": 1}},
    "tags": [{"name": "tag"}],
    "resource_type_associations": [{"name": "OS::Glance::Image", "prefix": "x_"}],
}


class Author:
    """One caller who writes and reads definitions."""

    def __init__(self, server: Server, who: str = "admin") -> None:
        self._client: Client = server.client(PERSONAS[who])

    def ask(
        self, method: str, path: str = "", document: object = None, **headers: str
    ) -> Answer:
        """Send one request below `/v2/metadefs/namespaces`."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._client.request(
            method, f"{NAMESPACES}{path}", document=document, headers=named
        )

    def add(self, **fields: object) -> str:
        """Create a namespace and return the path of it."""
        name = f"NS::{uuid4()}"
        answer = self.ask("POST", "", {"namespace": name, **fields})
        assert answer.status == 201, answer
        return f"/{name}"

    def show(self, path: str) -> dict[str, object]:
        """Return a document."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.json()
