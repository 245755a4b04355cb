"""`imagereg cache`: look after the image cache of this node.

To be run on the node itself, as the user of the server, which may run meanwhile.
"""

from pathlib import Path

import click

from imagereg.cache.directory import is_image_id
from imagereg.cache.management import CacheManagement
from imagereg.cache.opening import open_cache, open_directory
from imagereg.cli.config import config_options
from imagereg.db.opening import open_database
from imagereg.errors import ConfigurationError, ImageNotFound, Invalid
from imagereg.images.sources import Sources
from imagereg.model import format_time
from imagereg.settings import load_settings
from imagereg.stores.catalog import StoreCatalog

Paths = tuple[Path, ...]

_images = click.argument("image_ids", metavar="IMAGE...", nargs=-1)


@click.group()
def cache() -> None:
    """Look after the image cache of this node."""


@cache.command("list")
@config_options
def list_(config_files: Paths, config_dirs: Paths) -> None:
    """List what is cached, the least recently used first, and what is queued."""
    opened = _open(config_files, config_dirs).cache
    copies = opened.books.held()
    for copy in copies:
        accessed = format_time(copy.last_accessed_us)
        click.echo(f"{copy.image_id}  {copy.size:>15}  {copy.hits:>7}  {accessed}")
    total = sum(copy.size for copy in copies)
    click.echo(f"{len(copies)} images, {total} of {opened.rules.max_bytes} bytes")
    for image_id in opened.directory.queued():
        click.echo(f"{image_id}  queued")


@cache.command()
@config_options
@_images
def queue(config_files: Paths, config_dirs: Paths, image_ids: tuple[str, ...]) -> None:
    """Have images fetched by the server, or by the next prefetch."""
    opened = _open(config_files, config_dirs)
    _enqueue(opened, image_ids)
    click.echo(f"{len(image_ids)} queued")


@cache.command()
@config_options
@_images
def prefetch(
    config_files: Paths, config_dirs: Paths, image_ids: tuple[str, ...]
) -> None:
    """Fetch what is queued, and the images named here, now."""
    opened = _open(config_files, config_dirs)
    _enqueue(opened, image_ids)
    fetched = opened.upkeep.prefetch()
    left = len(opened.cache.directory.queued())
    click.echo(f"{fetched} fetched, {left} still queued")
    if left:
        raise click.exceptions.Exit(1)


@cache.command()
@config_options
@click.option("--all", "everything", is_flag=True, help="All copies and the queue.")
@_images
def delete(
    config_files: Paths,
    config_dirs: Paths,
    image_ids: tuple[str, ...],
    *,
    everything: bool,
) -> None:
    """Drop images from the cache and the queue."""
    if bool(image_ids) is everything:
        raise click.UsageError("give IMAGE... or --all, one of both")
    opened = _open(config_files, config_dirs).cache
    wanted = set(image_ids)
    if everything:
        wanted = {copy.image_id for copy in opened.books.held()}
        wanted |= {file.image_id for file in opened.directory.held()}
        wanted |= {*opened.directory.queued()}
    for image_id in wanted:
        if not is_image_id(image_id):
            raise ImageNotFound(image_id)
    freed = sum(opened.drop(image_id) for image_id in wanted)
    click.echo(f"{len(wanted)} dropped, {freed} bytes freed")


@cache.command()
@config_options
def prune(config_files: Paths, config_dirs: Paths) -> None:
    """Bring the cache below image_cache_max_size."""
    pruned = _open(config_files, config_dirs).upkeep.prune()
    click.echo(f"{pruned.files} images removed, {pruned.bytes} bytes freed")


@cache.command()
@config_options
def clean(config_files: Paths, config_dirs: Paths) -> None:
    """Remove failed and stalled copies, and those of images that are gone."""
    click.echo(f"{_open(config_files, config_dirs).upkeep.clean()} files removed")


def _enqueue(opened: CacheManagement, image_ids: tuple[str, ...]) -> None:
    for image_id in image_ids:
        image, _ = opened.cache.images.get(image_id, None)
        if not opened.cache.may_hold(image):
            message = f"image {image_id} is not active, has no hash, or is too large"
            raise Invalid(message)
        opened.cache.directory.enqueue(image_id)


def _open(config_files: Paths, config_dirs: Paths) -> CacheManagement:
    """Return the cache that is configured.

    Raises:
        ConfigurationError: there is none.
    """
    settings = load_settings(config_files, config_dirs)
    directory = open_directory(settings)
    if directory is None:
        raise ConfigurationError(["[DEFAULT] image_cache_dir: is not set"])
    engine = open_database(settings)
    sources = Sources(StoreCatalog.from_settings(settings))
    return open_cache(settings, directory, engine, sources.read)
