"""`imagereg upload`: a file to a registry, from where an earlier call stopped."""

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from imagereg.client.credentials import find_credentials, find_endpoint
from imagereg.client.localfile import LocalFile
from imagereg.client.records import Wanted
from imagereg.client.session import Session, Trust
from imagereg.client.upload import Upload, Way
from imagereg.errors import (
    DataDiffer,
    FileChanged,
    ImageRegError,
    ImportFailed,
    RegistryUnreachable,
)

MIB = 1024 * 1024

#: Failure -> exit status; any other one is 1.
STATUS: Mapping[type[ImageRegError], int] = MappingProxyType(
    {RegistryUnreachable: 3, FileChanged: 4, ImportFailed: 5, DataDiffer: 6}
)

INTERRUPTED = 130

#: What a file's suffix says of its format.
FORMATS: Mapping[str, str] = MappingProxyType(
    {
        ".qcow2": "qcow2",
        ".vmdk": "vmdk",
        ".vdi": "vdi",
        ".vhd": "vhd",
        ".vhdx": "vhdx",
        ".iso": "iso",
    }
)


class _Teller:
    """Progress on standard error: a bar for people, lines for everybody else."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("sending"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._progress.add_task("sending", visible=False)

    def __enter__(self) -> "_Teller":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Write a line."""
        if not self._quiet:
            self._progress.console.print(text, markup=False)

    def begin(self, present: int, total: int) -> None:
        """Show the bar, and tell where it begins."""
        self._progress.update(self._task, completed=present, total=total, visible=True)
        if present:
            self.say(f"{present} of {total} bytes are there already")

    def advance(self, count: int) -> None:
        """Move the bar."""
        self._progress.update(self._task, advance=count)


Command = Callable[..., None]


def connection_options(command: Command) -> Command:
    """Add the options that say which registry is meant, and who is calling."""
    for option in reversed(
        (
            click.option("--endpoint", help="URL of the registry.", metavar="URL"),
            click.option("--token", help="Token of the caller.", metavar="TOKEN"),
            click.option(
                "--header",
                "headers",
                multiple=True,
                metavar="'NAME: VALUE'",
                help="Header to send with each request; repeatable.",
            ),
            click.option(
                "--cacert",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                envvar="OS_CACERT",
                help="Authorities to trust instead of the system's.  [env: OS_CACERT]",
            ),
            click.option("--insecure", is_flag=True, help="Believe any certificate."),
        )
    ):
        command = option(command)
    return command


def image_options(command: Command) -> Command:
    """Add the options that say what the image shall be."""
    for option in reversed(
        (
            click.option("--image", help="An image that is there, by its id."),
            click.option("--name", help="Name of the image.  [default: the file's]"),
            click.option(
                "--disk-format", help="[default: by the file's suffix, or raw]"
            ),
            click.option("--container-format", default="bare", show_default=True),
            click.option(
                "--visibility",
                type=click.Choice(["private", "shared", "community", "public"]),
            ),
            click.option(
                "--property",
                "properties",
                multiple=True,
                metavar="NAME=VALUE",
                help="Property of the image; repeatable.",
            ),
            click.option("--tag", "tags", multiple=True, help="Tag; repeatable."),
            click.option(
                "--new", is_flag=True, help="Never go on with an earlier upload."
            ),
        )
    ):
        command = option(command)
    return command


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@connection_options
@image_options
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Requests at once.",
)
@click.option(
    "--part-size",
    type=click.IntRange(1),
    default=64,
    show_default=True,
    help="MiB in each request.",
)
@click.option(
    "--store", "stores", multiple=True, help="Store of the image; repeatable."
)
@click.option(
    "--retry-for",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="Seconds to go on asking a registry that does not answer.",
)
@click.option(
    "--wait-for",
    type=click.IntRange(0),
    default=3600,
    show_default=True,
    help="Seconds that the import may take.",
)
@click.option("--no-import", is_flag=True, help="Leave the data staged.")
@click.option("--quiet", is_flag=True, help="Write nothing but the id and failures.")
@click.pass_context
def upload(context: click.Context, /, **options: Any) -> None:  # noqa: ANN401 - click checks them
    """Upload FILE in parts, have it imported, and compare the image with it.

    Called again, it goes on where it stopped, whatever stopped it: what is there
    already is asked of the registry and compared with the file.  The id of the image
    is written to standard output.

    The registry is that of --endpoint, or of OS_IMAGE_ENDPOINT_OVERRIDE,
    OS_IMAGE_URL or OS_ENDPOINT.  The caller is that of --token or --header, of
    OS_TOKEN, or of OS_USERNAME and OS_PASSWORD with OS_AUTH_TYPE=http_basic.

    Exit status: 0 the image is active and has the bytes of the file; 1 refused; 2
    wrong usage; 3 the registry does not answer; 4 the file is not the one whose
    beginning is there; 5 the import failed; 6 the image has other bytes; 130
    interrupted.
    """
    way = Way(
        part_bytes=options["part_size"] * MIB,
        parallel=options["parallel"],
        stores=options["stores"],
        import_=not options["no_import"],
        wait_s=options["wait_for"],
    )
    try:
        with ExitStack() as ends:
            local = ends.enter_context(LocalFile(options["file"]))
            session = open_session(options)
            ends.callback(session.close)
            teller = ends.enter_context(_Teller(quiet=options["quiet"]))
            image = Upload(session, local, way, teller).run(describe(options))
    except KeyboardInterrupt:
        click.echo("imagereg: interrupted; the same command goes on", err=True)
        context.exit(INTERRUPTED)
    except ImageRegError as error:
        click.echo(f"imagereg: {error.message}", err=True)
        context.exit(STATUS.get(type(error), 1))
    click.echo(image["id"])


def open_session(options: Mapping[str, Any]) -> Session:
    """Return the conversation with the registry that the options name."""
    if options["insecure"]:
        click.echo("imagereg: certificates are not checked", err=True)
    return Session(
        find_endpoint(options["endpoint"], os.environ),
        find_credentials(options["token"], options["headers"], os.environ),
        Trust(options["cacert"], verify=not options["insecure"]),
        patience_s=options["retry_for"],
        connections=options["parallel"] + 1,
    )


def describe(options: Mapping[str, Any]) -> Wanted:
    """Return the image that the options describe."""
    file: Path = options["file"]
    by_suffix = FORMATS.get(file.suffix.lower(), "raw")
    fields: dict[str, object] = {
        "name": options["name"] or file.name,
        "disk_format": options["disk_format"] or by_suffix,
        "container_format": options["container_format"],
    }
    if options["visibility"]:
        fields["visibility"] = options["visibility"]
    if options["tags"]:
        fields["tags"] = list(options["tags"])
    for text in options["properties"]:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"`{text}` is not NAME=VALUE")
        fields[name] = value
    return Wanted(options["image"], fields, fresh=options["new"])
