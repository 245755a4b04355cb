"""Tell events to their sinks: at least once, and those of one image in their order.

One process at a time tells a sink; it holds a lease, which another one takes when
that process is gone.  An event is taken out of the outbox only when its sink has
taken it.  One that is refused is tried again, after pauses that grow; events of other
images go on meanwhile.  The outbox stays bounded: what is too old, too much or was
refused too often is dropped, and the log counts it.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from imagereg.db.leases import LeaseRepository
from imagereg.db.outbox import EventRepository, PendingEvent
from imagereg.events.sinks import Sink, Undelivered
from imagereg.images.processes import is_gone

log = logging.getLogger(__name__)

#: How often the outbox is looked at, in seconds.
POLL_S = 0.5

#: How many events are read at a time.
PAGE = 200

#: How often the lease is renewed, and how long its holder may be silent, in seconds.
BEAT_S = 10.0
SILENCE_S = 90.0

#: How often too old and too many events are looked for, in seconds.
TRIM_S = 10.0

#: The longest pause between two attempts, in seconds; the first is one second.
LONGEST_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What keeps the outbox small.

    Attributes:
        attempts: an event that was refused so often is dropped.
        age_s: so is an older one.
        most: and the oldest of more than these, for each sink.
    """

    attempts: int
    age_s: int
    most: int


@dataclass
class _State:
    """What this process knows of a sink."""

    beaten: float = 0.0
    paused_until: float = 0.0
    trimmed: float = float("-inf")
    blocked: set[str] = field(default_factory=set)


class Delivery:
    """Tells what stands in the outbox, from one process.

    Args:
        sinks: by the names under which events are written.
        worker: names this process.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        events: EventRepository,
        leases: LeaseRepository,
        sinks: Mapping[str, Sink],
        bounds: Bounds,
        worker: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._events = events
        self._leases = leases
        self._sinks = sinks
        self._bounds = bounds
        self._worker = worker
        self._clock = clock
        self._states = {name: _State() for name in sinks}
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start a thread for each sink; called in each process after it forked."""
        for name in self._sinks:
            thread = threading.Thread(
                target=self._run_on, args=(name,), name=f"events-{name}", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Return when nothing is told any more; what is left waits in the outbox."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def run_once(self, name: str) -> int:
        """Tell a sink what is due, if nobody else does; say how many events."""
        state = self._states[name]
        now = self._clock()
        if now - state.trimmed >= TRIM_S:
            state.trimmed = now
            self._trim(name)
        if now < state.paused_until:
            return 0
        told, state.blocked = 0, set()
        while page := self._events.pending(name, PAGE):
            if self._stopped.is_set() or not self._hold(name):
                break
            fresh = self._tell(name, page)
            told += fresh
            if not fresh or self._clock() < state.paused_until:
                break
        return told

    def _run_on(self, name: str) -> None:
        """Tell until the end; the border at which nothing may escape."""
        while not self._stopped.wait(POLL_S):
            try:
                self.run_once(name)
            except Exception:
                log.exception("events could not be told; they will be again")

    def _hold(self, name: str) -> bool:
        """Return whether this process is the one that tells, renewing its lease."""
        state, lease, now = self._states[name], f"events-{name}", self._clock()
        if state.beaten and now - state.beaten < BEAT_S:
            return True
        if self._leases.holder(lease) in (None, self._worker()):
            state.beaten = now if self._leases.take(lease, self._worker()) else 0.0
            return bool(state.beaten)
        state.beaten = 0.0
        return False

    def _tell(self, name: str, page: Sequence[PendingEvent]) -> int:
        sink, state, told = self._sinks[name], self._states[name], 0
        waiting = [event for event in page if event.image_id not in state.blocked]
        while waiting and self._hold(name):
            batch, waiting = waiting[: sink.at_once], waiting[sink.at_once :]
            try:
                sink.tell(batch)
            except Undelivered as refusal:
                self._events.remove(*(event.number for event in batch[: refusal.told]))
                told += refusal.told
                self._refused(name, batch[refusal.told], refusal)
                if refusal.is_down:
                    break
                waiting = [e for e in waiting if e.image_id not in state.blocked]
            else:
                self._events.remove(*(event.number for event in batch))
                told += len(batch)
        return told

    def _refused(self, name: str, event: PendingEvent, refusal: Undelivered) -> None:
        """Let an event wait for its next attempt, or give it up."""
        state = self._states[name]
        attempts = event.attempts + 1
        if attempts >= self._bounds.attempts:
            self._events.remove(event.number)
            log.error(
                "an event of image %s is dropped after %d attempts: %s %s",
                event.image_id,
                attempts,
                name,
                refusal,
            )
            return
        pause = min(LONGEST_PAUSE_S, 2.0 ** (attempts - 1))
        # Not all at once, should many wait for the same receiver.
        pause *= random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
        self._events.postpone(event, round(pause * 1_000_000))
        state.blocked.add(event.image_id)
        if refusal.is_down:
            state.paused_until = self._clock() + pause
        log.warning(
            "an event of image %s waits %.1f s: %s %s",
            event.image_id,
            pause,
            name,
            refusal,
        )

    def _trim(self, name: str) -> None:
        age_us, most = self._bounds.age_s * 1_000_000, self._bounds.most
        old, surplus = self._events.drop(name, age_us, most)
        if old or surplus:
            log.error(
                "%d events are dropped: %d too old, %d too many, for the %s",
                old + surplus,
                old,
                surplus,
                name,
            )


def is_teller_gone(worker: str, beat_at_us: int) -> bool:
    """Return whether the process that held a sink's lease is no more."""
    return is_gone(worker, beat_at_us, SILENCE_S)
