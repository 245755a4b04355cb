"""`imagereg scrub`: delete for good, or bring back, what waits for its deletion."""

import threading
from pathlib import Path

import click

from imagereg.cli.config import config_options
from imagereg.cli.metadefs import open_engine
from imagereg.db.deletions import DeletionRepository
from imagereg.db.leases import LeaseRepository
from imagereg.images.processes import worker_name
from imagereg.images.removal import Removal
from imagereg.images.scrubber import LEASE, Scrubbed, Scrubber, is_scrubber_gone
from imagereg.settings import Settings, load_settings
from imagereg.stores.catalog import StoreCatalog
from imagereg.telemetry.logs import configure_logging

#: How often a daemon that waits says that it lives, in seconds.
BEAT_S = 60.0


@click.command()
@config_options
@click.option("--daemon", is_flag=True, help="Run on, not only once.")
@click.option(
    "--wakeup-time",
    "wakeup_s",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="Time between two runs of a daemon.  [default: wakeup_time, 300]",
)
@click.option(
    "--restore", "image_id", metavar="IMAGE", help="Bring back this image instead."
)
def scrub(
    config_files: tuple[Path, ...],
    config_dirs: tuple[Path, ...],
    *,
    daemon: bool,
    wakeup_s: int | None,
    image_id: str | None,
) -> None:
    """Delete for good what was deleted longer than scrub_time ago.

    That is what `delayed_delete` left; `imagereg serve` does the same every
    wakeup_time.  Exit status: 0 done; 1 something failed, or objects could not be
    removed, which the next run tries again; 2 wrong usage.
    """
    settings = load_settings(config_files, config_dirs)
    base = settings.default
    daemon, image_id = daemon or base.daemon, image_id or base.restore
    if daemon and image_id:
        raise click.UsageError("--restore cannot be given together with --daemon")
    scrubber = _open(settings, config_files, config_dirs)
    if image_id:
        status = scrubber.restore(image_id)
        click.echo(f"{image_id}: {status}")
        return
    with scrubber.alone():
        if daemon:
            configure_logging(settings)
            _run_on(scrubber, wakeup_s or base.wakeup_time)
        done = scrubber.run()
    click.echo(_told(done))
    if done.left:
        raise SystemExit(1)


def _run_on(scrubber: Scrubber, wakeup_s: float) -> None:
    pause = threading.Event()
    while True:
        click.echo(_told(scrubber.run()))
        waited_s = 0.0
        while waited_s < wakeup_s:
            step_s = min(BEAT_S, wakeup_s - waited_s)
            pause.wait(step_s)
            waited_s += step_s
            scrubber.leases.take(LEASE, scrubber.worker())


def _told(done: Scrubbed) -> str:
    return (
        f"{done.images} images and {done.locations} single locations scrubbed, "
        f"{done.left} objects left for the next run"
    )


def _open(
    settings: Settings, config_files: tuple[Path, ...], config_dirs: tuple[Path, ...]
) -> Scrubber:
    engine = open_engine(config_files, config_dirs)
    deletions = DeletionRepository(engine, settings.default.scrub_time)
    stores = StoreCatalog.from_settings(settings, writable=False)
    return Scrubber(
        deletions,
        Removal(deletions, stores, worker_name),
        LeaseRepository(engine, is_scrubber_gone),
        worker_name,
        settings.default.scrub_pool_size,
    )
