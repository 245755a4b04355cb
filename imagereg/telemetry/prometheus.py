"""Numbers for Prometheus, of all processes of the server together.

Each process writes its numbers into files of its own, which whichever process is
asked adds up.  The files are in a directory of this run of the server, so none of an
earlier run can be counted, and the next start removes what a killed one left.

No label holds what a client chose: paths are those of the table of routes, rules
those of the policy files, methods those of HTTP.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from imagereg.meters import Backlog, Meters
from imagereg.occasion import Occasion
from imagereg.settings import Settings

#: Seconds; a small answer takes a millisecond, an upload may take an hour.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300, 3600)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PREFIX = "imagereg-metrics-"
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def open_meters(settings: Settings) -> Meters:
    """Return what counts, if the operator wants it; called before any fork."""
    if not settings.imagereg.metrics:
        return Meters()
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    atexit.register(_remove, folder, os.getpid())
    # The library reads this once, when it is imported, and knows no other way.
    os.environ[_VARIABLE] = str(folder)
    import prometheus_client

    return PrometheusMeters(prometheus_client)


def forget_process(pid: int) -> None:
    """Take back what a process that is gone had under way; what it counted stays."""
    if _VARIABLE in os.environ:
        from prometheus_client import multiprocess

        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call] # untyped in part


class PrometheusMeters(Meters):
    """Counts with `prometheus_client`, over all processes."""

    def __init__(self, library: ModuleType) -> None:
        self._library = library
        # Its own, so that nothing else of the process is told.
        registry = library.CollectorRegistry()
        counter = partial(library.Counter, registry=registry)
        self._requests = counter(
            "imagereg_requests",
            "Requests that were answered.",
            ("method", "route", "status"),
        )
        self._durations = _durations(library, registry)
        self._bytes = counter(
            "imagereg_bytes",
            "Bytes of bodies of requests (in) and answers (out).",
            ("direction", "route"),
        )
        self._denials = counter(
            "imagereg_policy_denials",
            "Requests that a rule refused; (...) are refusals that no rule makes.",
            ("rule",),
        )
        self._store_errors = counter(
            "imagereg_store_errors", "Calls that a store failed.", ("store",)
        )
        self._cache = counter(
            "imagereg_cache_lookups",
            "Downloads that the image cache answered (hit) or not (miss).",
            ("result",),
        )
        self._transfers = library.Gauge(
            "imagereg_active_transfers",
            "Uploads (in) and downloads (out) of image data under way.",
            ("direction",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        # Looking a label up takes longer than counting.
        self._answers: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def answered(self, occasion: Occasion) -> None:
        """Note a request that is over."""
        method, template = occasion.method, occasion.template
        key = (method, template, occasion.status)
        found = self._answers.get(key)
        if found is None:
            method = method if method in _METHODS else "other"
            found = (
                self._requests.labels(method, template, occasion.status),
                self._durations.labels(method, template),
            )
            if method != "other":
                self._answers[key] = found
        found[0].inc()
        found[1].observe(occasion.duration_s)
        if occasion.bytes_in:
            self._bytes.labels("in", template).inc(occasion.bytes_in)
        if occasion.bytes_out:
            self._bytes.labels("out", template).inc(occasion.bytes_out)
        if occasion.refused_by != "-":
            self._denials.labels(occasion.refused_by).inc()

    def transfers(self, direction: str, change: int) -> None:
        """Note that image data begin or end to go."""
        self._transfers.labels(direction).inc(change)

    def store_failed(self, store_id: str) -> None:
        """Note that a store did not do what it was asked."""
        self._store_errors.labels(store_id).inc()

    def cache_asked(self, *, is_hit: bool) -> None:
        """Note whether a copy answered a download."""
        self._cache.labels("hit" if is_hit else "miss").inc()

    def page(self, find_backlog: Callable[[], Backlog | None]) -> bytes:
        """Return the numbers of all processes, and those of the queue."""
        library = self._library
        registry = library.CollectorRegistry()
        from prometheus_client import multiprocess

        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # as above
        registry.register(_Queue(find_backlog()))
        page: bytes = library.generate_latest(registry)
        return page


def _durations(library: ModuleType, registry: Any) -> Any:  # noqa: ANN401 - the library is optional
    return library.Histogram(
        "imagereg_request_seconds",
        "From the first byte of a request's head to the last of its answer.",
        ("method", "route"),
        registry=registry,
        buckets=BUCKETS,
    )


class _Queue:
    """What the database says when it is asked, in the library's form."""

    def __init__(self, backlog: Backlog | None) -> None:
        self._backlog = backlog

    def collect(self) -> Iterator[Any]:
        """Yield the numbers; those of the queue only if they are known."""
        from prometheus_client.core import GaugeMetricFamily

        yield GaugeMetricFamily(
            "imagereg_database_up",
            "Whether the database answered.",
            value=self._backlog is not None,
        )
        if self._backlog is None:
            return
        depth = GaugeMetricFamily(
            "imagereg_jobs", "Jobs that wait or run, on all nodes.", labels=["state"]
        )
        depth.add_metric(["waiting"], self._backlog.waiting)
        depth.add_metric(["running"], self._backlog.running)
        yield depth
        yield GaugeMetricFamily(
            "imagereg_jobs_oldest_waiting_seconds",
            "How long the job that waits longest has waited.",
            value=self._backlog.oldest_s,
        )


def _remove(folder: Path, pid: int) -> None:
    # A forked process inherits the note of what is to be done at the end.
    if os.getpid() == pid:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove the directories of servers that did not live to do so."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid = folder.name.removeprefix(_PREFIX).partition("-")[0]
        try:
            is_ours = folder.stat(follow_symlinks=False).st_uid == os.getuid()
        except FileNotFoundError:
            continue  # Another server starts, and was first.
        if pid.isdecimal() and is_ours and not Path(f"/proc/{pid}").exists():
            shutil.rmtree(folder, ignore_errors=True)
