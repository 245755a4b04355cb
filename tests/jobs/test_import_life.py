"""Any order of uploads, imports, copies, failures and deletions keeps the promises.

Never two writers on an image; status, lock and lists of stores tell the truth; stores
hold what the rows say, byte for byte, and in the end nothing else; and whatever
failed can be done again.

Source: contract api-images 7, 8 and 18; rulings D-9 to D-11 and D-21.
"""

import contextlib
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests import databases
from tests.api.imports import BYTES, STORES
from tests.registry import LocalRegistry
from tests.stores.web import web_server
from tests.wire import Answer, Document

NAMES = ("fast", "cheap", "slow")
CHOICES = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)
DATA = st.integers(1, 9).map(lambda number: bytes([number]) * 40)


@dataclass
class Begun:
    """An import that was accepted.

    Attributes:
        data: what the image will hold; None if the source is no good.
        copies: the image has its data already.
    """

    stores: tuple[str, ...]
    must_succeed: bool
    data: bytes | None
    copies: bool = False


@dataclass
class Model:
    """What an image should be."""

    id: str
    status: str = "queued"
    data: bytes | None = None
    held: tuple[str, ...] = ()
    begun: Begun | None = None


class Imports(RuleBasedStateMachine):
    """A few images in three stores that fail now and then."""

    images = Bundle("images")

    def __init__(self) -> None:
        super().__init__()
        self._undo = contextlib.ExitStack()
        self.where = Path(self._undo.enter_context(tempfile.TemporaryDirectory()))
        self.registry = LocalRegistry(self.where, STORES)
        self._undo.callback(self.registry.close)
        self.web = self._undo.enter_context(web_server())
        self.known: list[Model] = []
        self.broken: set[str] = set()

    # What clients do

    @rule(target=images)
    def create(self) -> Model:
        model = Model(str(self.registry.admin.create()["id"]))
        self.known.append(model)
        return model

    @rule(image=images, data=DATA)
    def stage(self, image: Model, data: bytes) -> None:
        answer = self.send("PUT", f"/v2/images/{image.id}/stage", data)

        is_free = image.status == "queued" and image.begun is None
        if self.accepted(image, answer, expected=is_free):
            image.status, image.data = "uploading", data

    @rule(image=images, data=DATA)
    def upload(self, image: Model, data: bytes) -> None:
        answer = self.send("PUT", f"/v2/images/{image.id}/file", data)

        is_free = image.status == "queued" and image.begun is None
        if is_free and "fast" in self.broken:
            assert answer.status in (409, 410, 503), answer
        elif self.accepted(image, answer, expected=is_free):
            image.status, image.data, image.held = "active", data, ("fast",)

    @rule(image=images, stores=CHOICES, must=st.booleans())
    def import_staged(self, image: Model, stores: list[str], must: bool) -> None:
        answer = self.ask(image, {"name": "glance-direct"}, stores, must=must)
        is_free = image.status == "uploading" and image.begun is None
        if self.accepted(image, answer, expected=is_free):
            image.begun = Begun(tuple(stores), must, image.data)

    @rule(
        image=images, stores=CHOICES, must=st.booleans(), data=DATA, good=st.booleans()
    )
    def import_from_the_web(
        self, image: Model, stores: list[str], must: bool, data: bytes, good: bool
    ) -> None:
        path = f"/{data[0]}"
        uri = self.web.put(path, data) if good else self.web.url("/none")
        method = {"name": "web-download", "uri": uri}
        answer = self.ask(image, method, stores, must=must)
        is_free = image.status == "queued" and image.begun is None
        if self.accepted(image, answer, expected=is_free):
            image.begun = Begun(tuple(stores), must, data if good else None)

    @rule(image=images, stores=CHOICES, must=st.booleans())
    def copy(self, image: Model, stores: list[str], must: bool) -> None:
        answer = self.ask(image, {"name": "copy-image"}, stores, must=must)
        is_free = image.status == "active" and image.begun is None
        if is_free and set(stores) & set(image.held):
            assert answer.status == 400
        elif self.accepted(image, answer, expected=is_free):
            image.begun = Begun(tuple(stores), must, image.data, copies=True)

    @rule(image=images, must=st.booleans())
    def copy_everywhere(self, image: Model, must: bool) -> None:
        left = tuple(name for name in NAMES if name not in image.held)
        answer = self.ask(image, {"name": "copy-image"}, None, must=must)
        is_free = image.status == "active" and image.begun is None
        if self.accepted(image, answer, expected=is_free) and left:
            image.begun = Begun(left, must, image.data, copies=True)

    @rule(image=images, store=st.sampled_from(NAMES))
    def leave_a_store(self, image: Model, store: str) -> None:
        path = f"/v2/stores/{store}/{image.id}"
        answer = self.registry.admin.request("DELETE", path)
        if answer.status == 204:
            assert store in image.held and len(image.held) > 1
            image.held = tuple(name for name in image.held if name != store)

    @rule(image=consumes(images))
    def delete(self, image: Model) -> None:
        path = f"/v2/images/{image.id}"
        assert self.registry.admin.request("DELETE", path).status == 204
        self.known.remove(image)

    # What happens beside them

    @precondition(lambda self: len(self.broken) < len(NAMES))
    @rule(store=st.sampled_from(NAMES))
    def break_store(self, store: str) -> None:
        """Take a store's directory away, with all that is in it."""
        if store not in self.broken:
            place = self.where / "images" / store
            place.rename(self.where / store)
            place.write_bytes(b"")
            self.broken.add(store)

    @precondition(lambda self: self.broken)
    @rule()
    def mend_stores(self) -> None:
        for store in sorted(self.broken):
            place = self.where / "images" / store
            place.unlink()
            (self.where / store).rename(place)
        self.broken.clear()

    @rule()
    def work(self) -> None:
        """Run what waits; each import ends as its stores decide."""
        self.registry.registry.jobs.run_pending()
        for image in self.known:
            if image.begun is not None:
                self.end(image, image.begun)

    @rule()
    def recover(self) -> None:
        self.registry.registry.recovery.run()

    @rule(target=images)
    def settle(self) -> Model:
        """Let all work end well: then no byte is there that no row tells of."""
        self.mend_stores()
        self.work()
        self.registry.registry.recovery.sweep()
        self.recover()
        wanted = {
            f"images/{store}/{image.id}": image.data
            for image in self.known
            for store in image.held
        }
        found = {
            self.plain(name): data
            for name, data in self.registry.blobs()
            if name.startswith("images/")
        }
        assert found == wanted
        staged = sorted(
            data
            for name, data in self.registry.blobs()
            if not name.startswith("images/")
        )
        waiting = (i.data for i in self.known if i.status == "uploading" and i.data)
        assert staged == sorted(waiting)
        return multiple()  # type: ignore[return-value] # nothing new

    # What always holds

    @invariant()
    def records_are_as_they_should_be(self) -> None:
        locks = self.locks()
        assert len(locks) == len(set(locks))
        for image in self.known:
            record = self.registry.admin.show(image.id)
            held = tuple(filter(None, str(record.get("stores", "")).split(",")))
            assert (record["status"], set(held)) == (image.status, set(image.held))
            assert ("os_glance_import_task" in record) == (image.begun is not None)
            assert (image.id in locks) == (image.begun is not None)
            self.check_facts(image, record)
            if image.begun is None:
                failed = str(record.get("os_glance_failed_import", "")).split(",")
                assert record.get("os_glance_importing_to_stores", "") == ""
                assert not set(failed) & set(held)

    def check_facts(self, image: Model, record: Document) -> None:
        facts = record["size"], record["os_hash_value"], record["checksum"]
        if image.status == "queued":
            assert facts == (None, None, None)
        elif image.status == "uploading":
            assert record["size"] == len(image.data or b"")
        else:
            data = image.data or b""
            assert facts == (
                len(data),
                hashlib.sha512(data).hexdigest(),
                hashlib.md5(data, usedforsecurity=False).hexdigest(),
            )
            if not self.broken:
                assert self.registry.admin.download(image.id).body == data

    def teardown(self) -> None:
        """Whatever failed can be done again."""
        self.settle()
        for image in self.known:
            if image.status == "queued":
                self.import_from_the_web(image, ["slow", "fast"], True, b"again", True)
            elif image.status == "uploading":
                self.import_staged(image, ["cheap"], True)
        self.settle()
        self.records_are_as_they_should_be()
        assert {image.status for image in self.known} <= {"active"}
        self._undo.close()

    # How

    def end(self, image: Model, begun: Begun) -> None:
        """Take an image to where its import leaves it."""
        image.begun = None
        good = tuple(name for name in begun.stores if name not in self.broken)
        is_readable = not begun.copies or bool(set(image.held) - self.broken)
        is_enough = good == begun.stores if begun.must_succeed else bool(good)
        if begun.data is not None and is_readable and is_enough:
            image.status, image.data = "active", begun.data
            image.held = (*image.held, *good)
        elif not begun.copies:
            image.status, image.data = "queued", None

    def accepted(self, image: Model, answer: Answer, *, expected: bool) -> bool:
        """Return whether a request was taken up, which must be as ``expected``."""
        if expected and answer.status == 409:
            # Bytes of an earlier attempt are in a store that does not answer.
            assert self.rows("SELECT image_id FROM condemned_locations").count(image.id)
            return False
        assert answer.status in ((202, 204) if expected else (409,)), answer
        return expected

    def send(self, method: str, path: str, data: bytes) -> Answer:
        return self.registry.admin.request(method, path, body=data, headers=BYTES)

    def ask(
        self,
        image: Model,
        method: Document,
        stores: list[str] | None,
        *,
        must: bool,
    ) -> Answer:
        choice = {"all_stores": True} if stores is None else {"stores": stores}
        return self.registry.admin.request(
            "POST",
            f"/v2/images/{image.id}/import",
            document={"method": method, **choice, "all_stores_must_succeed": must},
        )

    def locks(self) -> list[str]:
        return self.rows(
            "SELECT t.image_id FROM jobs j JOIN tasks t ON t.id = j.task_id "
            "JOIN images i ON i.id = t.image_id"
        )

    def rows(self, sql: str) -> list[str]:
        return [str(row[0]) for row in databases.rows(self.where, sql)]

    def plain(self, name: str) -> str:
        """Return a file's name without the directories that a store makes."""
        parts = Path(name).parts
        return f"{parts[0]}/{parts[1]}/{parts[-1]}"


TestImports = Imports.TestCase
TestImports.settings = settings(
    max_examples=databases.examples(15),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
