"""A process that has imported the service once, and becomes servers at little cost.

Three quarters of the processor time of a start are imports, and a run of the tests
starts hundreds of servers.  The warm process forks for each of them, before anything
of the service has run; what it becomes is what `imagereg` would have been: its own
session, directory, variables, arguments and log.  ``IMAGEREG_TEST_START=cold`` has
every server begin at nothing instead, as operators' do; so do benchmarks.

One connection stands for one server.  The warm process answers with the number of
the server's process, and with its exit status when it has ended.  Whoever hangs up
before kills the server, so none outlives the tests.
"""

import atexit
import contextlib
import gc
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

from tests.warm_client import ask

ROOT = Path(__file__).parent.parent

#: Whether servers come out of the warm process: where pytest runs.
WANTED = (
    "PYTEST_VERSION" in os.environ and os.environ.get("IMAGEREG_TEST_START") != "cold"
)


class Warmed:
    """A server out of the warm process, to be used as a `subprocess.Popen` is."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._answers = connection.makefile("rb")
        self.pid = self._next()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit status of a server that has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status when the server has ended."""
        if self.returncode is None:
            with selectors.DefaultSelector() as ended:
                ended.register(self._connection, selectors.EVENT_READ)
                if not ended.select(timeout):
                    raise subprocess.TimeoutExpired("imagereg", timeout or 0)
            self.returncode = self._next()
            self._answers.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the server, unless it has ended."""
        if self.poll() is None:
            # It may have ended since, and be told so in the next moment.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _next(self) -> int:
        line = self._answers.readline()
        assert line, "the warm process has ended"
        return int(line)


def start(
    command: Sequence[str], log: IO[bytes], cwd: Path, env: Mapping[str, str]
) -> Warmed:
    """Start ``imagereg`` with the words of ``command`` behind its own name."""
    return Warmed(ask(address(), command, log.fileno(), str(cwd), env))


@cache
def address() -> str:
    """Return where the warm process of this one listens; the first call starts it."""
    folder = tempfile.mkdtemp(prefix="imagereg-warm-")
    path = f"{folder}/socket"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.warm", path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )

    def end() -> None:
        process.communicate()
        shutil.rmtree(folder)

    atexit.register(end)
    assert process.stdout is not None
    assert process.stdout.readline() == b"warm\n", "the warm process does not start"
    return path


@dataclass(frozen=True)
class _Order:
    """What a process is to become."""

    command: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    log: int

    @classmethod
    def receive(cls, connection: socket.socket) -> "_Order":
        length, (log, *_), _, _ = socket.recv_fds(connection, 4, 1)
        text = b""
        while len(text) < int.from_bytes(length, "big"):
            text += connection.recv(65536)
        return cls(log=log, **json.loads(text))

    def follow(self) -> None:
        """Become what was ordered, as far as one can before the program runs."""
        os.setsid()
        os.chdir(self.cwd)
        with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - no path of ours
            os.dup2(nothing.fileno(), 0)
        os.dup2(self.log, 1)
        os.dup2(self.log, 2)
        os.close(self.log)
        os.environ.clear()
        os.environ.update(self.env)
        sys.argv = list(self.command)


class _Warm:
    """What waits for orders; `run` returns in each new server, and at the end."""

    def __init__(self, path: str) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(path)
        self._listener.listen(64)
        self._events = selectors.DefaultSelector()
        self._events.register(self._listener, selectors.EVENT_READ, self._accept)
        # Ends with the process that wants servers.
        self._events.register(0, selectors.EVENT_READ, self._end)
        self._servers: dict[int, socket.socket] = {}
        self._over = False
        self.order: _Order | None = None

    def run(self) -> _Order | None:
        """Return what this process has become, None where it stays what it is."""
        while not self._over and self.order is None:
            for key, _ in self._events.select():
                key.data()
                if self.order is not None:
                    break
        for connection in self._servers.values():
            connection.close()
        self._events.close()
        self._listener.close()
        return self.order

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        order = _Order.receive(connection)
        pid = os.fork()
        if pid == 0:
            connection.close()
            self.order = order
            return
        os.close(order.log)
        self._servers[pid] = connection
        end = os.pidfd_open(pid)
        told = partial(self._ended, pid, end)
        self._events.register(end, selectors.EVENT_READ, told)
        hung_up = partial(self._forgotten, pid)
        self._events.register(connection, selectors.EVENT_READ, hung_up)
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % pid)

    def _ended(self, pid: int, end: int) -> None:
        self._events.unregister(end)
        os.close(end)
        _, status = os.waitpid(pid, 0)
        connection = self._servers.pop(pid)
        with contextlib.suppress(KeyError):
            self._events.unregister(connection)
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        connection.close()

    def _forgotten(self, pid: int) -> None:
        """Nobody waits for this server any more."""
        self._events.unregister(self._servers[pid])
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def _end(self) -> None:
        self._over = True
        for pid in self._servers:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _main(path: str) -> Any:  # noqa: ANN401 - what a command returns
    # What `imagereg serve` imports before it reads its configuration, and after.
    import imagereg.app
    import imagereg.cli.serve
    import imagereg.server
    import imagereg.telemetry.logs
    import imagereg.telemetry.prometheus

    # Or each server would go through all that was imported when it ends.
    gc.freeze()
    warm = _Warm(path)
    print("warm", flush=True)  # noqa: T201 - whoever starts this waits for it
    order = warm.run()
    if order is None:
        return None
    order.follow()
    return imagereg.cli.main(prog_name="imagereg")


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
