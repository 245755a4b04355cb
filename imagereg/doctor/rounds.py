"""Rounds: all objects are read again, slowly, as long as the service lives.

Disks lose bits without a word, so what nobody reads for years is found damaged when
it is wanted.  One process does the rounds for all, at a rate that leaves the stores
to their users, and starts with what was not looked at for longest.

Source: issue 6, on the continuous low-rate scrub.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagereg.db.inventory import Inventory
from imagereg.db.leases import LeaseRepository
from imagereg.doctor.findings import Kind
from imagereg.doctor.verification import Verification
from imagereg.model import now_us

log = logging.getLogger(__name__)

#: The lease of the process that does the rounds.
LEASE = "rounds"

#: How often it is looked whether anything is due, and the lease renewed, in seconds.
LOOK_S = 60.0

DAY_US = 24 * 3600 * 1_000_000


class Pace:
    """Slows reading down to a rate.

    Args:
        bytes_per_s: how many on average.
        beat: called now and then while reading lasts.
        sleep: a test has its own.
    """

    def __init__(
        self,
        bytes_per_s: int,
        beat: Callable[[], object],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._beat = beat
        self._sleep = sleep
        self._beaten_s = time.monotonic()

    def __call__(self, size: int) -> None:
        """Take the time that ``size`` bytes may take."""
        self._sleep(size / self._rate)
        if time.monotonic() - self._beaten_s > LOOK_S / 2:
            self._beaten_s = time.monotonic()
            self._beat()


@dataclass(frozen=True, slots=True)
class Rounds:
    """Reads what is due, records when it was found good, and logs what was not.

    Attributes:
        mib_per_s: how fast to read (``verify_rate``); 0 does no rounds.
        interval_days: how long an object may go unread (``verify_interval``).
    """

    inventory: Inventory
    verification: Verification
    leases: LeaseRepository
    worker: Callable[[], str]
    mib_per_s: int = 0
    interval_days: int = 30

    def start(self) -> None:
        """Do the rounds in a thread of this process, unless they are off."""
        if self.mib_per_s:
            threading.Thread(target=self._run_on, name="rounds", daemon=True).start()

    def run(self) -> int:
        """Read all that is due, if no other process does; say how many objects."""
        worker, read = self.worker(), 0
        if not self.leases.take(LEASE, worker):
            return 0
        pace = Pace(self.mib_per_s << 20, lambda: self.leases.take(LEASE, worker))
        try:
            while self._read_next(pace):
                read += 1
        finally:
            self.leases.give_back(LEASE, worker)
        return read

    def _read_next(self, pace: Pace) -> bool:
        """Read what was not looked at for longest; return whether anything is due."""
        due_us = now_us() - self.interval_days * DAY_US
        each = self.inventory.find_due(due_us)
        if each is None:
            return False
        number = each.location.id or 0
        finding = self.verification.examine(each, pace)
        if finding is None:
            self.inventory.note(number, None)
        elif not self.inventory.has_changed(each):
            self.inventory.note(number, finding.kind.value)
            level = (
                logging.WARNING if finding.kind is Kind.UNREADABLE else logging.ERROR
            )
            what = (each.image_id, finding.store, finding.kind.value, finding.detail)
            log.log(level, "image %s: its object in store %s is bad: %s %s", *what)
        return True

    def _run_on(self) -> None:
        """Do the rounds for ever; the border at which nothing may escape."""
        pause = threading.Event()
        while not pause.wait(LOOK_S):
            try:
                self.run()
            except Exception:
                log.exception("the rounds were cut short; they begin again")
