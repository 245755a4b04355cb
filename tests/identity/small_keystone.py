"""A small identity service over real HTTP, whose faults a test can choose.

It speaks the three calls that a token's validation needs, as the documentation of the
Identity API v3 has them.  What only the real one can show is in `tests/keystone`.
"""

import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

PASSWORD = "canary-password-of-the-service"

DEFAULT = {"id": "default", "name": "Default"}


def stamp(in_s: float) -> str:
    """Return a time as tokens have it, so many seconds from now."""
    when = datetime.now(UTC) + timedelta(seconds=in_s)
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class SmallKeystone:
    """The service, and what it knows.

    Attributes:
        base: URL without a slash at the end.
        tokens: token -> its document.
        image_url: where the catalogue has the image service of region ``one``.
        credentials: application credentials, id -> secret.
        made_by: token of this service -> the credential that it logged in by.
        gone: credentials that were deleted, and their tokens.
        fault: what happens instead of an answer, see `_Handler.fail`.
        asked: how often each kind of call came: ``login``, ``validate``.
        flags: the query of the last validation.
    """

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.own: set[str] = set()
        self.image_url = ""
        self.credentials: dict[str, str] = {}
        self.made_by: dict[str, str] = {}
        self.gone: set[str] = set()
        self.fault = ""
        self.asked: Counter[str] = Counter()
        self.flags: dict[str, list[str]] = {}
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("_Bound", (_Handler,), {"service": self})
        )
        self.base = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Answer nothing more."""
        self.closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def options(self, **more: object) -> dict[str, object]:
        """Return section ``[keystone_authtoken]`` for this service."""
        return {
            "auth_url": self.base,
            "username": "imagereg",
            "password": PASSWORD,
            "project_name": "service",
            "http_connect_timeout": 60,
            "http_request_max_retries": 0,
            **more,
        }

    def forget(self, credential: str) -> None:
        """Delete an application credential, and with it its tokens."""
        del self.credentials[credential]
        made = {own for own, by in self.made_by.items() if by == credential}
        self.gone |= {credential, *made}
        self.own -= made

    def issue(
        self,
        project: str | None = "project-a",
        roles: tuple[str, ...] = ("member", "reader"),
        lasts_s: float = 3600,
        **more: object,
    ) -> str:
        """Return a new token; ``more`` goes into its document as it is."""
        document: dict[str, Any] = {
            "user": {"id": "u-1", "name": "alice", "domain": DEFAULT},
            "expires_at": stamp(lasts_s),
            "issued_at": stamp(0),
            "methods": ["password"],
        }
        if project is not None:
            document["project"] = {"id": project, "name": project, "domain": DEFAULT}
        if roles:
            document["roles"] = [{"id": name, "name": name} for name in roles]
        token = f"canary-token-{uuid4().hex}"
        self.tokens[token] = {**document, **more}
        return token

    def catalog(self) -> list[dict[str, Any]]:
        """Return what this service's own login learns: where the service is."""
        endpoints = [
            {"interface": name, "region": "one", "region_id": "one", "url": self.base}
            for name in ("public", "internal", "admin")
        ]
        found = [{"type": "identity", "name": "keystone", "endpoints": endpoints}]
        if self.image_url:
            image = {"interface": "public", "region": "one", "region_id": "one"}
            image |= {"url": self.image_url}
            found.append({"type": "image", "name": "imagereg", "endpoints": [image]})
        return found

    def knows(self, asked: dict[str, Any]) -> bool:
        """Return whether a login is right: all users have one password."""
        if "application_credential" in asked:
            said = asked["application_credential"]
            # By name it is looked for among those of its user.
            name = said.get("id") or f"{said['user']['name']}/{said['name']}"
            return bool(self.credentials.get(name) == said["secret"])
        if "token" in asked:
            return asked["token"]["id"] in self.tokens
        return bool(asked["password"]["user"]["password"] == PASSWORD)


class _Handler(BaseHTTPRequestHandler):
    service: SmallKeystone
    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 30

    def do_GET(self) -> None:
        """Answer a validation, or the question for versions."""
        url = urlsplit(self.path)
        if not url.path.endswith("/auth/tokens"):
            return self.tell_versions()
        self.service.asked["validate"] += 1
        self.service.flags = parse_qs(url.query)
        if self.service.fault:
            return self.fail(self.service.fault)
        own = self.headers["X-Auth-Token"]
        if own not in self.service.own:
            # As the real one has it: what is gone is not found, whoever asks for it.
            return self.refuse(404 if own in self.service.gone else 401)
        token = self.headers["X-Subject-Token"]
        document = self.service.tokens.get(token)
        # As the real one has it: whoever would not enforce rules is told nothing.
        if "OpenStack-Identity-Access-Rules" not in self.headers and document:
            document = None if "application_credential" in document else document
        is_late = document is not None and document["expires_at"] < stamp(0)
        if document is None or (is_late and "allow_expired" not in self.service.flags):
            return self.refuse(404)
        return self.say(200, {"token": document})

    def do_POST(self) -> None:
        """Answer the login of the service that validates."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.service.asked["login"] += 1
        if self.service.fault == "away":
            return self.fail("away")
        identity = body["auth"]["identity"]
        credential = identity.get("application_credential", {}).get("id", "")
        if not self.service.knows(identity):
            return self.refuse(404 if credential in self.service.gone else 401)
        scope = body["auth"].get("scope", {}).get("project", {"name": "by-credential"})
        own = self.service.issue(
            scope.get("name") or scope.get("id"),
            ("member", "reader", "service"),
            catalog=self.service.catalog(),
        )
        self.service.own.add(own)
        self.service.made_by[own] = credential
        document = self.service.tokens[own]
        return self.say(201, {"token": document}, {"X-Subject-Token": own})

    def tell_versions(self) -> None:
        """Answer where version 3 is."""
        link = {"rel": "self", "href": f"{self.service.base}/v3/"}
        v3 = {"id": "v3.14", "status": "stable", "links": [link]}
        if self.path.startswith("/v3"):
            self.say(200, {"version": v3})
        else:
            self.say(300, {"versions": {"values": [v3]}})

    def refuse(self, status: int) -> None:
        """Answer as the real one refuses."""
        self.say(status, {"error": {"code": status, "message": "no", "title": "no"}})

    def fail(self, fault: str) -> None:
        """Do what went wrong instead of answering."""
        if fault == "hang":
            self.service.closing.wait(60)
            self.close_connection = True
        elif fault in ("cut", "away"):
            self.close_connection = True
        elif fault == "half":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"token": {')
            self.close_connection = True
        elif fault == "redirect":
            self.say(302, {}, {"Location": f"{self.service.base}/v3/elsewhere"})
        elif fault == "nonsense":
            self.say(200, {"token": {"user": None}})
        else:
            self.refuse(int(fault))

    def say(
        self, status: int, document: object, headers: dict[str, str] | None = None
    ) -> None:
        """Answer with a document."""
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""
