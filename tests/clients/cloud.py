"""A cloud of two services behind one address, for clients that log in.

``/identity`` hands a token to everybody who names a user and a project; ``/image``
is the front end of a registry, which tells it by headers who a token stands for.
"""

import http.client
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.wire import as_

DOMAIN = {"id": "default", "name": "Default"}
IDENTITY = "/identity/v3"

#: Headers that belong to one connection.
_HOPS = ("connection", "transfer-encoding", "date", "server", "host")


class Cloud:
    """The address, and the thread that answers there.

    Attributes:
        base: URL without a slash at the end.
        registry: URL of the registry behind ``/image``; set before the first request.
    """

    def __init__(self) -> None:
        self.registry = ""
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("_Bound", (_Handler,), {"cloud": self})
        )
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Answer nothing more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def login(self, project: str) -> tuple[str, ...]:
        """Return the options by which a client becomes a member of a project."""
        return (
            *("--os-auth-url", f"{self.base}{IDENTITY}"),
            *("--os-username", "somebody", "--os-password", "any"),
            *("--os-project-name", project),
            *("--os-user-domain-id", "default", "--os-project-domain-id", "default"),
        )

    def token(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the document of a token; names are ids here."""
        project = asked["auth"]["scope"]["project"]["name"]
        return {
            "token": {
                "methods": ["password"],
                "user": {"id": "somebody", "name": "somebody", "domain": DOMAIN},
                "project": {"id": project, "name": project, "domain": DOMAIN},
                "roles": [{"id": name, "name": name} for name in ("member", "reader")],
                "issued_at": "2026-01-01T00:00:00.000000Z",
                "expires_at": "2126-01-01T00:00:00.000000Z",
                "catalog": [
                    self._service("identity", IDENTITY),
                    self._service("image", "/image"),
                ],
            }
        }

    def _service(self, kind: str, path: str) -> dict[str, Any]:
        endpoint = {
            "id": kind,
            "interface": "public",
            "region": "one",
            "region_id": "one",
            "url": f"{self.base}{path}",
        }
        return {"id": kind, "type": kind, "name": kind, "endpoints": [endpoint]}

    def version(self) -> dict[str, Any]:
        """Return what the identity service says of itself."""
        link = {"rel": "self", "href": f"{self.base}{IDENTITY}/"}
        return {"version": {"id": "v3.14", "status": "stable", "links": [link]}}


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud

    def answer(self) -> None:
        """Answer one request to either service."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/image"):
            self.forward(body)
        elif self.path.endswith("/auth/tokens"):
            document = self.cloud.token(json.loads(body))
            project = document["token"]["project"]["id"]
            self.say(201, document, project)
        elif "/projects/" in self.path:
            project = self.path.rpartition("/")[2]
            self.say(200, {"project": {"id": project, "name": project}})
        else:
            self.say(200, self.cloud.version())

    def say(self, status: int, document: object, token: str = "") -> None:
        """Answer with a document, and with a token if there is one."""
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if token:
            self.send_header("X-Subject-Token", token)
        self.end_headers()
        self.wfile.write(text)

    def forward(self, body: bytes) -> None:
        """Ask the registry for whom the token stands for, whose name it is."""
        sent = {n: v for n, v in self.headers.items() if n.lower() not in _HOPS}
        token = sent.pop("X-Auth-Token", "")
        sent |= as_("somebody", token) if token else {}
        path = self.path.removeprefix("/image") or "/"
        back = http.client.HTTPConnection(urlsplit(self.cloud.registry).netloc)
        back.request(self.command, path, body, sent)
        reply = back.getresponse()
        data = reply.read()
        back.close()
        self.send_response(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in (*_HOPS, "content-length"):
                self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = answer  # noqa: N815 - http.server's name
    do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - as above

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: the registry keeps a log."""
