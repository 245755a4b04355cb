"""How long a page of a list takes, and whether that grows with the database.

    python tests/bench/bench_lists.py --images 1000 10000 100000

Seeds a database per size, each image with 15 properties and 3 tags, then measures
the CPU of one thread for a page of 100 by every sort key and kind of filter.  Prints
a table with the ratio of each size to the first.

Where the time goes (py-spy, 100,000 images): four fifths of a page is SQLite
collecting properties and tags of 100 images, one fifth building the values.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.db.listing import SORT_KEYS, Condition, ListQuery
from imagereg.db.models import HEAD, ImageRow, MemberRow, PropertyRow, TagRow
from imagereg.db.schema import prepare
from imagereg.model import now_us

PROPERTIES = 15
PROJECT = "project-1"
BATCH = 2000

Case = tuple[str, ListQuery]


def seed(engine: Engine, images: int) -> None:
    """Fill a database: ten projects, a tenth of the images public, a few shared."""
    chance = random.Random(images)
    begun = now_us()
    for start in range(0, images, BATCH):
        numbers = range(start, min(start + BATCH, images))
        rows = [_image(chance, number, begun) for number in numbers]
        with engine.transaction():
            for table, values in (
                (ImageRow, rows),
                (PropertyRow, [p for row in rows for p in _properties(chance, row)]),
                (TagRow, [t for row in rows for t in _tags(row)]),
                (MemberRow, [m for row in rows for m in _members(row)]),
            ):
                for part in range(0, len(values), 1000):
                    table.insert_many(values[part : part + 1000]).execute(engine.peewee)


def _image(chance: random.Random, number: int, begun: int) -> dict[str, object]:
    public = number % 10 == 0
    return {
        "id": f"{chance.getrandbits(32):08x}-0000-4000-8000-{number:012x}",
        "name": f"image-{chance.randrange(10**9)}",
        "status": "active",
        "visibility": "public" if public else "shared",
        "owner": f"project-{number % 7}",
        "os_hidden": False,
        "protected": False,
        "container_format": "bare",
        "disk_format": ("qcow2", "raw", "iso")[number % 3],
        "min_disk": number % 5,
        "min_ram": 0,
        "size": chance.randrange(10**10) if number % 20 else None,
        "created_at_us": begun + number * 1000,
        "updated_at_us": begun + chance.randrange(10**9),
    }


def _properties(
    chance: random.Random, row: dict[str, object]
) -> Iterator[dict[str, object]]:
    for number in range(PROPERTIES):
        # The last property is rare, the others are common.
        choices = 10 if number < PROPERTIES - 1 else 5000
        value = f"value-{chance.randrange(choices)}"
        yield {
            "image_id": row["id"],
            "name": f"property_{number}",
            "value": value,
            "head": value[:HEAD],
        }


def _tags(row: dict[str, object]) -> Iterator[dict[str, object]]:
    number = int(str(row["id"])[-12:], 16)
    for tag in (f"tag-{number % 3}", f"tag-{number % 500}-x", "every"):
        yield {"image_id": row["id"], "tag": tag}


def _members(row: dict[str, object]) -> Iterator[dict[str, object]]:
    number = int(str(row["id"])[-12:], 16)
    if number % 100 == 1:
        yield {
            "image_id": row["id"],
            "member_id": PROJECT,
            "status": "accepted",
            "created_at_us": 1,
            "updated_at_us": 1,
        }


def cases() -> Iterator[Case]:
    """Yield every variant that is measured."""
    for admin in (False, True):
        who = "admin" if admin else "project"
        base = ListQuery(project_id=PROJECT, is_admin=admin, limit=100)
        for key in SORT_KEYS:
            for ascending in (True, False):
                sort = tuple(
                    dict.fromkeys([(key, ascending), ("created_at", ascending)])
                )
                if key == "id":
                    sort = (("id", ascending), ("created_at", ascending))
                else:
                    sort = (*sort, ("id", ascending))
                way = "asc" if ascending else "desc"
                yield f"{who} by {key} {way}", _with(base, sort=sort)
        yield f"{who} visibility=public", _with(base, visibility="public")
        yield (
            f"{who} common property",
            _with(base, properties=(("property_0", "value-1"),)),
        )
        rare = (("property_14", "value-1"),)
        yield f"{who} rare property", _with(base, properties=rare)
        yield f"{who} no such property", _with(base, properties=(("nothing", "x"),))
        yield f"{who} common tag", _with(base, tags=("every",))
        yield f"{who} rare tag", _with(base, tags=("tag-7-x",))
        name = Condition("name", "=", ("image-1",))
        yield f"{who} by name =", _with(base, conditions=(name,))
        status = Condition("status", "=", ("queued",))
        yield f"{who} status=queued", _with(base, conditions=(status,))


def _with(query: ListQuery, **changes: object) -> ListQuery:
    return replace(query, **changes)  # type: ignore[arg-type] # names of its own fields


def measure(question: Callable[[], object], rounds: int) -> float:
    """Return the median CPU of one call, in milliseconds."""
    taken = []
    for _ in range(rounds):
        begun = time.thread_time()
        question()
        taken.append((time.thread_time() - begun) * 1000)
    return median(taken)


def run(sizes: Sequence[int], rounds: int) -> dict[str, list[float]]:
    """Measure every case at every size; return milliseconds by case."""
    results: dict[str, list[float]] = {name: [] for name, _ in cases()}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bench.sqlite"
            engine = Engine.connect(f"sqlite:///{path}", synchronous=False)
            prepare(engine)
            seed(engine, size)
            images = ImageRepository(engine)
            for name, query in cases():
                page = images.page(query)
                deep = _with(query, marker=page[0][0]) if page else query
                results[name].append(measure(partial(images.page, deep), rounds))
            engine.close()
    return results


def main(arguments: Sequence[str]) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10000, 100000])
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    results = run(options.images, options.rounds)
    out = sys.stdout
    out.write(f"{'page of 100, CPU ms':32}")
    out.write("".join(f"{size:>10}" for size in options.images) + "   last/first\n")
    for name, times in results.items():
        row = "".join(f"{taken:10.2f}" for taken in times)
        out.write(f"{name:32}{row}{times[-1] / times[0]:10.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
