"""The WSGI server: gunicorn with the settings that measurements chose.

Threads, because they are what keeps stalled clients from starving others: 200 slow
readers leave a small request at milliseconds.  What is quick shares few of them, see
`leaders.py`.  gunicorn, because it alone refuses every truncated or malformed body; its
Python parser, because the fast one admits bare line feeds.  Idle peers are cut by
timeouts of the listening socket, which accepted sockets inherit; there is no limit on
a transfer as a whole.

Source: DATAPATH 1 and 8.
"""

import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from struct import pack
from types import FrameType
from typing import Any

import click
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from imagereg.api.auth import DUPLICATES_HEADER, IDENTITY_HEADERS
from imagereg.app import Registry
from imagereg.errors import ConfigurationError, ImageRegError
from imagereg.settings import Settings
from imagereg.telemetry.prometheus import forget_process
from imagereg.transport import Log, Transport, Worker

log = logging.getLogger(__name__)

#: Reads the configuration again, and makes a registry of it.
Reopen = Callable[[], tuple[Registry, Settings]]

#: How long a worker waits for its transfers after SIGTERM, in seconds.
GRACE_S = 3600

#: One per stalled client is the worst case; none is started before it is needed.
THREADS = 192

#: How many requests a process answers at once whose database is a server: while one
#: waits for it, others go on.  With 1 a process did a third of what it does with 8
#: (show, PostgreSQL, 16 connections); on SQLite a request seldom waits.
SERVER_LEADERS = 8

KEEPALIVE_S = 30

MiB = 1024 * 1024

#: Names of glibc, from `malloc.h`: from which size on a block is the system's own, how
#: much free memory each heap keeps, and how many heaps there are.
M_MMAP_THRESHOLD = -3
M_TRIM_THRESHOLD = -1
M_ARENA_MAX = -8

#: Heaps that the threads of a process share.  By itself the library makes eight for
#: each core, and what is free in one is of no use to the threads of another.
HEAPS = 2

#: Files that one process may have open, as far as the system lets it.
OPEN_FILES = 65_536


@dataclass(frozen=True, slots=True)
class Listen:
    """Where and how to serve.

    Attributes:
        workers: processes; None is one for each core.
        grace_s: how long transfers may go on after SIGTERM, in seconds.
    """

    host: str
    port: int
    workers: int | None = None
    grace_s: int = GRACE_S


def check_exposure(settings: Settings, host: str) -> None:
    """Refuse to serve everybody as administrator beyond this machine (ruling U-1).

    Raises:
        ConfigurationError: no-auth on an address that others reach.
    """
    if settings.paste_deploy.flavor or settings.imagereg.allow_open_noauth:
        return
    if not _is_loopback(host):
        fault = (
            f"nobody checks identities ([paste_deploy] flavor is not set), so "
            f"{host} is refused: listen on 127.0.0.1, set a flavor, or set "
            "[imagereg] allow_open_noauth = true"
        )
        raise ConfigurationError([fault])


def serve(
    registry: Registry, settings: Settings, listen: Listen, reopen: Reopen
) -> None:
    """Serve until SIGTERM; a second one stops at once.  Does not return.

    SIGHUP has the configuration read again: ``reopen`` makes a registry of it, new
    processes serve that one, and the old ones end with their transfers.  Faults are
    logged, and then everything stays.
    """
    registry.recovery.run()
    registry.recovery.sweep()
    # Each process opens connections of its own: SQLite's must not cross a fork.
    registry.engine.close()
    _allow_open_files()
    _keep_buffers()
    # What stands now lives as long as the server.  No collection need look at it
    # again, and workers go on sharing its memory, which looking would copy.
    gc.freeze()
    _Server(registry, settings, listen, reopen).run()


class _Arbiter(Arbiter):
    """gunicorn's master; the second SIGTERM means: now."""

    _terminating = False

    def signal(self, sig: int, frame: FrameType | None) -> None:
        """Note a signal; the second of its kind ends the grace period."""
        if sig == signal.SIGTERM:
            if self._terminating:
                sig = signal.SIGQUIT
            self._terminating = True
        super().signal(sig, frame)


class _Server(BaseApplication):
    """The application and its settings, as gunicorn wants them."""

    def __init__(
        self, registry: Registry, settings: Settings, listen: Listen, reopen: Reopen
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._listen = listen
        self._reopen = reopen
        super().__init__()

    def reload(self) -> None:
        """Take over the configuration as it is now, as a whole or not at all."""
        try:
            registry, settings = self._reopen()
        except ImageRegError as error:
            log.error("the configuration stays as it was: %s", error.message)  # noqa: TRY400 - an operator's fault
            return
        registry.engine.close()
        # Processes that serve it to their end have files of their own.
        self._registry.close()
        self._registry, self._settings, self.callable = registry, settings, None
        # Or the registry that ends here would never be collected.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        super().reload()
        log.info("the configuration was read again")

    def load_config(self) -> None:
        """Set every option; nothing is read from files or the environment."""
        for name, value in self._options().items():
            self.cfg.set(name, value)

    def load(self) -> Any:  # noqa: ANN401 - the stubs want a type that Flask's is not
        """Return the WSGI application."""
        return Transport(self._registry.app, self._registry.meters)

    def run(self) -> None:
        """Serve."""
        try:
            _Arbiter(self).run()
        except RuntimeError as error:
            click.echo(f"imagereg: {error}", err=True)
            sys.exit(1)

    def _options(self) -> Mapping[str, object]:
        listen, base = self._listen, self._settings.default
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        return {
            "bind": f"{host}:{listen.port}",
            "workers": listen.workers or os.cpu_count() or 1,
            "worker_class": Worker,
            "threads": THREADS,
            "worker_connections": 4096,
            "backlog": base.backlog,
            "preload_app": True,
            "http_parser": "python",
            "keepalive": KEEPALIVE_S,
            "graceful_timeout": listen.grace_s,
            "timeout": 120,
            "limit_request_line": base.max_header_line // 2,
            "limit_request_field_size": base.max_header_line,
            "header_map": "drop",
            "forwarded_allow_ips": "",
            "control_socket_disable": True,
            "proc_name": "imagereg",
            "loglevel": "warning",
            "logger_class": Log,
            "when_ready": self._when_ready,
            "post_worker_init": self._post_worker_init,
            "pre_request": _mark_duplicates,
            "child_exit": _forget_worker,
        }

    def _when_ready(self, server: Any) -> None:  # noqa: ANN401 - gunicorn is untyped
        for listener in server.LISTENERS:
            _limit_idling(listener.sock, self._settings)
            host, port = listener.sock.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"imagereg serves http://{shown}:{port}")

    def _post_worker_init(self, worker: Any) -> None:  # noqa: ANN401 - gunicorn is untyped
        engine = self._registry.engine
        if engine.dialect.pool is None:
            worker.waiting = engine.waiting
        else:
            worker.leaders = SERVER_LEADERS
        self._registry.recovery.start()
        self._registry.scrubber.start(self._settings.default.wakeup_time)
        self._registry.rounds.start()
        if self._settings.imagereg.run_jobs:
            self._registry.jobs.start()
        if self._registry.events is not None:
            self._registry.events.start()
        if self._registry.cache is not None:
            self._registry.cache.start()


def _forget_worker(server: Any, worker: Any) -> None:  # noqa: ANN401 - gunicorn is untyped
    """Take back what a worker that is gone had under way."""
    forget_process(worker.pid)


def _allow_open_files() -> None:
    """Ask the system for as many open files as threads and their peers may need.

    The usual 1,024 are used up by the database connections and sockets of some
    hundred stalled clients.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_buffers() -> None:
    """Have the C library keep the memory of a transfer's buffers between two of them.

    By itself it gives a buffer of 1 MiB back to the system and asks for it again, and
    the kernel clears each page anew: up to 65,000 page faults for a GiB, which is 6
    to 10 % of an upload's CPU (`bench_targets`), and as much of one to S3, whose parts
    come and go 10 MiB at a time.  What is kept is kept by each heap, so there are few;
    it was in use before.  Other C libraries are left alone.
    """
    tune = getattr(ctypes.CDLL(None), "mallopt", None)
    if tune is not None:
        tune(M_MMAP_THRESHOLD, 4 * MiB)
        tune(M_TRIM_THRESHOLD, 64 * MiB)
        tune(M_ARENA_MAX, HEAPS)


def _limit_idling(listener: socket.socket, settings: Settings) -> None:
    """Cut peers that stall.

    The receive timeout frees stalled headers and uploads, the send timeout stalled
    downloads.  TCP_USER_TIMEOUT would cut slow readers with a small window as well.
    """
    receive = settings.imagereg.upload_idle_timeout
    send = settings.imagereg.download_idle_timeout
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pack("ll", receive, 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, pack("ll", send, 0))


def _mark_duplicates(worker: Any, request: Any) -> None:  # noqa: ANN401 - gunicorn is untyped
    """Tell the application which identity header came twice.

    WSGI joins repeated headers, and a joined list of roles looks like an honest one.
    """
    counted = Counter(name.lower() for name, _ in request.headers)
    twice = [n for n, times in counted.items() if times > 1 and n in IDENTITY_HEADERS]
    request.headers = [
        (name, value)
        for name, value in request.headers
        if name.upper() != DUPLICATES_HEADER
    ]
    if twice:
        request.headers.append((DUPLICATES_HEADER, twice[0]))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
