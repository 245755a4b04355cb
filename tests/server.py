"""A real `imagereg serve` process for tests to talk to, interrupt and kill."""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from imagereg.stores.datadir import TEMPORARY
from tests import databases, warm
from tests.ports import free_port
from tests.wire import Client, Headers

# Section -> option -> value; None takes an option of `DEFAULTS` away, and
# "{dir}" stands for the server's own directory.
Config = Mapping[str, Mapping[str, object]]

DEFAULTS: Config = {
    "imagereg": {"state_dir": "{dir}/state"},
    "database": {"connection": "sqlite:///{dir}/state/registry.sqlite"},
    "glance_store": {
        "stores": "file,http",
        "default_store": "file",
        "filesystem_store_datadir": "{dir}/state/images",
    },
    "paste_deploy": {"flavor": "trusted-headers"},
}

__all__ = ["DEFAULTS", "PROGRAM", "Config", "Server", "eventually", "free_port"]

PROGRAM = Path(sys.executable).with_name("imagereg")


def render(config: Config, where: Path) -> str:
    """Return ``config`` over the defaults, as the text of a configuration file."""
    merged: dict[str, dict[str, object]] = {
        section: dict(options) for section, options in DEFAULTS.items()
    }
    for section, options in config.items():
        merged.setdefault(section, {}).update(options)
    lines = []
    _place(merged["database"], where)
    for section, values in merged.items():
        lines.append(f"[{section}]")
        lines += [
            f"{name} = {value}" for name, value in values.items() if value is not None
        ]
    return "\n".join(lines).replace("{dir}", str(where)) + "\n"


def _place(options: dict[str, object], where: Path) -> None:
    """Let a database that would be a file be of the engine that is tested."""
    url = str(options["connection"]).replace("{dir}", str(where))
    if url.startswith("sqlite:///"):
        url = databases.connection(url.removeprefix("sqlite:///"))
    # Passwords may hold what the syntax of the file gives a meaning.
    options["connection"] = url.replace("$", "$$")


class Server:
    """One server process below its own directory.

    Attributes:
        base: the URL of the root, without a slash at the end.
        state_dir: where database and images are.
        images_dir: where the file store keeps its bytes.
    """

    def __init__(
        self,
        where: Path,
        config: Config | None = None,
        *,
        files: Mapping[str, str] | None = None,
        workers: int = 1,
        prefix: Sequence[str] = (),
    ) -> None:
        """Prepare a server; `start` runs it.

        Args:
            where: an existing, empty directory.
            config: options over `DEFAULTS`.
            files: name -> text, written beside the configuration.
            workers: server processes.
            prefix: a command that runs the server's, such as ``prlimit``.
        """
        self.where = where
        self.state_dir = where / "state"
        self.images_dir = self.state_dir / "images"
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | warm.Warmed | None = None
        self.started_in_s = 0.0
        self._warm = warm.WANTED and not prefix
        self._log = where / "server.log"
        etc = where / "etc"
        for folder in (etc, self.state_dir, self.images_dir):
            folder.mkdir(exist_ok=True)
        for name, text in (files or {}).items():
            (etc / name).write_text(text.replace("{dir}", str(where)))
        conf = etc / "imagereg.conf"
        conf.write_text(render(config or {}, where))
        self.command = (
            *prefix,
            str(PROGRAM),
            "serve",
            *("--config", str(conf)),
            *("--port", str(self.port)),
            *("--workers", str(workers)),
        )

    def start(self, timeout_s: float = 180) -> "Server":
        """Run the server and return once it answers.

        Raises:
            RuntimeError: it ended, or did not answer within ``timeout_s``.
        """
        assert PROGRAM.exists(), f"{PROGRAM} is missing: install the project first"
        begun = time.monotonic()
        written = len(self.log()) if self._log.exists() else 0
        with self._log.open("ab") as log:
            self.process = self._begin(log)
        # Another run of tests may have taken the port meanwhile, and would answer.
        own = f"imagereg serves {self.base}"
        while self.process.poll() is None and time.monotonic() < begun + timeout_s:
            if own in self.log()[written:] and self.is_answering():
                self.started_in_s = time.monotonic() - begun
                return self
            time.sleep(0.02)
        self.kill9()
        raise RuntimeError(f"the server did not start; its log:\n{self.log()[-4000:]}")

    def _begin(self, log: IO[bytes]) -> subprocess.Popen[bytes] | warm.Warmed:
        environment = self._full_environment()
        if self._warm:
            return warm.start(self.command, log, self.where, environment)
        return subprocess.Popen(
            self.command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=self.where,
            env=environment,
            start_new_session=True,
        )

    def is_answering(self) -> bool:
        """Return whether the server answers a request for its versions."""
        return is_answering(self.base)

    def _full_environment(self) -> dict[str, str]:
        """Return the variables of the test run without any that configure a server.

        Servers keep what they compile, as an installation has it: to compile all
        again would be most of each start, and a fifth of the memory.
        """
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("OS_", "IMAGEREG_", "GUNICORN_"))
        }
        return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": ""}

    def client(self, headers: Headers | None = None) -> Client:
        """Return a client that speaks for the caller of ``headers`` (see `as_`)."""
        return Client(self.base, headers)

    def log(self) -> str:
        """Return everything the server has written so far."""
        return self._log.read_text(errors="replace")

    def stop(self, timeout_s: float = 60) -> None:
        """End the server as an operator would; a server that will not end fails."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(
                f"the server ignored SIGTERM for {timeout_s} s; "
                f"its log:\n{self.log()[-4000:]}"
            ) from None
        self.process = None

    def kill9(self) -> None:
        """End every process of the server at once, as a power cut would."""
        if self.process is None:
            return
        pids = [self.process.pid, *self._workers()]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        # One that waits for the disk may outlive the others for a moment, and would
        # still hold its port and its locks.
        assert eventually(lambda: not any(map(_is_there, pids)))

    def kill9_workers(self) -> None:
        """End the processes that serve requests; their parent starts new ones."""
        children = self._workers()
        assert children, "the server has no workers"
        for child in children:
            os.kill(child, signal.SIGKILL)

    def _workers(self) -> list[int]:
        """Return the processes that serve requests; none of a server that ended."""
        assert self.process is not None
        pid = self.process.pid
        try:
            text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except OSError:
            return []
        return [int(child) for child in text.split()]

    def restart(self) -> "Server":
        """Stop if running, and start again on the same port and directory."""
        self.stop()
        return self.start()

    def stored_files(self) -> list[Path]:
        """Return every file with image data, finished or temporary."""
        return stored_files(self.images_dir)


def is_answering(base: str) -> bool:
    """Return whether the service at a URL answers a request for its versions."""
    try:
        return Client(base, {}, 10).get("/versions").status < 500
    except (OSError, http.client.HTTPException):
        return False


def stored_files(images_dir: Path) -> list[Path]:
    """Return every file with image data below the directory of a file store."""
    # Unlike `Path.rglob`, this takes no offence at a folder that goes meanwhile.
    return sorted(
        path
        for folder, _, names in os.walk(images_dir)
        for name in names
        if name != ".lock" and (path := Path(folder, name)).is_file()
    )


def is_as_before(server: Server, before: list[Path]) -> bool:
    """Return whether a file store holds what it held.

    What is unfinished may have gone since: other tests leave some for a moment.
    """
    whole = {path for path in before if TEMPORARY not in path.parts}
    return whole <= {*server.stored_files()} <= {*before}


def _is_there(pid: int) -> bool:
    """Return whether a process still runs, in any of its threads."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            if stat.read_text().rpartition(")")[2].split()[0] not in "ZX":
                return True
    return False


def eventually(question: Callable[[], bool], timeout_s: float = 60) -> bool:
    """Return whether ``question`` comes true in time; it is asked again and again.

    What comes true costs no more than it takes, so there is time for busy machines.
    """
    deadline = time.monotonic() + timeout_s
    while not question():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
