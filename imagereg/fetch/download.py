"""The bytes of an image over HTTP, from where they stopped, whatever stopped them.

Source: contract compute-fetch 2, C-5.
"""

import re
from collections.abc import Iterator

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError

from imagereg.errors import FetchFailed, FetchNotIntact
from imagereg.fetch.facts import Facts
from imagereg.fetch.part import BLOCK_BYTES, Part
from imagereg.fetch.reporting import Reporter
from imagereg.fetch.service import Attempts, Passing, Service

#: How many answers in a row may not fit what is there.
MOST_MISFITS = 3

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Download:
    """One image on its way from a service into a part."""

    def __init__(
        self, service: Service, facts: Facts, part: Part, report: Reporter
    ) -> None:
        self._service = service
        self._facts = facts
        self._part = part
        self._report = report
        self._attempts = Attempts(service.retries, report)
        self._best = part.position
        self._misfits = 0

    def run(self) -> None:
        """Bring in all bytes that are missing.

        Raises:
            FetchFailed: the class says why.
        """
        is_complete = self._facts.size == self._part.position > self._part.inherited
        if not is_complete:
            self._report.start("http", self._part.position, self._facts.size)
            is_complete = self._facts.size == self._part.position > 0
        while not is_complete:
            try:
                is_complete = self._continue()
            except Passing as error:
                self._attempts.wait(error)

    def _continue(self) -> bool:
        """Read on; return whether the data have ended."""
        response = self._service.open(self._facts.id, self._part.position)
        try:
            if not self._is_wanted(response):
                return False
            for block in self._blocks(response):
                self._part.write(block)
                self._note_progress()
            return self._check_end()
        finally:
            response.close()

    def _is_wanted(self, response: BaseHTTPResponse) -> bool:
        """Return whether what follows fits what is there; begin anew if not."""
        if response.status == 200:
            if self._part.position:
                self._part.restart()
            return True
        if response.status == 206 and self._fits(response):
            return True
        self._misfits += 1
        if self._misfits == 1:
            # Headers that were cut look like whole ones.
            raise Passing("the image service does not keep to the range")
        if self._misfits > MOST_MISFITS:
            raise FetchFailed("the image service does not keep to the range")
        self._part.restart()
        return False

    def _fits(self, response: BaseHTTPResponse) -> bool:
        found = content_range(response)
        if found is None or found[0] != self._part.position:
            return False
        return found[1] is None or self._facts.size in (None, found[1])

    def _blocks(self, response: BaseHTTPResponse) -> Iterator[bytes]:
        while True:
            try:
                block = response.read(BLOCK_BYTES, decode_content=False)
            except (HTTPError, OSError) as error:
                raise self._service.lost(error) from error
            if not block:
                return
            yield block

    def _note_progress(self) -> None:
        position, size = self._part.position, self._facts.size
        if size is not None and position > size:
            raise FetchNotIntact(f"the service sends more than {size} bytes")
        # A service that knows no ranges and breaks each time gets no new patience.
        if position > self._best:
            self._best = position
            self._misfits = 0
            self._attempts.succeeded()
        self._report.moved(position)

    def _check_end(self) -> bool:
        size = self._facts.size
        if size is not None and self._part.position < size:
            raise Passing("the image service sends less than it said")
        return True


def content_range(response: BaseHTTPResponse) -> tuple[int, int | None] | None:
    """Return the first byte of an answer and the size of the whole, if it says."""
    found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None:
        return None
    return int(found[1]), None if found[3] == "*" else int(found[3])
