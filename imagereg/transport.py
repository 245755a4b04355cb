"""Between gunicorn and the application: bodies in, files out, connections to the end.

A plain file leaves by the kernel's ``sendfile``; when its store breaks off, the rest
follows from elsewhere, or the connection is cut: what was announced comes whole, or
can be seen not to have (ruling S-16).

Source: DATAPATH 1, 2 and 8.
"""

import errno
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from fcntl import ioctl
from struct import pack
from termios import TIOCOUTQ
from types import MappingProxyType
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from imagereg.api.negotiation import WSGI
from imagereg.api.proxies import CLIENT
from imagereg.api.routes import FILE, STAGE
from imagereg.errors import ImageRegError
from imagereg.leaders import Leaders
from imagereg.meters import Meters
from imagereg.occasion import Occasion, enter
from imagereg.stores.driver import BlobReader, HasPath
from imagereg.telemetry.lines import Access

#: The most that one ``sendfile`` takes on Linux is 2 GiB less a page.
SENDFILE_BYTES = 1024 * 1024 * 1024

#: What gunicorn's parser reads of a head at a time.
HEAD_BYTES = 8192

#: How long a process that stops waits for requests that may be under way to it.
STOPPING_S = 2.0

#: How often it looks meanwhile whether connections are left.
LOOK_S = 0.1

#: Routes whose bodies are image data.
UPLOADS = frozenset({FILE, STAGE})

_log = logging.getLogger(__name__)
_request_log = logging.getLogger("imagereg.requests")


class Log(Logger):
    """gunicorn's log, to which a client that stalls is no fault of ours."""

    def setup(self, cfg: Any) -> None:  # noqa: ANN401 - the stubs lag behind
        """Write where the rest of the log goes, in its form."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as in the base class
        """Tell of an exception with its traceback, unless it is a client's doing."""
        if isinstance(sys.exception(), (BlockingIOError, TimeoutError)):
            self.warning("a connection is cut: the client stalled")
        else:
            super().exception(msg, *args, **kwargs)


class Worker(ThreadWorker):
    """gunicorn's threaded worker, whose threads share `Leaders`.

    Its main loop accepts connections, and never waits for one peer.

    Attributes:
        leaders: how many threads answer at once, but for requests that take long.
        waiting: see `Leaders`.
    """

    leaders = 1
    waiting: Mapping[int, float] = MappingProxyType({})

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Accept connections or not; a worker that stops never will again.

        Listeners that were kept open would take connections that nobody answers as
        long as the transfers of the grace period last.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()

    def run(self) -> None:
        """Serve until told to stop, then until the last connection is closed."""
        self._asked_to_stop = time.monotonic()
        self._leaders = Leaders(self._answer, self.tpool, self.leaders, self.waiting)
        self._leaders.start()
        try:
            super().run()
        finally:
            self._leaders.stop()

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """Wait for new connections; briefly, if there will be none."""
        super().wait_for_and_dispatch_events(timeout if self.alive else LOOK_S)

    def enqueue_req(self, conn: TConn) -> None:
        """Have a new connection wait at rest, not in a thread of its own."""
        conn.data_ready = True
        self._leaders.welcome(conn)

    def _answer(self, conn: TConn) -> None:
        """Answer what a connection asks, and have it rest or hang it up."""
        kept = self.handle(conn)
        while kept is True and _has_more(conn.parser):
            kept = self.handle(conn)
        if kept is True:
            self._leaders.rest(conn)
        else:
            self.method_queue.defer(self._hang_up, conn)

    def _hang_up(self, conn: TConn) -> None:
        """Close a connection, in another thread than this one.

        The peer may hang up first, for which it has two seconds, and this thread is
        the one that accepts connections.
        """
        self.nr_conns -= 1
        self.tpool.submit(conn.close, graceful=True)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections that rested too long, at the end all of them.

        At the end, too, a request that is under way already is waited for.
        """
        now = time.monotonic()
        if self.alive:
            self._asked_to_stop = now
        is_late = now - self._asked_to_stop >= STOPPING_S
        since = now if force or is_late else now - self.cfg.keepalive
        for conn in self._leaders.withdraw(since):
            self.nr_conns -= 1
            conn.close()

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Answer one request."""
        unreader: Any = req.unreader
        unreader.sock = _Filling(conn.sock)
        answered: bool = super().handle_request(req, conn)
        return answered


def _has_more(parser: Any) -> bool:  # noqa: ANN401 - the stubs lag behind
    """Return whether a request came together with the one before."""
    return bool(parser.unreader.buf.getvalue())


class Transport:
    """WSGI middleware around the application.

    Each request is an `Occasion`, which ends with its answer: then it is logged.
    """

    def __init__(self, application: WSGI, meters: Meters) -> None:
        self._application = application
        self._meters = meters

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request."""
        occasion = Occasion(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            peer=environ["REMOTE_ADDR"],
        )
        enter(occasion)
        begun = time.perf_counter()

        def start(status: str, *rest: Any) -> Any:  # noqa: ANN401 - as WSGI has it
            occasion.status = int(status[:3])
            return start_response(status, *rest)

        environ["wsgi.input"] = _Body(environ["wsgi.input"], occasion, self._meters)
        answer = self._application(environ, start)
        if hasattr(answer, "size") and isinstance(answer, BlobReader):  # quick first
            answer = _Blob(answer, environ["gunicorn.socket"], occasion)
        occasion.peer = environ.get(CLIENT, occasion.peer)
        return _Answer(answer, occasion, begun, self._meters)


class _Answer:
    """An answer on its way out, and what is to be told of it in the end."""

    def __init__(
        self, chunks: Iterable[bytes], occasion: Occasion, begun: float, meters: Meters
    ) -> None:
        self._chunks = chunks
        self._occasion = occasion
        self._begun = begun
        self._meters = meters
        self._is_transfer = isinstance(chunks, _Blob)
        if self._is_transfer:
            meters.transfers("out", 1)

    def __iter__(self) -> Iterator[bytes]:
        """Pass the answer on."""
        occasion = self._occasion
        occasion.is_cut = True
        for chunk in self._chunks:
            yield chunk
            occasion.bytes_out += len(chunk)
        occasion.is_cut = False

    def close(self) -> None:
        """Let go of the answer; the request is over."""
        try:
            if hasattr(self._chunks, "close"):
                self._chunks.close()
        finally:
            if self._is_transfer:
                self._meters.transfers("out", -1)
            if self._occasion.is_uploading:
                self._meters.transfers("in", -1)
            self._occasion.duration_s = time.perf_counter() - self._begun
            self._meters.answered(self._occasion)
            _request_log.info(Access(self._occasion))
            enter(None)


class _Body:
    """A request body, in the pieces in which it comes in.

    The parser stays gunicorn's, and so does every refusal of a malformed body; but
    gunicorn's own ``read`` copies each byte three times, and that is left out.

    Every malformed body is reported as an `OSError`: gunicorn's own exceptions for
    malformed chunks would tie the application to it.
    """

    def __init__(self, body: Any, occasion: Occasion, meters: Meters) -> None:  # noqa: ANN401 - the stubs lag behind
        self._body = body
        self._occasion = occasion
        self._meters = meters

    def read(self, size: int) -> bytes:
        """Return the next bytes, of a sized body up to ``size``; none at the end."""
        reader = self._body.reader
        occasion = self._occasion
        if not occasion.is_uploading and occasion.template in UPLOADS:
            occasion.is_uploading = True
            self._meters.transfers("in", 1)
        try:
            if isinstance(reader, LengthReader):
                data = _next_bytes(reader, min(size, reader.length))
            else:
                data = _next_piece(reader)
        except (ParseException, OSError) as error:
            # Where the next request would begin is unknown.
            self._body.failed = True
            if isinstance(error, OSError):
                raise
            raise BrokenPipeError(str(error)) from error
        occasion.bytes_in += len(data)
        return data


def _next_bytes(reader: Any, wanted: int) -> bytes:  # noqa: ANN401 - as above
    """Return some of the next ``wanted`` bytes; what was read beyond is kept."""
    if not wanted:
        return b""
    data: bytes = reader.unreader.read(None, read_ahead=wanted)
    if len(data) > wanted:
        reader.unreader.unread(data[wanted:])
        data = data[:wanted]
    reader.length -= len(data)
    return data


def _next_piece(reader: ChunkedReader) -> bytes:
    """Return the next piece of a chunk, as large as it came in."""
    for piece in reader.parser or ():
        if piece:
            return piece
    reader.parser = None
    return b""


class _Filling:
    """A socket that waits until what is asked for has come in, or time is up.

    gunicorn asks for more than `HEAD_BYTES` only inside a body, and never for what
    lies behind it.  Each wait for less costs a turn at the interpreter's lock.
    """

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self.gettimeout = peer.gettimeout
        self.settimeout = peer.settimeout

    def recv(self, size: int) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        flags = socket.MSG_WAITALL if size > HEAD_BYTES else 0
        return self._peer.recv(size, flags)


class _Blob:
    """Image data as an answer, which go past gunicorn's own loop to the socket."""

    def __init__(
        self, reader: BlobReader, peer: socket.socket, occasion: Occasion
    ) -> None:
        self._reader = reader
        self._peer = peer
        self._occasion = occasion
        self._unread = 0

    def __iter__(self) -> Iterator[bytes]:
        """Send the blob; what is yielded makes gunicorn send the headers first."""
        yield b""
        try:
            if isinstance(self._reader, HasPath):
                self._send_file(self._reader)
            for chunk in self._reader:
                self._send(chunk)
        except ImageRegError as error:
            raise _cut(f"no location is left: {error}") from error
        except (BlockingIOError, TimeoutError) as error:
            # What the client has not read will not be kept for it either.
            self._peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
            raise _cut("the client stalled") from error

    def close(self) -> None:
        """Let go of the blob."""
        self._reader.close()

    def _send_file(self, file: HasPath) -> None:
        """Let the kernel send as much of the file as it can."""
        stop = file.position + file.size
        while file.position < stop:
            count = min(stop - file.position, SENDFILE_BYTES)
            try:
                sent = os.sendfile(
                    self._peer.fileno(), file.fileno(), file.position, count
                )
            except BlockingIOError:
                if not self._is_reading():
                    raise
                continue
            except (ConnectionError, TimeoutError):
                raise
            except OSError as error:
                # Reading will tell whether it is the disk, or the file system only
                # does not know how to send.
                _log.warning("cannot send a file: %s", error)
                return
            if not sent:
                return
            self._occasion.bytes_out += sent
            file.seek(file.position + sent)
            self._unread = self._count_unread()

    def _send(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            try:
                sent = self._peer.send(rest)
            except BlockingIOError:
                if not self._is_reading():
                    raise
            else:
                rest = rest[sent:]
                self._occasion.bytes_out += sent
                self._unread = self._count_unread()

    def _is_reading(self) -> bool:
        """Return whether the client has read anything since it was last asked.

        The kernel takes more only when a third of its buffer is free, and time is up
        before that for a client that reads a few KiB a second.
        """
        before, self._unread = self._unread, self._count_unread()
        return self._unread < before

    def _count_unread(self) -> int:
        """Return how many bytes the kernel keeps for the client."""
        answer = ioctl(self._peer.fileno(), TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)


def _cut(reason: str) -> BrokenPipeError:
    """Return what makes gunicorn hang up without a word."""
    _log.warning("a download is cut: %s", reason)
    return BrokenPipeError(errno.EPIPE, reason)
