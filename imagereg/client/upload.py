"""Upload a file to a registry, from wherever an earlier attempt stopped.

What is there already is asked of the registry, compared with the file by digests,
and not sent again.  In the end the image's digest is compared with the file's.

Source: ruling S-14; contract api-images 17 and 18.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from imagereg.client.localfile import LocalFile, Range, missing
from imagereg.client.records import Record, Records, Wanted
from imagereg.client.sending import Sending
from imagereg.client.session import Session
from imagereg.errors import (
    DataDiffer,
    FileChanged,
    ImageRegError,
    ImportFailed,
    RegistryRefused,
    RegistryUnreachable,
)

#: Digest that is worked out while the file is sent, because images usually have it.
USUAL_DIGEST = "sha512"

#: An image may have 10,000 parts; a file that would need more gets larger ones.
MOST_PARTS = 9_000

#: Pauses between looks at an import, in seconds.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.2, 5.0

_UNFINISHED = ("queued", "uploading")


class Report(Protocol):
    """Whoever wants to know how it goes."""

    def say(self, text: str) -> None:
        """Tell of a step."""

    def begin(self, present: int, total: int) -> None:
        """Tell that bytes are about to be sent."""

    def advance(self, count: int) -> None:
        """Tell of bytes sent, or of bytes to be sent again with a minus."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a file is uploaded.

    Attributes:
        part_bytes: how much one request carries.
        parallel: how many requests there are at once.
        stores: where the image shall be; none is the registry's default.
        import_: make an image of the data, rather than leave them staged.
        wait_s: how long the import may take.
    """

    part_bytes: int = 64 * 1024 * 1024
    parallel: int = 1
    stores: Sequence[str] = ()
    import_: bool = True
    wait_s: float = 3600.0


class Upload:
    """One file on its way to one image."""

    def __init__(
        self, session: Session, file: LocalFile, way: Way, report: Report
    ) -> None:
        self._session = session
        self._file = file
        self._way = way
        self._report = report
        self._records = Records(session)
        self._digest = _BackgroundDigest(file)

    def run(self, wanted: Wanted) -> Record:
        """Bring the file to the registry; return the image as it is then.

        Raises:
            FileChanged: what is there already is not of this file, or somebody wrote
                to it.
            RegistryRefused: the registry does not take it.
            RegistryUnreachable: it gave no answer for too long.
            ImportFailed: it could not make an image of the data.
            DataDiffer: the image has other bytes.
        """
        image = self._find(wanted)
        image_id = str(image["id"])
        self._report.say(f"image {image_id}")
        if image["status"] in _UNFINISHED:
            self._send(image_id)
            self._file.check_unchanged()
            if not self._way.import_:
                return self._records.show(image_id)
            self._import(image_id)
        image = self._wait(image_id)
        self._compare(image)
        return image

    def _find(self, wanted: Wanted) -> Record:
        """Return the image to go on with."""
        found = self._records.candidates(wanted, self._file.path.name, self._file.size)
        for image, created in found:
            if created:
                self._check_ranges(str(image["id"]))
                return image
            if wanted.image_id is not None or self._is_ours(image):
                return image
        raise RegistryRefused(409, "every id for this upload is taken; use --new")

    def _check_ranges(self, image_id: str) -> None:
        """Take back the new record if the registry cannot take the data."""
        try:
            self._staged(image_id)
        except RegistryRefused:
            self._session.once("DELETE", f"/v2/images/{image_id}")
            raise

    def _is_ours(self, image: Record) -> bool:
        """Return whether an earlier call has left this image for us."""
        image_id = str(image["id"])
        if image["status"] in _UNFINISHED:
            try:
                self._staged(image_id)
            except RegistryRefused as error:
                if error.status == 403:
                    return False
                raise
            return True
        if image["status"] == "active":
            return self._differs(image) is None
        return bool(image["status"] == "importing")

    def _send(self, image_id: str) -> None:
        """Stage what is missing."""
        before: list[Range] | None = None
        whole = Range(0, self._file.size)
        size = max(self._way.part_bytes, -(-whole.size // MOST_PARTS))
        while True:
            present, done = self._present(image_id, before)
            todo = missing(present, whole.size, size)
            if not todo and whole.size == 0 and not done:
                todo = [whole]
            if not todo:
                return
            if present == before:
                message = "the registry refuses parts that do not seem to be there"
                raise RegistryRefused(409, message)
            before = present
            there = sum(each.size for each in present)
            self._report.begin(there, whole.size)
            self._digest.start()
            sending = Sending(self._session, self._file, image_id, self._report.advance)
            sending.run(todo, self._way.parallel)

    def _present(
        self, image_id: str, before: Sequence[Range] | None
    ) -> tuple[list[Range], bool]:
        """Return the parts that are there, and whether they are all.

        Those that were not there ``before`` are compared with the file.
        """
        state = self._staged(image_id)
        total, size = state["total"], self._file.size
        parts = {
            Range(part["range"][0], part["range"][1] + 1): part["sha256"]
            for part in state["parts"]
        }
        unknown = {each: parts[each] for each in parts.keys() - {*(before or ())}}
        if unknown and before is None:
            self._report.say("comparing what is there already")
        if (total not in (None, size)) or any(each.stop > size for each in parts):
            raise _other_file(image_id)
        for each in sorted(unknown):
            if self._file.digest(each, "sha256") != unknown[each]:
                raise _other_file(image_id)
        return sorted(parts), total == size == sum(each.size for each in parts)

    def _staged(self, image_id: str) -> Record:
        """Return what the registry says is there of an image."""
        try:
            return self._session.get(f"/v2/images/{image_id}/stage").json()
        except RegistryRefused as error:
            if error.status not in (404, 405):
                raise
            message = (
                "the registry takes no ranges: it is another service, or does not "
                "have the import method glance-direct enabled"
            )
            raise RegistryRefused(error.status, message) from error

    def _import(self, image_id: str) -> None:
        """Ask for the import, unless an attempt that seemed to fail has done so."""
        method = {"name": "glance-direct"}
        document: dict[str, object] = {"method": method}
        if self._way.stores:
            document["stores"] = list(self._way.stores)
        patience = self._session.patience()
        path = f"/v2/images/{image_id}/import"
        while True:
            try:
                self._session.post(path, document)
            except RegistryUnreachable as error:
                patience.wait(error)
            except RegistryRefused as error:
                # It may have been accepted before the answer was lost.
                if error.status != 409 or not self._is_at_work(image_id):
                    raise
                return
            else:
                return

    def _is_at_work(self, image_id: str) -> bool:
        image = self._records.show(image_id)
        return bool(
            image["status"] not in _UNFINISHED or image.get("os_glance_import_task")
        )

    def _wait(self, image_id: str) -> Record:
        """Return the image once the registry has finished with it."""
        deadline, pause_s = time.monotonic() + self._way.wait_s, FIRST_LOOK_S
        self._report.say("importing")
        while True:
            image = self._records.show(image_id)
            if image["status"] in ("active", "deactivated"):
                return image
            if image["status"] not in ("uploading", "importing"):
                raise ImportFailed(f"the import failed: {self._why(image_id)}")
            if time.monotonic() > deadline:
                message = f"the import took more than {self._way.wait_s:.0f} s"
                raise ImportFailed(message)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, LONGEST_LOOK_S)

    def _why(self, image_id: str) -> str:
        """Return what the last task says of its failure."""
        try:
            tasks = self._session.get(f"/v2/images/{image_id}/tasks").json()["tasks"]
        except RegistryRefused:
            return "the registry does not say why"
        newest = max(tasks, key=lambda task: str(task["created_at"]), default=None)
        return str((newest or {}).get("message") or "the registry does not say why")

    def _compare(self, image: Record) -> None:
        """Raise `DataDiffer` unless the image has the bytes of the file."""
        difference = self._differs(image)
        if difference is not None:
            raise DataDiffer(
                f"image {image['id']} is active, and has {difference} than the file; "
                "the registry may convert what it imports"
            )
        self._report.say("the image has the bytes of the file")

    def _differs(self, image: Record) -> str | None:
        """Return what of the image is not as the file is, or None."""
        if image["size"] != self._file.size:
            return "another size"
        algorithm, value = image.get("os_hash_algo"), image.get("os_hash_value")
        if not algorithm or not value:
            algorithm, value = "md5", image.get("checksum")
        if self._digest.of(str(algorithm)) != value:
            return f"another {algorithm}"
        self._file.check_unchanged()
        return None


class _BackgroundDigest:
    """The digest of the whole file, worked out beside the sending."""

    def __init__(self, file: LocalFile) -> None:
        self._file = file
        self._thread: threading.Thread | None = None
        self._value: str | None = None

    def start(self) -> None:
        """Begin, unless that is done already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def of(self, algorithm: str) -> str:
        """Return a digest.

        Raises:
            FileChanged: the file has become shorter.
        """
        if algorithm == USUAL_DIGEST and self._thread is not None:
            self._thread.join()
            if self._value is not None:
                return self._value
        return self._file.digest(Range(0, self._file.size), algorithm)

    def _run(self) -> None:
        whole = Range(0, self._file.size)
        try:
            self._value = self._file.digest(whole, USUAL_DIGEST)
        except ImageRegError:
            # Whoever asks reads the file once more, and is told.
            return


def _other_file(image_id: str) -> FileChanged:
    return FileChanged(
        f"image {image_id} has the beginning of another file; delete it, or use --new"
    )
