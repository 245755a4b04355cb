"""Secrets are planted wherever one can be, things go wrong, and nothing tells of them.

The server logs all it can.  Every route is asked, with tokens and passwords in its
headers; remote servers, stores and the database fail in between, and remote ones put
secrets into what they answer.  Then all that came out is searched: the log, every
answer, the rows of the database, the numbers, and what the configuration shows.
"""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from imagereg.api.routes import ROUTES
from imagereg.identity.htpasswd import hash_password
from tests import databases
from tests.server import PROGRAM, Config, Server, eventually
from tests.stores.web import Page, Web, web_server
from tests.wire import ADMIN, Answer, Headers, as_

pytestmark = pytest.mark.long

BYTES = {"Content-Type": "application/octet-stream"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}

#: Where each secret is planted; its text holds the name, so that a find explains
#: itself.  Letters and digits alone, so that no encoding changes it.
PLACES = (
    *("token", "servicetoken", "basic", "cookie", "header", "query", "body"),
    *("s3access", "s3secret", "keystone", "webhook", "locationuser", "locationquery"),
    *("downloaduser", "downloadquery", "remotebody", "remoteheader", "redirect"),
    *("catalog", "malformed", "requestpath"),
)
SECRETS: Mapping[str, str] = {place: f"CANARYx{place}xZ93QK" for place in PLACES}
ANY = re.compile(r"CANARYx[a-z0-9]+xZ93QK", re.IGNORECASE)

#: What every request carries; none of it may come out anywhere.
CARRIED: Headers = {
    "X-Auth-Token": SECRETS["token"],
    "X-Service-Token": SECRETS["servicetoken"],
    "Cookie": f"session={SECRETS['cookie']}",
    "X-Subject-Token": SECRETS["header"],
}


def config(web: Web) -> Config:
    """Return the configuration, with all the secrets that one can hold."""
    return {
        "DEFAULT": {
            "debug": "true",
            "default_log_levels": "urllib3=DEBUG",
            "log_dir": "{dir}",
            "use_stderr": "true",
            "enabled_backends": "fast:file, slow:file, cloud:s3, web:http",
            "enabled_import_methods": (
                "[glance-direct,web-download,copy-image,glance-download]"
            ),
            "show_multiple_locations": "true",
            "show_image_direct_url": "true",
            "image_cache_dir": "{dir}/cache",
        },
        "glance_store": {
            "stores": None,
            "default_store": None,
            "filesystem_store_datadir": None,
            "default_backend": "fast",
        },
        "fast": {"filesystem_store_datadir": "{dir}/fast"},
        "slow": {"filesystem_store_datadir": "{dir}/slow"},
        "cloud": {
            "s3_store_host": web.url(""),
            "s3_store_bucket": "bucket",
            "s3_store_access_key": SECRETS["s3access"],
            "s3_store_secret_key": SECRETS["s3secret"],
            "s3_store_bucket_url_format": "path",
        },
        "import_filtering_opts": {
            "allowed_hosts": "[127.0.0.1]",
            "allowed_ports": "[]",
        },
        "keystone_authtoken": {"password": SECRETS["keystone"]},
        "imagereg": {
            "metrics": "true",
            "event_webhook": web.url(f"/hook/{SECRETS['webhook']}"),
        },
    }


@dataclass
class Sweep:
    """A server that is asked, and all that it answered."""

    server: Server
    web: Web
    answers: list[tuple[str, Answer, set[str]]] = field(default_factory=list)

    def ask(
        self,
        method: str,
        path: str,
        *,
        caller: Headers = ADMIN,
        body: bytes | None = None,
        headers: Headers | None = None,
        document: object = None,
    ) -> Answer:
        """Send a request with all that every request carries; keep the answer."""
        answer = self.server.client(caller).request(
            method,
            path,
            body=body,
            headers={**CARRIED, **(headers or {})},
            document=document,
        )
        self.answers.append((f"{method} {path}", answer, own(path, caller)))
        return answer

    def image(self, data: bytes = b"") -> str:
        """Make an image, with data if there are any; return its id."""
        document = {"disk_format": "raw", "container_format": "bare"}
        made = self.ask("POST", "/v2/images", document=document)
        image_id = str(made.json()["id"])
        if data:
            self.ask("PUT", f"/v2/images/{image_id}/file", body=data, headers=BYTES)
        return image_id

    def run_import(self, method: Mapping[str, object], **more: object) -> None:
        """Import into a new image, and wait until that ended."""
        image_id = self.image()
        path = f"/v2/images/{image_id}"
        document = {"method": method, **more}
        if self.ask("POST", f"{path}/import", document=document).status != 202:
            return

        def is_over() -> bool:
            tasks = self.ask("GET", f"{path}/tasks").json()["tasks"]
            return all(task["status"] in ("success", "failure") for task in tasks)

        assert eventually(is_over, 60)


def own(path: str, caller: Headers) -> set[str]:
    """Return the secrets that are the caller's own there: links repeat their query,
    tasks and locations show the URLs that their owner gave.
    """
    carried = found_in(path)
    if caller is ADMIN:
        carried |= {"downloadquery"} if "tasks" in path else {"locationquery"}
    return carried


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sweep]:
    """Yield a server on which everything was tried."""
    with web_server() as web:
        pages(web)
        server = Server(tmp_path_factory.mktemp("canary"), config(web)).start()
        sweep = Sweep(server, web)
        try:
            every_route(sweep)
            bad_bodies(sweep)
            remote_sources(sweep)
            with broken_store(sweep, "fast"):
                every_route(sweep)
            image_id = sweep.image(b"some data")
            with broken_table(sweep, "image_properties"):
                every_route(sweep, image_id)
            numbers = server.client({}).get("/metrics")
            sweep.answers.append(("numbers", numbers, set()))
            yield sweep
        finally:
            server.stop()


def pages(web: Web) -> None:
    """Publish what remote servers answer: secrets, in every way to fail."""
    secret = {"X-Remote": SECRETS["remoteheader"]}
    body = SECRETS["remotebody"].encode()
    web.put("/fails", body, status=500, headers=secret)
    web.put("/denies", body, status=403, headers=secret)
    web.put("/short", body * 100, cut=50, headers=secret)
    web.put("/good", b"image data", headers=secret)
    target = web.url(f"/denies?signature={SECRETS['redirect']}")
    web.redirect("/moves", target.replace("//", f"//u:{SECRETS['redirect']}@"))
    fault = (
        "<Error><Code>SignatureDoesNotMatch</Code>"
        f"<Message>{SECRETS['remotebody']}</Message>"
        f"<StringToSign>{SECRETS['s3secret']}</StringToSign></Error>"
    )
    for path in ("/bucket", "/bucket/"):
        web.pages[path] = Page(fault.encode(), 403, secret)


def every_route(sweep: Sweep, image_id: str = "") -> None:
    """Ask every route, as an administrator and as a stranger, for what is there."""
    ids = {
        "image_id": image_id or sweep.image(b"some data"),
        "tag": "tag",
        "member_id": "project-b",
        "name": "image",
        "namespace": "space",
        "store_id": "slow",
        "task_id": "none",
    }
    basic = base64.b64encode(f"u:{SECRETS['basic']}".encode()).decode()
    for route in sorted(ROUTES, key=lambda route: route.method == "DELETE"):
        method = "GET" if route.method == "*" else route.method
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda m: ids.get(m[1], "x"), route.path)
        wants_body = method in ("POST", "PUT", "PATCH") and not route.bodyless
        for caller in (ADMIN, as_("mallory", "project-m"), {}):
            sweep.ask(
                method,
                f"{path}?password={SECRETS['query']}",
                caller=caller,
                body=b"{}" if wants_body else None,
                headers={"Authorization": f"Basic {basic}"},
            )


def bad_bodies(sweep: Sweep) -> None:
    """Send bodies that are refused, and hold secrets."""
    secret = SECRETS["body"]
    image_id = sweep.image()
    path = f"/v2/images/{image_id}"
    for body in (
        f'{{"admin_pass": "{secret}"',
        f'"{secret}"',
        f'[{{"op": "add", "path": "/x/y/z", "value": "{secret}"}}]',
        f'{{"visibility": ["{secret}"]}}',
    ):
        sent = body.replace(secret, SECRETS["malformed"]).encode()
        sweep.ask("POST", "/v2/images", body=sent)
        sweep.ask("PATCH", path, body=sent, headers=PATCH)
        sweep.ask("POST", f"{path}/import", body=sent)
        sweep.ask("POST", f"{path}/locations", body=sent)


def remote_sources(sweep: Sweep) -> None:
    """Import from, locate at and copy to remote servers that fail."""
    web = sweep.web
    for page in ("/fails", "/denies", "/short", "/moves", "/good", "/none"):
        url = web.url(page)
        keyed = f"{url}?X-Amz-Signature={SECRETS['downloadquery']}"
        named = keyed.replace("//", f"//u:{SECRETS['downloaduser']}@")
        sweep.run_import({"name": "web-download", "uri": keyed})
        sweep.run_import({"name": "web-download", "uri": named})
        located = f"{url}?sig={SECRETS['locationquery']}"
        for place in (
            located,
            located.replace("//", f"//u:{SECRETS['locationuser']}@"),
        ):
            image_id = sweep.image()
            path = f"/v2/images/{image_id}"
            operation = {"op": "add", "path": "/locations/-"}
            change = [{**operation, "value": {"url": place, "metadata": {}}}]
            sweep.ask("PATCH", path, body=json.dumps(change).encode(), headers=PATCH)
            sweep.ask("POST", f"{path}/locations", document={"url": place})
            sweep.ask("GET", f"{path}/file")
    sweep.run_import(
        {"name": "web-download", "uri": web.url("/good")}, stores=["cloud"]
    )
    image_id = sweep.image(b"some data")
    for store in ("cloud", "slow"):
        document = {"method": {"name": "copy-image"}, "stores": [store]}
        sweep.ask("POST", f"/v2/images/{image_id}/import", document=document)
    catalog = json.dumps(
        [
            {
                "type": "image",
                "endpoints": [
                    {
                        "region": "far",
                        "publicURL": web.url(f"/denies?key={SECRETS['catalog']}"),
                    }
                ],
            }
        ]
    )
    image_id = sweep.image()
    wanted = {
        "name": "glance-download",
        "glance_region": "far",
        "glance_image_id": image_id,
    }
    sweep.ask(
        "POST",
        f"/v2/images/{image_id}/import",
        document={"method": wanted},
        headers={"X-Service-Catalog": catalog},
    )


@contextmanager
def broken_store(sweep: Sweep, name: str) -> Iterator[None]:
    """Take the directory of a store away."""
    place = sweep.server.where / name
    shutil.move(place, place.with_name("aside"))
    try:
        yield
    finally:
        if place.exists():
            shutil.rmtree(place)
        shutil.move(place.with_name("aside"), place)


@contextmanager
def broken_table(sweep: Sweep, name: str) -> Iterator[None]:
    """Break a table, so that statements fail inside requests."""
    url = databases.of(sweep.server.where)
    with databases.opened(url) as engine, engine.schema_turn():
        engine.execute(f"ALTER TABLE {name} RENAME TO broken")
    try:
        yield
    finally:
        with databases.opened(url) as engine, engine.schema_turn():
            engine.execute(f"ALTER TABLE broken RENAME TO {name}")


def found_in(text: str, *allowed: str) -> set[str]:
    """Return the places whose secrets stand in a text, but for the allowed ones."""
    names = {match.lower().split("x")[1] for match in ANY.findall(text)}
    plain = {name for name, secret in SECRETS.items() if secret.lower() in text.lower()}
    return (names & SECRETS.keys() | plain) - set(allowed)


def test_there_was_something_to_find(swept: Sweep) -> None:
    log = (swept.server.where / "imagereg.log").read_text()
    statuses = {answer.status for _, answer, _ in swept.answers}

    assert {200, 201, 204, 400, 401, 403, 404, 409, 503} <= statuses
    assert "DEBUG" in log
    assert "Traceback" in log
    assert len(swept.answers) > 500
    told = json.dumps([list(map(str, asked)) for asked in swept.web.asked])
    # The secrets were in use: remote servers were sent those that are theirs.
    assert {"downloadquery", "s3access"} <= found_in(told)


def test_no_secret_is_in_the_log(swept: Sweep) -> None:
    text = (swept.server.where / "imagereg.log").read_text() + swept.server.log()

    assert found_in(text) == set()


def test_no_secret_is_in_an_answer(swept: Sweep) -> None:
    leaks = {
        (what, answer.status, *found)
        for what, answer, own_secrets in swept.answers
        if (
            found := found_in(f"{answer.headers}{answer.body.decode(errors='replace')}")
            - own_secrets
        )
    }

    assert leaks == set()


def test_no_secret_is_in_the_database(swept: Sweep) -> None:
    rows = repr(databases.everything(swept.server.where))

    # URLs that callers gave are kept to be read; names and passwords in them are not.
    assert found_in(rows, "downloadquery", "locationquery") == set()


def test_no_secret_is_in_the_cache_or_among_temporary_files(swept: Sweep) -> None:
    names = "\n".join(str(path) for path in swept.server.where.rglob("*"))

    assert found_in(names) == set()


def test_no_secret_is_shown_of_the_configuration(swept: Sweep) -> None:
    conf = str(swept.server.where / "etc" / "imagereg.conf")
    shown = [
        subprocess.run(
            [str(PROGRAM), "config", *command, "--config", conf],
            capture_output=True,
            text=True,
            check=True,
            cwd=swept.server.where,
        )
        for command in (["dump"], ["dump", "--defaults", "--unknown"], ["check"])
    ]

    assert "s3_store_secret_key = ***" in shown[0].stdout
    assert found_in("".join(run.stdout + run.stderr for run in shown)) == set()


def test_no_password_is_told_by_flavor_http_basic(tmp_path: Path) -> None:
    secret = SECRETS["basic"]
    files = {
        "htpasswd": f"alice:{hash_password(secret)}\n",
        "users.ini": "[alice]\nproject = p\nroles = member\n",
    }
    server = Server(
        tmp_path,
        {
            "DEFAULT": {"debug": "true"},
            "paste_deploy": {"flavor": "http_basic"},
            "oslo_middleware": {"http_basic_auth_user_file": "{dir}/etc/htpasswd"},
            "imagereg": {"auth_users_file": "{dir}/etc/users.ini"},
        },
        files=files,
    ).start()
    try:
        answers = []
        for given in (f"alice:{secret}", f"alice:{secret}wrong", secret, f"{secret}:x"):
            encoded = base64.b64encode(given.encode()).decode()
            client = server.client({"Authorization": f"Basic {encoded}"})
            answers.append(client.get("/v2/images"))
        bad = server.client({"Authorization": f"Basic {secret}"}).get("/v2/images")
    finally:
        server.stop()

    assert [answer.status for answer in answers] == [200, 401, 400, 401]
    told = "".join(f"{each.headers}{each.body!r}" for each in (*answers, bad))
    assert found_in(server.log() + told) == set()
    assert base64.b64encode(f"alice:{secret}".encode()).decode() not in server.log()
