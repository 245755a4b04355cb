"""Between gunicorn and the application: bodies in, files out, connections to the end.

A plain file leaves by the kernel's ``sendfile``; when its store breaks off, the rest
follows from elsewhere, or the connection is cut: what was announced comes whole, or
can be seen not to have (ruling S-16).

Source: DATAPATH 1, 2 and 8.
"""

import errno
import logging
import os
import select
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from fcntl import ioctl
from struct import pack
from termios import TIOCOUTQ
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

from imagereg.api.negotiation import WSGI
from imagereg.errors import ImageRegError
from imagereg.stores.driver import BlobReader, HasPath

#: The most that one ``sendfile`` takes on Linux is 2 GiB less a page.
SENDFILE_BYTES = 1024 * 1024 * 1024

#: What gunicorn's parser reads of a head at a time.
HEAD_BYTES = 8192

#: How long a thread waits for the next request of its connection.
LINGER_MS = 20

_log = logging.getLogger(__name__)


class Log(Logger):
    """gunicorn's log, to which a client that stalls is no fault of ours."""

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as in the base class
        """Tell of an exception with its traceback, unless it is a client's doing."""
        if isinstance(sys.exception(), (BlockingIOError, TimeoutError)):
            self.warning("a connection is cut: the client stalled")
        else:
            super().exception(msg, *args, **kwargs)


class Worker(ThreadWorker):
    """gunicorn's threaded worker, which never waits for one peer in its main loop."""

    def set_accept_enabled(self, enabled: bool | None) -> None:
        """Accept connections or not; a worker that stops never will again.

        Listeners that were kept open would take connections that nobody answers as
        long as the transfers of the grace period last.
        """
        super().set_accept_enabled(enabled)
        if not enabled and not self.alive:
            for listener in self.sockets:
                listener.close()

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """Take a connection back from its thread; it is hung up in another one.

        gunicorn would give the peer two seconds to hang up first, here in the loop
        that accepts connections, for one peer after the other.
        """
        is_over = not fs.cancelled() and fs.exception() is None and not fs.result()
        if not is_over:
            super().finish_request(conn, fs)
            return
        self.nr_conns -= 1
        self.tpool.submit(conn.close, graceful=True)

    def handle(self, conn: TConn) -> Any:  # noqa: ANN401 - gunicorn says more than bool
        """Answer requests of one connection as long as they follow each other closely.

        Handing a connection back to the main loop and out to a thread again costs
        more than many a request.  A thread stays only while there are more threads
        than connections, so nobody ever waits for one that idles.
        """
        kept = super().handle(conn)
        while kept is True and self._stays(conn):
            kept = super().handle(conn)
        return kept

    def _stays(self, conn: TConn) -> bool:
        """Return whether the next request has come within `LINGER_MS`."""
        if not self.alive or self.nr_conns >= self.cfg.threads:
            return False
        parser: Any = conn.parser
        if parser.unreader.buf.getvalue():
            return True
        waiting = select.poll()
        waiting.register(conn.sock, select.POLLIN)
        return bool(waiting.poll(LINGER_MS))

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Answer one request."""
        unreader: Any = req.unreader
        unreader.sock = _Filling(conn.sock)
        answered: bool = super().handle_request(req, conn)
        return answered


class Transport:
    """WSGI middleware around the application."""

    def __init__(self, application: WSGI) -> None:
        self._application = application

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request."""
        environ["wsgi.input"] = _Body(environ["wsgi.input"])
        answer = self._application(environ, start_response)
        if isinstance(answer, BlobReader):
            return _Blob(answer, environ["gunicorn.socket"])
        return answer


class _Body:
    """A request body, in the pieces in which it comes in.

    The parser stays gunicorn's, and so does every refusal of a malformed body; but
    gunicorn's own ``read`` copies each byte three times, and that is left out.

    Every malformed body is reported as an `OSError`: gunicorn's own exceptions for
    malformed chunks would tie the application to it.
    """

    def __init__(self, body: Any) -> None:  # noqa: ANN401 - the stubs lag behind
        self._body = body

    def read(self, size: int) -> bytes:
        """Return the next bytes, of a sized body up to ``size``; none at the end."""
        reader = self._body.reader
        try:
            if isinstance(reader, LengthReader):
                return _next_bytes(reader, min(size, reader.length))
            return _next_piece(reader)
        except (ParseException, OSError) as error:
            # Where the next request would begin is unknown.
            self._body.failed = True
            if isinstance(error, OSError):
                raise
            raise BrokenPipeError(str(error)) from error


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

    def __init__(self, reader: BlobReader, peer: socket.socket) -> None:
        self._reader = reader
        self._peer = peer
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
            file.seek(file.position + sent)
            self._unread = self._count_unread()

    def _send(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            try:
                rest = rest[self._peer.send(rest) :]
            except BlockingIOError:
                if not self._is_reading():
                    raise
            else:
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
