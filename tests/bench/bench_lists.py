"""How long a page of a list takes, and whether that grows with the database.

    python tests/bench/bench_lists.py --images 1000 10000 100000

Seeds a database per size, each image with 15 properties and 3 tags, then measures
the CPU of one thread for a page of 100 by every sort key and kind of filter.  Prints
a table with the ratio of each size to the first.

Where the time goes (1,000 images, a page of 1.1 ms): 0.1 finds the page in SQLite,
0.6 collects properties and tags of its images there, 0.35 builds the values.  What
grows with the database is the collecting: nothing of its images is near by, and more
of it has to come from memory.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.db.listing import Condition, ListQuery
from imagereg.db.models import HEAD, ImageRow, MemberRow, PropertyRow, TagRow
from imagereg.db.schema import prepare
from imagereg.db.words import SORT_KEYS
from imagereg.model import Image

PROPERTIES = 15
PROJECT = "project-1"
BATCH = 2000

#: How many images have what is rare, whatever the size of the database.
RARE = 20

#: Every so many images one is public, and one is shared with the project.
PUBLIC_EVERY, SHARED_EVERY = 10, 8

BEGUN_US = 1_700_000_000_000_000

Case = tuple[str, ListQuery, bool]
Measured = tuple[float, int]


def seed(engine: Engine, images: int) -> None:
    """Fill a database: seven projects, a tenth of the images public, some shared."""
    chance = random.Random(images)
    for start in range(0, images, BATCH):
        numbers = range(start, min(start + BATCH, images))
        rows = [_image(chance, number, images) for number in numbers]
        with engine.transaction():
            for table, values in (
                (ImageRow, rows),
                (PropertyRow, [p for row in rows for p in properties_of(row, images)]),
                (TagRow, [t for row in rows for t in tags_of(row, images)]),
                (MemberRow, [m for row in rows for m in _members(row)]),
            ):
                for part in range(0, len(values), 1000):
                    table.insert_many(values[part : part + 1000]).execute(engine.peewee)


def image_id(number: int) -> str:
    """Return the id of the image of this number; they are in no order."""
    mixed = number * 2654435761 % 2**32
    return f"{mixed:08x}-0000-4000-8000-{number:012x}"


def _number(row: dict[str, object]) -> int:
    return int(str(row["id"])[-12:], 16)


def _is_rare(number: int, images: int) -> bool:
    step = max(PUBLIC_EVERY, images // RARE // PUBLIC_EVERY * PUBLIC_EVERY)
    return number % step == 0


def _image(chance: random.Random, number: int, images: int) -> dict[str, object]:
    public, rare = number % PUBLIC_EVERY == 0, _is_rare(number, images)
    return {
        "id": image_id(number),
        "name": f"image-{number}",
        "status": "queued" if rare else "active",
        "visibility": "public" if public else ("shared", "private")[number % 2],
        "owner": f"project-{number % 7}",
        "os_hidden": False,
        "protected": False,
        "container_format": "bare",
        "disk_format": ("qcow2", "raw")[number % 2],
        "min_disk": number % 5,
        "min_ram": 0,
        "size": (10**11 if rare else chance.randrange(10**10))
        if number % 20 != 1
        else None,
        "created_at_us": BEGUN_US + number * 10**6,
        "updated_at_us": BEGUN_US
        + (2 * images if rare else chance.randrange(images)) * 10**6,
    }


def properties_of(row: dict[str, object], images: int) -> Iterator[dict[str, object]]:
    """Yield the rows of an image's properties."""
    number = _number(row)
    for each in range(PROPERTIES):
        value = f"value-{(number // PUBLIC_EVERY + each) % 2}"
        if each == PROPERTIES - 1 and _is_rare(number, images):
            value = "rare"
        yield {
            "image_id": row["id"],
            "name": f"property_{each}",
            "value": value,
            "head": value[:HEAD],
            "created_at_us": row["created_at_us"],
        }


def tags_of(row: dict[str, object], images: int) -> Iterator[dict[str, object]]:
    """Yield the rows of an image's tags."""
    number = _number(row)
    tags = ["every", f"half-{number // PUBLIC_EVERY % 2}", f"own-{number}"]
    for tag in tags + ["rare"] * _is_rare(number, images):
        born = {"image_id": row["id"], "created_at_us": row["created_at_us"]}
        yield {**born, "tag": tag}


def _members(row: dict[str, object]) -> Iterator[dict[str, object]]:
    if _number(row) % SHARED_EVERY == 0 and row["visibility"] == "shared":
        yield {
            "image_id": row["id"],
            "member_id": PROJECT,
            "status": "accepted",
            "created_at_us": 1,
            "updated_at_us": 1,
        }


def by(key: str, *, ascending: bool) -> tuple[tuple[str, bool], ...]:
    """Return the order of a list by one key."""
    names = dict.fromkeys([key, "created_at", "id"])
    return tuple((name, ascending) for name in names)


def cases(images: int) -> Iterator[Case]:
    """Yield name, query, and whether the page is one in the middle."""
    for admin in (False, True):
        who = "admin" if admin else "project"
        base = ListQuery(project_id=PROJECT, is_admin=admin, limit=100)
        for key in SORT_KEYS:
            for ascending in (True, False):
                query = _with(base, sort=by(key, ascending=ascending))
                way = "asc" if ascending else "desc"
                yield f"{who} by {key} {way}", query, False
                yield f"{who} by {key} {way}, deep", query, True
        for name, changes in filters(images):
            yield f"{who} {name}", _with(base, **changes), False


def filters(images: int) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each indexed filter, wide and narrow, in the order that is the default."""
    for visibility in ("public", "shared", "private", "all"):
        yield f"visibility={visibility}", {"visibility": visibility}
    yield "member_status=all", {"member_status": None}
    yield "half property", {"properties": (("property_0", "value-1"),)}
    yield "rare property", {"properties": (("property_14", "rare"),)}
    yield "no such property", {"properties": (("nothing", "x"),)}
    yield "every tag", {"tags": ("every",)}
    yield "half tag", {"tags": ("half-1",)}
    yield "rare tag", {"tags": ("rare",)}
    middle = BEGUN_US + images // 2 * 10**6
    late = BEGUN_US + images * 10**6
    for name, column, operator, *values in (
        ("name=", "name", "=", "image-10"),
        ("name=in:", "name", "IN", "image-10", "image-20", "image-30"),
        ("id=", "id", "=", image_id(10)),
        ("status=active", "status", "=", "active"),
        ("status=queued", "status", "=", "queued"),
        ("status=in:", "status", "IN", "active", "queued"),
        ("disk_format=raw", "disk_format", "=", "raw"),
        ("container_format=bare", "container_format", "=", "bare"),
        ("owner=", "owner", "=", PROJECT),
        ("size_min", "size", ">=", 5 * 10**9),
        ("size_min, rare", "size", ">=", 10**11),
        ("size_max, none", "size", "<=", 0),
        ("created_at=gt:", "created_at_us", ">", middle),
        ("created_at=lt:", "created_at_us", "<", middle),
        ("updated_at=gt:", "updated_at_us", ">", middle),
        ("updated_at=gt:, rare", "updated_at_us", ">", late),
    ):
        yield name, {"conditions": (Condition(column, str(operator), tuple(values)),)}


def _with(query: ListQuery, **changes: object) -> ListQuery:
    return replace(query, **changes)  # type: ignore[arg-type] # names of its own fields


def middle_of(engine: Engine, images: ImageRepository, query: ListQuery) -> Image:
    """Return the image in the middle of what everybody sees of a list."""
    order = ", ".join(
        f"{SORT_KEYS[key].format('i')} {'ASC' if ascending else 'DESC'}"
        for key, ascending in query.order
    )
    seen = "FROM images AS i WHERE i.visibility = 'public'"
    ((count,),) = engine.rows(f"SELECT COUNT(*) {seen}")
    ((image,),) = engine.rows(
        f"SELECT i.id {seen} ORDER BY {order} LIMIT 1 OFFSET ?", (int(str(count)) // 2,)
    )
    return images.get(str(image), PROJECT)[0]


def measure(
    questions: Sequence[Callable[[], object]], rounds: int
) -> tuple[float, ...]:
    """Return the least CPU of one call of each, in milliseconds.

    They are asked in turn, and what else the machine does only adds to a call, so
    their ratios hold on a machine that is not at rest.
    """
    least = [float("inf")] * len(questions)
    for _ in range(rounds):
        for number, question in enumerate(questions):
            begun = time.thread_time()
            question()
            taken = (time.thread_time() - begun) * 1000
            least[number] = min(least[number], taken)
    return tuple(least)


@contextmanager
def seeded(size: int) -> Iterator[Engine]:
    """Yield a database with so many images."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.sqlite"
        engine = Engine.connect(f"sqlite:///{path}", synchronous=False)
        prepare(engine)
        seed(engine, size)
        # The last to leave copies the log back: what is left there is read differently.
        engine.close()
        yield engine
        engine.close()


def run(sizes: Sequence[int], rounds: int) -> dict[str, list[Measured]]:
    """Measure every case at every size; return milliseconds and rows by case."""
    results: dict[str, list[Measured]] = {}
    with ExitStack() as opened:
        engines = [opened.enter_context(seeded(size)) for size in sizes]
        for same in zip(*(cases(size) for size in sizes), strict=True):
            questions = []
            for engine, (_, query, deep) in zip(engines, same, strict=True):
                images = ImageRepository(engine)
                middle = middle_of(engine, images, query) if deep else None
                asked = _with(query, marker=middle)
                questions.append(partial(images.page, asked))
            rows = [len(question()) for question in questions]
            taken = measure(questions, rounds)
            results[same[0][0]] = list(zip(taken, rows, strict=True))
    return results


def main(arguments: Sequence[str]) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(arguments)
    results = run(options.images, options.rounds)
    out = sys.stdout
    out.write(f"{'page of 100, CPU ms':36}")
    out.write("".join(f"{size:>10}" for size in options.images))
    out.write("   last/first      rows\n")
    for name, cells in results.items():
        row = "".join(f"{taken:10.2f}" for taken, _ in cells)
        counts = "/".join(str(rows) for _, rows in cells)
        ratio = cells[-1][0] / cells[0][0]
        out.write(f"{name:36}{row}{ratio:10.1f}    {counts}\n")
    full = {
        name: cells[-1][0] / cells[0][0]
        for name, cells in results.items()
        if cells[0][1] == cells[-1][1]
    }
    worst = max(full, key=lambda name: full[name])
    out.write(f"largest ratio of pages as long: {full[worst]:.2f}, {worst}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
