"""`imagereg serve`: run the server."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagereg.cli.options import takes_config_files
from imagereg.errors import ConfigurationError
from imagereg.settings import Settings, load_settings

if TYPE_CHECKING:
    from imagereg.app import Registry

DEFAULT_HOST = "127.0.0.1"


@click.command()
@takes_config_files("Configuration file, in the form of glance-api.conf; repeatable.")
@click.option("--host", help="Address to listen on.  [default: bind_host, 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port.  [default: 9292]")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes.  [default: one per core]"
)
@click.option(
    "--grace",
    "grace_s",
    type=click.IntRange(0),
    default=3600,
    show_default=True,
    help="Seconds that running transfers get after SIGTERM.",
)
def serve(
    config_files: tuple[Path, ...],
    host: str | None,
    port: int | None,
    workers: int | None,
    grace_s: int,
) -> None:
    """Run the server in the foreground.

    Without a configuration file it keeps everything under ./state, asks nobody for
    an identity and listens on the loopback address alone.

    SIGHUP reads the configuration again without an interruption; address, port and
    number of processes stay.  SIGTERM stops when running transfers have ended.
    """
    settings = load_settings(config_files)
    # Imported here, so that a faulty configuration is told without loading a server.
    from imagereg.app import create_app
    from imagereg.server import Listen, check_exposure
    from imagereg.server import serve as run
    from imagereg.telemetry.logs import configure_logging

    configure_logging(settings)
    address = host or settings.default.bind_host or DEFAULT_HOST
    registry = _opened(settings, address)
    listen = Listen(
        address,
        settings.default.bind_port if port is None else port,
        workers or settings.default.workers,
        grace_s,
    )

    def reopen() -> tuple["Registry", Settings]:
        fresh = load_settings(config_files)
        check_exposure(fresh, address)
        again = create_app(fresh, registry.meters)
        configure_logging(fresh)
        return again, fresh

    run(registry, settings, listen, reopen)


def _opened(settings: Settings, address: str) -> "Registry":
    """Return the registry, or tell all that is wrong with it and its address."""
    from imagereg.app import create_app
    from imagereg.server import check_exposure
    from imagereg.telemetry.prometheus import open_meters

    faults: list[str] = []
    try:
        check_exposure(settings, address)
    except ConfigurationError as error:
        faults += error.faults
    try:
        registry = create_app(settings, open_meters(settings))
    except ConfigurationError as error:
        faults += error.faults
    if faults:
        raise ConfigurationError(faults)
    return registry
