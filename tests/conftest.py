"""Fixtures for tests that talk to a real server, and the order of the files."""

import gc
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import none

from imagereg.telemetry.logs import LIBRARIES
from tests import databases
from tests.engines import may_use_sqlite, sqlite_files, why_not
from tests.server import Config, Server

if TYPE_CHECKING:
    from tests.keystone.service import Keystone
    from tests.stores.bucket import Service

# How long one example takes on a busy machine says nothing of what it shows, nor how
# long it takes to think of one.  Examples are the same in each run, so that a change is
# judged by what it changes; IMAGEREG_TEST_EXPLORE=1 looks for others.
settings.register_profile(
    "patient",
    settings(),
    deadline=None,
    derandomize=os.environ.get("IMAGEREG_TEST_EXPLORE") != "1",
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")

# Starts a server with its own configuration; takes what `Server` takes.
Serve = Callable[..., Server]


#: What takes longest begins first, so that no process is left alone with it at the
#: end; a file below one of these folders counts with it.
HEAVY = (
    "scenarios/test_golden.py",
    "api/test_personas.py",
    "stores/test_conformance.py",
    "db/test_list_plans.py",
    "client/test_upload.py",
    "scenarios/",
    "test_s3_store.py",
    "test_enforcement.py",
    "fetch/",
    "test_upload_faults.py",
    "test_crash.py",
    "test_docs.py",
    "bench/",
    "api/",
)


def pytest_configure(config: pytest.Config) -> None:
    """Settle what all processes of the run share.

    They keep compiled modules, whatever the surroundings say: hundreds of commands are
    started, and most of what each does is to be imported.  Files begin in the order in
    which they are collected; xdist would begin with those of the most tests, which are
    quick ones.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without a look at garbage, and never look at what was collected.

    It stays until the end, and is most of what a collection would go through.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        # The first example of all makes a source of chance, and looks for who keeps it,
        # which it could not see of what is frozen.
        given(none())(lambda nothing: None)()
        gc.freeze()


def pytest_sessionfinish() -> None:
    """End what this process has started for all of its tests."""
    databases.stop_all()


def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> Literal[True] | None:
    """Leave out what has nothing to say of the engine that is asked for."""
    path = collection_path.relative_to(config.rootpath).as_posix()
    return True if why_not(path, databases.NAME) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the files of `HEAVY` begin first, and skip single tests likewise."""
    items.sort(key=lambda item: _rank(item.nodeid))
    for item in items:
        if reason := why_not(item.nodeid, databases.NAME):
            item.add_marker(pytest.mark.skip(reason=f"about SQLite: {reason}"))


def _rank(nodeid: str) -> int:
    name = nodeid.removeprefix("tests/")
    ranks = (rank for rank, start in enumerate(HEAVY) if name.startswith(start))
    return next(ranks, len(HEAVY))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Look for databases of the wrong engine before the folder of a test is removed.

    Those of the right one are free again.
    """
    where = getattr(item, "funcargs", {}).get("tmp_path")
    found = set[str]()
    if where is not None and not may_use_sqlite(item.nodeid, databases.NAME):
        found = sqlite_files(where)
    yield
    if where is not None:
        databases.give_back(where.resolve())
    assert found == set(), "see tests/engines.py"


@pytest.fixture(scope="module", autouse=True)
def _databases(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Empty the databases of each module, and look for those of the wrong engine."""
    where, watched = tmp_path_factory.getbasetemp(), set[str]()
    is_free = may_use_sqlite(request.node.nodeid, databases.NAME)
    before = watched if is_free else sqlite_files(where)
    yield
    after = watched if is_free else sqlite_files(where)
    databases.give_back_all()
    assert after - before == set(), "see tests/engines.py"


@pytest.fixture(scope="module", autouse=True)
def _logging() -> Iterator[None]:
    """Have each module leave the logging of the run as it was, whichever come after."""
    root = logging.getLogger()
    before = root.level, logging.root.manager.disable, root.handlers[:]
    yield
    assert (root.level, logging.root.manager.disable, root.handlers[:]) == before


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Let a test configure logging in this process, and put it back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    flags = logging.logThreads, logging.logMultiprocessing
    callers = vars(logging)["_srcfile"]
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.logThreads, logging.logMultiprocessing = flags
    vars(logging)["_srcfile"] = callers
    for name in (*LIBRARIES, "imagereg.requests"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that believes identity headers, shared by the whole run."""
    where = tmp_path_factory.mktemp("server")
    databases.keep(where)
    running = Server(where).start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Service"]:
    """Yield a real S3 service, shared by the whole run."""
    # Imported here: whoever tests nothing of S3 need not have boto3.
    from tests.stores.bucket import s3_service

    with s3_service(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Keystone"]:
    """Yield a real Keystone, shared by the whole run."""
    from tests.keystone.service import keystone_service

    with keystone_service(tmp_path_factory.mktemp("keystone")) as running:
        yield running


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Yield a function that starts servers, all of which end with the test."""
    with ExitStack() as running:

        def start(
            config: Config | None = None,
            *,
            files: Mapping[str, str] | None = None,
            workers: int = 1,
            prefix: Sequence[str] = (),
        ) -> Server:
            where = Path(mkdtemp(prefix="server-", dir=tmp_path))
            server = Server(where, config, files=files, workers=workers, prefix=prefix)
            # pytest shows what is written here where the test failed.
            running.callback(lambda: sys.stdout.write(server.log()[-8000:]))
            running.callback(server.stop)
            return server.start()

        yield start
