"""Workers: threads of each server process that work off the queue.

A process renews its claims while its threads run.  One that died is noticed by the
kernel's word on the same machine, at once, and by its silence on another one; its
jobs start again in a process that lives.

Each kind of job must therefore be able to start anew on what an earlier attempt left.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from imagereg.db.jobs import NO_DATA, ImageStep, Job, JobRepository, Outcome
from imagereg.db.tasks import TaskRepository
from imagereg.errors import (
    DatabaseUnavailable,
    ImageNotFound,
    ImageRegError,
    LeaseLost,
    StatusConflict,
)
from imagereg.images.processes import is_gone
from imagereg.jobs.scratch import Scratch
from imagereg.model import Status, Task, TaskStatus, TaskType
from imagereg.occasion import Occasion, working_for

log = logging.getLogger(__name__)

#: How often a process looks for jobs of others, in seconds; its own start at once.
POLL_S = 1.0

#: How often claims are renewed, and how long a process may be silent, in seconds.
BEAT_S = 10.0
SILENCE_S = 40.0

#: How often the records of tasks are looked through for old ones, in seconds.
PURGE_S = 600.0

#: A job that took its process down so often is not tried again.
MAX_ATTEMPTS = 5

INTERNAL = "Task failed due to Internal Error"


class _Busy:
    """Tasks that threads of this process work on, for whichever runner.

    There are two after the configuration was read again, and claims name the process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tasks: set[str] = set()

    def enter(self, task_id: str) -> bool:
        """Return whether nobody worked on it until now."""
        with self._lock:
            is_new = task_id not in self._tasks
            self._tasks.add(task_id)
            return is_new

    def leave(self, task_id: str) -> None:
        """Let others work on it again."""
        with self._lock:
            self._tasks.discard(task_id)


_busy = _Busy()


class JobKind(Protocol):
    """What is done for tasks of one type."""

    def run(self, job: Job) -> Outcome:
        """Do the work, from the beginning or from where an attempt stopped.

        Raises:
            ImageRegError: why it cannot be done; its message is for the owner.
        """

    def failed(self, job: Job, message: str) -> Outcome:
        """Return the end of a job that failed: the image as it was, to be retried."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What runners of all processes share.

    Attributes:
        worker: names this process for the queue.
        threads: jobs that one process runs at a time.
        scratch: the work area of this node.
        ended: told of the image when work on it has ended.
        waiting: the tasks that wait for this very process.
    """

    jobs: JobRepository
    tasks: TaskRepository
    kinds: Mapping[TaskType, JobKind]
    worker: Callable[[], str]
    scratch: Scratch
    ended: Callable[[str], None]
    waiting: Callable[[], Collection[str]] = tuple
    threads: int = 10


class Runner:
    """Works off the queue in one process.

    Args:
        wanted: set by whoever adds work, which this process then begins at once.
    """

    def __init__(self, queue: Queue, wanted: threading.Event) -> None:
        self._queue = queue
        self._wanted = wanted
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}
        # Both are due at once, also where the machine itself just started.
        self._beaten = self._purged = -math.inf
        self._is_stopped = False
        self._dispatcher = threading.Thread(
            target=self._dispatch, name="jobs", daemon=True
        )

    def start(self) -> None:
        """Start the threads; called in each process after it forked."""
        self._dispatcher.start()

    def stop(self) -> None:
        """Take up no more jobs; those that run may end."""
        self._is_stopped = True
        self._wanted.set()

    def wait(self, grace_s: float) -> None:
        """Wait until the jobs that run have ended, but no longer than this."""
        deadline = time.monotonic() + grace_s
        if self._dispatcher.is_alive():
            # It may be about to take up one more.
            self._dispatcher.join(grace_s)
        while self._running and time.monotonic() < deadline:
            self._beat()
            time.sleep(POLL_S / 10)

    def run_pending(self) -> int:
        """Run what waits or was left behind, in this thread; say how many jobs."""
        done = 0
        while (job := self._next()) is not None:
            self._run(job)
            done += 1
        return done

    def _dispatch(self) -> None:
        while not self._is_stopped:
            try:
                self._keep()
                while self._has_room():
                    job = self._next()
                    if job is None:
                        break
                    threading.Thread(
                        target=self._run, args=(job,), name="job", daemon=True
                    ).start()
            except Exception:
                log.exception("the queue could not be looked at; it will be again")
            self._wanted.wait(POLL_S)
            self._wanted.clear()

    def _has_room(self) -> bool:
        return not self._is_stopped and len(self._running) < self._queue.threads

    def _keep(self) -> None:
        """Renew claims and remove old records, when it is time."""
        self._beat()
        now = time.monotonic()
        if now - self._purged >= PURGE_S:
            self._purged = now
            self._queue.tasks.purge()
            self._queue.scratch.sweep(self._unfinished)

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= BEAT_S:
            self._beaten = now
            with self._lock:
                mine = {*self._running, *self._queue.waiting()}
            if mine:
                self._queue.jobs.beat(self._queue.worker(), list(mine))

    def _unfinished(self) -> frozenset[str]:
        return frozenset(job.task.id for job in self._queue.jobs.unfinished())

    def _next(self) -> Job | None:
        """Claim the oldest job that nobody works on."""
        worker = self._queue.worker()
        for job in self._queue.jobs.unfinished():
            if not self._is_free(job, worker) or not _busy.enter(job.task.id):
                continue
            claimed = None
            try:
                claimed = self._queue.jobs.claim(job, worker)
            finally:
                if claimed is None:
                    _busy.leave(job.task.id)
            if claimed is not None:
                with self._lock:
                    self._running[claimed.task.id] = claimed
                return claimed
        return None

    def _is_free(self, job: Job, worker: str) -> bool:
        # A job of this process's own waited for it, is under way, or belonged to a
        # thread that ended without a word, such as by a full disk.
        if job.worker in (None, worker):
            return True
        return is_gone(job.worker, job.beat_at_us, SILENCE_S)

    def _run(self, job: Job) -> None:
        """Do one job, in the name of the request that began it."""
        with working_for(_occasion(job.task)):
            self._run_to_end(job)

    def _run_to_end(self, job: Job) -> None:
        """Do one job; the border at which nothing may escape."""
        task = job.task
        try:
            self._finish(job, self._attempt(job))
            log.info("task %s (%s) ended", task.id, task.type)
            self._queue.ended(task.image_id or "")
        except LeaseLost:
            log.warning("task %s was taken over by another process", task.id)
        except Exception:
            log.exception("task %s could not be ended; it will be tried again", task.id)
            time.sleep(POLL_S)
        finally:
            with self._lock:
                self._running.pop(task.id, None)
            _busy.leave(task.id)

    def _attempt(self, job: Job) -> Outcome:
        kind = self._queue.kinds.get(job.task.type)
        if kind is None:
            return Outcome(TaskStatus.FAILURE, "this version does no such work")
        if job.attempts > MAX_ATTEMPTS:
            return self._given_up(kind, job)
        try:
            return kind.run(job)
        except (LeaseLost, DatabaseUnavailable):
            raise
        except ImageRegError as error:
            log.info("task %s failed: %s", job.task.id, error)
            return kind.failed(job, error.message)
        except Exception:
            log.exception("task %s failed", job.task.id)
            return kind.failed(job, INTERNAL)

    def _given_up(self, kind: JobKind, job: Job) -> Outcome:
        """End a job that no attempt could, even where it cannot clear up itself.

        Bytes may be left then that no row tells of; `imagereg store gc` finds them.
        """
        message = "given up: the service stopped during each attempt"
        try:
            return kind.failed(job, message)
        except LeaseLost:
            raise
        except Exception:
            log.exception("task %s could not be cleared up", job.task.id)
            step = ImageStep((Status.IMPORTING,), Status.QUEUED, NO_DATA, clears=True)
            return Outcome(TaskStatus.FAILURE, message, step=step)

    def _finish(self, job: Job, outcome: Outcome) -> None:
        """End the task, also when its image changed too much for the last step."""
        try:
            self._queue.jobs.finish(job, outcome)
        except (ImageNotFound, StatusConflict) as error:
            message = outcome.message or error.message
            self._queue.jobs.finish(job, Outcome(TaskStatus.FAILURE, message))


def _occasion(task: Task) -> Occasion:
    """Return what the lines of a job are told to be about."""
    return Occasion(
        request_id=task.request_id or "-",
        user_id=task.user_id or "-",
        project_id=task.owner or "-",
    )
