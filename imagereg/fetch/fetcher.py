"""`Fetcher`: one image to a path, or into the cache of this node.

Source: contract compute-fetch C-1, C-4, C-8, C-13.
"""

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagereg.client.session import Trust
from imagereg.errors import (
    FetchNoData,
    FetchNotFound,
    FetchNotIntact,
    FetchRefused,
    Invalid,
)
from imagereg.fetch.acquire import Acquired, Acquisition, Choices
from imagereg.fetch.checks import needs_conversion
from imagereg.fetch.config import FetchConfig
from imagereg.fetch.entries import Entry, Layout, Notes, describe, digest_of, is_intact
from imagereg.fetch.facts import Facts, check_image_id
from imagereg.fetch.lock import held
from imagereg.fetch.part import disk_failures, part_of
from imagereg.fetch.placing import place
from imagereg.fetch.reporting import Listener, Reporter
from imagereg.fetch.service import Auth, FixedAuth, Service

_log = logging.getLogger(__name__)

DAY_S = 86400.0


@dataclass(frozen=True, slots=True)
class FetchResult:
    """An image that lies on this node.

    Attributes:
        source: ``direct``, ``http`` or ``cache``.
        size: bytes of the file.
        verified: whether its bytes were compared with a digest of the service.
        properties: of the image, as the service told them.
    """

    path: Path
    source: str
    size: int
    verified: bool
    properties: Mapping[str, Any] = field(default_factory=dict)


class Fetcher:
    """Gets images for one node; any number of threads may use it at once.

    Args:
        config: what the operator of the node decided.
        auth: who is calling.
        choices: what this caller wants otherwise than usual.

    Raises:
        Invalid: no service is configured.
    """

    def __init__(
        self,
        config: FetchConfig,
        auth: Auth | None = None,
        choices: Choices | None = None,
    ) -> None:
        self._config = config
        self._choices = choices or Choices()
        glance = config.glance
        self._service = Service(
            config.endpoints,
            auth or FixedAuth(),
            Trust(glance.cafile, verify=not glance.insecure),
            retries=glance.num_retries,
            timeout_s=float(glance.timeout),
        )

    def close(self) -> None:
        """Hang up."""
        self._service.close()

    def fetch(
        self,
        image_id: str,
        dest: Path | None = None,
        *,
        progress: Listener | None = None,
        cancel: threading.Event | None = None,
    ) -> FetchResult:
        """Get an image to ``dest``, or into the cache if it is not there already.

        Args:
            image_id: of the image, as the service knows it.
            dest: where it shall lie; None is the cache.
            progress: is told how far it is, from the thread that calls.
            cancel: ends it soon after somebody sets it; what is there stays, and the
                next call goes on with it.

        Raises:
            Invalid, ConfigurationError: this can never work.
            FetchFailed: the class says why.
        """
        image_id = check_image_id(image_id)
        report = Reporter(image_id, progress, cancel, self._choices.limit_rate)
        with disk_failures():
            if dest is None:
                result = self._fetch_to_cache(image_id, report)
            else:
                result = self._fetch_to(image_id, dest, report)
        report.say("done")
        return result

    def is_gone(self, image_id: str) -> bool:
        """Return whether the service has the image no more, or gives it to nobody.

        Raises:
            FetchFailed: the service does not say.
        """
        try:
            self._service.show(image_id, Reporter(image_id)).check_available()
        except (FetchNotFound, FetchNoData, FetchRefused):
            return True
        return False

    def _fetch_to(self, image_id: str, dest: Path, report: Reporter) -> FetchResult:
        if dest.is_dir() or not dest.parent.is_dir():
            raise Invalid(f"{dest}: is a directory, or in none")
        if self._choices.place is not None:
            return self._fetch_by_cache(image_id, dest, self._choices.place, report)
        part, timeout_s = part_of(dest), self._config.cache.lock_timeout
        with held(part, timeout_s, report, tidy=True):
            facts = self._service.show(image_id, report)
            acquired = self._acquire(facts, dest, self._choices, report)
            return _result(dest, acquired)

    def _acquire(
        self, facts: Facts, target: Path, choices: Choices, report: Reporter
    ) -> Acquired:
        return Acquisition(self._service, self._config, choices, report).run(
            facts, target
        )

    def _fetch_to_cache(self, image_id: str, report: Reporter) -> FetchResult:
        with self._in_cache(image_id, report) as (_, _, result):
            return result

    @contextmanager
    def _in_cache(
        self, image_id: str, report: Reporter
    ) -> Iterator[tuple[Entry, Notes, FetchResult]]:
        """Yield an image that lies in the cache, and stays there meanwhile."""
        layout = Layout(self._config.cache)
        entry = layout.entry(image_id)
        asked = self._choices.format or layout.converts_to
        layout.prepare(entry)
        with held(entry.lock, self._config.cache.lock_timeout, report):
            notes = self._find(entry, asked, report)
            if notes is None:
                facts = self._service.show(image_id, report)
                notes = self._adopt(entry, facts, asked, report)
            if notes is not None:
                entry.touch()
                report.start("cache", notes.kept_size, notes.kept_size)
                result = _cached(entry.path, notes)
            else:
                choices = replace(self._choices, format=asked)
                acquired = self._acquire(facts, entry.path, choices, report)
                notes = describe(acquired, entry.path, asked, report)
                entry.write(notes)
                result = _result(entry.path, acquired)
            yield entry, notes, result

    def _fetch_by_cache(
        self, image_id: str, dest: Path, way: str, report: Reporter
    ) -> FetchResult:
        """Have the image in the cache, and at ``dest`` from there."""
        try:
            return self._place(image_id, dest, way, report)
        except FetchNotIntact:
            _log.warning("image %s: the file here is damaged; once more", image_id)
            return self._place(image_id, dest, way, report)

    def _place(
        self, image_id: str, dest: Path, way: str, report: Reporter
    ) -> FetchResult:
        part, timeout_s = part_of(dest), self._config.cache.lock_timeout
        with (
            held(part, timeout_s, report, tidy=True),
            self._in_cache(image_id, report) as (entry, notes, result),
        ):
            try:
                place(entry.path, notes, dest, way, report)
            except FetchNotIntact:
                entry.put_aside()
                raise
            return replace(result, path=dest)

    def _find(self, entry: Entry, asked: str, report: Reporter) -> Notes | None:
        """Return the notes of a file that may serve; a damaged one is put aside."""
        notes = entry.read()
        if notes is None or notes.asked_format != asked:
            return None
        if self._choices.signature == "require" and not notes.signed:
            return None
        depth = self._config.cache.verify_on_hit
        if depth == "never":
            return notes
        is_old = time.time() - notes.verified_at > DAY_S
        read = depth == "always" or (depth == "daily" and is_old)
        if not is_intact(entry.path, notes, report, read=read):
            _log.warning("image %s: the file here is damaged; once more", notes.id)
            entry.put_aside()
            return None
        if read:
            entry.write(replace(notes, verified_at=time.time()))
        return notes

    def _adopt(
        self, entry: Entry, facts: Facts, asked: str, report: Reporter
    ) -> Notes | None:
        """Return notes for a file that lies here without any, if it is the image.

        A process that died between publishing and noting left it, or somebody who
        knows no notes.
        """
        if self._choices.signature == "require" or not entry.path.is_file():
            return None
        if entry.path.is_symlink():
            return None
        if needs_conversion(facts, asked) or entry.path.stat().st_size != facts.size:
            return None
        facts.check_available()
        expected = facts.expected("hash")
        algorithm = str(expected.algorithm)
        if digest_of(entry.path, algorithm, report) != expected.value:
            return None
        found = Acquired(facts, "cache", facts.disk_format, expected)
        notes = describe(found, entry.path, asked, report)
        entry.write(notes)
        return notes


def _cached(path: Path, notes: Notes) -> FetchResult:
    return FetchResult(path, "cache", notes.kept_size, notes.verified, notes.properties)


def _result(path: Path, acquired: Acquired) -> FetchResult:
    return FetchResult(
        path,
        acquired.source,
        path.stat().st_size,
        acquired.expected.value is not None,
        acquired.facts.properties,
    )
