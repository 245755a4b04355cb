"""Objects are read again in the background, one process at a time, at a rate."""

import logging
import threading
import time
from dataclasses import replace

import pytest

from imagereg.db.inventory import Inventory
from imagereg.db.leases import LeaseRepository
from imagereg.doctor.rounds import DAY_US, LEASE, Pace, Rounds
from imagereg.images.processes import worker_name
from imagereg.images.scrubber import is_scrubber_gone
from imagereg.model import now_us
from tests.doctor.conftest import Doctor
from tests.doctor.test_collection import active, copy_to_cheap, execute, file
from tests.doctor.test_verification import OTHER, notes
from tests.registry import LocalRegistry


@pytest.fixture
def rounds(registry: LocalRegistry, doctor: Doctor) -> Rounds:
    engine = registry.registry.engine
    leases = LeaseRepository(engine, is_scrubber_gone)
    return Rounds(
        Inventory(engine), doctor.verification, leases, worker_name, mib_per_s=100
    )


def test_each_object_is_read_once_an_interval(
    registry: LocalRegistry, rounds: Rounds
) -> None:
    copy_to_cheap(registry, active(registry))
    active(registry)

    first, second = rounds.run(), rounds.run()
    execute(
        registry, "UPDATE image_locations SET checked_at_us = ?", now_us() - 31 * DAY_US
    )
    later = rounds.run()

    assert (first, second, later) == (3, 0, 3)
    assert all(verified for _, verified, _ in notes(registry))


def test_damage_is_logged_and_recorded_and_nothing_is_mended(
    registry: LocalRegistry, rounds: Rounds, caplog: pytest.LogCaptureFixture
) -> None:
    image_id = active(registry)
    copy_to_cheap(registry, image_id)
    file(registry, "fast", image_id).write_bytes(OTHER)

    with caplog.at_level(logging.ERROR):
        rounds.run()

    assert f"image {image_id}: its object in store fast is bad" in caplog.text
    assert [fault for *_, fault in notes(registry)] == ["wrong hash", None]
    (cheap, fast) = rounds.inventory.health()
    assert (cheap.store, cheap.objects, cheap.verified, cheap.faults) == (
        *("cheap", 1, 1),
        0,
    )
    assert (fast.store, fast.objects, fast.verified, fast.faults) == ("fast", 1, 0, 1)
    assert len(registry.everything().rows["image_locations"]) == 2


def test_one_process_does_the_rounds_for_all(
    registry: LocalRegistry, rounds: Rounds
) -> None:
    active(registry)
    assert rounds.leases.take(LEASE, "elsewhere:boot:1:1")

    during = rounds.run()
    rounds.leases.give_back(LEASE, "elsewhere:boot:1:1")
    after = rounds.run()

    assert (during, after) == (0, 1)
    assert registry.everything().rows["leases"] == []


def test_reading_takes_the_time_that_the_rate_says() -> None:
    slept: list[float] = []
    pace = Pace(1000, lambda: None, slept.append)

    for _ in range(3):
        pace(500)

    assert slept == [0.5, 0.5, 0.5]


def test_the_lease_is_renewed_while_a_long_object_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beats: list[float] = []
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    pace = Pace(1, lambda: beats.append(now[0]), lambda s: None)

    for now[0] in range(0, 120, 10):
        pace(1)

    assert beats == [40, 80]


def test_nothing_is_read_unless_it_is_wanted(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(threading.Thread, "start", lambda self: started.append(self))
    own = registry.registry.rounds

    own.start()
    replace(own, mib_per_s=1).start()

    assert len(started) == 1
