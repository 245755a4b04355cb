"""Whether this node can serve: its database and its stores, asked with a deadline.

Each part is asked by at most one thread at a time, however many want to know and
however long it takes: a store that hangs keeps one thread, and no answer waits for it
beyond the deadline.  Knows no HTTP.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from imagereg.db.engine import Engine
from imagereg.errors import ImageRegError
from imagereg.stores.catalog import StoreCatalog

log = logging.getLogger(__name__)

#: What was found is true for so long, in seconds; impatient balancers cost nothing.
FRESH_S = 1.0


class State(StrEnum):
    """What became of asking a part."""

    OK = "ok"
    FAILED = "failed"
    SILENT = "no answer in time"


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one part.

    Attributes:
        needed: without it the node cannot serve.
        reason: why it failed, in words that are fit for users.
        took_s: how long it took to answer, or is silent by now.
    """

    part: str
    state: State
    needed: bool
    reason: str = ""
    took_s: float = 0.0

    @property
    def is_bad(self) -> bool:
        """Whether the node is not ready because of this."""
        return self.needed and self.state is not State.OK


class Probe:
    """One part, and how it is asked.

    Args:
        ask: returns when the part answers; raises `ImageRegError` when it fails.
    """

    def __init__(
        self, part: str, ask: Callable[[], None], *, needed: bool = True
    ) -> None:
        self.part = part
        self._ask = ask
        self._needed = needed
        self._lock = threading.Lock()
        self._answered = threading.Event()
        self._begun_s = 0.0
        self._is_running = False
        self._found: Finding | None = None
        self._found_at_s = float("-inf")

    def start(self) -> None:
        """Ask, unless that was just done or is being done."""
        with self._lock:
            now = time.monotonic()
            if self._is_running or now - self._found_at_s < FRESH_S:
                return
            self._is_running = True
            self._begun_s = now
            self._answered.clear()
        threading.Thread(target=self._run, name="readiness", daemon=True).start()

    def wait(self, deadline_s: float) -> Finding:
        """Return what was found, or that nothing was until the deadline."""
        self._answered.wait(max(0.0, deadline_s - time.monotonic()))
        with self._lock:
            if self._found is not None and not self._is_running:
                return self._found
            took_s = time.monotonic() - self._begun_s
        return Finding(self.part, State.SILENT, self._needed, "", took_s)

    def _run(self) -> None:
        reason = "it failed in an unexpected way"
        state = State.FAILED
        try:
            self._ask()
            state, reason = State.OK, ""
        except ImageRegError as error:
            reason = error.message
        except Exception:
            log.exception("%s could not be asked", self.part)
        with self._lock:
            now = time.monotonic()
            found = Finding(self.part, state, self._needed, reason, now - self._begun_s)
            self._tell(found)
            self._found, self._found_at_s = found, now
            self._is_running = False
            self._answered.set()

    def _tell(self, found: Finding) -> None:
        """Log what changed since the last time; nobody needs to hear it twice."""
        before = self._found.state if self._found else State.OK
        if found.state == before:
            return
        if found.state is State.OK:
            log.info("%s answers again", self.part)
        else:
            log.warning("%s does not answer: %s", self.part, found.reason)


class Readiness:
    """Asks all parts at once.

    Args:
        deadline_s: no answer is waited for any longer, all parts together.
    """

    def __init__(self, probes: Iterable[Probe], deadline_s: float) -> None:
        self._probes = tuple(probes)
        self._deadline_s = deadline_s

    def look(self, *, only: str = "") -> tuple[Finding, ...]:
        """Return what is found of the parts whose names begin with ``only``."""
        probes = [each for each in self._probes if each.part.startswith(only)]
        deadline_s = time.monotonic() + self._deadline_s
        for probe in probes:
            probe.start()
        return tuple(probe.wait(deadline_s) for probe in probes)


#: The names of parts: the first, and how the others begin.
DATABASE = "database"
STORE = "store "


def make_readiness(
    engine: Engine,
    stores: StoreCatalog,
    optional: Iterable[str],
    deadline_s: float,
) -> Readiness:
    """Return what asks the database and every store.

    The node serves all the same without those stores whose ids are ``optional``.
    """

    def ask_database() -> None:
        try:
            engine.check()
        finally:
            # The connection is the thread's own, and the thread ends.
            engine.close()

    spared = set(optional) - {stores.default.id}
    asked = {store.id: store for store in (*stores, *stores.reserved.values())}
    probes = [
        Probe(f"{STORE}{store.id}", store.check, needed=store.id not in spared)
        for store in asked.values()
    ]
    return Readiness([Probe(DATABASE, ask_database), *probes], deadline_s)
