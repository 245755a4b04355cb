"""`imagereg metadefs`: metadata definitions from files, to files, and away."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import orjson

from imagereg.cli.config import config_options
from imagereg.db.engine import Engine
from imagereg.db.metadefs import NamespaceRepository
from imagereg.db.opening import open_database
from imagereg.errors import NamespaceNotFound
from imagereg.metadef_model import NewNamespace
from imagereg.metadefs.files import (
    file_document,
    read_builtin,
    read_path,
    write_folder,
)
from imagereg.metadefs.loading import Loader
from imagereg.metadefs.merging import Change, Mode
from imagereg.settings import load_settings

Paths = tuple[Path, ...]

_dry_run = click.option("--dry-run", is_flag=True, help="Report, and change nothing.")
_builtin = click.option(
    "--builtin", is_flag=True, help="The catalogue that ships with the registry."
)


@click.group()
def metadefs() -> None:
    """Load, export and unload metadata definitions."""


@metadefs.command()
@config_options
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@_builtin
@click.option(
    "--mode",
    type=click.Choice([each.value for each in Mode]),
    default=Mode.SKIP.value,
    show_default=True,
    help="For namespaces that are there: leave them, add what they lack, or make"
    " them as the file is.",
)
@click.option(
    "--prefer-new", is_flag=True, help="When merging, the file wins where both differ."
)
@_dry_run
def load(
    config_files: Paths,
    config_dirs: Paths,
    path: Path | None,
    mode: str,
    *,
    builtin: bool,
    prefer_new: bool,
    dry_run: bool,
) -> None:
    """Load a JSON file, or all of a folder, and tell what that changed.

    The files are those of other Image services.  Nothing is loaded if one of them
    has a fault.
    """
    wanted = _read(path, builtin=builtin)
    changes = open_loader(config_files, config_dirs).load(
        wanted, Mode(mode), prefer_new=prefer_new, dry_run=dry_run
    )
    _report(changes, dry_run=dry_run)


@metadefs.command()
@config_options
@click.argument("path", required=False, type=click.Path(exists=True, path_type=Path))
@_builtin
@click.option("--namespace", "names", multiple=True, help="By name; may be repeated.")
@click.option("--all", "everything", is_flag=True, help="Every namespace there is.")
@click.option("--force", is_flag=True, help="Protected ones too.")
@_dry_run
def unload(
    config_files: Paths,
    config_dirs: Paths,
    path: Path | None,
    names: tuple[str, ...],
    *,
    builtin: bool,
    everything: bool,
    force: bool,
    dry_run: bool,
) -> None:
    """Delete the namespaces of files, of the catalogue, or of the names given."""
    loader = open_loader(config_files, config_dirs)
    wanted = list(names)
    if everything:
        wanted += [namespace.name for namespace, _ in loader.stored()]
    elif path or builtin or not names:
        wanted += [each.name for each in _read(path, builtin=builtin)]
    _report(loader.unload(wanted, force=force, dry_run=dry_run), dry_run=dry_run)


@metadefs.command()
@config_options
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--namespace", "names", multiple=True, help="By name; may be repeated.")
def export(
    config_files: Paths,
    config_dirs: Paths,
    folder: Path | None,
    names: tuple[str, ...],
) -> None:
    """Write a JSON file for each namespace; without a FOLDER, one list is printed."""
    stored = list(open_loader(config_files, config_dirs).stored())
    known = {namespace.name for namespace, _ in stored}
    for name in names:
        if name not in known:
            raise NamespaceNotFound(name)
    chosen = [each for each in stored if not names or each[0].name in names]
    if folder is None:
        documents = [file_document(*each) for each in chosen]
        click.echo(orjson.dumps(documents, option=orjson.OPT_INDENT_2).decode())
        return
    for path in write_folder(folder, chosen):
        click.echo(str(path))


def open_loader(config_files: Paths, config_dirs: Paths) -> Loader:
    """Return what works on the definitions of the configured database."""
    return Loader(NamespaceRepository(open_engine(config_files, config_dirs)))


def open_engine(config_files: Paths, config_dirs: Paths) -> Engine:
    """Return the configured database, made or migrated where need be."""
    return open_database(load_settings(config_files, config_dirs))


def _read(path: Path | None, *, builtin: bool) -> Sequence[NewNamespace]:
    if (path is None) is not builtin:
        raise click.UsageError("give a PATH or --builtin, one of both")
    return read_builtin() if path is None else read_path(path)


def _report(changes: Sequence[Change], *, dry_run: bool) -> None:
    for change in changes:
        click.echo(str(change))
    counted = Counter(change.effect.value for change in changes)
    summary = ", ".join(f"{count} {effect}" for effect, count in counted.items())
    would = " (nothing was written)" if dry_run else ""
    click.echo(f"{summary or 'nothing to do'}{would}")
