"""`imagereg props`: what the properties of an image would mean to a node."""

from pathlib import Path
from typing import Any

import click
import orjson

from imagereg.cli.config import config_options
from imagereg.cli.metadefs import open_engine, open_loader
from imagereg.db.images import ImageRepository
from imagereg.errors import ConfigurationError
from imagereg.images.fields import CORE
from imagereg.metadefs.files import read_builtin, read_path
from imagereg.metadefs.lint import IMAGE_TYPE, Known, Level, known_properties
from imagereg.metadefs.lint import lint as find_faults

Paths = tuple[Path, ...]


@click.group()
def props() -> None:
    """Look at the properties of images."""


@props.command()
@config_options
@click.argument("image")
@click.option(
    "--definitions",
    type=click.Path(exists=True, path_type=Path),
    help="JSON file or folder of definitions, in place of those of the database.",
)
@click.option("--builtin", is_flag=True, help="The shipped catalogue in their place.")
@click.option("--strict", is_flag=True, help="Fail on warnings too.")
def lint(
    config_files: Paths,
    config_dirs: Paths,
    image: str,
    definitions: Path | None,
    *,
    builtin: bool,
    strict: bool,
) -> None:
    """Compare an image's properties with the definitions for images.

    IMAGE is the id of an image in the database, or a JSON file with one, as clients
    print it.  Exit status 1 for a wrong type or value.
    """
    path = Path(image)
    if path.suffix == ".json" or path.is_file():
        properties = _read_properties(path)
    else:
        properties = _find_properties(image, config_files, config_dirs)
    known = _known(config_files, config_dirs, definitions, builtin=builtin)
    findings = list(find_faults(properties, known))
    for finding in findings:
        click.echo(str(finding))
    if not findings:
        click.echo(f"{image}: {len(properties)} properties, no findings")
    if any(strict or each.level is Level.ERROR for each in findings):
        raise SystemExit(1)


def _known(
    config_files: Paths, config_dirs: Paths, definitions: Path | None, *, builtin: bool
) -> Known:
    """Return the definitions to compare with; of an empty database, the shipped."""
    if definitions is not None:
        return known_properties(read_path(definitions))
    if not builtin:
        stored = open_loader(config_files, config_dirs).stored(IMAGE_TYPE)
        known = known_properties(content for _, content in stored)
        if known:
            return known
        click.echo("note: no definitions are loaded, so the shipped ones count")
    return known_properties(read_builtin())


def _find_properties(
    image_id: str, config_files: Paths, config_dirs: Paths
) -> dict[str, object]:
    engine = open_engine(config_files, config_dirs)
    image, _ = ImageRepository(engine).get(image_id, None)
    return dict(image.properties)


def _read_properties(path: Path) -> dict[str, object]:
    """Return the custom properties of an image's document, flat or in a map.

    Raises:
        ConfigurationError: the file cannot be read, or holds no image.
    """
    try:
        document: Any = orjson.loads(path.read_bytes())
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
    except orjson.JSONDecodeError as error:
        raise ConfigurationError([f"{path}: not JSON: {error}"]) from error
    if not isinstance(document, dict):
        raise ConfigurationError([f"{path}: not an image"])
    inner = document.get("properties")
    if isinstance(inner, dict):
        return inner
    return {n: v for n, v in document.items() if n not in CORE}
