"""`imagereg-fetch`: what runs on compute nodes.

Source: contract compute-fetch 9.1.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import orjson

from imagereg.cli.fetch_progress import SHOWN, Display
from imagereg.errors import (
    ConfigurationError,
    FetchFailed,
    ImageRegError,
    Invalid,
)
from imagereg.fetch import Choices, FetchConfig, Fetcher, FetchResult, find_access
from imagereg.fetch.config import find_config_files, load_fetch_config
from imagereg.fetch.entries import sha1_name
from imagereg.fetch.placing import COPY, HARDLINK, REFLINK

USAGE, INTERRUPTED = 2, 130

EXIT_STATUS = """\b
Exit status:
  0  done                          6  integrity failure
  2  wrong usage or configuration  7  unsafe or unexpected format
  3  not found, or hidden          8  no space
  4  refused, or deactivated       9  no service answers
  5  no data, or not active       10  lock timeout
"""

Command = Callable[..., None]


def node_options(command: Command) -> Command:
    """Add the options that every command of a node has."""
    for option in reversed(
        (
            click.option(
                "--config",
                "config_files",
                multiple=True,
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="Configuration of the node; repeatable, later files win.",
            ),
            click.option(
                "--cache-dir",
                type=click.Path(file_okay=False, path_type=Path),
                help="Where images are kept.",
            ),
            click.option(
                "--layout",
                type=click.Choice(["native", "compat"]),
                help="How they are kept; see the configuration.",
            ),
            click.option("--json", "as_json", is_flag=True, help="Answer in JSON."),
        )
    ):
        command = option(command)
    return command


def service_options(command: Command) -> Command:
    """Add the options that say which service is asked, and how patiently."""
    for option in reversed(
        (
            click.option("--endpoint", metavar="URL", help="URL of the service."),
            click.option(
                "--os-cloud",
                metavar="NAME",
                help="A cloud of clouds.yaml.  [default: OS_CLOUD]",
            ),
            click.option("--retries", type=click.IntRange(0), help="[default: 3]"),
            click.option(
                "--timeout",
                type=click.IntRange(1),
                help="Seconds that a connection may stay silent.  [default: 60]",
            ),
        )
    ):
        command = option(command)
    return command


_WAY = (
    click.option(
        "--direct",
        type=click.Choice(["auto", "never", "only"]),
        default="auto",
        show_default=True,
        help="Read shared file systems directly.",
    ),
    click.option(
        "--verify",
        type=click.Choice(["hash", "size", "none"]),
        default="hash",
        show_default=True,
        help="What of the data is compared.",
    ),
    click.option(
        "--signature",
        type=click.Choice(["require", "if-present", "off"]),
        default="if-present",
        show_default=True,
        help="Check signatures; without --certificates only `require` does.",
    ),
    click.option(
        "--certificates",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="PEM files <uuid>.pem of those whose signatures count.",
    ),
    click.option(
        "--format",
        "disk_format",
        type=click.Choice(["raw", "qcow2", "keep"]),
        help="Convert what came.  [default: keep; raw in layout compat]",
    ),
    click.option("--no-inspect", is_flag=True, help="Believe the disk format."),
    click.option(
        "--resume/--no-resume",
        default=True,
        show_default=True,
        help="Go on where an earlier call stopped.",
    ),
    click.option(
        "--connections",
        type=click.IntRange(1, 8),
        default=1,
        show_default=True,
        help="Ranges of an image to fetch at once.",
    ),
    click.option(
        "--limit-rate",
        type=click.IntRange(0),
        default=0,
        help="Bytes in a second, at most.",
    ),
    click.option(
        "--min-free", type=click.IntRange(0), help="Bytes that must stay free."
    ),
)


def way_options(command: Command) -> Command:
    """Add the options that say how images come."""
    for option in reversed(_WAY):
        command = option(command)
    return command


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option(
    "--dest",
    type=click.Path(path_type=Path),
    help="Put one image there, instead of into the cache.",
)
@click.option("--cache", is_flag=True, help="Put images into the cache (the default).")
@click.option(
    "--hardlink",
    "place",
    flag_value=HARDLINK,
    help="Have the image in the cache, and --dest as a second name of its file.",
)
@click.option(
    "--reflink",
    "place",
    flag_value=REFLINK,
    help="The same, sharing blocks; a copy where the file system cannot.",
)
@click.option("--copy", "place", flag_value=COPY, help="The same, sharing nothing.")
@click.option(
    "--progress",
    type=click.Choice(SHOWN),
    default="auto",
    show_default=True,
    help="How far it is: on the terminal, line by line in a log, or as JSON lines.",
)
@node_options
@service_options
@way_options
@click.version_option(package_name="imagereg")
@click.pass_context
def fetch(
    context: click.Context,
    /,
    images: Sequence[str],
    dest: Path | None,
    cache: bool,
    **options: Any,  # noqa: ANN401 - click checks them
) -> None:
    """Get images to this node, verified, and print where each lies.

    An image that is in the cache already is not fetched again.  Called again after a
    failure, the command goes on where it stopped.

    The service is that of --endpoint, of the configuration, of
    OS_IMAGE_ENDPOINT_OVERRIDE, OS_IMAGE_URL or OS_ENDPOINT, or of Keystone's
    catalogue.  The caller is that of the cloud that --os-cloud or OS_CLOUD names, or
    of the OS_ variables: a password or an application credential with OS_AUTH_URL,
    OS_TOKEN, or OS_AUTH_TYPE=http_basic with OS_USERNAME and OS_PASSWORD.

    More: `imagereg-fetch cache --help` looks after the images of this node,
    `imagereg-fetch prefetch --help` gets those of a list, `imagereg-fetch completion
    --help` lets a shell complete all this.
    """
    if dest is not None and (cache or len(images) > 1):
        raise click.UsageError("--dest takes one image, and no --cache")
    if dest is None and options["place"]:
        raise click.UsageError(f"--{options['place']} needs --dest")
    display = Display(options["progress"], as_json=options["as_json"])
    try:
        fetcher = make_fetcher(options, choices_of(options))
        status = 0
        for image in images:
            status = status or fetch_one(fetcher, image, dest, display)
    except ImageRegError as error:
        status = tell(error)
    except KeyboardInterrupt:
        click.echo("imagereg-fetch: interrupted; the same command goes on", err=True)
        status = INTERRUPTED
    context.exit(status)


def fetch_one(fetcher: Fetcher, image: str, dest: Path | None, display: Display) -> int:
    """Get one image, tell of it, and return the exit status."""
    begun = time.monotonic()
    try:
        with display.of(image) as listen:
            result = fetcher.fetch(image, dest, progress=listen)
    except ImageRegError as error:
        if display.is_json:
            status = status_of(error)
            show_json(
                event="error", image=image, error=error.message, exit_status=status
            )
        return tell(error)
    display.close(image, result, time.monotonic() - begun)
    if display.is_json:
        show_json(**summary(image, result, time.monotonic() - begun))
    else:
        click.echo(result.path)
    return 0


def summary(image: str, result: FetchResult, seconds: float) -> dict[str, object]:
    """Return the last line that machines read of one image."""
    return {
        "event": "done",
        "image": image,
        "path": str(result.path),
        "sha1": sha1_name(image.lower()),
        "bytes": result.size,
        "seconds": round(seconds, 3),
        "source": result.source,
        "verified": result.verified,
    }


def show_json(**line: object) -> None:
    """Write one line for machines."""
    click.echo(orjson.dumps(line).decode())


def status_of(error: ImageRegError) -> int:
    """Return the exit status that a failure has."""
    if isinstance(error, FetchFailed):
        return error.exit_status
    return USAGE if isinstance(error, (Invalid, ConfigurationError)) else 1


def tell(error: ImageRegError) -> int:
    """Write what went wrong, and return the exit status."""
    lines = error.faults if isinstance(error, ConfigurationError) else (error.message,)
    for line in lines:
        click.echo(f"imagereg-fetch: {line}", err=True)
    return status_of(error)


def make_fetcher(options: Mapping[str, Any], choices: Choices | None = None) -> Fetcher:
    """Return what gets images, as the options, files and environment say.

    Raises:
        Invalid, ConfigurationError: they say nothing useful.
    """
    config = load_config(options)
    access = find_access(os.environ, options["os_cloud"], float(config.glance.timeout))
    glance = config.glance
    if access.trust is not None:
        is_insecure = glance.insecure or not access.trust.verify
        ca_file = access.trust.ca_file or glance.cafile
        glance = replace(glance, insecure=is_insecure, cafile=ca_file)
    if glance.insecure:
        click.echo("imagereg-fetch: certificates are not checked", err=True)
    if not config.endpoints:
        glance = replace(glance, endpoint_override=access.endpoint)
    return Fetcher(replace(config, glance=glance), access.auth, choices)


def choices_of(options: Mapping[str, Any]) -> Choices:
    """Return what `way_options` say."""
    return Choices(
        direct=options["direct"],
        verify=options["verify"],
        signature=options["signature"],
        certificates=options["certificates"],
        resume=options["resume"],
        format=options["disk_format"],
        inspect=not options["no_inspect"],
        connections=options["connections"],
        limit_rate=options["limit_rate"],
        min_free=options["min_free"],
        place=options.get("place"),
    )


def load_config(options: Mapping[str, Any]) -> FetchConfig:
    """Return the node's configuration, with what the command line puts above it.

    Raises:
        ConfigurationError: with all its faults.
    """
    asked = {
        ("glance", "endpoint_override"): options.get("endpoint"),
        ("glance", "num_retries"): options.get("retries"),
        ("glance", "timeout"): options.get("timeout"),
        ("glance", "cafile"): os.environ.get("OS_CACERT"),
        ("image_cache", "layout"): options["layout"],
    }
    texts = {name: str(value) for name, value in asked.items() if value is not None}
    files = find_config_files(options["config_files"], os.environ)
    config = load_fetch_config(files, texts)
    if options["cache_dir"] is None:
        return config
    folder = options["cache_dir"].absolute()
    if config.cache.layout == "native":
        return replace(config, cache=replace(config.cache, cache_dir=folder))
    compat = replace(
        config.cache, instances_path=folder.parent, subdirectory_name=folder.name
    )
    return replace(config, cache=compat)
