"""Services for the HTTP benchmark to measure: one of our own, or any other."""

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from imagereg.db.engine import Engine
from imagereg.db.schema import prepare
from tests import databases
from tests.bench.bench_lists import seed
from tests.bench.http_cases import SECTIONS, Service
from tests.bench.http_run import Processes
from tests.ports import free_port
from tests.server import Server, eventually, is_answering

#: How long a service may take to start, and to stop, in seconds.
START_S, STOP_S = 120, 20

Measured = tuple[Service, Processes]


@contextmanager
def serving(
    images: int, *, protected: bool = False, database: databases.Service | None = None
) -> Iterator[Measured]:
    """Run a server of two processes that has so many images, on SQLite if on none."""
    config: dict[str, dict[str, object]] = {"DEFAULT": {}}
    if protected:
        config["DEFAULT"]["property_protection_file"] = "{dir}/etc/protections.conf"
    with tempfile.TemporaryDirectory() as folder:
        url = database.database(folder) if database else databases.of(Path(folder))
        config["database"] = {"connection": url}
        server = Server(
            Path(folder),
            config,
            files={"protections.conf": SECTIONS},
            workers=2,
            # A start of its own: out of the warm process it has what tests import.
            prefix=("env",),
        )
        engine = Engine.connect(url, synchronous=False)
        prepare(engine)
        seed(engine, images)
        engine.close()
        server.start()
        assert server.process is not None
        try:
            yield at(server.base), Processes((server.process.pid,))
        finally:
            server.kill9()


@contextmanager
def beside(command: str, images: int, *, protected: bool = False) -> Iterator[Measured]:
    """Run another service by a command, with the images and protections of ours.

    ``{port}``, ``{images}`` and ``{protections}``, which is a file or nothing, are
    filled in; the command ends with SIGTERM.

    Raises:
        RuntimeError: it ended, or did not answer.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "protections.conf"
        file.write_text(SECTIONS)
        filled = command.format(
            port=port, images=images, protections=file if protected else ""
        )
        process = subprocess.Popen(
            shlex.split(filled), stdout=subprocess.DEVNULL, start_new_session=True
        )
        try:
            eventually(lambda: process.poll() is not None or is_answering(url), START_S)
            if process.poll() is not None or not is_answering(url):
                raise RuntimeError(f"the other service did not start: {filled}")
            yield at(url), Processes((process.pid,))
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a service and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def at(url: str, token: str | None = None) -> Service:
    """Return the service at a URL."""
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    address = (host, parts.port or 80)
    headers = {"X-Auth-Token": token} if token else None
    return Service(address, parts.netloc, parts.path.rstrip("/"), headers)
