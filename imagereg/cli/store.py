"""`imagereg store`: are all bytes there, and only those."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from imagereg.cache.opening import open_cache, open_directory
from imagereg.cli.config import config_options
from imagereg.cli.metadefs import open_engine
from imagereg.db.deletions import DeletionRepository
from imagereg.db.inventory import Inventory
from imagereg.db.staged import StagedRepository
from imagereg.db.uploads import UploadRepository
from imagereg.doctor.abandoned import AbandonedUploads
from imagereg.doctor.cached import CachedCopies
from imagereg.doctor.collection import HOUR_S, Collection, Wanted
from imagereg.doctor.findings import MEANINGS, Finding, Kind
from imagereg.doctor.verification import Sample, Verification
from imagereg.errors import ImageRegError
from imagereg.images.processes import worker_name
from imagereg.images.recovery import Recovery
from imagereg.images.removal import Removal
from imagereg.images.sources import Sources
from imagereg.images.staged import StagedData
from imagereg.model import format_time
from imagereg.settings import load_settings
from imagereg.stores.catalog import StoreCatalog

Paths = tuple[Path, ...]
P = ParamSpec("P")
R = TypeVar("R")

#: Exit statuses, beside 2 for wrong usage.
FOUND, NOT_ALL_SEEN = 1, 3


class _Group(click.Group):
    """Commands whose exit status 1 means findings, and whose failures are 3."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ImageRegError as error:
            faults = getattr(error, "faults", (error.message,))
            for fault in faults:
                click.echo(f"imagereg: {fault}", err=True)
            ctx.exit(NOT_ALL_SEEN)


@click.group(cls=_Group)
def store() -> None:
    """Compare what the stores hold with what the database says.

    Safe beside servers that run.  Nothing is changed without --fix.

    Exit status: 0 all is well, or was mended; 1 there are findings; 2 wrong usage;
    3 not everything could be looked at.
    """


def _common(command: Callable[P, R]) -> Callable[P, R]:
    for declare in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--store", "store_id", metavar="ID", help="This store alone."),
        config_options,
    ):
        command = declare(command)
    return command


@store.command()
@_common
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Read N objects.")
@click.option(
    "--fix",
    is_flag=True,
    help="Record the outcome; drop a faulty copy of an image that has a good one.",
)
@click.option(
    "--status", is_flag=True, help="Read nothing; tell what was verified when."
)
def verify(
    config_files: Paths,
    config_dirs: Paths,
    store_id: str | None,
    sample: int | None,
    *,
    as_json: bool,
    fix: bool,
    status: bool,
) -> None:
    """Read objects again, and compare sizes and hashes with the rows.

    --sample takes those that were not verified for longest.  The only copy of an
    image is never removed, however bad.  Without --store and --sample the image
    cache of this node is read as well, and images are found whose clients never sent
    all parts; --fix puts those back to `queued`.
    """
    parts = _Parts.open(config_files, config_dirs, store_id)
    if status:
        _tell_health(parts.inventory, store_id, as_json=as_json)
        return
    verification = Verification(parts.inventory, parts.stores, parts.removal)
    findings: list[Finding] = []
    counted = Counter(objects=0, bytes=0)
    console = Console(stderr=True)
    # Some releases of rich end even a disabled bar with a line.
    console.quiet = as_json or not console.is_terminal
    with Progress(console=console, transient=True, disable=console.quiet) as bar:
        task = bar.add_task("reading", total=None)

        def pace(size: int) -> None:
            counted["bytes"] += size
            bar.update(task, description=f"read {counted['bytes'] >> 20} MiB")

        for _, finding in verification.run(Sample(store_id, sample), pace, fix=fix):
            counted["objects"] += 1
            if finding is not None:
                findings.append(finding)
        if parts.cached is not None and sample is None:
            for copy in parts.cached.verify(pace, fix=fix):
                counted["objects"] += 1
                findings += [copy] if copy is not None else []
    if store_id is None and sample is None:
        findings += parts.abandoned.collect(fix=fix)
    said = f"{counted['objects']} objects read, {counted['bytes']} bytes"
    _report(findings, said, counted, as_json=as_json)


@store.command()
@_common
@click.option("--fix", is_flag=True, help="Remove what nobody needs; mend loose ends.")
@click.option(
    "--foreign",
    is_flag=True,
    help="With --fix, remove objects too whose names no image ever had.",
)
@click.option(
    "--older-than",
    "settled_s",
    type=click.FloatRange(0),
    default=HOUR_S,
    show_default=True,
    metavar="SECONDS",
    help="Leave younger objects and leftovers alone.",
)
def gc(
    config_files: Paths,
    config_dirs: Paths,
    store_id: str | None,
    settled_s: float,
    *,
    as_json: bool,
    fix: bool,
    foreign: bool,
) -> None:
    """Find objects without rows, rows without objects, and loose ends of work.

    With --fix, objects and leftovers go that nobody needs, and interrupted work is
    ended.  A location without its object goes if the image has another that is
    there; else restore the object from a backup, or delete the image.
    """
    parts = _Parts.open(config_files, config_dirs, store_id)
    collection = Collection(
        parts.inventory,
        parts.deletions,
        parts.uploads,
        parts.stores,
        parts.removal,
        parts.recovery,
    )
    findings = list(collection.run(Wanted(store_id, fix, foreign, settled_s)))
    if parts.cached is not None:
        findings += parts.cached.collect(fix=fix)
    if store_id is None:
        findings += parts.abandoned.collect(fix=fix)
    said = f"{len(parts.stores)} stores looked at" if store_id is None else ""
    _report(findings, said, {}, as_json=as_json)


@dataclass(frozen=True)
class _Parts:
    """What the commands work with, opened to look.

    Attributes:
        cached: None where there is no cache, or one store alone is meant.
    """

    inventory: Inventory
    deletions: DeletionRepository
    uploads: UploadRepository
    stores: StoreCatalog
    removal: Removal
    recovery: Recovery
    abandoned: AbandonedUploads
    cached: CachedCopies | None

    @classmethod
    def open(
        cls, config_files: Paths, config_dirs: Paths, store_id: str | None
    ) -> "_Parts":
        settings = load_settings(config_files, config_dirs)
        engine = open_engine(config_files, config_dirs)
        stores = StoreCatalog.from_settings(settings, writable=False)
        if store_id is not None:
            stores.own(store_id)
        deletions = DeletionRepository(engine)
        uploads = UploadRepository(engine)
        removal = Removal(deletions, stores, worker_name)
        staged = StagedData(StagedRepository(engine), stores, removal, worker_name)
        recovery = Recovery(uploads, stores, removal, staged, worker_name)
        directory = open_directory(settings) if store_id is None else None
        cached = None
        if directory is not None:
            read = Sources(stores).read
            cached = CachedCopies(open_cache(settings, directory, engine, read))
        limit_h = settings.imagereg.staging_time_to_live
        return cls(
            Inventory(engine),
            deletions,
            uploads,
            stores,
            removal,
            recovery,
            AbandonedUploads(staged, limit_h),
            cached,
        )


def _report(
    findings: Sequence[Finding], said: str, counted: dict[str, int], *, as_json: bool
) -> None:
    """Print what was found, and exit by it."""
    left = [each for each in findings if not each.fixed]
    unseen = any(each.kind is Kind.UNREADABLE for each in left)
    if as_json:
        document = {
            "findings": [each.document() for each in findings],
            "counts": dict(Counter(each.kind.value for each in findings)),
            "left": len(left),
            "complete": not unseen,
            **counted,
        }
        text = orjson.dumps(document, option=orjson.OPT_INDENT_2)
        click.echo(text.decode())
    else:
        _print(findings, said, len(left))
    if unseen:
        raise SystemExit(NOT_ALL_SEEN)
    if left:
        raise SystemExit(FOUND)


def _tell_health(inventory: Inventory, store_id: str | None, *, as_json: bool) -> None:
    """Print how far the stores were verified, and exit by what was found then."""
    stores = [each for each in inventory.health() if store_id in (None, each.store)]
    rows = [
        {
            "store": each.store,
            "objects": each.objects,
            "never_verified": each.objects - each.verified,
            "oldest": None if each.oldest_us is None else format_time(each.oldest_us),
            "faults": each.faults,
        }
        for each in stores
    ]
    if as_json:
        text = orjson.dumps({"stores": rows}, option=orjson.OPT_INDENT_2)
        click.echo(text.decode())
    else:
        table = Table(box=None, pad_edge=False)
        for head in ("store", "objects", "never verified", "oldest", "faults"):
            table.add_column(head)
        for row in rows:
            table.add_row(
                *("-" if each is None else str(each) for each in row.values())
            )
        Console().print(table)
    if any(each.faults for each in stores):
        raise SystemExit(FOUND)


def _print(findings: Sequence[Finding], said: str, left: int) -> None:
    console = Console()
    if findings:
        table = Table(box=None, pad_edge=False)
        for head in ("finding", "store", "of", "bytes", "", ""):
            table.add_column(head, overflow="fold")
        for each in findings:
            table.add_row(
                each.kind.value,
                each.store or "",
                each.subject,
                "" if each.size is None else str(each.size),
                each.detail,
                "mended" if each.fixed else "",
            )
        console.print(table)
        for kind in dict.fromkeys(each.kind for each in findings):
            console.print(f"{kind.value}: {MEANINGS[kind]}", style="dim")
    state = f"{len(findings)} findings, {left} left" if findings else "no findings"
    console.print(", ".join(filter(None, (said, state))))
