"""The bytes of an image over several connections, where one is slow.

Ranges come in side by side and are written in order, so that a part is always the
beginning of the image, whatever stops it.  What waits for its turn is in memory: at
most `SEGMENT_BYTES` for each connection and one more.

Source: contract compute-fetch C-5.
"""

import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

from urllib3.exceptions import HTTPError

from imagereg.errors import FetchCancelled, FetchNotIntact
from imagereg.fetch.download import content_range
from imagereg.fetch.facts import Facts
from imagereg.fetch.part import BLOCK_BYTES, Part
from imagereg.fetch.reporting import Reporter
from imagereg.fetch.service import Attempts, Passing, Service

SEGMENT_BYTES = 4 * BLOCK_BYTES


class NoRanges(Exception):
    """The service gives the whole, or nothing."""


class ParallelDownload:
    """One image on its way from a service into a part, in ranges."""

    def __init__(
        self,
        service: Service,
        facts: Facts,
        part: Part,
        report: Reporter,
        connections: int,
    ) -> None:
        self._service = service
        self._facts = facts
        self._part = part
        self._report = report
        self._connections = connections
        self._ended = threading.Event()

    def run(self) -> None:
        """Bring in all bytes that are missing, or those that can be had in ranges.

        Raises:
            NoRanges: the service has none; what came so far is in the part.
            FetchFailed: the class says why.
        """
        size = self._facts.size or 0
        starts = range(self._part.position, size, SEGMENT_BYTES)
        if len(starts) < 2:
            return
        self._report.start("http", self._part.position, size)
        # The first range is the probe: nothing else is asked for before its answer.
        self._write(self._read(starts[0]))
        waiting: deque[Future[list[bytes]]] = deque()
        with ThreadPoolExecutor(self._connections, "imagereg-fetch") as pool:
            try:
                for start in starts[1:]:
                    waiting.append(pool.submit(self._read, start))
                    if len(waiting) > self._connections:
                        self._write(waiting.popleft().result())
                while waiting:
                    self._write(waiting.popleft().result())
            finally:
                self._ended.set()
                pool.shutdown(cancel_futures=True)

    def _write(self, blocks: list[bytes]) -> None:
        for block in blocks:
            self._part.write(block)
            self._report.moved(self._part.position)

    def _read(self, start: int) -> list[bytes]:
        """Return the blocks of one range, from as many answers as it takes."""
        stop = min(start + SEGMENT_BYTES, self._facts.size or 0)
        attempts = Attempts(self._service.retries, self._report)
        blocks: list[bytes] = []
        while start < stop:
            try:
                for block in self._answer(start, stop):
                    blocks.append(block)
                    start += len(block)
                    attempts.succeeded()
            except Passing as error:
                self._check()
                attempts.wait(error)
        return blocks

    def _answer(self, start: int, stop: int) -> list[bytes]:
        """Return what one answer brings of a range, if anything."""
        response = self._service.open(self._facts.id, start, stop - 1)
        blocks: list[bytes] = []
        try:
            if response.status != 206:
                raise NoRanges
            if content_range(response) not in (
                (start, self._facts.size),
                (start, None),
            ):
                raise Passing("the image service does not keep to the range")
            while start < stop:
                self._check()
                block = response.read(BLOCK_BYTES, decode_content=False)
                if not block:
                    break
                blocks.append(block)
                start += len(block)
        except (HTTPError, OSError) as error:
            failure = self._service.lost(error)
            if not blocks:
                raise failure from error
        finally:
            response.close()
        if start > stop:
            raise FetchNotIntact("the service sends more than it was asked for")
        if not blocks:
            raise Passing("the image service sends less than it said")
        return blocks

    def _check(self) -> None:
        """Raise once nobody waits for the bytes any more."""
        self._report.check()
        if self._ended.is_set():
            raise FetchCancelled("another range failed")
