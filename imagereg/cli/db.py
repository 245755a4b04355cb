"""`imagereg db`: the tables, their version, and what is wrong with them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
import orjson

from imagereg.cli.config import config_options
from imagereg.db.agreement import find_disagreements
from imagereg.db.drift import find_drift
from imagereg.db.engine import Engine
from imagereg.db.flaws import Advice, Flaw
from imagereg.db.opening import connect
from imagereg.db.purge import Purge
from imagereg.db.schema import latest, missing, prepare, upgrade, version
from imagereg.model import now_us
from imagereg.settings import load_settings

Paths = tuple[Path, ...]

#: What makes it useless to look at the rows.
_DIFFERENT = frozenset({Advice.UPGRADE, Advice.NEWER, Advice.RESTORE})

DAY_US = 24 * 3600 * 1_000_000


@click.group()
def db() -> None:
    r"""Upgrade, check and tidy the database.

    All of it may run beside servers.

    \b
    Examples:
      imagereg db version
      imagereg db upgrade --dry-run
      imagereg db check
      imagereg db purge --age-in-days 90 --max-rows 10000
    """


@db.command("version")
@config_options
def show_version(config_files: Paths, config_dirs: Paths) -> None:
    """Tell the version of the tables, and which one this program works with.

    Exit status: 0 they are the same; 1 they are not; 2 wrong usage.
    """
    present = version(_open(config_files, config_dirs))
    click.echo(f"the database has {present}, this program works with {latest()}")
    if present != latest():
        raise SystemExit(1)


@db.command("upgrade")
@config_options
@click.option("--dry-run", is_flag=True, help="Tell what would be done.")
def bring_up(config_files: Paths, config_dirs: Paths, *, dry_run: bool) -> None:
    """Make the tables, or bring those of an older version to the present one.

    Several may do so at once: one does it, the others wait.  Stopped for whatever
    reason, the same command goes on.  Exit status: 0 done, or nothing to do; 1 it
    cannot be done; 2 wrong usage.
    """
    engine = _open(config_files, config_dirs)
    steps: list[tuple[int, str]] = []

    def tell(number: int, title: str) -> None:
        click.echo(f"{number}: {title}")
        steps.append((number, title))

    if dry_run:
        for number, title in missing(version(engine)):
            tell(number, title)
    else:
        upgrade(engine, tell)
    if not steps:
        click.echo(f"nothing to do: the database has version {latest()}")


@db.command()
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--fix",
    is_flag=True,
    help="Remake indexes, triggers and derived rows; drop rows that hang on nothing.",
)
def check(config_files: Paths, config_dirs: Paths, *, as_json: bool, fix: bool) -> None:
    """Compare the tables with those of a fresh database, and the rows with each other.

    Exit status: 0 all is well, or was mended; 1 something is wrong, and what to do
    about it is told; 2 wrong usage.
    """
    engine = _open(config_files, config_dirs)
    flaws = list(find_drift(engine, fix=fix))
    # Rows are compared by statements that know the tables.
    if not any(each.advice in _DIFFERENT for each in flaws):
        flaws += find_disagreements(engine, fix=fix)
    left = [each for each in flaws if not each.fixed]
    if as_json:
        document = {"flaws": [asdict(each) for each in flaws], "left": len(left)}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    else:
        _print(flaws, len(left))
    if left:
        raise SystemExit(1)


@db.command()
@config_options
@click.option(
    "--age-in-days",
    "--age_in_days",
    "age_days",
    type=click.IntRange(0, 36_500),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="Rows of images that were deleted before that.",
)
@click.option(
    "--max-rows",
    "--max_rows",
    type=click.IntRange(-1),
    default=100,
    show_default=True,
    metavar="N",
    help="Remove so many rows at most; -1 is all.",
)
def purge(
    config_files: Paths, config_dirs: Paths, *, age_days: int, max_rows: int
) -> None:
    """Remove what is left in the tables of images that were deleted long ago.

    Their ids are kept, for ever: no id is used again.  Exit status: 0 done; 1 it
    cannot be done; 2 wrong usage.
    """
    engine = _open(config_files, config_dirs)
    # An older database has to be upgraded first, and that is another command's work.
    prepare(engine, upgrades=False)
    limit = None if max_rows < 0 else max_rows
    run = Purge(engine, now_us() - age_days * DAY_US, limit)
    for table, count in sorted(run.run().items()):
        click.echo(f"{table}: {count}")
    total = run.removed.total()
    more = "; there may be more" if limit is not None and total >= limit else ""
    click.echo(f"{total} rows removed{more}")


def _print(flaws: Sequence[Flaw], left: int) -> None:
    for flaw in flaws:
        end = "mended" if flaw.fixed else flaw.advice.value
        click.echo(f"{flaw.what}\n  {end}")
    click.echo(f"{len(flaws)} flaws, {left} left" if flaws else "all is well")


def _open(config_files: Paths, config_dirs: Paths) -> Engine:
    """Return the configured database as it is."""
    return connect(load_settings(config_files, config_dirs))
