"""What a project may use in all: image counts, uploads at once, bytes.

Limits come from ``[imagereg] limits_file``, as an identity service would give them,
or from ``user_storage_quota``.  Reaching a limit is allowed, exceeding it is not.

Source: contract api-images 23, config 2 and 9.
"""

import configparser
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from imagereg.db.usage import UsageRepository
from imagereg.errors import ConfigurationError, TooLarge

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProjectLimits:
    """Limits of one project; -1 is none.  Sizes are MiB."""

    image_size_total: int = -1
    image_stage_total: int = -1
    image_count_total: int = -1
    image_count_uploading: int = -1


@dataclass(frozen=True, slots=True)
class LimitTable:
    """Limits by project, and those of projects that are not named."""

    default: ProjectLimits = ProjectLimits()
    projects: Mapping[str, ProjectLimits] = field(default_factory=dict)

    def of(self, project_id: str) -> ProjectLimits:
        """Return the limits of a project."""
        return self.projects.get(project_id, self.default)


def load_limits(path: Path) -> LimitTable:
    """Read a limits file: ``[default]`` and ``[<project>]``, whole numbers from -1.

    Raises:
        ConfigurationError: with every fault of the file.
    """
    parser = configparser.ConfigParser(
        interpolation=None, default_section="", strict=True
    )
    try:
        parser.read_string(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        first = str(error).splitlines()[0]
        raise ConfigurationError([f"{path}: {first}"]) from error
    known = {item.name for item in fields(ProjectLimits)}
    faults: list[str] = []
    found: dict[str, ProjectLimits] = {}
    base: dict[str, int] = {}
    for section in sorted(parser.sections(), key=lambda name: name != "default"):
        values = dict(base)
        for key, text in parser[section].items():
            if key not in known or not _is_limit(text):
                faults.append(f"{path}: [{section}] {key}: must be a limit, from -1")
            else:
                values[key] = int(text)
        found[section] = ProjectLimits(**values)
        if section == "default":
            base = values
    if faults:
        raise ConfigurationError(faults)
    return LimitTable(found.pop("default", ProjectLimits()), found)


def _is_limit(text: str) -> bool:
    return text == "-1" or (text.isascii() and text.isdigit())


@dataclass(frozen=True, slots=True)
class Quotas:
    """Checks against the limits.

    Attributes:
        table: limits by project, or None where nobody gives any.
        storage_bytes: ``user_storage_quota``; 0 is none.  Not used beside a table.
    """

    usage: UsageRepository
    table: LimitTable | None = None
    storage_bytes: int = 0

    def check_new_image(self, owner: str | None) -> None:
        """Refuse one more record; called inside the transaction that adds it.

        Raises:
            TooLarge: the project has as many as it may.
        """
        if owner is None or self.table is None:
            return
        limit = self.table.of(owner).image_count_total
        if limit >= 0:
            _check("images", self.usage.of(owner).images + 1, limit)

    def check_upload(self, owner: str | None, image_id: str, size_bytes: int) -> None:
        """Refuse one more upload of this size; called inside its transaction.

        Raises:
            TooLarge: too many uploads at once, or too many bytes.
        """
        if owner is None:
            return
        self._check_uploading(owner, image_id)
        self.check_bytes(owner, image_id, size_bytes)

    def check_stage(self, owner: str | None, image_id: str, size_bytes: int) -> None:
        """Refuse so many more staged bytes; called inside their transaction.

        Raises:
            TooLarge: too many uploads at once, or too many bytes.
        """
        if owner is None or self.table is None:
            return
        self._check_uploading(owner, image_id)
        room = self.stage_room_bytes(owner)
        if room is not None and size_bytes > room:
            raise TooLarge(self.too_much_staged)

    def check_staged(self, owner: str | None) -> None:
        """Refuse what is staged by now, inside the transaction that added to it.

        Raises:
            TooLarge: it is more than the project may stage.
        """
        limit = self._stage_limit(owner)
        if owner is None or limit is None:
            return
        if self.usage.of(owner).stage_bytes > limit:
            raise TooLarge(self.too_much_staged)

    def stage_room_bytes(self, owner: str | None) -> int | None:
        """Return how many bytes the project may still stage; None is any number."""
        limit = self._stage_limit(owner)
        if owner is None or limit is None:
            return None
        return max(limit - self.usage.of(owner).stage_bytes, 0)

    def check_import(
        self, owner: str | None, image_id: str, staged_bytes: int | None
    ) -> None:
        """Refuse to begin an import; called inside the transaction that does.

        Args:
            owner: the project that the image belongs to.
            image_id: the image.
            staged_bytes: what is staged for it; None if its data are yet to come.

        Raises:
            TooLarge: too many uploads at once, or too many bytes.
        """
        if owner is None:
            return
        self._check_uploading(owner, image_id)
        if staged_bytes is None:
            self.check_staged(owner)
        else:
            self.check_bytes(owner, image_id, staged_bytes)

    def check_within(self, project_id: str | None) -> None:
        """Refuse more work for a project that stores more than it may already.

        Raises:
            TooLarge: it does.
        """
        limit = self._size_limit(project_id)
        if project_id is None or limit is None or self.table is None:
            return
        if self.usage.of(project_id).size_bytes > limit:
            raise TooLarge(self.too_large)

    def check_bytes(self, owner: str | None, image_id: str, size_bytes: int) -> None:
        """Refuse so many more bytes; called inside the transaction that adds them.

        Raises:
            TooLarge: the project may not store them.
        """
        room = self.room_bytes(owner, image_id)
        if room is not None and size_bytes > room:
            raise TooLarge(self.too_large)

    def room_bytes(self, owner: str | None, image_id: str) -> int | None:
        """Return how many bytes the project may still store; None is any number."""
        limit = self._size_limit(owner)
        if owner is None or limit is None:
            return None
        used = self.usage.of(owner, except_for=image_id)
        return max(limit - used.size_bytes - used.reserved_bytes, 0)

    @property
    def too_large(self) -> str:
        """What a client is told whose data are too many."""
        return "the data would exceed the storage quota of the project"

    def report(self, project_id: str | None) -> Mapping[str, Mapping[str, int]]:
        """Return usage and limit of each resource, or nothing where none is limited."""
        if self.table is None or project_id is None:
            return {}
        limits, used = self.table.of(project_id), self.usage.of(project_id)
        numbers = {
            "image_size_total": used.size_bytes // MIB,
            "image_stage_total": used.stage_bytes // MIB,
            "image_count_total": used.images,
            "image_count_uploading": used.uploading,
        }
        return {
            name: {"usage": number, "limit": getattr(limits, name)}
            for name, number in numbers.items()
        }

    @property
    def too_much_staged(self) -> str:
        """What a client is told who stages too much."""
        return "the data would exceed the staging quota of the project"

    def _check_uploading(self, owner: str, image_id: str) -> None:
        if self.table is None:
            return
        limit = self.table.of(owner).image_count_uploading
        if limit >= 0:
            used = self.usage.of(owner, except_for=image_id)
            _check("uploads at once", used.uploading + 1, limit)

    def _stage_limit(self, owner: str | None) -> int | None:
        if owner is None or self.table is None:
            return None
        limit = self.table.of(owner).image_stage_total
        return limit * MIB if limit >= 0 else None

    def _size_limit(self, owner: str | None) -> int | None:
        if owner is None:
            return None
        if self.table is not None:
            limit = self.table.of(owner).image_size_total
            return limit * MIB if limit >= 0 else None
        return self.storage_bytes or None


def _check(what: str, count: int, limit: int) -> None:
    if count > limit:
        message = (
            f"the limit of {what} of the project would be exceeded: attempted "
            f"{count}, maximum {limit}"
        )
        raise TooLarge(message)
