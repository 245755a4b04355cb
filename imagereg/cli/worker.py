"""`imagereg worker`: work off the queue, and answer nobody."""

import logging
import queue
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from imagereg.cli.options import takes_config_files
from imagereg.errors import ImageRegError
from imagereg.settings import load_settings

if TYPE_CHECKING:
    from imagereg.app import Registry

log = logging.getLogger(__name__)


@click.command()
@takes_config_files("Configuration file, the one of `imagereg serve`; repeatable.")
@click.option(
    "--grace",
    "grace_s",
    type=click.IntRange(0),
    default=3600,
    show_default=True,
    help="Seconds that running jobs get after SIGTERM; others take up what is left.",
)
def worker(config_files: tuple[Path, ...], grace_s: int) -> None:
    """Import, copy and hash images in the background, in the foreground.

    As many of these as wanted may run, on any node that reaches the database and the
    stores.  `[imagereg] run_jobs = false` leaves all such work to them.

    SIGHUP reads the configuration again; running jobs end with the one they began
    with.
    """
    told: queue.SimpleQueue[int] = queue.SimpleQueue()

    def note(number: int, frame: FrameType | None) -> None:
        told.put(number)

    working = [_Work(_open(config_files, is_first=True))]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    click.echo("imagereg works off the queue")
    while told.get() == signal.SIGHUP:
        try:
            fresh = _open(config_files, is_first=False)
        except ImageRegError as error:
            log.error("the configuration stays as it was: %s", error.message)  # noqa: TRY400 - an operator's fault
            continue
        working[-1].leave(grace_s)
        working = [*(work for work in working if work.is_busy), _Work(fresh)]
        log.info("the configuration was read again")
    for work in working:
        work.leave(grace_s)
    for work in working:
        work.wait()


def _open(config_files: tuple[Path, ...], *, is_first: bool) -> "Registry":
    """Return a registry of the configuration as it is now, and log as it says."""
    settings = load_settings(config_files)
    # Imported here, so that a faulty configuration is told without loading it all.
    from imagereg.app import create_app
    from imagereg.telemetry.logs import configure_logging

    if is_first:
        configure_logging(settings)
    registry = create_app(settings)
    if not is_first:
        # What is faulty changes nothing, the log neither.
        configure_logging(settings)
    return registry


class _Work:
    """What is done under one configuration."""

    def __init__(self, registry: "Registry") -> None:
        self._registry = registry
        self._leaving: threading.Thread | None = None
        self._end_housekeeping = registry.recovery.start()
        registry.jobs.start()
        if registry.events is not None:
            registry.events.start()

    @property
    def is_busy(self) -> bool:
        """Whether jobs still run."""
        return self._leaving is None or self._leaving.is_alive()

    def leave(self, grace_s: int) -> None:
        """Begin nothing more; jobs that run get this long."""
        if self._leaving is None:
            self._registry.jobs.stop()
            self._end_housekeeping()
            self._leaving = threading.Thread(
                target=self._end, args=(grace_s,), name="leaving", daemon=True
            )
            self._leaving.start()

    def wait(self) -> None:
        """Return when all is over."""
        if self._leaving is not None:
            self._leaving.join()

    def _end(self, grace_s: int) -> None:
        self._registry.jobs.wait(grace_s)
        if self._registry.events is not None:
            self._registry.events.stop()
        self._registry.close()
