"""The threads that work off the queue."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from imagereg.db.jobs import ImageStep, Job, Outcome
from imagereg.jobs import runner
from imagereg.jobs.runner import Runner
from imagereg.model import Status, TaskStatus, TaskType
from tests.registry import LocalRegistry
from tests.server import eventually


class Held:
    """A kind of job that ends when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.runs = 0

    def run(self, job: Job) -> Outcome:
        self.runs += 1
        assert self.go.wait(120)
        return Outcome(TaskStatus.SUCCESS)

    def failed(self, job: Job, message: str) -> Outcome:
        return Outcome(TaskStatus.FAILURE, message)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    made = LocalRegistry(tmp_path)
    yield made
    made.close()


@pytest.fixture
def held(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Held, Runner]]:
    """Yield a kind of job and a runner that does nothing else, at a lively pace."""
    kind = Held()
    jobs = registry.registry.jobs
    kinds = {TaskType.LOCATION_IMPORT: kind}
    object.__setattr__(jobs._queue, "kinds", kinds)
    for name in ("POLL_S", "BEAT_S"):
        monkeypatch.setattr(runner, name, 0.01)
    monkeypatch.setattr(runner, "PURGE_S", 0.0)
    yield kind, jobs
    kind.go.set()
    jobs.stop()
    jobs.wait(60)
    assert not jobs._running


def begin(registry: LocalRegistry) -> str:
    image_id = str(registry.admin.create()["id"])
    answer = registry.admin.request(
        "POST",
        f"/v2/images/{image_id}/locations",
        document={"url": "http://192.168.0.1/x"},
    )
    assert answer.status == 202
    return image_id


def status(registry: LocalRegistry, image_id: str) -> str:
    listed = registry.admin.get(f"/v2/images/{image_id}/tasks").json()
    return str(listed["tasks"][0]["status"])


def test_claims_are_renewed_while_the_work_goes_on(
    registry: LocalRegistry, held: tuple[Held, Runner]
) -> None:
    kind, jobs = held
    jobs.start()
    image_id = begin(registry)
    assert eventually(lambda: kind.runs == 1)
    (first,) = jobs._queue.jobs.unfinished()

    assert eventually(
        lambda: jobs._queue.jobs.unfinished()[0].beat_at_us > first.beat_at_us
    )
    assert status(registry, image_id) == "processing"
    kind.go.set()

    assert eventually(lambda: status(registry, image_id) == "success")
    assert kind.runs == 1


def test_no_more_jobs_run_at_a_time_than_allowed(
    registry: LocalRegistry, held: tuple[Held, Runner]
) -> None:
    kind, jobs = held
    object.__setattr__(jobs._queue, "threads", 2)
    images = [begin(registry) for _ in range(4)]
    jobs.start()
    assert eventually(lambda: kind.runs == 2)

    assert sorted(status(registry, each) for each in images) == [
        *("pending", "pending", "processing", "processing")
    ]
    kind.go.set()

    assert eventually(
        lambda: {status(registry, each) for each in images} == {"success"}
    )


def test_runners_of_one_process_leave_each_other_their_jobs(
    registry: LocalRegistry, held: tuple[Held, Runner]
) -> None:
    kind, jobs = held
    later = Runner(jobs._queue, threading.Event())
    jobs.start()
    begin(registry)
    assert eventually(lambda: kind.runs == 1)

    jobs.stop()

    assert later.run_pending() == 0
    kind.go.set()
    jobs.wait(120)
    assert later.run_pending() == 0
    assert kind.runs == 1


def test_a_runner_that_stopped_takes_up_nothing(
    registry: LocalRegistry, held: tuple[Held, Runner]
) -> None:
    kind, jobs = held
    kind.go.set()
    jobs.start()
    jobs.stop()
    jobs.wait(120)

    image_id = begin(registry)

    assert not jobs._dispatcher.is_alive()
    assert status(registry, image_id) == "pending"


def test_a_database_that_fails_is_asked_again(
    registry: LocalRegistry,
    held: tuple[Held, Runner],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind, jobs = held
    kind.go.set()
    image_id = begin(registry)
    unfinished = jobs._queue.jobs.unfinished
    failures = [ZeroDivisionError("the disk is full")]

    def sometimes() -> Sequence[Job]:
        if failures:
            raise failures.pop()
        return unfinished()

    monkeypatch.setattr(jobs._queue.jobs, "unfinished", sometimes)
    jobs.start()

    assert eventually(lambda: status(registry, image_id) == "success")
    assert "it will be again" in caplog.text


def test_an_end_that_cannot_be_written_is_tried_again(
    registry: LocalRegistry, held: tuple[Held, Runner], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, jobs = held
    kind.go.set()
    image_id = begin(registry)
    finish = jobs._queue.jobs.finish
    failures = [ZeroDivisionError("the disk is full")]

    def sometimes(job: Job, outcome: Outcome) -> None:
        if failures:
            raise failures.pop()
        finish(job, outcome)

    monkeypatch.setattr(jobs._queue.jobs, "finish", sometimes)

    assert jobs.run_pending() == 2
    assert status(registry, image_id) == "success"


def test_work_of_an_unknown_kind_fails(
    registry: LocalRegistry, held: tuple[Held, Runner]
) -> None:
    _, jobs = held
    object.__setattr__(jobs._queue, "kinds", {})
    image_id = begin(registry)

    jobs.run_pending()

    assert status(registry, image_id) == "failure"


def test_a_lease_that_was_lost_ends_nothing(
    registry: LocalRegistry, held: tuple[Held, Runner], monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, jobs = held
    image_id = begin(registry)

    def lose(job: Job) -> Outcome:
        monkeypatch.setattr(kind, "run", Held.run.__get__(kind))
        other = jobs._queue.jobs.claim(
            jobs._queue.jobs.unfinished()[0], "elsewhere:boot:1:1"
        )
        assert other is not None
        return Outcome(TaskStatus.SUCCESS)

    monkeypatch.setattr(kind, "run", lose)

    assert jobs.run_pending() == 1
    assert status(registry, image_id) == "processing"


class Broken:
    """A kind of job with a fault of ours, in the work and in the clearing up."""

    def __init__(self, registry: LocalRegistry) -> None:
        self.registry = registry

    def run(self, job: Job) -> Outcome:
        step = ImageStep((Status.QUEUED, Status.IMPORTING), Status.IMPORTING)
        self.registry.registry.jobs._queue.jobs.advance(job, step)
        raise ZeroDivisionError

    def failed(self, job: Job, message: str) -> Outcome:
        raise KeyError("caller")


def test_a_job_that_cannot_even_be_cleared_up_ends(
    registry: LocalRegistry, held: tuple[Held, Runner]
) -> None:
    _, jobs = held
    kinds = {TaskType.LOCATION_IMPORT: Broken(registry)}
    object.__setattr__(jobs._queue, "kinds", kinds)
    image_id = begin(registry)

    jobs.run_pending()

    assert status(registry, image_id) == "failure"
    assert registry.admin.show(image_id)["status"] == "queued"
