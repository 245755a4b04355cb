"""Staged data: at once, in ranges, taken back, and what a crash leaves of them.

Source: contract api-images 17 and 23; stores S-14.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.db.deletions import DeletionRepository
from imagereg.db.inventory import Inventory
from imagereg.db.staged import NOBODY, StagedRepository
from imagereg.db.staged_parts import NewPart
from imagereg.errors import (
    BlobNotFound,
    Gone,
    PartConflict,
    SizeMismatch,
    StoreUnavailable,
    TransferBroken,
)
from imagereg.images.processes import worker_name
from imagereg.images.removal import Removal
from imagereg.images.staged import Part, StagedData
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.driver import HasPath
from imagereg.stores.store import Store
from tests.registry import SEVERAL_STORES, LocalRegistry, merged
from tests.wire import Answer

BYTES = {"Content-Type": "application/octet-stream"}


def stage(
    registry: LocalRegistry, image_id: str, body: bytes, content_range: str = ""
) -> Answer:
    """Send a PUT of staged data."""
    headers = {**BYTES, **({"Content-Range": content_range} if content_range else {})}
    return registry.admin.request(
        "PUT", f"/v2/images/{image_id}/stage", body=body, headers=headers
    )


def state(registry: LocalRegistry, image_id: str) -> tuple[object, object]:
    """Return the ranges and the total that the server tells."""
    answer = registry.admin.get(f"/v2/images/{image_id}/stage").json()
    return answer["ranges"], answer["total"]


def shown(registry: LocalRegistry, image_id: str) -> tuple[object, object]:
    """Return status and size of an image."""
    image = registry.admin.show(image_id)
    return image["status"], image["size"]


@pytest.fixture
def staged(registry: LocalRegistry) -> StagedData:
    return parts_of(registry)


def parts_of(registry: LocalRegistry) -> StagedData:
    """Return what a registry stages with, on the database that it has."""
    engine = registry.registry.engine
    stores = StoreCatalog.from_settings(registry.settings)
    removal = Removal(DeletionRepository(engine), stores, worker_name)
    return StagedData(StagedRepository(engine), stores, removal, worker_name)


@pytest.fixture
def image_id(registry: LocalRegistry) -> str:
    return str(registry.admin.create()["id"])


def everything(staged: StagedData, image_id: str, *where: int) -> bytes:
    """Return staged bytes as a reader gives them."""
    with staged.open(image_id, *where) as reader:
        data = b"".join(reader)
        assert len(data) == reader.size
    return data


# At once


def test_staged_data_wait_in_the_staging_store(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    answer = stage(registry, image_id, b"bytes")

    assert answer.status == 204
    assert shown(registry, image_id) == ("uploading", 5)
    assert [data for _, data in registry.blobs()] == [b"bytes"]
    assert everything(staged, image_id) == b"bytes"
    assert state(registry, image_id) == ([[0, 4]], 5)


def test_no_bytes_at_all_can_be_staged(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    assert stage(registry, image_id, b"").status == 204
    assert shown(registry, image_id) == ("uploading", 0)
    assert everything(staged, image_id) == b""
    assert state(registry, image_id) == ([], 0)


def test_a_body_of_another_size_leaves_nothing(
    registry: LocalRegistry, image_id: str
) -> None:
    answer = registry.admin.request(
        "PUT",
        f"/v2/images/{image_id}/stage",
        body=b"bytes",
        headers={**BYTES, "X-OpenStack-Image-Size": "6"},
    )

    assert answer.status == 400
    assert shown(registry, image_id) == ("queued", None)
    assert list(registry.blobs()) == []
    assert stage(registry, image_id, b"again").status == 204


def test_an_image_is_staged_once(registry: LocalRegistry, image_id: str) -> None:
    stage(registry, image_id, b"bytes")

    assert stage(registry, image_id, b"bytes").status == 409
    assert stage(registry, image_id, b"bytes", "bytes 0-4/5").status == 409
    assert registry.admin.upload(image_id, b"bytes").status == 409
    assert shown(registry, image_id) == ("uploading", 5)


def test_what_is_staged_cannot_be_downloaded(
    registry: LocalRegistry, image_id: str
) -> None:
    stage(registry, image_id, b"bytes")

    assert registry.admin.get(f"/v2/images/{image_id}/file").status == 204


def test_a_deleted_image_takes_its_staged_data_along(
    registry: LocalRegistry, image_id: str
) -> None:
    stage(registry, image_id, b"one", "bytes 0-2/9")
    stage(registry, image_id, b"two", "bytes 6-8/9")

    answer = registry.admin.request("DELETE", f"/v2/images/{image_id}")

    assert answer.status == 204
    assert list(registry.blobs()) == []
    rows = registry.everything().rows
    assert rows["staged_parts"] == rows["condemned_locations"] == []


def test_an_image_deleted_meanwhile_keeps_nothing(
    registry: LocalRegistry, image_id: str
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"some"
        registry.admin.request("DELETE", f"/v2/images/{image_id}")
        yield b"more"

    answer = registry.admin.request(
        "PUT", f"/v2/images/{image_id}/stage", body=chunks(), headers=BYTES
    )

    assert answer.status == 410
    assert list(registry.blobs()) == []
    assert registry.everything().rows["staged_parts"] == []


def test_without_glance_direct_nothing_is_staged(tmp_path: Path) -> None:
    made = LocalRegistry(
        tmp_path, {"DEFAULT": {"enabled_import_methods": "[web-download]"}}
    )
    image_id = str(made.admin.create()["id"])

    assert stage(made, image_id, b"bytes").status == 404
    assert made.admin.get(f"/v2/images/{image_id}/stage").status == 404
    made.close()


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[LocalRegistry]:
    """Yield a registry that stages in one of its stores."""
    config = merged(SEVERAL_STORES, {"imagereg": {"staging_store": "cheap"}})
    made = LocalRegistry(tmp_path, config)
    yield made
    made.close()


def test_another_store_may_hold_what_is_staged(shared: LocalRegistry) -> None:
    image_id = str(shared.admin.create()["id"])

    stage(shared, image_id, b"bytes")

    ((name, data),) = shared.blobs()
    assert name.startswith(f"images/cheap/{image_id}.0.")
    assert data == b"bytes"
    assert everything(parts_of(shared), image_id) == b"bytes"
    shared.admin.request("DELETE", f"/v2/images/{image_id}")
    assert list(shared.blobs()) == []


# What is kept


def test_bytes_are_read_across_parts(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    staged.keep(image_id, [b"world"], offset=5, total=10)
    assert staged.size(image_id) is None
    staged.keep(image_id, [b"hel", b"lo"], offset=0, total=10, expected_size=5)

    assert staged.size(image_id) == 10
    assert everything(staged, image_id) == b"helloworld"
    assert everything(staged, image_id, 3, 4) == b"lowo"
    assert everything(staged, image_id, 5) == b"world"
    assert everything(staged, image_id, 9, 100) == b"d"
    assert everything(staged, image_id, 10) == b""


def test_a_single_part_is_a_file_of_its_own(staged: StagedData, image_id: str) -> None:
    assert staged.keep(image_id, [b"bytes"]) == 5

    with staged.open(image_id) as reader:
        assert isinstance(reader, HasPath)
        assert reader.path.read_bytes() == b"bytes"


def test_what_is_not_whole_cannot_be_read(staged: StagedData, image_id: str) -> None:
    staged.keep(image_id, [b"bytes"], offset=0, total=6)

    with pytest.raises(BlobNotFound):
        staged.open(image_id)


def test_discarded_data_are_gone(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    staged.keep(image_id, [b"by"], offset=0, total=5)
    staged.keep(image_id, [b"tes"], offset=2, total=5)

    staged.discard(image_id)

    assert staged.size(image_id) is None
    assert staged.parts(image_id) == []
    assert list(registry.blobs()) == []


def test_a_store_that_is_down_gives_discarded_data_up_later(
    registry: LocalRegistry,
    staged: StagedData,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    staged.keep(image_id, [b"bytes"])

    with monkeypatch.context() as broken:
        broken.setattr(Store, "delete", fail)
        staged.discard(image_id)
    left = list(registry.blobs())
    registry.registry.recovery.run()

    assert staged.parts(image_id) == []
    assert [data for _, data in left] == [b"bytes"]
    assert list(registry.blobs()) == []


def fail(*_: object, **__: object) -> None:
    """Behave like a store that is down."""
    raise StoreUnavailable("down")


def test_bytes_that_vanished_are_not_taken_for_an_end(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    staged.keep(image_id, [b"hello"], offset=0, total=10)
    staged.keep(image_id, [b"world"], offset=5, total=10)
    folder = registry.where / "state" / "staging"
    (second,) = folder.glob(f"{image_id}.5.*")

    second.write_bytes(b"worl")
    with pytest.raises(StoreUnavailable):
        everything(staged, image_id)
    second.unlink()
    with pytest.raises(StoreUnavailable):
        everything(staged, image_id)


def test_data_that_were_discarded_while_more_came_are_not_kept(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"by"
        staged.discard(image_id)
        yield b"tes"

    with pytest.raises(Gone):
        staged.keep(image_id, chunks(), offset=0, total=9)

    assert list(registry.blobs()) == []
    assert registry.everything().rows["staged_parts"] == []


def test_an_image_that_is_not_there_takes_nothing(staged: StagedData) -> None:
    with pytest.raises(Gone):
        staged.keep("absent", [b"bytes"])


@pytest.mark.parametrize("wanted", [True, False])
def test_who_takes_in_a_part_says_that_it_lives_and_learns_what_it_is_for(
    staged: StagedData,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
    wanted: bool,
) -> None:
    monkeypatch.setattr("imagereg.images.staged.BEAT_S", -1.0)
    beats = []

    def chunks() -> Iterator[bytes]:
        for _ in range(3):
            beats.append(staged.rows.under_way()[0].beat_at_us)
            yield b"x"
            if not wanted:
                staged.discard(image_id)

    if wanted:
        staged.keep(image_id, chunks())
    else:
        with pytest.raises(Gone):
            staged.keep(image_id, chunks())

    assert beats == sorted(set(beats))
    assert len(beats) == (3 if wanted else 2)


# Ranges


def test_an_image_has_a_limited_number_of_parts(
    registry: LocalRegistry, image_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagereg.db.staged.MAX_PARTS", 2)
    stage(registry, image_id, b"a", "bytes 0-0/4")
    stage(registry, image_id, b"b", "bytes 1-1/4")

    assert stage(registry, image_id, b"c", "bytes 2-2/4").status == 413
    assert stage(registry, image_id, b"b", "bytes 1-1/4").status == 204


def test_a_total_that_is_less_than_what_is_there_is_refused(
    registry: LocalRegistry, image_id: str
) -> None:
    stage(registry, image_id, b"cd", "bytes 2-3/*")

    assert stage(registry, image_id, b"a", "bytes 0-0/3").status == 409
    assert stage(registry, image_id, b"ab", "bytes 0-1/4").status == 204


def test_ranges_come_in_any_order(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    told = []
    for body, content_range in (
        (b"gh", "bytes 6-7/8"),
        (b"ab", "bytes 0-1/8"),
        (b"cdef", "bytes 2-5/8"),
    ):
        assert stage(registry, image_id, body, content_range).status == 204
        told.append((*state(registry, image_id), *shown(registry, image_id)))

    assert told == [
        ([[6, 7]], 8, "uploading", None),
        ([[0, 1], [6, 7]], 8, "uploading", None),
        ([[0, 7]], 8, "uploading", 8),
    ]
    assert everything(staged, image_id) == b"abcdefgh"


def test_the_total_may_be_told_by_the_last_range_alone(
    registry: LocalRegistry, image_id: str
) -> None:
    assert stage(registry, image_id, b"ab", "bytes 0-1/*").status == 204
    assert state(registry, image_id) == ([[0, 1]], None)
    assert stage(registry, image_id, b"cd", "bytes 2-3/4").status == 204
    assert shown(registry, image_id) == ("uploading", 4)


def test_the_same_range_again_does_no_harm(
    registry: LocalRegistry, image_id: str
) -> None:
    for _ in range(2):
        assert stage(registry, image_id, b"ab", "bytes 0-1/4").status == 204
    stage(registry, image_id, b"cd", "bytes 2-3/4")

    assert stage(registry, image_id, b"cd", "bytes 2-3/4").status == 204
    assert shown(registry, image_id) == ("uploading", 4)
    assert sorted(data for _, data in registry.blobs()) == [b"ab", b"cd"]


@pytest.mark.parametrize(
    ("body", "content_range", "status"),
    [
        pytest.param(b"xy", "bytes 2-3/8", 409, id="other bytes in the same place"),
        pytest.param(b"d", "bytes 3-3/8", 409, id="a part of what is there"),
        pytest.param(b"bcde", "bytes 1-4/8", 409, id="more than what is there"),
        pytest.param(b"bc", "bytes 1-2/8", 409, id="overlapping its beginning"),
        pytest.param(b"de", "bytes 3-4/8", 409, id="overlapping its end"),
        pytest.param(b"ef", "bytes 4-5/9", 409, id="another total"),
        pytest.param(b"c", "bytes 1-1/3", 409, id="a total that is less"),
        pytest.param(b"e", "bytes 4-5/8", 400, id="fewer bytes than the range"),
        pytest.param(b"efg", "bytes 4-5/8", 400, id="more bytes than the range"),
        pytest.param(b"e", "bytes 4-4/4", 400, id="beyond its own total"),
        pytest.param(b"e", "bytes 5-4/8", 400, id="backwards"),
        pytest.param(b"e", "bytes */8", 400, id="no range"),
        pytest.param(b"e", "4-4/8", 400, id="no unit"),
        pytest.param(b"e", f"bytes {10**20}-{10**20}/*", 400, id="endless digits"),
        pytest.param(b"e", f"bytes {1 << 40}-{1 << 40}/*", 413, id="beyond the cap"),
        pytest.param(b"e", f"bytes 4-4/{(1 << 40) + 1}", 413, id="total over the cap"),
    ],
)
def test_ranges_that_do_not_fit(
    registry: LocalRegistry, image_id: str, body: bytes, content_range: str, status: int
) -> None:
    stage(registry, image_id, b"cd", "bytes 2-3/8")
    before = registry.everything()

    assert stage(registry, image_id, body, content_range).status == status
    assert registry.everything() == before


def test_the_first_range_that_fails_leaves_the_image_waiting(
    registry: LocalRegistry, image_id: str
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a"
        raise TransferBroken("gone")

    answer = registry.admin.request(
        "PUT",
        f"/v2/images/{image_id}/stage",
        body=chunks(),
        headers={**BYTES, "Content-Range": "bytes 0-1/4"},
    )

    assert answer.status == 400
    assert shown(registry, image_id) == ("queued", None)
    assert state(registry, image_id) == ([], None)


def test_a_later_range_that_fails_costs_itself_alone(
    registry: LocalRegistry, image_id: str
) -> None:
    stage(registry, image_id, b"ab", "bytes 0-1/4")

    answer = registry.admin.request(
        "PUT",
        f"/v2/images/{image_id}/stage",
        body=iter([b"c"]),
        headers={**BYTES, "Content-Range": "bytes 2-3/4"},
    )

    assert answer.status == 400
    assert state(registry, image_id) == ([[0, 1]], 4)
    assert shown(registry, image_id) == ("uploading", None)


def test_each_part_tells_its_digest(registry: LocalRegistry, image_id: str) -> None:
    stage(registry, image_id, b"ab", "bytes 0-1/4")

    answer = registry.admin.get(f"/v2/images/{image_id}/stage").json()

    digest = hashlib.sha256(b"ab").hexdigest()
    assert answer["parts"] == [{"range": [0, 1], "sha256": digest}]


@pytest.mark.parametrize(("body", "kept"), [(b"ab", True), (b"xy", False)])
def test_the_same_range_twice_at_once(
    registry: LocalRegistry,
    staged: StagedData,
    image_id: str,
    body: bytes,
    kept: bool,
) -> None:
    def chunks() -> Iterator[bytes]:
        yield body[:1]
        staged.keep(image_id, [b"ab"], offset=0, total=4, expected_size=2)
        yield body[1:]

    if kept:
        assert staged.keep(image_id, chunks(), offset=0, total=4, expected_size=2) == 2
    else:
        with pytest.raises(PartConflict):
            staged.keep(image_id, chunks(), offset=0, total=4, expected_size=2)

    assert [data for _, data in registry.blobs()] == [b"ab"]
    assert len(staged.parts(image_id)) == 1


def test_of_two_overlapping_ranges_at_once_the_second_to_end_is_refused(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a"
        staged.keep(image_id, [b"bc"], offset=1, total=4, expected_size=2)
        yield b"b"

    with pytest.raises(PartConflict):
        staged.keep(image_id, chunks(), offset=0, total=4, expected_size=2)

    assert [data for _, data in registry.blobs()] == [b"bc"]


@pytest.mark.parametrize("again", [[b"a"], [b"a", b"bc"]])
def test_a_repeated_range_of_another_length_is_no_repetition(
    staged: StagedData, image_id: str, again: list[bytes]
) -> None:
    staged.keep(image_id, [b"ab"], offset=0, total=4, expected_size=2)

    with pytest.raises(SizeMismatch):
        staged.keep(image_id, again, offset=0, total=4, expected_size=2)


# Crashes

DEAD = f"{worker_name().rsplit(':', 3)[0]}:other:1:1"


def crashed(
    registry: LocalRegistry, staged: StagedData, image_id: str, worker: str = DEAD
) -> None:
    """Leave a part as a process does that dies when its bytes are durable."""
    key = f"{image_id}.4.remains"
    new = NewPart(image_id, 4, 2, 8, False, staged.stores.staging.id, key, worker)
    staged.rows.begin(new, lambda: enter(staged, image_id))
    (registry.where / "state" / "staging" / key).write_bytes(b"ef")


def enter(staged: StagedData, image_id: str) -> None:
    """Have the image marked as receiving data."""
    assert staged.rows.enter(image_id, whole=False) is None


def test_the_first_part_of_a_dead_process_leaves_the_image_waiting(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    crashed(registry, staged, image_id)

    registry.registry.recovery.run()

    assert shown(registry, image_id) == ("queued", None)
    assert list(registry.blobs()) == []
    assert registry.everything().rows["staged_parts"] == []
    assert stage(registry, image_id, b"again").status == 204


def test_what_else_was_staged_outlives_a_dead_process(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    stage(registry, image_id, b"ab", "bytes 0-1/8")
    crashed(registry, staged, image_id)

    registry.registry.recovery.run()

    assert state(registry, image_id) == ([[0, 1]], 8)
    assert [data for _, data in registry.blobs()] == [b"ab"]


def test_the_part_of_a_living_process_is_left_alone(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    crashed(registry, staged, image_id, worker_name())

    registry.registry.recovery.run()

    assert [data for _, data in registry.blobs()] == [b"ef"]


def test_a_deleted_images_part_is_cleared_away(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    crashed(registry, staged, image_id)
    registry.admin.request("DELETE", f"/v2/images/{image_id}")

    registry.registry.recovery.run()

    assert list(registry.blobs()) == []
    assert registry.everything().rows["staged_parts"] == []


def test_a_part_that_cannot_be_cleared_now_is_tried_again(
    registry: LocalRegistry,
    staged: StagedData,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crashed(registry, staged, image_id)

    with monkeypatch.context() as broken:
        broken.setattr(Store, "discard", fail)
        registry.registry.recovery.run()
    between = [part.worker for part in staged.rows.under_way()]
    registry.registry.recovery.run()

    assert between == [NOBODY]
    assert list(registry.blobs()) == []
    assert shown(registry, image_id) == ("queued", None)


def test_a_failed_part_whose_store_is_down_is_cleared_later(
    registry: LocalRegistry,
    staged: StagedData,
    image_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a"
        raise TransferBroken("gone")

    with monkeypatch.context() as broken:
        broken.setattr(Store, "discard", fail)
        with pytest.raises(TransferBroken):
            staged.take(
                image_id,
                Part(chunks(), whole=True, enter=lambda: enter(staged, image_id)),
            )
    between = shown(registry, image_id)
    registry.registry.recovery.run()

    assert between == ("uploading", None)
    assert shown(registry, image_id) == ("queued", None)


def set_status(registry: LocalRegistry, image_id: str, status: str) -> None:
    """Put an image into a status, as an import or the doctor does."""
    engine = registry.registry.engine
    with engine.transaction():
        engine.execute("UPDATE images SET status = ? WHERE id = ?", (status, image_id))


@pytest.mark.parametrize(
    ("status", "kept"),
    [("queued", 0), ("active", 0), ("uploading", 1), ("importing", 1)],
)
def test_parts_that_no_import_waits_for_are_cleared_away(
    registry: LocalRegistry, image_id: str, status: str, kept: int
) -> None:
    stage(registry, image_id, b"ab", "bytes 0-1/8")
    set_status(registry, image_id, status)

    registry.registry.recovery.run()

    assert len(list(registry.blobs())) == kept
    assert len(registry.everything().rows["staged_parts"]) == kept


def test_parts_that_a_task_still_works_on_stay(
    registry: LocalRegistry, staged: StagedData
) -> None:
    image_id = str(registry.admin.create()["id"])
    path = f"/v2/images/{image_id}/locations"
    location = {"url": "http://192.168.0.1/image"}
    registry.admin.request("POST", path, document=location)
    staged.keep(image_id, [b"bytes"])

    registry.registry.recovery.run()

    assert staged.size(image_id) == 5


def test_what_was_staged_before_a_failure_is_not_in_the_way(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    stage(registry, image_id, b"ab", "bytes 0-1/8")
    set_status(registry, image_id, "queued")

    assert stage(registry, image_id, b"xyz", "bytes 0-2/3").status == 204
    assert everything(staged, image_id) == b"xyz"
    registry.registry.recovery.run()
    assert [data for _, data in registry.blobs()] == [b"xyz"]


def test_the_store_is_not_said_to_hold_what_nobody_knows(
    registry: LocalRegistry, staged: StagedData, image_id: str
) -> None:
    stage(registry, image_id, b"ab", "bytes 0-1/8")
    crashed(registry, staged, image_id)
    keys = [path.rpartition("/")[2] for path, _ in registry.blobs()]

    claims = Inventory(registry.registry.engine).claims([*keys, "somebody's"])

    assert len(keys) == 2
    known = [claims[key].busy or bool(claims[key].urls) for key in claims]
    assert known == [True, True, False]


# Limits

LIMITS = """
[default]
image_stage_total = 1
image_count_uploading = 2
"""

MIB = 1024 * 1024


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[LocalRegistry]:
    """Yield a registry in which a project may stage one MiB, in two images."""
    made = LocalRegistry(
        tmp_path,
        {
            "DEFAULT": {"use_keystone_limits": "true"},
            "imagereg": {"limits_file": "{dir}/limits.ini"},
        },
        files={"limits.ini": LIMITS},
    )
    yield made
    made.close()


def test_a_project_stages_as_much_as_it_may_and_no_more(
    limited: LocalRegistry,
) -> None:
    one, two = (str(limited.admin.create()["id"]) for _ in range(2))

    half = bytes(MIB // 2)
    assert stage(limited, one, half, f"bytes 0-{MIB // 2 - 1}/{MIB}").status == 204
    assert stage(limited, two, half + b"x").status == 413
    assert stage(limited, two, half).status == 204
    assert stage(limited, one, b"x", f"bytes {MIB - 1}-{MIB - 1}/{MIB}").status == 413
    assert stage(limited, one, half, f"bytes 0-{MIB // 2 - 1}/{MIB}").status == 204
    usage = limited.admin.get("/v2/info/usage").json()["usage"]
    assert usage["image_stage_total"] == {"usage": 1, "limit": 1}
    assert shown(limited, two) == ("uploading", MIB // 2)


def test_bytes_that_nobody_announced_are_counted_as_they_come(
    limited: LocalRegistry,
) -> None:
    image_id = str(limited.admin.create()["id"])

    answer = limited.admin.request(
        "PUT",
        f"/v2/images/{image_id}/stage",
        body=iter([bytes(MIB), b"x"]),
        headers=BYTES,
    )

    assert answer.status == 413
    assert shown(limited, image_id) == ("queued", None)
    assert list(limited.blobs()) == []


def test_what_others_staged_meanwhile_counts(limited: LocalRegistry) -> None:
    one, two = (str(limited.admin.create()["id"]) for _ in range(2))

    def chunks() -> Iterator[bytes]:
        yield bytes(MIB // 2)
        assert stage(limited, two, bytes(MIB // 2)).status == 204
        yield b"x"

    answer = limited.admin.request(
        "PUT", f"/v2/images/{one}/stage", body=chunks(), headers=BYTES
    )

    assert answer.status == 413
    assert shown(limited, one) == ("queued", None)


def test_images_that_receive_data_are_counted(limited: LocalRegistry) -> None:
    one, two, three = (str(limited.admin.create()["id"]) for _ in range(3))
    stage(limited, one, b"a", "bytes 0-0/2")
    stage(limited, two, b"a")

    assert stage(limited, three, b"a").status == 413
    assert stage(limited, one, b"b", "bytes 1-1/2").status == 204
    assert shown(limited, three) == ("queued", None)
