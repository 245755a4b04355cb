"""Get one image to one place: directly, else over HTTP; verify, check, publish.

Source: contract compute-fetch C-1 (from the metadata on), C-2, C-3, C-6, C-7, C-11.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagereg.errors import (
    FetchFailed,
    FetchNoData,
    FetchNoSpace,
    FetchNotIntact,
    FetchUnsafe,
    Invalid,
)
from imagereg.fetch import checks, direct
from imagereg.fetch.config import FetchConfig, FileSystem
from imagereg.fetch.download import Download
from imagereg.fetch.facts import Expected, Facts
from imagereg.fetch.marks import Marks, State
from imagereg.fetch.parallel import NoRanges, ParallelDownload
from imagereg.fetch.part import Part, discard, disk_failures, part_of, publish
from imagereg.fetch.reporting import Reporter
from imagereg.fetch.service import Service

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choices:
    """What one caller wants otherwise than usual.

    Attributes:
        direct: ``auto``, ``never`` or ``only``.
        verify: ``hash``, ``size`` or ``none``.
        resume: go on with what an earlier run left.
        signature: ``require``, ``if-present`` or ``off``.
        certificates: PEM files ``<uuid>.pem`` of those whose signatures count.
        format: ``raw``, ``qcow2`` or ``keep``; None is what the cache's layout wants.
        inspect: look at the format of what came.
        connections: how many ranges are fetched at once.
        limit_rate: bytes in a second; 0 is no limit.
        min_free: bytes that must stay free; None is what the configuration says.
        place: how a path gets what the cache has: ``hardlink``, ``reflink`` or
            ``copy``; None leaves the cache out of it.
    """

    direct: str = "auto"
    verify: str = "hash"
    resume: bool = True
    signature: str = "if-present"
    certificates: Path | None = None
    format: str | None = None
    inspect: bool = True
    connections: int = 1
    limit_rate: int = 0
    min_free: int | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Acquired:
    """What came.

    Attributes:
        source: ``direct`` or ``http``.
        kept_format: the disk format of the file, which may have been converted.
        expected: what the bytes were compared with before.
        signed: whether their signature was checked.
    """

    facts: Facts
    source: str
    kept_format: str | None
    expected: Expected
    signed: bool = False

    @property
    def is_converted(self) -> bool:
        """Whether the file has other bytes than the image."""
        return self.kept_format != self.facts.disk_format


class Acquisition:
    """One image on its way to one place, whose lock the caller holds."""

    def __init__(
        self,
        service: Service,
        config: FetchConfig,
        choices: Choices,
        report: Reporter,
    ) -> None:
        self._service = service
        self._config = config
        self._choices = choices
        self._report = report
        self._marks = Marks(config.cache.root, config.cache.verify_on_hit)
        self._reasons: list[str] = []

    def run(self, facts: Facts, target: Path) -> Acquired:
        """Bring the image to ``target``, whole and verified, or not at all.

        Raises:
            FetchFailed: the class says why.  What is worth going on with stays in
                the ``.part`` file beside ``target``.
        """
        facts.check_available()
        expected = facts.expected(self._choices.verify)
        wanted = self._choices.format or "keep"
        converts = checks.needs_conversion(facts, wanted)
        if converts and (missing := checks.missing_programs()):
            raise Invalid(f"to convert images this node needs {', '.join(missing)}")
        part = part_of(target)
        self._check_room(part, facts, converts=converts)
        with _swept(part), disk_failures():
            with Part(
                part, facts.identity(), expected.algorithm, resume=self._choices.resume
            ) as open_part:
                source = self._fill(open_part, facts, expected)
            signed = self._check(part, facts)
            kept = self._publish(part, target, facts, wanted if converts else None)
        return Acquired(facts, source, kept, expected, signed)

    def _check_room(self, part: Path, facts: Facts, *, converts: bool) -> None:
        """Raise `FetchNoSpace` unless there is room for what is to come."""
        there = part.stat().st_blocks * 512 if part.exists() else 0
        needed = max((facts.size or 0) - there, 0)
        if converts:
            needed += facts.virtual_size or 0
        least = self._choices.min_free
        least = self._config.cache.min_free if least is None else least
        if shutil.disk_usage(part.parent).free - needed < least:
            raise FetchNoSpace(f"there is no room for {needed} bytes on this node")

    def _fill(self, part: Part, facts: Facts, expected: Expected) -> str:
        """Get all bytes, and return where from."""
        failure: FetchFailed | None = None
        if self._choices.direct != "never":
            found, failure = self._fill_directly(part, facts, expected)
            if found:
                return "direct"
        if self._choices.direct == "only":
            raise failure or FetchNoData(
                f"no location of image {facts.id} can be read on this node: "
                + ("; ".join(dict.fromkeys(self._reasons)) or "the service shows none")
            )
        self._fill_by_http(part, facts, expected)
        return "http"

    def _fill_directly(
        self, part: Part, facts: Facts, expected: Expected
    ) -> tuple[bool, FetchNotIntact | None]:
        """Return whether a location gave the bytes, and what was wrong with others."""
        failure: FetchNotIntact | None = None
        for place in self._places(facts):
            try:
                self._copy(place, part, facts, expected)
            except direct.NotHere as error:
                _log.warning("image %s: not read directly: %s", facts.id, error)
                self._reasons.append(str(error))
            except FetchNotIntact as error:
                _log.warning("image %s: a damaged copy: %s", facts.id, error)
                failure = error
                part.restart()
            else:
                return True, None
        return False, failure

    def _places(self, facts: Facts) -> Iterator[direct.Place]:
        """Yield where on this node the image may lie."""
        glance = self._config.glance
        mounted = self._mounted()
        if not (mounted or glance.legacy_same_path):
            return
        for url, metadata in facts.locations:
            try:
                if self._config.filesystems:
                    yield from direct.translate(
                        url, metadata, mounted, glance.allowed_direct_url_schemes
                    )
                else:
                    yield direct.as_is(url, glance.allowed_direct_url_schemes)
            except direct.NotHere as error:
                _log.info("image %s: not read directly: %s", facts.id, error)
                self._reasons.append(str(error))

    def _mounted(self) -> list[FileSystem]:
        """Return the file systems that are there, and note those that are not."""
        mounted = []
        for each in self._config.filesystems:
            if direct.check_mounted(each):
                mounted.append(each)
                continue
            _log.warning("file system `%s` is not mounted here", each.id)
            self._reasons.append(f"file system `{each.id}` is not mounted here")
        return mounted

    def _copy(
        self, place: direct.Place, part: Part, facts: Facts, expected: Expected
    ) -> None:
        with direct.opened(place, facts.size) as source:
            part.restart()
            size = facts.size or 0
            self._report.start("direct", 0, size)
            if self._share(source, part, facts, expected):
                return
            hashed = expected.algorithm is not None
            try:
                direct.copy(source, part, size, self._report, hashed=hashed)
            except direct.NotHere:
                part.restart()
                raise
        self._complete(part, expected)

    def _share(self, source: int, part: Part, facts: Facts, expected: Expected) -> bool:
        """Share the blocks of ``source`` and verify them; return if that can be."""
        before = State.of(source)
        if not direct.share(source, part):
            return False
        size = facts.size or 0
        part.fill(size)
        self._report.moved(size)
        is_still = State.of(source) == before
        if is_still and self._marks.knows(facts.id, before, expected):
            self._complete(part, Expected(size))
            return True
        part.hash_all(self._report)
        self._complete(part, expected)
        if is_still and expected.value is not None:
            now_ns = os.fstat(part.fileno()).st_ctime_ns
            self._marks.note(facts.id, before, expected, now_ns)
        return True

    def _fill_by_http(self, part: Part, facts: Facts, expected: Expected) -> None:
        part.inherit(facts.size, self._report)
        self._download(part, facts)
        try:
            self._complete(part, expected)
        except FetchNotIntact:
            if not part.inherited:
                raise
            # What the earlier run left may have been at fault.
            _log.warning("image %s: what was there did not fit; once more", facts.id)
            part.restart()
            self._download(part, facts)
            self._complete(part, expected)

    def _download(self, part: Part, facts: Facts) -> None:
        part.reserve(facts.size or 0)
        if self._choices.connections > 1:
            try:
                ParallelDownload(
                    self._service, facts, part, self._report, self._choices.connections
                ).run()
            except NoRanges:
                _log.info("image %s: the service has no ranges", facts.id)
        # What is missing now: the whole, a short rest, or nothing.
        Download(self._service, facts, part, self._report).run()

    def _complete(self, part: Part, expected: Expected) -> None:
        self._report.say("verify")
        part.complete(expected)

    def _check(self, part: Path, facts: Facts) -> bool:
        """Look at the bytes before anybody opens them; return if they are signed."""
        choices = self._choices
        signed = checks.is_signed(
            part, facts, choices.signature, choices.certificates, self._report
        )
        if choices.inspect:
            checks.inspect(part, facts)
            checks.examine(part, facts)
        return signed

    def _publish(
        self, part: Path, target: Path, facts: Facts, wanted: str | None
    ) -> str | None:
        """Convert if ``wanted`` says so, publish, and return the format kept."""
        if wanted is None:
            publish(part, target)
            return facts.disk_format
        converted = target.with_name(target.name + ".converted")
        self._report.say("convert")
        try:
            checks.convert(part, facts, converted, wanted, self._report)
            publish(converted, target)
        finally:
            converted.unlink(missing_ok=True)
        discard(part)
        return wanted


@contextmanager
def _swept(part: Path) -> Iterator[None]:
    """Remove the part after a failure that going on cannot mend."""
    try:
        yield
    except (FetchNotIntact, FetchUnsafe, FetchNoSpace, FetchNoData):
        discard(part)
        raise
