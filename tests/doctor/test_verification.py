"""What `imagereg store verify` finds, and what it mends.  Source: contract S-15."""

from collections import Counter

import pytest

from imagereg.doctor.findings import Finding, Kind
from imagereg.doctor.verification import Sample
from imagereg.errors import StoreUnavailable
from imagereg.stores.hashing import Digests
from tests.doctor.conftest import Doctor
from tests.doctor.test_collection import (
    DATA,
    active,
    copy_to_cheap,
    execute,
    file,
    told,
)
from tests.registry import LocalRegistry

OTHER = bytes(reversed(DATA))


def notes(registry: LocalRegistry) -> list[tuple[object, ...]]:
    """Return when each location was looked at, found good, and what was wrong."""
    rows = registry.everything().rows["image_locations"]
    # By their numbers, which go on from test to test on a server.
    return [row[-3:] for row in sorted(rows, key=lambda row: int(str(row[0])))]


def test_good_bytes_are_found_good(registry: LocalRegistry, doctor: Doctor) -> None:
    copy_to_cheap(registry, active(registry))

    read = list(doctor.verification.run(Sample()))

    assert [finding for _, finding in read] == [None, None]


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (OTHER, Kind.HASH),
        (DATA[:-1], Kind.SIZE),
        (b"", Kind.SIZE),
        (None, Kind.MISSING),
    ],
)
def test_other_bytes_are_found_and_the_only_copy_stays(
    registry: LocalRegistry, doctor: Doctor, data: bytes | None, kind: Kind
) -> None:
    image_id = active(registry)
    path = file(registry, "fast", image_id)
    path.unlink()
    if data is not None:
        path.write_bytes(data)

    found = doctor.verify(fix=True)

    assert told(found) == [(kind, "fast", image_id, False)]
    assert path.exists() is (data is not None)
    assert len(registry.everything().rows["image_locations"]) == 1


@pytest.mark.parametrize(
    ("columns", "differ"),
    [
        ("checksum = 'x'", "checksum differ"),
        ("os_hash_value = 'x'", "os_hash_value differ"),
        ("checksum = 'x', os_hash_value = 'x'", "checksum and os_hash_value differ"),
    ],
)
def test_each_digest_counts(
    registry: LocalRegistry, doctor: Doctor, columns: str, differ: str
) -> None:
    active(registry)
    execute(registry, f"UPDATE images SET {columns}")

    (finding,) = doctor.verify()

    assert (finding.kind, finding.detail) == (Kind.HASH, differ)


@pytest.mark.parametrize(
    "columns",
    [
        "checksum = NULL",
        "os_hash_algo = NULL, os_hash_value = NULL",
        "checksum = NULL, os_hash_algo = NULL, os_hash_value = NULL, size = NULL",
        "os_hash_algo = 'whirlpool9', os_hash_value = 'x'",
    ],
)
def test_what_was_never_recorded_cannot_differ(
    registry: LocalRegistry, doctor: Doctor, columns: str
) -> None:
    active(registry)
    execute(registry, f"UPDATE images SET {columns}")

    assert doctor.verify() == []


def test_a_damaged_copy_goes_if_another_one_is_good(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = active(registry)
    copy_to_cheap(registry, image_id)
    damaged = file(registry, "fast", image_id)
    damaged.write_bytes(OTHER)

    found = doctor.verify(fix=True)

    assert told(found) == [(Kind.HASH, "fast", image_id, True)]
    assert not damaged.exists()
    assert registry.admin.download(image_id).body == DATA
    assert doctor.verify() == doctor.gc() == []


def test_of_two_damaged_copies_none_goes(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = active(registry)
    copy_to_cheap(registry, image_id, OTHER)
    file(registry, "fast", image_id).write_bytes(OTHER)

    found = doctor.verify(fix=True)

    assert [each.fixed for each in found] == [False, False]
    assert len(registry.everything().rows["image_locations"]) == 2


def test_looking_changes_nothing(registry: LocalRegistry, doctor: Doctor) -> None:
    image_id = active(registry)
    copy_to_cheap(registry, image_id, OTHER)
    before = registry.everything()

    found = doctor.verify()

    assert told(found) == [(Kind.HASH, "cheap", image_id, False)]
    assert registry.everything() == before
    assert notes(registry) == [(None, None, None)] * 2


def test_the_outcome_is_recorded(registry: LocalRegistry, doctor: Doctor) -> None:
    image_id = active(registry)
    doctor.verify(fix=True)
    ((checked, verified, fault),) = notes(registry)
    file(registry, "fast", image_id).write_bytes(OTHER)
    doctor.verify(fix=True)
    ((checked_later, verified_then, fault_then),) = notes(registry)

    assert checked == verified
    assert fault is None
    assert isinstance(checked, int)
    assert isinstance(checked_later, int)
    assert checked_later > checked
    # The last time it was good is still known.
    assert (verified_then, fault_then) == (verified, "wrong hash")


def test_a_sample_takes_those_that_were_not_read_for_longest(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    for _ in range(6):
        active(registry)
    counts = Counter[str]()
    for _ in range(3):
        read = list(doctor.verification.run(Sample(count=2), fix=True))
        counts.update(each.image_id for each, _ in read)

    assert set(counts.values()) == {1}
    assert len(counts) == 6


def test_a_store_can_be_read_alone(registry: LocalRegistry, doctor: Doctor) -> None:
    image_id = active(registry)
    copy_to_cheap(registry, image_id, OTHER)
    file(registry, "fast", image_id).write_bytes(OTHER)

    assert [each.store for each in doctor.verify("cheap")] == ["cheap"]


def test_an_image_that_is_deleted_while_it_is_read_is_no_finding(
    registry: LocalRegistry, doctor: Doctor
) -> None:
    image_id = active(registry)
    file(registry, "fast", image_id).write_bytes(OTHER)
    found: list[Finding] = []

    def delete(_: int) -> None:
        registry.admin.request("DELETE", f"/v2/images/{image_id}")

    for _, finding in doctor.verification.run(Sample(), delete, fix=True):
        found += [finding] if finding else []

    assert found == []


def test_a_disk_that_cannot_be_read_is_told_and_nothing_goes(
    registry: LocalRegistry, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = active(registry)
    copy_to_cheap(registry, image_id)

    def fail(self: Digests, chunk: bytes) -> None:
        raise StoreUnavailable("the disk failed")

    monkeypatch.setattr(Digests, "update", fail)

    found = doctor.verify(fix=True)

    assert {each.kind for each in found} == {Kind.UNREADABLE}
    assert len(registry.everything().rows["image_locations"]) == 2
