"""Load for HTTP benchmarks: many connections, one thread, requests as ready bytes.

One exchange costs this side some 30 microseconds, so that a service whose requests
cost a tenth of a millisecond is still what is measured.  Connections stay open where
the service lets them, and are opened anew where it does not.
"""

import itertools
import selectors
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

#: How long one answer may take, in seconds.
PATIENCE_S = 60

#: Bytes taken from a socket at once.
TAKE = 256 * 1024


@dataclass
class Outcome:
    """What one load saw.

    Attributes:
        seconds: from the first request to the last answer.
        latencies: of each request, in seconds, unsorted.
        statuses: how many answers had which status; 0 is a lost connection.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """How many requests were answered."""
        return len(self.latencies)

    def percentile(self, share: float) -> float:
        """Return the latency that ``share`` of the requests stayed within."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection:
    """One client that asks again as soon as it is answered."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self.begun = 0.0
        self._request = b""
        self._received = bytearray()
        self._wanted = -1
        self._used = False
        self.socket = self._open()

    def _open(self) -> socket.socket:
        opened = socket.create_connection(self._address, PATIENCE_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def ask(self, request: bytes) -> None:
        """Send one request."""
        self._request = request
        self._received.clear()
        self._wanted = -1
        self.begun = time.perf_counter()
        try:
            self.socket.sendall(request)
        except ConnectionError:
            self._again()

    @property
    def is_stale(self) -> bool:
        """Whether the service may have closed the connection before it was asked."""
        return self._used and not self._received

    def _again(self) -> None:
        self.renew()
        self.socket.sendall(self._request)

    def read(self) -> int | None:
        """Take what has arrived; return the status when the answer is whole."""
        try:
            taken = self.socket.recv(TAKE)
        except ConnectionError:
            taken = b""
        if not taken and self.is_stale:
            self._again()
            return None
        self._used = True
        if not taken:
            return self._status() if self._received and self._wanted < 0 else 0
        self._received += taken
        if self._wanted < 0:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return None
            length = self._length(bytes(self._received[:end]).lower())
            if length is None:
                return None
            self._wanted = end + 4 + length
        return self._status() if len(self._received) >= self._wanted else None

    def _length(self, head: bytes) -> int | None:
        """Return how long the body is; None if it lasts as long as the connection."""
        if self._status() in (204, 304):
            return 0
        _, name, value = head.partition(b"\r\ncontent-length:")
        return int(value.split(b"\r\n", 1)[0]) if name else None

    def _status(self) -> int:
        return int(self._received[9:12])

    @property
    def body(self) -> bytes:
        """The body of the last answer."""
        return bytes(self._received).partition(b"\r\n\r\n")[2]

    @property
    def is_over(self) -> bool:
        """Whether the service closes the connection after this answer."""
        head = bytes(self._received).partition(b"\r\n\r\n")[0].lower()
        return self._wanted < 0 or b"\r\nconnection: close" in head

    def renew(self) -> None:
        """Open the connection anew."""
        self.socket.close()
        self._used = False
        self.socket = self._open()


def load(
    address: tuple[str, int],
    requests: Iterator[bytes],
    *,
    connections: int,
    seconds: float,
) -> Outcome:
    """Ask for so long, with so many requests under way at any time.

    Raises:
        TimeoutError: an answer took longer than `PATIENCE_S`.
    """
    outcome = Outcome()
    clients = [_Connection(address) for _ in range(connections)]
    with selectors.DefaultSelector() as selector:
        begun = time.perf_counter()
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.ask(next(requests))
        waiting = len(clients)
        while waiting:
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise TimeoutError("the service does not answer")
            for key, _ in ready:
                client = key.data
                status = client.read()
                if status is None:
                    _watch(selector, key, client)
                    continue
                now = time.perf_counter()
                outcome.latencies.append(now - client.begun)
                outcome.statuses[status] += 1
                if now - begun >= seconds:
                    selector.unregister(key.fileobj)
                    waiting -= 1
                    continue
                if status == 0 or client.is_over:
                    client.renew()
                client.ask(next(requests))
                _watch(selector, key, client)
    outcome.seconds = time.perf_counter() - begun
    for client in clients:
        client.socket.close()
    return outcome


def _watch(
    selector: selectors.BaseSelector, key: selectors.SelectorKey, client: _Connection
) -> None:
    """Wait for the client's socket, which may be another one than before."""
    if client.socket is not key.fileobj:
        selector.unregister(key.fileobj)
        selector.register(client.socket, selectors.EVENT_READ, client)


def ask_once(address: tuple[str, int], request: bytes) -> tuple[int, bytes]:
    """Return status and body of one answer."""
    client = _Connection(address)
    client.ask(request)
    status = None
    while status is None:
        status = client.read()
    client.socket.close()
    return status, client.body


def turns(requests: list[bytes]) -> Iterator[bytes]:
    """Yield the requests in turn, for ever."""
    return itertools.cycle(requests)
