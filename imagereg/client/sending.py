"""Send ranges of a file, several at once, until each has arrived."""

import threading
from collections import deque
from collections.abc import Sequence

from imagereg.client.localfile import Count, LocalFile, Range, SentRange
from imagereg.client.session import Session, refusal
from imagereg.errors import RegistryUnreachable

#: How often the one who waits looks whether it was interrupted, in seconds.
_LOOK_S = 0.2


class Sending:
    """One round of ranges to one image.

    Args:
        threads: how many go out at once.
        count: is told of bytes that went out, and of those that must go again.
    """

    def __init__(
        self, session: Session, file: LocalFile, image_id: str, count: Count
    ) -> None:
        self._session = session
        self._file = file
        self._path = f"/v2/images/{image_id}/stage"
        self._count = count
        self._todo: deque[Range] = deque()
        self._failure: BaseException | None = None
        self._ended = threading.Event()

    def run(self, todo: Sequence[Range], threads: int) -> None:
        """Send all ranges; return early if the registry has others than we thought.

        Raises:
            RegistryRefused, RegistryUnreachable, FileChanged: the first failure.
        """
        self._todo = deque(todo)
        # Daemons, so that an interrupted command ends at once and not with its parts.
        workers = [
            threading.Thread(target=self._work, name="upload", daemon=True)
            for _ in range(min(threads, len(todo)))
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():
                worker.join(_LOOK_S)
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while not self._ended.is_set():
            try:
                part = self._todo.popleft()
            except IndexError:
                return
            try:
                self._send(part)
            except BaseException as error:  # noqa: BLE001 - a thread's border: `run` raises it
                self._failure = self._failure or error
                self._ended.set()
                self._session.stop()

    def _send(self, part: Range) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(part.size),
        }
        if self._file.size:
            last = part.stop - 1
            headers["Content-Range"] = f"bytes {part.start}-{last}/{self._file.size}"
        patience = self._session.patience()
        while True:
            body = SentRange(self._file, part, self._count)
            try:
                reply = self._session.once("PUT", self._path, body, headers)
            except RegistryUnreachable as error:
                body.take_back()
                patience.wait(error)
                continue
            if reply.status == 204:
                return
            body.take_back()
            if reply.status != 409:
                raise refusal(reply)
            # Another client, or our own past, was faster and cut otherwise.
            self._ended.set()
            return
