"""`imagereg-fetch cache` and `imagereg-fetch prefetch`.

Source: contract compute-fetch 9.1, C-10.
"""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from imagereg.cli.completion import answer_shell, fetch_completion
from imagereg.cli.examples import explain_fetch
from imagereg.cli.fetch import (
    EXIT_STATUS,
    choices_of,
    fetch,
    load_config,
    make_fetcher,
    node_options,
    service_options,
    show_json,
    status_of,
    tell,
    way_options,
)
from imagereg.errors import FetchFailed, ImageRegError
from imagereg.fetch.entries import Entry, Notes
from imagereg.fetch.fetcher import Fetcher
from imagereg.fetch.upkeep import Removal, Upkeep

Options = Any

#: What an interval of 0 stands for.
SHORTEST_INTERVAL_S = 60


@click.group()
def cache() -> None:
    """Look after the images that this node keeps."""


@cache.command("list")
@node_options
@click.pass_context
def list_images(context: click.Context, /, **options: Options) -> None:
    """List the images."""
    with _Failing(context):
        entries = _upkeep(options).entries()
    if options["as_json"]:
        for entry, notes in entries:
            show_json(**_line(entry, notes))
        return
    table = Table("image", "format", "size", "source", "verified", "pinned", box=None)
    for _, notes in entries:
        table.add_row(
            notes.id,
            notes.kept_format,
            decimal(notes.kept_size),
            notes.source,
            "yes" if notes.verified else "no",
            "yes" if notes.pinned else "",
        )
    Console().print(table)


@cache.command()
@click.argument("image")
@node_options
@click.pass_context
def show(context: click.Context, /, image: str, **options: Options) -> None:
    """Show all that is known of an image."""
    with _Failing(context):
        line = _line(*_upkeep(options).show(image))
    if options["as_json"]:
        show_json(**line)
        return
    for name, value in line.items():
        click.echo(f"{name}: {value}")


@cache.command()
@click.argument("images", nargs=-1, metavar="[IMAGE...]")
@node_options
@click.pass_context
def verify(
    context: click.Context, /, images: Sequence[str], **options: Options
) -> None:
    """Read images, all by default, and put those aside that are damaged."""
    if not images:
        with _Failing(context):
            images = [notes.id for _, notes in _upkeep(options).entries()]
    _each(context, images, Upkeep.verify, "intact", options)


@cache.command()
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@click.option(
    "--check-service",
    is_flag=True,
    help="Remove unused images that the service has no more.",
)
@click.option(
    "--forever", is_flag=True, help="Do it again every [image_cache] manager_interval."
)
@node_options
@service_options
@click.pass_context
def gc(
    context: click.Context,
    /,
    dry_run: bool,
    check_service: bool,
    forever: bool,
    **options: Options,
) -> None:
    """Remove what is not used for too long, then what is too much."""
    with _Failing(context):
        interval_s = load_config(options).cache.manager_interval
        upkeep = _upkeep(options)
        is_gone = make_fetcher(options).is_gone if check_service else None
        while not forever or interval_s >= 0:
            try:
                removed = upkeep.collect(dry_run=dry_run, is_gone=is_gone)
                _show_removed(removed, as_json=options["as_json"])
            except FetchFailed as error:
                if not forever:
                    raise
                tell(error)
            if not forever:
                return
            time.sleep(interval_s or SHORTEST_INTERVAL_S)


def _show_removed(removed: Iterable[Removal], *, as_json: bool) -> None:
    for each in removed:
        if as_json:
            show_json(path=str(each.path), why=each.why, bytes=each.size)
        else:
            click.echo(f"{each.path}: {each.why}, {decimal(each.size)}")


@cache.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@node_options
@click.pass_context
def pin(context: click.Context, /, images: Sequence[str], **options: Options) -> None:
    """Keep images, however long nobody uses them."""
    _each(context, images, _pin, "pinned", options)


@cache.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@node_options
@click.pass_context
def unpin(context: click.Context, /, images: Sequence[str], **options: Options) -> None:
    """Keep images no longer than others."""
    _each(context, images, _unpin, "unpinned", options)


@cache.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--dry-run", is_flag=True, help="Remove nothing; say what would go.")
@node_options
@click.pass_context
def rm(
    context: click.Context,
    /,
    images: Sequence[str],
    dry_run: bool,
    **options: Options,
) -> None:
    """Remove images that are neither pinned nor used."""

    def remove(upkeep: Upkeep, image_id: str) -> None:
        upkeep.remove(image_id, dry_run=dry_run)

    word = "could be removed" if dry_run else "removed"
    _each(context, images, remove, word, options)


def _pin(upkeep: Upkeep, image_id: str) -> None:
    upkeep.pin(image_id, pinned=True)


def _unpin(upkeep: Upkeep, image_id: str) -> None:
    upkeep.pin(image_id, pinned=False)


@click.command()
@click.argument("file", type=click.File("r"), metavar="FILE|-")
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    help="Images at once.  [default: precache_concurrency]",
)
@node_options
@service_options
@way_options
@click.pass_context
def prefetch(
    context: click.Context,
    /,
    file: IO[str],
    parallel: int | None,
    **options: Options,
) -> None:
    """Have the images of a list, one id on each line, in the cache.

    For each image `cached`, `existing` or `error` is written; lines that begin with
    `#` are comments.
    """
    with _Failing(context):
        images = list(dict.fromkeys(_ids(file)))
        fetcher = make_fetcher(options, choices_of(options))
        threads = parallel or load_config(options).cache.precache_concurrency
    with ThreadPoolExecutor(threads) as pool:
        outcomes = pool.map(lambda image: _prefetch_one(fetcher, image), images)
        statuses = [
            _show_outcome(image, outcome, as_json=options["as_json"])
            for image, outcome in zip(images, outcomes, strict=True)
        ]
    context.exit(next((status for status in statuses if status), 0))


def _ids(file: Iterable[str]) -> Iterable[str]:
    lines = (line.strip() for line in file)
    return (line for line in lines if line and not line.startswith("#"))


def _prefetch_one(fetcher: Fetcher, image: str) -> Path | ImageRegError | None:
    """Return the path of an image that came, None if it was there, or the failure."""
    try:
        result = fetcher.fetch(image)
    except ImageRegError as error:
        return error
    return None if result.source == "cache" else result.path


def _show_outcome(
    image: str, outcome: Path | ImageRegError | None, *, as_json: bool
) -> int:
    """Write one result, and return the exit status that it asks for."""
    if isinstance(outcome, ImageRegError):
        line = {"result": "error", "error": outcome.message}
    else:
        line = {"result": "existing" if outcome is None else "cached"}
    if as_json:
        show_json(image=image, **line)
    else:
        click.echo(" ".join((image, *line.values())))
    return status_of(outcome) if isinstance(outcome, ImageRegError) else 0


class _Failing:
    """Ends the command with the status of an expected failure."""

    def __init__(self, context: click.Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, ImageRegError):
            self._context.exit(tell(error))


def _upkeep(options: Options) -> Upkeep:
    return Upkeep(load_config(options).cache)


def _line(entry: Entry, notes: Notes) -> dict[str, Any]:
    return {"path": str(entry.path), **asdict(notes)}


def _each(
    context: click.Context,
    images: Sequence[str],
    act: Callable[[Upkeep, str], None],
    word: str,
    options: Options,
) -> None:
    """Do something to each image; the first failure decides how the command ends."""
    status = 0
    with _Failing(context):
        upkeep = _upkeep(options)
    for image in images:
        try:
            act(upkeep, image)
        except ImageRegError as error:
            status = status or status_of(error)
            tell(error)
            continue
        if options["as_json"]:
            show_json(image=image, result=word)
        else:
            click.echo(f"{image} {word}")
    context.exit(status)


#: Words that stand where images do otherwise.
COMMANDS: Mapping[str, click.Command] = {
    "cache": cache,
    "prefetch": prefetch,
    "completion": fetch_completion,
}


def main() -> None:
    """Run `imagereg-fetch` or one of its sub-commands."""
    if answer_shell(fetch, COMMANDS):
        return
    words = sys.argv[1:]
    name = words[0] if words and words[0] in COMMANDS else ""
    command = COMMANDS.get(name, fetch)
    explain_fetch(command, name, EXIT_STATUS)
    command(prog_name=f"imagereg-fetch {name}".strip(), args=words[bool(name) :])
