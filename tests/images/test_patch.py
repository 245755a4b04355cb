"""What a PATCH does, and what it never does to what its caller cannot read.

Source: contract api-images 12.4, property-protection R-4 and R-5.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from imagereg.approved import Changes
from imagereg.errors import (
    Forbidden,
    ImageRegError,
    PropertyConflict,
    ReadOnlyField,
)
from imagereg.images.patch import PatchOperation, apply
from imagereg.model import Image, Operation, Status
from tests import databases
from tests.registry import LocalRegistry, add, remove, replace
from tests.wire import ADMIN, Document, as_

CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE
HIDDEN = frozenset({"h"})


def image(**fields: object) -> Image:
    """Return an image with a readable and a hidden property."""
    facts: dict[str, object] = {"properties": {"r": "1", "h": "1"}, **fields}
    return Image("id", 0, 0, **facts)  # type: ignore[arg-type] # the tests know the fields


def op(text: str, value: object = "new") -> PatchOperation:
    """Return the operation that a text like ``add r`` names; ``add!`` is the older."""
    kind, _, name = text.partition(" ")
    older = kind.endswith("!")
    return PatchOperation(kind.rstrip("!"), name, value=value, fresh_only=older)


@pytest.mark.parametrize(
    ("texts", "written", "removed", "rights"),
    [
        ([], {}, set(), []),
        (["add r"], {"r": "new"}, set(), [(UPDATE, "r")]),
        (["replace r"], {"r": "new"}, set(), [(UPDATE, "r")]),
        (["add n"], {"n": "new"}, set(), [(CREATE, "n")]),
        (["add! n"], {"n": "new"}, set(), [(CREATE, "n")]),
        (["add h"], {"h": "new"}, set(), [(UPDATE, "h")]),
        (["add! h"], {"h": "new"}, set(), [(UPDATE, "h")]),
        (["remove r"], {}, {"r"}, [(DELETE, "r")]),
        (["add n", "remove n"], {}, set(), [(CREATE, "n"), (DELETE, "n")]),
        (["remove r", "add r"], {"r": "new"}, {"r"}, [(DELETE, "r"), (CREATE, "r")]),
        (
            ["remove r", "add r", "remove r"],
            {},
            {"r"},
            [(DELETE, "r"), (CREATE, "r"), (DELETE, "r")],
        ),
        (
            ["add n", "replace n"],
            {"n": "new"},
            set(),
            [(CREATE, "n"), (UPDATE, "n")],
        ),
    ],
)
def test_properties(
    texts: list[str],
    written: Mapping[str, str],
    removed: set[str],
    rights: list[tuple[Operation, str]],
) -> None:
    changes = apply(image(), HIDDEN, map(op, texts))

    assert changes == Changes({}, written, frozenset(removed), None, tuple(rights))


@pytest.mark.parametrize(
    "texts",
    [
        ["replace n"],
        ["remove n"],
        ["replace h"],
        ["remove h"],
        ["add! r"],
        ["remove r", "remove r"],
        ["remove r", "replace r"],
        ["add! n", "add! n"],
        ["add! name"],
        ["replace stores"],
        ["remove stores"],
    ],
)
def test_what_does_not_fit_is_a_conflict(texts: list[str]) -> None:
    with pytest.raises(PropertyConflict):
        apply(image(), HIDDEN, map(op, texts))


def test_what_is_hidden_conflicts_as_what_is_absent() -> None:
    def message(text: str) -> str:
        with pytest.raises(PropertyConflict) as refused:
            apply(image(), HIDDEN, [op(text)])
        return str(refused.value)

    for kind in ("replace", "remove"):
        assert message(f"{kind} h") == message(f"{kind} n").replace("`n`", "`h`")


@pytest.mark.parametrize(
    ("name", "value", "fields"),
    [
        ("name", None, {"name": None}),
        ("visibility", "public", {"visibility": "public"}),
        ("owner", "", {"owner": None}),
        ("owner", "p", {"owner": "p"}),
        ("disk_format", "raw", {"disk_format": "raw"}),
    ],
)
@pytest.mark.parametrize("kind", ["add", "replace"])
def test_fields(
    kind: str, name: str, value: object, fields: Mapping[str, object]
) -> None:
    changes = apply(image(), HIDDEN, [op(f"{kind} {name}", value)])

    assert (changes.fields, changes.properties, changes.rights) == (fields, {}, ())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("remove name", Forbidden),
        ("remove tags", Forbidden),
        ("remove owner", Forbidden),
        ("add stores", ReadOnlyField),
    ],
)
def test_fields_are_never_removed(text: str, error: type[ImageRegError]) -> None:
    with pytest.raises(error):
        apply(image(), HIDDEN, [op(text)])


def test_tags_are_replaced_as_a_whole() -> None:
    changes = apply(image(tags=("old",)), HIDDEN, [op("add tags", ("a", "b"))])

    assert changes.tags == ("a", "b")


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("name", ["disk_format", "container_format"])
def test_formats_stay_once_there_are_data(status: Status, name: str) -> None:
    operations = [op(f"replace {name}", "raw")]

    if status in (Status.QUEUED, Status.IMPORTING):
        assert apply(image(status=status), HIDDEN, operations).fields == {name: "raw"}
        return
    with pytest.raises(Forbidden):
        apply(image(status=status), HIDDEN, operations)


def section(name: str, create: str, read: str, update: str, delete: str) -> str:
    """Return one section of a protection file."""
    return (
        f"[^{name}]\ncreate = {create}\nread = {read}\n"
        f"update = {update}\ndelete = {delete}\n"
    )


#: What a member cannot read: kept wholly, creatable, and blindly writable.
PROTECTIONS = (
    section("kept", "admin", "admin", "admin", "admin")
    + section("made", "@", "admin", "admin", "@")
    + section("blind", "@", "admin", "@", "admin")
    + section("", "@", "@", "@", "@")
)
NAMES = ("kept_a", "kept_b", "made_a", "made_b", "blind_a", "free_a", "free_b")
UNREADABLE = ("kept", "made", "blind")


class PatchesByOneWhoCannotRead(RuleBasedStateMachine):
    """Any sequence of changes by a member, next to a model of what may come of it."""

    def __init__(self) -> None:
        super().__init__()
        self._where = TemporaryDirectory()
        self._registry = LocalRegistry(
            Path(self._where.name),
            {"DEFAULT": {"property_protection_file": "p.conf"}},
            files={"p.conf": PROTECTIONS},
        )
        self._member = self._registry.client(as_())
        self._admin = self._registry.client({**ADMIN, "X-Project-Id": "project-a"})
        self._model: dict[str, str] = {}
        self._id = ""

    @initialize(names=st.sets(st.sampled_from(NAMES)))
    def begin(self, names: set[str]) -> None:
        """Let the administrator create an image for the member's project."""
        self._model = dict.fromkeys(names, "secret")
        self._id = str(self._admin.create(**self._model)["id"])

    @rule(
        operations=st.lists(
            st.builds(
                lambda kind, name, value: (
                    remove(name)
                    if kind == "remove"
                    else {**add(name, value), "op": kind}
                ),
                st.sampled_from(["add", "replace", "remove"]),
                st.sampled_from(NAMES),
                st.sampled_from(["1", "2"]),
            ),
            max_size=3,
        )
    )
    def patch(self, operations: list[Document]) -> None:
        """Let the member send a PATCH."""
        answer = self._member.patch(self._id, *operations)

        assert answer.status in (200, 403, 409)
        assert b"secret" not in answer.body or answer.status == 200
        if answer.status == 200:
            for operation in operations:
                self._apply(operation)
            self._check_shown(answer.json())

    @rule(name=st.sampled_from(["a", "b"]))
    def change_something_else(self, name: str) -> None:
        """Let the member change what is no property."""
        path = f"/v2/images/{self._id}"
        self._member.patch(self._id, replace("name", name), replace("tags", [name]))
        self._member.request("PUT", f"{path}/tags/{name}")
        self._member.request("DELETE", f"{path}/tags/{name}")
        self._member.upload(self._id, b"data")
        self._member.request("POST", f"{path}/actions/deactivate")
        self._member.request("POST", f"{path}/actions/reactivate")

    def _apply(self, operation: Document) -> None:
        name = str(operation["path"]).removeprefix("/")
        # What succeeded was allowed: no more than these may ever come of it.
        assert not name.startswith("kept")
        if name.startswith("made"):
            assert self._model.get(name) != "secret"
        if name.startswith("blind"):
            assert operation["op"] != "remove"
        if operation["op"] == "remove":
            del self._model[name]
        else:
            self._model[name] = str(operation["value"])

    def _check_shown(self, document: Document) -> None:
        shown = {name: document[name] for name in NAMES if name in document}
        readable = {
            n: v for n, v in self._model.items() if not n.startswith(UNREADABLE)
        }
        assert shown == readable

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        """Compare what the administrator and the member see with the model."""
        if not self._id:
            return
        document = self._admin.show(self._id)
        assert {n: document[n] for n in NAMES if n in document} == self._model
        self._check_shown(self._member.show(self._id))

    def teardown(self) -> None:
        """Take everything away."""
        self._registry.close()
        self._where.cleanup()


TestPatchesByOneWhoCannotRead = PatchesByOneWhoCannotRead.TestCase
TestPatchesByOneWhoCannotRead.settings = settings(
    max_examples=databases.examples(25), stateful_step_count=10, deadline=None
)
