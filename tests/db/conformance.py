"""The meaning of the repositories: every engine passes `EngineConformance`."""

import operator
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagereg.approved import ApprovedChanges, ApprovedImage, Changes
from imagereg.db import list_sql
from imagereg.db.deletions import DeletionRepository
from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.db.listing import Condition, ListQuery
from imagereg.db.members import MemberRepository
from imagereg.db.models import HEAD, SchemaRow
from imagereg.db.schema import latest, prepare, version
from imagereg.db.uploads import UploadRepository
from imagereg.db.words import SORT_KEYS
from imagereg.errors import (
    ConfigurationError,
    Duplicate,
    ImageNotFound,
    ImageProtected,
    MemberNotFound,
    StaleImage,
    TooLarge,
)
from imagereg.model import (
    Blob,
    Image,
    Location,
    MemberStatus,
    Status,
    Visibility,
    now_us,
)
from tests import databases

Connect = Callable[[], Engine]

BLOB = Blob(3, "0" * 32, "sha512", "1" * 128, 3)
PLACE = Location("file:///x", {"store": "fast", "n": [1, None]}, "fast")


def free() -> None:
    """Find room for whatever comes."""


def an_image(**fields: object) -> Image:
    """Return an image record that is in no database yet."""
    time = now_us()
    image = Image(id=str(uuid4()), created_at_us=time, updated_at_us=time)
    return replace(image, **fields)  # type: ignore[arg-type] # the tests know the fields


def changes(
    before: Image,
    fields: Mapping[str, object] | None = None,
    properties: Mapping[str, object] | None = None,
    removed: frozenset[str] = frozenset(),
    tags: tuple[str, ...] | None = None,
) -> ApprovedChanges:
    """Return changes as a grant approves them."""
    wanted = Changes(fields or {}, properties or {}, removed, tags, rights=())
    return ApprovedChanges(wanted, before)


class EngineConformance:
    """Subclass it, and give it a ``connect`` fixture."""

    @pytest.fixture
    def connect(self) -> Iterator[Connect]:
        raise NotImplementedError

    @pytest.fixture
    def engine(self, connect: Connect) -> Iterator[Engine]:
        engine = connect()
        prepare(engine)
        yield engine
        engine.close()

    @pytest.fixture
    def images(self, engine: Engine) -> ImageRepository:
        return ImageRepository(engine)

    @pytest.fixture
    def uploads(self, engine: Engine) -> UploadRepository:
        return UploadRepository(engine)

    @pytest.fixture
    def deletions(self, engine: Engine) -> DeletionRepository:
        return DeletionRepository(engine)

    def stored(self, images: ImageRepository, **fields: object) -> Image:
        """Return an image after it was stored."""
        image = an_image(**fields)
        images.add(ApprovedImage(image), free)
        return image

    # Records.

    @pytest.mark.parametrize(
        "fields",
        [
            {},
            {"name": "", "owner": "ö" * 255, "protected": True, "os_hidden": True},
            {"visibility": Visibility.COMMUNITY, "min_disk": 2**31 - 1, "min_ram": 1},
            {"tags": ("b", "a", "\U0001f600", "a'b\"c", " ")},
            {"properties": {"": "", "a.b": "x" * 70_000, "'": "\\u0000 %s ?"}},
            {"properties": {f"p{number}": "v" for number in range(300)}},
            {"size": 2**62, "virtual_size": 0, "status": Status.ACTIVE},
        ],
    )
    def test_gives_back_what_was_stored(
        self, images: ImageRepository, fields: dict[str, object]
    ) -> None:
        image = self.stored(images, **fields)

        found, membership = images.get(image.id, "anybody")

        assert replace(found, tags=()) == replace(image, tags=())
        assert sorted(found.tags) == sorted(image.tags)
        assert membership is None

    def test_an_id_is_taken_once_and_for_ever(self, images: ImageRepository) -> None:
        image = self.stored(images, properties={"a": "b"})

        with pytest.raises(Duplicate):
            images.add(ApprovedImage(image), free)
        images.delete(image.id)
        with pytest.raises(Duplicate):
            images.add(ApprovedImage(image), free)
        assert images.find(image.id, None) is None

    def test_an_id_that_differs_in_case_is_another(
        self, images: ImageRepository
    ) -> None:
        image = self.stored(images, id="ABCDEFAB-0000-4000-8000-000000000000")

        self.stored(images, id=image.id.lower())

        assert images.get(image.id, None)[0].id == image.id

    def test_what_is_refused_within_leaves_nothing(
        self, images: ImageRepository
    ) -> None:
        def full() -> None:
            raise TooLarge("full")

        image = an_image(tags=("a",), properties={"a": "b"})
        with pytest.raises(TooLarge):
            images.add(ApprovedImage(image), full)

        assert images.find(image.id, None) is None

    def test_an_absent_image_is_not_found(self, images: ImageRepository) -> None:
        assert images.find("x", "p") is None
        with pytest.raises(ImageNotFound):
            images.get("\0", None)

    # Changes.

    def test_only_what_changes_is_written(self, images: ImageRepository) -> None:
        before = self.stored(images, name="old", properties={"a": "1", "b": "1"})

        images.update(changes(before, {"name": "new"}, {"a": "2"}))
        images.update(changes(before, {"min_ram": 5}, {"b": "2"}, tags=("t",)))

        after = images.get(before.id, None)[0]
        assert (after.name, after.min_ram, after.tags) == ("new", 5, ("t",))
        assert after.properties == {"a": "2", "b": "2"}
        assert after.updated_at_us > before.updated_at_us

    def test_properties_are_set_removed_and_added_anew(
        self, images: ImageRepository
    ) -> None:
        before = self.stored(images, properties={"a": "1", "b": "1", "c": "1"})

        images.update(
            changes(before, None, {"a": "2", "n": "1"}, frozenset({"a", "b"}))
        )

        after = images.get(before.id, None)[0]
        assert after.properties == {"a": "2", "c": "1", "n": "1"}

    @pytest.mark.parametrize(
        ("meanwhile", "wanted"),
        [
            ({"removed": frozenset({"a"})}, {"properties": {"a": "2"}}),
            ({"removed": frozenset({"a"})}, {"removed": frozenset({"a"})}),
            ({"properties": {"n": "1"}}, {"properties": {"n": "2"}}),
        ],
    )
    def test_a_decision_counts_only_on_the_state_it_was_made_on(
        self,
        images: ImageRepository,
        meanwhile: dict[str, object],
        wanted: dict[str, object],
    ) -> None:
        before = self.stored(images, name="old", properties={"a": "1"})
        images.update(changes(before, **meanwhile))  # type: ignore[arg-type] # as in the table
        present = images.get(before.id, None)[0]

        with pytest.raises(StaleImage):
            images.update(changes(before, {"name": "new"}, **wanted))  # type: ignore[arg-type] # as in the table

        assert images.get(before.id, None)[0] == present

    def test_formats_change_only_in_the_status_that_was_seen(
        self, images: ImageRepository
    ) -> None:
        before = self.stored(images, disk_format="raw")
        images.move(before.id, Status.QUEUED, Status.ACTIVE)

        with pytest.raises(StaleImage):
            images.update(changes(before, {"disk_format": "iso"}))
        images.update(changes(before, {"name": "new"}))

        assert images.get(before.id, None)[0].disk_format == "raw"

    def test_a_deleted_image_does_not_change(self, images: ImageRepository) -> None:
        before = self.stored(images)
        images.delete(before.id)

        with pytest.raises(StaleImage):
            images.update(changes(before, {"name": "x"}, {"a": "b"}, tags=("t",)))
        with pytest.raises(ImageNotFound):
            images.add_tag(before.id, "t", 10)
        assert images.remove_tag(before.id, "t") is False
        assert images.move(before.id, Status.QUEUED, Status.ACTIVE) is False
        with pytest.raises(ImageNotFound):
            images.delete(before.id)

    def test_a_status_moves_by_compare_and_set(self, images: ImageRepository) -> None:
        image = self.stored(images)

        first = images.move(image.id, Status.QUEUED, Status.ACTIVE)
        second = images.move(image.id, Status.QUEUED, Status.DEACTIVATED)

        assert (first, second) == (True, False)
        assert images.get(image.id, None)[0].status == Status.ACTIVE

    # Tags and members.

    def test_tags_are_a_set_with_a_limit(self, images: ImageRepository) -> None:
        image = self.stored(images, tags=("a",))

        images.add_tag(image.id, "b", 2)
        images.add_tag(image.id, "b", 2)
        with pytest.raises(TooLarge):
            images.add_tag(image.id, "c", 2)
        images.add_tag(image.id, "c", -1)

        assert sorted(images.get(image.id, None)[0].tags) == ["a", "b", "c"]
        assert images.remove_tag(image.id, "a") is True
        assert images.remove_tag(image.id, "a") is False

    def test_members(self, engine: Engine, images: ImageRepository) -> None:
        members = MemberRepository(engine)
        image, other = self.stored(images), self.stored(images)

        added = members.add(image.id, "p", 2)
        members.set_status(image.id, "p", MemberStatus.ACCEPTED)

        assert members.get(image.id, "p").status == MemberStatus.ACCEPTED
        assert members.get(image.id, "p").created_at_us == added.created_at_us
        assert images.get(image.id, "p")[1] == MemberStatus.ACCEPTED
        assert images.get(other.id, "p")[1] is None
        with pytest.raises(Duplicate):
            members.add(image.id, "p", 10)
        for absent in ((other.id, "p"), (image.id, "q")):
            with pytest.raises(MemberNotFound):
                members.get(*absent)
            with pytest.raises(MemberNotFound):
                members.set_status(*absent, MemberStatus.ACCEPTED)
            with pytest.raises(MemberNotFound):
                members.remove(*absent)

    def test_members_have_a_limit_and_an_order(
        self, engine: Engine, images: ImageRepository
    ) -> None:
        members = MemberRepository(engine)
        image = self.stored(images)
        for project in ("b", "a"):
            members.add(image.id, project, 2)

        with pytest.raises(TooLarge):
            members.add(image.id, "c", 2)
        with pytest.raises(ImageNotFound):
            members.add("nobody", "c", 2)

        assert [each.member_id for each in members.list(image.id)] == ["b", "a"]
        members.remove(image.id, "b")
        members.add(image.id, "c", 2)
        images.delete(image.id)
        assert members.list(image.id) == []

    # Data.

    def test_an_upload_from_begin_to_end(
        self, images: ImageRepository, uploads: UploadRepository
    ) -> None:
        image = self.stored(images)

        assert uploads.begin(image, "w", "fast", 3, free)
        saving = images.get(image.id, None)[0]
        journal = list(uploads.under_way())
        assert uploads.activate(image.id, BLOB, PLACE, free)

        active = images.get(image.id, None)[0]
        assert saving.status == Status.SAVING
        assert [(each.image_id, each.worker) for each in journal] == [(image.id, "w")]
        assert (active.status, active.size, active.checksum) == (
            Status.ACTIVE,
            3,
            BLOB.checksum,
        )
        assert [replace(each, id=None) for each in active.locations] == [PLACE]
        assert list(uploads.under_way()) == []

    def test_two_uploads_do_not_begin(
        self, images: ImageRepository, uploads: UploadRepository
    ) -> None:
        image = self.stored(images)

        assert uploads.begin(image, "w", "fast", 0, free)
        assert not uploads.begin(image, "v", "fast", 0, free)
        images.move(image.id, Status.SAVING, Status.QUEUED)
        assert not uploads.begin(image, "v", "fast", 0, free)
        assert not uploads.activate(image.id, BLOB, PLACE, free)
        uploads.abandon(image.id)
        assert uploads.begin(image, "v", "fast", 0, free)

    def test_what_is_refused_at_the_end_of_an_upload_is_not_recorded(
        self, images: ImageRepository, uploads: UploadRepository
    ) -> None:
        def full() -> None:
            raise TooLarge("full")

        image = self.stored(images)
        with pytest.raises(TooLarge):
            uploads.begin(image, "w", "fast", 0, full)
        uploads.begin(image, "w", "fast", 0, free)
        with pytest.raises(TooLarge):
            uploads.activate(image.id, BLOB, PLACE, full)

        after = images.get(image.id, None)[0]
        assert (after.status, after.locations) == (Status.SAVING, ())
        assert len(uploads.under_way()) == 1

    def test_the_journal_outlives_the_image(
        self, images: ImageRepository, uploads: UploadRepository
    ) -> None:
        image = self.stored(images)
        uploads.begin(image, "w", "fast", 0, free)

        images.delete(image.id)

        assert len(uploads.under_way()) == 1
        assert not uploads.activate(image.id, BLOB, PLACE, free)
        assert uploads.abandon(image.id) is False
        assert list(uploads.under_way()) == []

    def test_a_dead_upload_is_claimed_once(
        self, images: ImageRepository, uploads: UploadRepository
    ) -> None:
        image = self.stored(images)
        uploads.begin(image, "dead", "fast", 0, free)
        (entry,) = uploads.under_way()

        claims = [uploads.claim(entry, name) for name in ("one", "two", "three")]

        assert claims == [True, False, False]
        uploads.beat(image.id)
        assert [each.worker for each in uploads.under_way()] == ["one"]

    def test_deleted_bytes_are_condemned_until_they_are_gone(
        self,
        images: ImageRepository,
        uploads: UploadRepository,
        deletions: DeletionRepository,
    ) -> None:
        image = self.stored(images)
        uploads.begin(image, "w", "fast", 0, free)
        uploads.activate(image.id, BLOB, PLACE, free)
        assert images.has_live_location(PLACE.url)

        (location,) = images.delete(image.id)

        found = [(each.image_id, each.location.url) for each in deletions.condemned()]
        assert found == [(image.id, PLACE.url)]
        assert not images.has_live_location(PLACE.url)
        deletions.forget(image.id, location.url)
        assert list(deletions.condemned()) == []

    def test_a_protected_image_is_not_deleted(self, images: ImageRepository) -> None:
        image = self.stored(images, protected=True)

        with pytest.raises(ImageProtected):
            images.delete(image.id)

        assert images.get(image.id, None)[0] == image

    # Many at once.

    def test_parallel_changes_of_different_keys_all_survive(
        self, connect: Connect, images: ImageRepository
    ) -> None:
        image = self.stored(images, properties={f"p{n}": "0" for n in range(16)})
        together = threading.Barrier(16)

        def write(number: int) -> None:
            engine = connect()
            together.wait()
            for turn in range(3):
                wanted = {f"p{number}": str(turn), f"n{number}-{turn}": "x"}
                ImageRepository(engine).update(changes(image, None, wanted))
            engine.close()

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(write, range(16)))

        found = images.get(image.id, None)[0].properties
        assert {found[f"p{n}"] for n in range(16)} == {"2"}
        assert len(found) == 16 + 48

    def test_of_parallel_changes_of_the_same_keys_one_wins_whole(
        self, connect: Connect, images: ImageRepository
    ) -> None:
        image = self.stored(images, properties={"a": "0", "b": "0"})
        together = threading.Barrier(8)

        def write(number: int) -> None:
            engine = connect()
            together.wait()
            text = str(number)
            wanted = {"a": text, "b": text}
            ImageRepository(engine).update(
                changes(image, {"name": text}, wanted, tags=(text,))
            )
            engine.close()

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(write, range(8)))

        found = images.get(image.id, None)[0]
        assert found.properties["a"] == found.properties["b"] == found.name
        assert found.tags == (found.name,)

    def test_parallel_uploads_begin_once(
        self, connect: Connect, images: ImageRepository
    ) -> None:
        image = self.stored(images)
        together = threading.Barrier(8)

        def begin(number: int) -> bool:
            engine = connect()
            together.wait()
            begun = UploadRepository(engine).begin(image, str(number), "fast", 0, free)
            engine.close()
            return begun

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(begin, range(8))) == 1

    # Tables.

    def test_tables_are_made_once_by_many(self, connect: Connect) -> None:
        together = threading.Barrier(4)

        def make(_: int) -> int:
            engine = connect()
            together.wait()
            prepare(engine)
            found = version(engine)
            engine.close()
            return found

        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(make, range(4))) == {latest()}

    def test_a_newer_database_is_left_alone(self, engine: Engine) -> None:
        with engine.transaction():
            SchemaRow.insert(version=latest() + 1, applied_at_us=0).execute(
                engine.peewee
            )

        with pytest.raises(ConfigurationError, match="schema version"):
            prepare(engine)

    # Lists.

    @pytest.mark.parametrize("rare", [0, 2, 1000])
    @pytest.mark.parametrize("name", ["", "a", "b"])
    def test_two_choices_of_one_field_both_hold(
        self,
        engine: Engine,
        images: ImageRepository,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        rare: int,
    ) -> None:
        monkeypatch.setattr(list_sql, "RARE", rare)
        table = Population(engine, images)
        public = {"visibility": Visibility.PUBLIC}
        table.fill([({**public, "name": given}, None) for given in ("a", "b", None)])
        choices = (Condition("name", "=", ("b",)), Condition("name", "IN", (name,)))

        for conditions in (choices, choices[::-1]):
            query = ListQuery(
                *("me", False, 1), conditions=conditions, sort=(("id", False),)
            )

            found = [image.name for image in table.walk(query)]

            assert found == (["b"] if name == "b" else [])

    @settings(
        # Each takes dozens of transactions, which cost more over a socket.
        max_examples=300 if databases.NAME == "sqlite" else 60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.data())
    def test_paging_visits_each_visible_image_once_and_in_order(
        self, engine: Engine, images: ImageRepository, data: st.DataObject
    ) -> None:
        table = Population(engine, images)
        table.fill(data.draw(st.lists(RECORDS, max_size=12)))
        query = data.draw(QUERIES)

        # So that each way to a page is taken with few images, too.
        with patch.object(list_sql, "RARE", data.draw(st.sampled_from([0, 2, 1000]))):
            seen = table.walk(query)

        assert [image.id for image in seen] == table.expected(query)

    @pytest.mark.parametrize("project_id", ["me", "owner"])
    @pytest.mark.parametrize("key", sorted(SORT_KEYS.keys() - {"id", "created_at"}))
    def test_keys_may_run_in_opposite_directions(
        self, engine: Engine, images: ImageRepository, key: str, project_id: str
    ) -> None:
        table = Population(engine, images)
        table.fill(
            [
                (
                    {
                        "name": text,
                        "disk_format": text,
                        "container_format": text,
                        "size": None if text is None else ord(text),
                        "status": status,
                        "updated_at_us": number % 3,
                        "created_at_us": number,
                        "visibility": Visibility.SHARED,
                        "owner": "owner",
                    },
                    MemberStatus.ACCEPTED,
                )
                for number, (text, status) in enumerate(
                    product(["b", None, "c", "b", "a"], [Status.QUEUED, Status.ACTIVE])
                )
            ]
        )

        for way in (True, False):
            sort = ((key, way), ("created_at", not way), ("id", way))
            query = ListQuery(project_id, is_admin=False, limit=4, sort=sort)

            assert [each.id for each in table.walk(query)] == table.expected(query)

    def test_what_only_lists_read_follows_every_change(
        self, engine: Engine, images: ImageRepository
    ) -> None:
        members = MemberRepository(engine)
        image = self.stored(images, visibility=Visibility.SHARED, owner="owner")
        members.add(image.id, "me", -1)
        query = ListQuery("me", is_admin=False, limit=5)

        def listed(**fields: object) -> bool:
            asked = replace(query, **fields)  # type: ignore[arg-type] # of its own
            return [each.id for each, _ in images.page(asked)] == [image.id]

        assert not listed()
        assert listed(member_status=None)
        members.set_status(image.id, "me", MemberStatus.ACCEPTED)
        assert listed()
        images.update(changes(image, {"name": "new", "os_hidden": True}))
        assert not listed()
        named = (Condition("name", "=", ("new",)),)
        assert listed(os_hidden=True, conditions=named)
        images.update(changes(image, {"visibility": "private"}))
        assert not listed(os_hidden=True)
        images.update(changes(image, {"visibility": "shared", "os_hidden": False}))
        images.move(image.id, Status.QUEUED, Status.PENDING_DELETE)
        assert not listed()
        images.move(image.id, Status.PENDING_DELETE, Status.ACTIVE)
        images.add_tag(image.id, "late", -1)
        images.update(changes(image, None, {"late": "yes"}))
        assert listed(tags=("late",), properties=(("late", "yes"),))
        members.remove(image.id, "me")
        assert not listed(member_status=None)

    def test_deleting_an_image_leaves_nothing_for_lists(
        self, engine: Engine, images: ImageRepository
    ) -> None:
        image = self.stored(images, tags=("t",), properties={"a": "b"})
        MemberRepository(engine).add(image.id, "me", -1)

        images.delete(image.id)

        for table in ("image_shares", "image_tags", "image_properties"):
            assert engine.rows(f"SELECT * FROM {table}") == []


class Population:
    """A small set of images, and what a list of them should be by the contract."""

    def __init__(self, engine: Engine, images: ImageRepository) -> None:
        self._images = images
        self._members = MemberRepository(engine)
        for (image_id,) in engine.rows("SELECT id FROM images"):
            images.delete(str(image_id))
        self.all: list[tuple[Image, MemberStatus | None]] = []

    def fill(
        self, records: list[tuple[dict[str, object], MemberStatus | None]]
    ) -> None:
        """Store these records; the project ``me`` is a member where they say so."""
        for fields, membership in records:
            image = an_image(**fields)
            self._images.add(ApprovedImage(image), free)
            if membership is not None:
                self._members.add(image.id, "me", -1)
                self._members.set_status(image.id, "me", membership)
            self.all.append((image, membership))

    def walk(self, query: ListQuery) -> list[Image]:
        """Return what page after page shows."""
        seen: list[Image] = []
        while True:
            page = [image for image, _ in self._images.page(query)]
            seen += page
            if len(page) < query.limit:
                return seen
            assert len(seen) <= len(self.all)
            query = replace(query, marker=page[-1])

    def expected(self, query: ListQuery) -> list[str]:
        """Return the ids that a list should show.  Source: contract api-images 10."""
        found = [image for image, member in self.all if _listed(query, image, member)]
        for key, ascending in reversed(query.sort):
            found.sort(key=lambda image: _rank(image, key), reverse=not ascending)
        return [image.id for image in found]


def _rank(image: Image, key: str) -> tuple[bool, object]:
    name = f"{key}_us" if key in ("created_at", "updated_at") else key
    value = getattr(image, name)
    empty = -1 if key == "size" else ""
    value = empty if value is None else value
    return (True, value.encode() if isinstance(value, str) else value)


def _listed(query: ListQuery, image: Image, member: MemberStatus | None) -> bool:
    if image.os_hidden != query.os_hidden or image.status == Status.KILLED:
        return False
    wanted, mine = query.visibility, image.owner == query.project_id is not None
    if wanted not in (None, "all", image.visibility):
        return False
    community = image.visibility == Visibility.COMMUNITY
    if community and not mine and wanted is None:
        return False
    if not all(_holds(condition, image) for condition in query.conditions):
        return False
    if not {*query.properties} <= {*image.properties.items()}:
        return False
    if not {*query.tags} <= {*image.tags}:
        return False
    if query.is_admin or mine or community or image.visibility == Visibility.PUBLIC:
        return True
    asked = query.member_status in (None, member)
    return bool(image.visibility == Visibility.SHARED and member and asked) and (
        query.project_id == "me"
    )


def _holds(condition: Condition, image: Image) -> bool:
    """Return whether a filter holds; a null satisfies none."""
    value: Any = getattr(image, condition.column)
    if value is None:
        return False
    if condition.operator == "IN":
        return value in condition.values
    return bool(OPERATORS[condition.operator](value, condition.values[0]))


OPERATORS: Mapping[str, Callable[[Any, Any], object]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

#: Two values whose heads are alike, and one that is a head.
SIMILAR = ("x" * (HEAD + 1), "x" * HEAD + "y", "x" * HEAD)

#: Few values, so that there are many ties.
TIMES = st.integers(1, 3)
Fields = dict[str, object]
RECORDS: st.SearchStrategy[tuple[Fields, MemberStatus | None]] = st.tuples(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from([None, "", "a", "B", "b", "ä", "z"]),
            "size": st.sampled_from([None, 0, 1]),
            "owner": st.sampled_from([None, "me", "other"]),
            "visibility": st.sampled_from(list(Visibility)),
            "os_hidden": st.sampled_from([False, False, True]),
            "status": st.sampled_from([Status.QUEUED, Status.ACTIVE, Status.KILLED]),
            "disk_format": st.sampled_from([None, "raw"]),
            "min_ram": st.integers(0, 2),
            "created_at_us": TIMES,
            "updated_at_us": TIMES,
            "tags": st.sampled_from([(), ("t",), ("t", "u")]),
            "properties": st.sampled_from(
                [{}, {"p": "1"}, {"p": "1", "q": ""}, *({"p": x} for x in SIMILAR)]
            ),
        }
    ),
    st.sampled_from([None, *MemberStatus]),
)
SORTS = st.lists(
    st.tuples(st.sampled_from(sorted(SORT_KEYS)), st.booleans()),
    unique_by=lambda pair: pair[0],
    max_size=3,
).map(
    lambda keys: (
        *[pair for pair in keys if pair[0] != "id"],
        ("id", dict(keys).get("id", False)),
    )
)
NAMES = st.sampled_from(["", "a", "b", "ä", "x"])
CHOICES = st.one_of(
    st.builds(Condition, st.just("name"), st.just("="), st.tuples(NAMES)),
    st.builds(
        Condition,
        st.just("name"),
        st.just("IN"),
        st.lists(NAMES, max_size=12).map(tuple),
    ),
    st.builds(
        Condition,
        st.sampled_from(["status", "disk_format", "owner"]),
        st.sampled_from(["=", "IN"]),
        st.tuples(st.sampled_from(["", "active", "raw", "me", "other"])),
    ),
    st.builds(
        Condition,
        st.sampled_from(["created_at_us", "updated_at_us", "size", "min_ram"]),
        st.sampled_from(sorted(OPERATORS)),
        st.tuples(st.integers(-1, 3)),
    ),
)
QUERIES = st.builds(
    ListQuery,
    project_id=st.sampled_from(["me", "other", None, "nobody"]),
    is_admin=st.booleans(),
    limit=st.integers(1, 5),
    visibility=st.sampled_from([None, "all", *map(str, Visibility)]),
    member_status=st.sampled_from([None, *MemberStatus]),
    os_hidden=st.booleans(),
    sort=SORTS,
    conditions=st.lists(
        CHOICES, max_size=3, unique_by=lambda each: (each.column, each.operator)
    ).map(tuple),
    properties=st.sampled_from(
        [
            (),
            (),
            (("p", "1"),),
            (("p", "1"), ("q", "")),
            *((("p", x),) for x in SIMILAR),
        ]
    ),
    tags=st.sampled_from([(), (), ("t",), ("t", "u"), ("none",)]),
)
