"""Run a server on an empty database that no other one has just now.

    python -m tests.scenarios.launch imagereg serve ...

The databases are files in the folder ``IMAGEREG_TEST_DATABASES``, which hold a URL
each.  A server holds a lock on its file, which ends with the last of its processes.
"""

import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from imagereg.settings.sources import variable_of
from tests import databases

#: Names the folder of databases.
FOLDER = "IMAGEREG_TEST_DATABASES"

#: More than any test runs at once.
COUNT = 6


def offer(folder: Path) -> None:
    """Write down databases that servers may take."""
    for number in range(COUNT):
        url = databases.connection(folder / f"{number}.sqlite")
        (folder / f"{number}.url").write_text(url)


def _free(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.url")):
        held = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            continue
        # The server keeps it.
        os.set_inheritable(held, True)
        yield path.read_text()


def main() -> None:
    """Become a server."""
    url = next(_free(Path(os.environ[FOLDER])), None)
    if url is None:
        sys.exit("every database is taken")
    with databases.opened(url) as engine, engine.transaction():
        databases.clear(engine)
    os.environ[variable_of("database", "connection")] = url
    os.execv(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
