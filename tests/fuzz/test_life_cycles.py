"""Lives of images and of memberships, step by step against a model.

The model says of each request what its status will be and what the record holds
afterwards; any order of requests must agree with it.

Source: contract api-images 8, 12 to 16, 20 and 21; policy 6.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import databases
from tests.registry import LocalRegistry, add, remove, replace
from tests.wire import Answer, Document, as_

OWNER = as_("olga", "project-owner")
READER = as_("rita", "project-owner", ("reader",))
STRANGER = as_("stan", "project-stranger")

VISIBILITIES = ("private", "shared", "community")
TAGS = st.sampled_from(("red", "größe", "a b", "%", "x" * 255))
NAMES = st.sampled_from(("colour", "a/b~c", "hw_disk_bus", "Ünï"))
VALUES = st.sampled_from(("", "red", "ß", "x" * 1000, '"'))
DATA = st.sampled_from((b"", b"0123456789", bytes(70_000)))

#: Statuses in which there are data to read.
STORED = ("active", "deactivated")


@dataclass
class Record:
    """What an image should be."""

    status: str = "queued"
    name: str | None = None
    visibility: str = "shared"
    protected: bool = False
    os_hidden: bool = False
    disk_format: str | None = None
    container_format: str | None = None
    tags: set[str] = field(default_factory=set)
    properties: dict[str, str] = field(default_factory=dict)
    data: bytes | None = None

    @property
    def ready(self) -> bool:
        """Whether data may come: both formats are set."""
        return self.disk_format is not None and self.container_format is not None


class Life(RuleBasedStateMachine):
    """One registry for one sequence of requests."""

    registry: LocalRegistry

    def __init__(self) -> None:
        super().__init__()
        self.record = Record()
        self.image_id = ""
        self.gone = False

    @property
    def path(self) -> str:
        """The path of the image."""
        return f"/v2/images/{self.image_id}"

    def ask(
        self, method: str, rest: str = "", headers: dict[str, str] = OWNER
    ) -> Answer:
        """Send a request without a body."""
        return self.registry.client(headers).request(method, self.path + rest)

    def alive(self, status: int) -> int:
        """Return the status that is due, which is 404 once the image is gone."""
        return 404 if self.gone else status

    def patch(self, *operations: Document) -> Answer:
        """Send a PATCH as the owner."""
        return self.registry.client(OWNER).patch(self.image_id, *operations)


class ImageLife(Life):
    """An image from creation to deletion, and beyond."""

    @initialize(
        disk=st.sampled_from(("raw", "raw", "raw", "qcow2", None)),
        container=st.sampled_from(("bare", "bare", "bare", None)),
        tags=st.sets(TAGS, max_size=3),
    )
    def create(self, disk: str | None, container: str | None, tags: set[str]) -> None:
        made = self.registry.client(OWNER).request(
            "POST",
            "/v2/images",
            document={
                "disk_format": disk,
                "container_format": container,
                "tags": [*tags],
            },
        )

        assert made.status == 201
        self.image_id = made.json()["id"]
        self.record = Record(disk_format=disk, container_format=container, tags={*tags})

    @rule(data=DATA, chunked=st.booleans())
    def upload(self, data: bytes, chunked: bool) -> None:
        record = self.record
        body = iter([data[:10], data[10:]]) if chunked else data

        answer = self.registry.client(OWNER).upload(self.image_id, body)

        if self.gone:
            assert answer.status == 404
        elif record.status != "queued":
            assert answer.status == 409
        elif not record.ready:
            assert answer.status == 400
        elif record.disk_format != "raw":
            assert answer.status == 415
        else:
            assert answer.status == 204
            record.status, record.data = "active", data

    @rule(
        headers=st.sampled_from(
            (
                {"Content-Type": "text/plain"},
                {
                    "Content-Type": "application/octet-stream",
                    "X-OpenStack-Image-Size": "-1",
                },
            )
        )
    )
    def upload_with_wrong_headers(self, headers: dict[str, str]) -> None:
        answer = self.registry.client(OWNER).request(
            "PUT", f"{self.path}/file", body=b"data", headers=headers
        )

        assert answer.status == (
            415 if headers["Content-Type"] == "text/plain" else 400
        )

    @rule(announced=st.sampled_from((3, 11)))
    def upload_of_another_size(self, announced: int) -> None:
        record = self.record
        answer = self.registry.client(OWNER).request(
            "PUT",
            f"{self.path}/file",
            body=b"0123456789",
            headers={
                "Content-Type": "application/octet-stream",
                "X-OpenStack-Image-Size": str(announced),
            },
        )

        due = 400 if record.status == "queued" else 409
        assert answer.status in (self.alive(due), self.unsuitable(due))

    def unsuitable(self, due: int) -> int:
        """Return the status where the format may be found wrong before the size."""
        return 415 if self.record.disk_format == "qcow2" and due == 400 else due

    @rule()
    def download(self) -> None:
        record = self.record
        answer = self.registry.client(OWNER).download(self.image_id)

        due = {"active": 200, "deactivated": 403}.get(record.status, 204)
        assert answer.status == self.alive(due)
        if answer.status == 200:
            assert answer.body == record.data

    @rule(start=st.integers(0, 20), length=st.integers(1, 20))
    def download_a_part(self, start: int, length: int) -> None:
        wanted = f"bytes={start}-{start + length - 1}"
        answer = self.registry.admin.download(self.image_id, Range=wanted)

        data = self.record.data
        if self.gone or data is None:
            assert answer.status == self.alive(204)
        elif start >= len(data):
            assert answer.status == 416
        else:
            assert answer.status == 206
            assert answer.body == data[start : start + length]

    @rule(
        action=st.sampled_from(
            (("deactivate", "deactivated"), ("reactivate", "active"))
        )
    )
    def act(self, action: tuple[str, str]) -> None:
        name, after = action
        answer = self.ask("POST", f"/actions/{name}")

        stored = self.record.status in STORED
        assert answer.status == self.alive(204 if stored else 403)
        if answer.status == 204:
            self.record.status = after

    @rule(name=st.sampled_from((None, "", "disk", "ß" * 255)))
    def rename(self, name: str | None) -> None:
        answer = self.patch(replace("name", name))

        assert answer.status == self.alive(200)
        if not self.gone:
            self.record.name = name

    @rule(protected=st.booleans(), hidden=st.booleans())
    def set_flags(self, protected: bool, hidden: bool) -> None:
        answer = self.patch(replace("protected", protected), add("os_hidden", hidden))

        assert answer.status == self.alive(200)
        if not self.gone:
            self.record.protected, self.record.os_hidden = protected, hidden

    @rule(
        field=st.sampled_from(("disk_format", "container_format")),
        value=st.sampled_from((None, "raw", "bare")),
    )
    def set_format(self, field: str, value: str | None) -> None:
        known = value is None or (value == "raw") == (field == "disk_format")
        answer = self.patch(replace(field, value))

        if not known:
            assert answer.status == 400
        else:
            queued = self.record.status == "queued"
            assert answer.status == self.alive(200 if queued else 403)
        if answer.status == 200:
            setattr(self.record, field, value)

    @rule(name=NAMES, value=VALUES, op=st.sampled_from(("add", "replace")))
    def write_property(self, name: str, value: str, op: str) -> None:
        operation = {**add(pointer(name), value), "op": op}
        missing = op == "replace" and name not in self.record.properties

        answer = self.patch(operation)

        assert answer.status == self.alive(409 if missing else 200)
        if answer.status == 200:
            self.record.properties[name] = value

    @rule(name=NAMES)
    def remove_property(self, name: str) -> None:
        answer = self.patch(remove(pointer(name)))

        there = name in self.record.properties
        assert answer.status == self.alive(200 if there else 409)
        if answer.status == 200:
            del self.record.properties[name]

    @rule(
        operations=st.sampled_from(
            (
                ((replace("name", "lost"), replace("status", "active")), 403),
                ((replace("name", "lost"), add("os_glance_x", "1")), 403),
                ((replace("name", "lost"), add("colour", 3)), 400),
                ((replace("name", "lost"), replace("min_disk", -1)), 400),
                ((replace("name", "lost"), {"op": "test", "path": "/name"}), 400),
            )
        )
    )
    def patch_wrongly(self, operations: tuple[tuple[Document, ...], int]) -> None:
        wrong, status = operations
        # What is wrong with the body is told before the image is looked for.
        assert self.patch(*wrong).status == status

    @rule(visibility=st.sampled_from((*VISIBILITIES, "public")))
    def set_visibility(self, visibility: str) -> None:
        answer = self.patch(replace("visibility", visibility))

        assert answer.status == self.alive(403 if visibility == "public" else 200)
        if answer.status == 200:
            self.record.visibility = visibility

    @rule(tag=TAGS, method=st.sampled_from(("PUT", "DELETE")))
    def tag(self, tag: str, method: str) -> None:
        answer = self.ask(method, f"/tags/{tag.replace('%', '%25')}")

        tags = self.record.tags
        assert answer.status == self.alive(
            404 if method == "DELETE" and tag not in tags else 204
        )
        if answer.status == 204:
            (tags.add if method == "PUT" else tags.discard)(tag)

    @rule(tags=st.lists(TAGS, max_size=4))
    def replace_tags(self, tags: list[str]) -> None:
        answer = self.patch(replace("tags", tags))

        assert answer.status == self.alive(200)
        if not self.gone:
            self.record.tags = {*tags}

    @rule(method=st.sampled_from(("PUT", "DELETE")))
    def a_reader_changes_nothing(self, method: str) -> None:
        rest = "/tags/red" if method == "PUT" else ""

        assert self.ask(method, rest, READER).status == self.alive(403)

    @rule(method=st.sampled_from(("GET", "DELETE")))
    def a_stranger_is_told_what_he_may_know(self, method: str) -> None:
        seen = self.record.visibility == "community"
        due = 200 if method == "GET" else 403

        assert self.ask(method, "", STRANGER).status == self.alive(due if seen else 404)

    @rule()
    def create_again(self) -> None:
        answer = self.registry.client(OWNER).request(
            "POST", "/v2/images", document={"id": self.image_id}
        )

        assert answer.status == 409

    @rule(really=st.sampled_from((False, False, True)))
    def delete(self, really: bool) -> None:
        # Rarely, so that most lives are long.
        if not really:
            return
        answer = self.ask("DELETE")

        assert answer.status == self.alive(403 if self.record.protected else 204)
        self.gone |= answer.status == 204

    @invariant()
    def the_record_is_as_told(self) -> None:
        if not self.image_id:
            return
        answer = self.ask("GET", "", READER)
        if self.gone:
            assert answer.status == 404
            assert dict(self.registry.blobs()) == {}
            return
        document, record = answer.json(), self.record
        for name in (
            *("status", "name", "visibility", "protected", "os_hidden"),
            *("disk_format", "container_format"),
        ):
            assert document[name] == getattr(record, name), name
        assert sorted(document["tags"]) == sorted(record.tags)
        for name in ("colour", "a/b~c", "hw_disk_bus", "Ünï"):
            assert document.get(name) == record.properties.get(name), name
        self.data_are_as_told(document)

    def data_are_as_told(self, document: Document) -> None:
        """Check what the record says of the data, and that no others are kept."""
        data = self.record.data
        blobs = [*dict(self.registry.blobs()).values()]
        if data is None:
            assert (document["size"], document["checksum"], blobs) == (None, None, [])
        else:
            assert (document["size"], blobs) == (len(data), [data])
            assert document["os_hash_value"] == hashlib.sha512(data).hexdigest()

    @invariant()
    def the_list_agrees(self) -> None:
        if not self.image_id:
            return
        hidden = str(self.record.os_hidden).lower()
        answer = self.registry.client(OWNER).get(f"/v2/images?os_hidden={hidden}")

        ids = [image["id"] for image in answer.json()["images"]]
        assert ids == ([] if self.gone else [self.image_id])


def pointer(name: str) -> str:
    """Return a name as part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


PROJECTS = ("project-a", "project-b")
GUESTS = st.sampled_from(PROJECTS)


class MemberLife(Life):
    """The members of an image, and what each project sees of it."""

    @initialize()
    def create(self) -> None:
        self.image_id = str(self.registry.client(OWNER).create()["id"])
        self.members: dict[str, str] = {}
        self.visibility = "shared"
        self.add_one(PROJECTS[0])

    def sees(self, project: str) -> bool:
        """Return whether a project may read the image."""
        if self.visibility == "community":
            return True
        return self.visibility == "shared" and project in self.members

    def refused(self, status: int) -> int:
        """Return the status that is due to the owner."""
        return status if self.visibility == "shared" else 403

    @rule(project=GUESTS)
    def add_one(self, project: str) -> None:
        answer = self.registry.client(OWNER).request(
            "POST", f"{self.path}/members", document={"member": project}
        )

        there = project in self.members
        assert answer.status == self.refused(409 if there else 200)
        if answer.status == 200:
            assert answer.json()["status"] == "pending"
            self.members[project] = "pending"

    @rule(project=GUESTS)
    def remove_one(self, project: str) -> None:
        answer = self.ask("DELETE", f"/members/{project}")

        there = project in self.members
        assert answer.status == self.refused(204 if there else 404)
        if answer.status == 204:
            del self.members[project]

    @precondition(lambda self: self.members)
    @rule(project=GUESTS, status=st.sampled_from(("accepted", "rejected", "pending")))
    def say(self, project: str, status: str) -> None:
        answer = self.answer_of(project, project, status)

        if not self.sees(project):
            assert answer.status == 404
        elif self.visibility != "shared":
            assert answer.status == 403
        else:
            assert answer.status == 200
            self.members[project] = status

    @rule(project=GUESTS)
    def say_for_another(self, project: str) -> None:
        (other,) = {*PROJECTS} - {project}
        answer = self.answer_of(project, other, "accepted")

        assert answer.status == (404 if self.visibility != "community" else 403)

    @rule(project=GUESTS)
    def the_owner_does_not_answer_for_a_member(self, project: str) -> None:
        answer = self.registry.client(OWNER).request(
            "PUT", f"{self.path}/members/{project}", document={"status": "accepted"}
        )

        assert answer.status in (403, 404)
        assert answer.status == 403 or project not in self.members

    def answer_of(self, caller: str, member: str, status: str) -> Answer:
        """Send what a project says to a membership."""
        return self.registry.client(as_("guest", caller)).request(
            "PUT", f"{self.path}/members/{member}", document={"status": status}
        )

    @rule(project=GUESTS)
    def a_guest_neither_shares_nor_unshares(self, project: str) -> None:
        due = 403 if self.sees(project) else 404
        guest = as_("guest", project)
        shared = self.registry.client(guest).request(
            "POST", f"{self.path}/members", document={"member": "project-c"}
        )
        removed = self.ask("DELETE", f"/members/{project}", guest)

        assert (shared.status, removed.status) == (due, due)

    @rule(visibility=st.sampled_from((*VISIBILITIES, "shared", "shared")))
    def publish(self, visibility: str) -> None:
        assert self.patch(replace("visibility", visibility)).status == 200

        self.visibility = visibility

    @invariant()
    def each_sees_what_is_his(self) -> None:
        if not self.image_id:
            return
        for project in PROJECTS:
            guest = as_("guest", project)
            shown = self.ask("GET", "", guest)
            downloaded = self.ask("GET", "/file", guest)
            due = (200, 204) if self.sees(project) else (404, 404)

            assert (shown.status, downloaded.status) == due
            assert self.listed(project, "/v2/images") == self.is_accepted(project)
            everything = "/v2/images?visibility=all&member_status=all"
            assert self.listed(project, everything) == self.sees(project)

    def is_accepted(self, project: str) -> bool:
        """Return whether the image is in a project's ordinary list."""
        return self.visibility == "shared" and self.members.get(project) == "accepted"

    def listed(self, project: str, path: str) -> bool:
        """Return whether a list holds the image."""
        found = self.registry.client(as_("guest", project)).get(path).json()["images"]
        return [image["id"] for image in found] == [self.image_id]

    @invariant()
    def lists_of_members_agree(self) -> None:
        if not self.image_id:
            return
        whole = self.ask("GET", "/members")
        assert whole.status == self.refused(200)
        if whole.status != 200:
            return
        assert rows(whole) == self.members
        for project, status in self.members.items():
            own = self.ask("GET", "/members", as_("guest", project))

            assert rows(own) == {project: status}


def rows(answer: Answer) -> dict[str, str]:
    """Return the members of a list with what they said."""
    return {each["member_id"]: each["status"] for each in answer.json()["members"]}


@contextmanager
def lives(kind: type[Life]) -> Iterator[type[Life]]:
    """Yield a kind of life whose registry is made anew for each sequence."""

    class Lived(kind):  # type: ignore[misc, valid-type] # the kind is the caller's
        def __init__(self) -> None:
            super().__init__()
            self._folder = TemporaryDirectory()
            self.registry = LocalRegistry(Path(self._folder.name))

        def teardown(self) -> None:
            self.registry.close()
            self._folder.cleanup()

    yield Lived


#: As many lives as fit into the time of an ordinary run.
FEW = settings(
    max_examples=databases.examples(10),
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[*HealthCheck],
)
MANY = settings(FEW, max_examples=100, stateful_step_count=60)


@pytest.mark.parametrize("kind", [ImageLife, MemberLife])
def test_every_life_goes_as_the_model_says(kind: type[Life]) -> None:
    with lives(kind) as lived:
        run_state_machine_as_test(lived, settings=FEW)


@pytest.mark.long
@pytest.mark.parametrize("kind", [ImageLife, MemberLife])
def test_many_lives_go_as_the_model_says(kind: type[Life]) -> None:
    with lives(kind) as lived:
        run_state_machine_as_test(lived, settings=MANY)
