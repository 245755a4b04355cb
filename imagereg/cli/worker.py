"""`imagereg worker`: work off the queue, and answer nobody."""

import signal
import threading
from pathlib import Path
from types import FrameType

import click

from imagereg.settings import load_settings


@click.command()
@click.option(
    "--config",
    "--config-file",
    "config_files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Configuration file, the one of `imagereg serve`; repeatable.",
)
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
    """
    settings = load_settings(config_files)
    # Imported here, so that a faulty configuration is told without loading it all.
    from imagereg.app import create_app
    from imagereg.telemetry.logs import configure_logging

    configure_logging(settings)
    registry = create_app(settings)
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    registry.recovery.start()
    registry.jobs.start()
    if registry.events is not None:
        registry.events.start()
    click.echo("imagereg works off the queue")
    stopped.wait()
    registry.jobs.stop()
    registry.jobs.wait(grace_s)
