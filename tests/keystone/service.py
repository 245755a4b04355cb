"""A real Keystone, and the calls of its API by which tests prepare their cases."""

import calendar
import http.client
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tests.environments import PATIENT, cache, installing
from tests.server import free_port

HELPERS = Path(__file__).parent.parent / "services"

DOMAIN = {"id": "default"}

_STAMP = "%Y-%m-%dT%H:%M:%S"


@dataclass(frozen=True)
class Reply:
    """An answer of Keystone."""

    status: int
    token: str
    document: Any


@dataclass(frozen=True)
class Keystone:
    """A running service; ``password`` is that of all its accounts.

    Attributes:
        url: with ``/v3``.
    """

    url: str
    password: str = field(repr=False)
    where: Path = field(repr=False)

    def options(self, **more: object) -> dict[str, object]:
        """Return section ``[keystone_authtoken]`` for this service."""
        return {
            "auth_url": self.url,
            "username": "imagereg",
            "password": self.password,
            "project_name": "service",
            **more,
        }

    def call(
        self,
        method: str,
        path: str,
        document: object = None,
        token: str = "",
        **more: str,
    ) -> Reply:
        """Send one request; ``more`` are headers with `_` for `-`."""
        url = urlsplit(self.url)
        headers = {name.replace("_", "-"): value for name, value in more.items()}
        headers |= {"Content-Type": "application/json"}
        headers |= {"X-Auth-Token": token} if token else {}
        body = None if document is None else json.dumps(document)
        connection = http.client.HTTPConnection(url.netloc, timeout=60)
        try:
            connection.request(method, url.path + path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        given = answer.getheader("X-Subject-Token", "")
        return Reply(answer.status, given, json.loads(text) if text else None)

    def login(self, user: str, scope: str | dict[str, Any] = "demo") -> str:
        """Return a token of a user, for a project by name or any other scope."""
        if isinstance(scope, str):
            scope = {"project": {"name": scope, "domain": DOMAIN}}
        who = {"name": user, "domain": DOMAIN, "password": self.password}
        auth: dict[str, Any] = {
            "identity": {"methods": ["password"], "password": {"user": who}}
        }
        if scope:
            auth["scope"] = scope
        else:
            auth["scope"] = "unscoped"
        made = self.call("POST", "/auth/tokens", {"auth": auth})
        assert made.status == 201, made
        return made.token

    @property
    def admin(self) -> str:
        """A token of the administrator."""
        return self.login("admin", "admin")

    def user_id(self, token: str) -> str:
        """Return the id of the user whom a token stands for."""
        said = self.call("GET", "/auth/tokens", None, token, X_Subject_Token=token)
        found: str = said.document["token"]["user"]["id"]
        return found

    def credential(
        self,
        user: str,
        lasts_s: float | None = None,
        project: str = "demo",
        **fields: object,
    ) -> tuple[str, str]:
        """Return id and secret of a new application credential of a user."""
        token = self.login(user, project)
        path = f"/users/{self.user_id(token)}/application_credentials"
        wanted = {"name": uuid4().hex, **fields}
        if lasts_s is not None:
            ends = time.gmtime(time.time() + lasts_s)
            wanted["expires_at"] = time.strftime(_STAMP, ends)
        made = self.call("POST", path, {"application_credential": wanted}, token)
        assert made.status == 201, made
        said = made.document["application_credential"]
        return said["id"], said["secret"]

    def login_by(self, credential: tuple[str, str]) -> tuple[str, float]:
        """Return a token of an application credential, and when it ends."""
        number, secret = credential
        identity = {
            "methods": ["application_credential"],
            "application_credential": {"id": number, "secret": secret},
        }
        made = self.call("POST", "/auth/tokens", {"auth": {"identity": identity}})
        assert made.status == 201, made
        ends = made.document["token"]["expires_at"].partition(".")[0]
        return made.token, _seconds(ends)

    def revoke(self, token: str) -> None:
        """End a token before its time."""
        ended = self.call("DELETE", "/auth/tokens", None, token, X_Subject_Token=token)
        assert ended.status == 204, ended

    def forget(self, user: str, credential: tuple[str, str], project: str) -> None:
        """Delete an application credential of a user, and with it its tokens."""
        token = self.login(user, project)
        place = f"/users/{self.user_id(token)}/application_credentials/{credential[0]}"
        gone = self.call("DELETE", place, None, token)
        assert gone.status == 204, gone

    def register(self, url: str, region: str) -> None:
        """Have the catalogue name the image service of a new region."""
        admin = self.admin
        added = self.call("POST", "/regions", {"region": {"id": region}}, admin)
        assert added.status == 201, added
        service = {"type": "image", "name": "imagereg"}
        made = self.call("POST", "/services", {"service": service}, admin)
        assert made.status == 201, made
        endpoint = {
            "service_id": made.document["service"]["id"],
            "interface": "public",
            "region_id": region,
            "url": url,
        }
        added = self.call("POST", "/endpoints", {"endpoint": endpoint}, admin)
        assert added.status == 201, added

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have the service take connections and answer none within the block."""
        parent = int((self.where / "service.pid").read_text())
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        assert children
        for child in children:
            os.kill(int(child), signal.SIGSTOP)
        try:
            yield
        finally:
            for child in children:
                os.kill(int(child), signal.SIGCONT)


def _seconds(stamp: str) -> float:
    return float(calendar.timegm(time.strptime(stamp, _STAMP)))


@contextmanager
def keystone_service(where: Path) -> Iterator[Keystone]:
    """Run the service for the block, installed on first use."""
    home = {**os.environ, "SERVICES_HOME": str(cache() / "services")}
    command = (HELPERS / "keystone-up", where, str(free_port()), "--install", *PATIENT)
    with installing("services"):
        up = subprocess.run(
            command, check=False, capture_output=True, text=True, env=home, timeout=800
        )
    assert up.returncode == 0, up.stderr
    told = dict(line.split("=", 1) for line in shlex.split(up.stdout))
    try:
        yield Keystone(told["OS_AUTH_URL"], told["OS_PASSWORD"], where)
    finally:
        subprocess.run((HELPERS / "down", where, "--wipe"), check=True, timeout=180)
