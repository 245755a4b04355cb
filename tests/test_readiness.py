"""Probes: one thread to a part, deadlines, and what is told of changes."""

import logging
import threading
import time

import pytest

from imagereg import readiness
from imagereg.errors import StoreUnavailable
from imagereg.readiness import Probe, Readiness, State
from tests.server import eventually


class Part:
    """A part that does as it is told, and counts who asks."""

    def __init__(self) -> None:
        self.asked = 0
        self.fault: Exception | None = None
        self.may_answer = threading.Event()
        self.may_answer.set()

    def __call__(self) -> None:
        self.asked += 1
        self.may_answer.wait(60)
        if self.fault:
            raise self.fault


@pytest.fixture(autouse=True)
def stale(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing that was found count for the next look."""
    monkeypatch.setattr(readiness, "FRESH_S", 0.0)


def test_a_part_that_hangs_holds_up_nobody_and_one_thread() -> None:
    good, hung = Part(), Part()
    hung.may_answer.clear()
    # The good one must answer in time, however busy the machine is.
    looked = Readiness([Probe("a", good), Probe("b", hung)], deadline_s=1.5)

    begun = time.monotonic()
    found = [looked.look() for _ in range(3)]
    took = time.monotonic() - begun

    assert [[each.state for each in look] for look in found] == (
        [[State.OK, State.SILENT]] * 3
    )
    assert hung.asked == 1
    assert good.asked == 3
    assert took < 30
    hung.may_answer.set()
    assert eventually(lambda: looked.look()[1].state is State.OK)


def test_what_is_fresh_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "FRESH_S", 1000.0)
    part = Part()
    looked = Readiness([Probe("a", part)], deadline_s=60)

    for _ in range(5):
        assert looked.look()[0].state is State.OK

    assert part.asked == 1


def test_a_failure_is_told_once_and_its_end_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "imagereg.readiness")
    part = Part()
    looked = Readiness([Probe("store s", part)], deadline_s=60)

    for fault in (None, *[StoreUnavailable("it is down")] * 3, None, None):
        part.fault = fault
        (found,) = looked.look()
        assert found.reason == ("it is down" if fault else "")
        assert found.is_bad == bool(fault)

    # Threads of other tests may have more to tell.
    told = [each for each in caplog.records if each.name == "imagereg.readiness"]
    assert [each.getMessage() for each in told] == [
        "store s does not answer: it is down",
        "store s answers again",
    ]


def test_an_unexpected_failure_is_a_failure_without_words() -> None:
    part = Part()
    part.fault = RuntimeError("password=secret")
    looked = Readiness([Probe("a", part, needed=False)], deadline_s=60)

    (found,) = looked.look()

    assert found.state is State.FAILED
    assert "secret" not in found.reason
    assert not found.is_bad
