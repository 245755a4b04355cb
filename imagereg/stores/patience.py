"""A limit on file operations that hang, as those of a lost network mount do.

Source: contract stores 2 (`filesystem_store_timeout` and the pool behind it).
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from imagereg.errors import StoreUnavailable

_TOO_LATE = "the image store does not answer in time"

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PatienceOptions:
    """How long the operations of a store may take.

    Attributes:
        limit_s: seconds; 0 waits for ever, without a thread.
        threads: how many operations may hang at once.
        warn_percent: a warning is logged when so many of the threads are busy.
    """

    limit_s: float = 0.0
    threads: int = 10
    warn_percent: int = 75


class Patience:
    """Runs operations that may hang, and waits for them as long as is allowed.

    An operation given up goes on in its thread until the system lets go of it, and
    keeps that thread busy.  So only what may come late without harm belongs here.
    """

    def __init__(self, options: PatienceOptions) -> None:
        self._options = options
        self._idle = threading.BoundedSemaphore(options.threads)
        self._counting = threading.Lock()
        self._busy = 0

    def call(self, operation: Callable[[], Answer]) -> Answer:
        """Return what ``operation`` returns, or raise what it raises.

        Raises:
            StoreUnavailable: it took too long, or all threads hang already.
        """
        limit_s = self._options.limit_s
        if not limit_s:
            return operation()
        if not self._idle.acquire(timeout=limit_s):
            raise StoreUnavailable(_TOO_LATE)
        outcome: Future[Answer] = Future()
        # A daemon: what hangs for ever must not keep the process from ending.
        threading.Thread(
            target=self._run, args=(operation, outcome), daemon=True
        ).start()
        try:
            return outcome.result(limit_s)
        except TimeoutError:
            # An operation may raise the same, or end just now; then it is done.
            if outcome.done():
                return outcome.result()
            _log.warning("a file operation takes more than %s s", limit_s)
            raise StoreUnavailable(_TOO_LATE) from None

    def _run(self, operation: Callable[[], Answer], outcome: Future[Answer]) -> None:
        try:
            self._count(1)
            outcome.set_result(operation())
        except BaseException as error:  # noqa: BLE001 # raised where it is waited for
            outcome.set_exception(error)
        finally:
            self._count(-1)
            self._idle.release()

    def _count(self, change: int) -> None:
        with self._counting:
            self._busy += change
            busy = self._busy
        limit = self._options.threads * self._options.warn_percent / 100
        if change > 0 and busy >= limit:
            _log.warning(
                "%d of %d threads for file operations are busy",
                *(busy, self._options.threads),
            )
