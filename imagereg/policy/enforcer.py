"""The rule set in force: reloaded when its files change, as a whole or not at all.

Source: contract policy 2, rulings P-2 and P-6.
"""

import logging
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from imagereg.errors import ConfigurationError
from imagereg.policy.compiler import RemoteAsk, Values
from imagereg.policy.rules import Decision, RuleSet, load_rule_set

_log = logging.getLogger(__name__)

#: Told of a decision: the action, the rule that decided, and whether it allowed it.
Witness = Callable[[str, str, bool], None]


def nobody(action: str, rule: str, allowed: bool) -> None:
    """Be a witness, and note nothing."""


_Stamp = tuple[int, int, int, int] | None


class FileWatch:
    """Tells whether policy files changed, at the price of one stat each."""

    def __init__(self, files: Sequence[Path], directories: Sequence[Path] = ()) -> None:
        self._files = tuple(map(os.fspath, files))
        self._directories = tuple(map(os.fspath, directories))

    def __call__(self) -> Hashable:
        """Return a value that differs whenever a file was written, moved or removed.

        The time of the last change of state is part of it, so that an edit that
        keeps mtime and size is seen too, and so is a file that became readable.
        """
        stamps: list[tuple[str, _Stamp]] = [
            (path, _stamp(path)) for path in self._files
        ]
        for directory in self._directories:
            stamps.append((directory, _stamp(directory)))
            try:
                names = os.listdir(directory)  # noqa: PTH208 - a path object per name
            except OSError:
                continue
            for name in sorted(names):
                path = f"{directory}/{name}"
                stamps.append((path, _stamp(path)))
        return tuple(stamps)


class Enforcer:
    """Decides by the present rules, and keeps the last good ones when files break.

    Attributes:
        rules: the rule set in force; replaced, never changed.
        last_fault: why the files as they are now were not taken over, or None.

    Raises:
        ConfigurationError: the files are at fault at the start.
    """

    def __init__(
        self,
        load: Callable[[], RuleSet],
        watch: Callable[[], Hashable] = tuple,
    ) -> None:
        self._load = load
        self._watch = watch
        self._lock = Lock()
        # INVARIANT: the stamp is older than what was read under it, so that a write
        # in between shows at the next look.
        self._seen = watch()
        self.rules = load()
        self.last_fault: str | None = None

    @classmethod
    def from_files(
        cls,
        policy_file: Path | None,
        policy_dirs: Sequence[Path] = (),
        *,
        enforce_new_defaults: bool = True,
        remote: RemoteAsk | None = None,
    ) -> "Enforcer":
        """Return an enforcer of the built-in rules and these files."""

        def load() -> RuleSet:
            return load_rule_set(
                policy_file,
                policy_dirs,
                enforce_new_defaults=enforce_new_defaults,
                remote=remote,
            )

        files = () if policy_file is None else (policy_file,)
        return cls(load, FileWatch(files, policy_dirs))

    @classmethod
    def fixed(cls, rule_set: RuleSet) -> "Enforcer":
        """Return an enforcer of rules that no file can change."""
        return cls(lambda: rule_set)

    def decide(
        self, credentials: Values, action: str, target: Mapping[str, object]
    ) -> Decision:
        """Return whether ``credentials`` may do ``action`` to ``target``, by now."""
        return self.rules.decide(credentials, action, target)

    def refresh(self) -> bool:
        """Take over changed files; return whether the rules were replaced.

        Costs a stat for each file while nothing changes.  One thread reloads, the
        others go on with the rules in force.
        """
        if self._watch() == self._seen or not self._lock.acquire(blocking=False):
            return False
        try:
            return self._reload()
        finally:
            self._lock.release()

    def _reload(self) -> bool:
        """Load and publish; a fault is logged once for each change of the files."""
        stamp = self._watch()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            rules = self._load()
        except ConfigurationError as error:
            self.last_fault = error.message
            _log.error("policy files are at fault, the rules stay:\n%s", error.message)
            return False
        for path in sorted({*self.rules.files} - {*rules.files}):
            _log.warning("policy file %s is gone, and its rules with it", path)
        self.rules = rules
        self.last_fault = None
        _log.info("policy rules reloaded from %s", [*map(str, rules.files)])
        return True


def _stamp(path: str) -> _Stamp:
    """Return what a write to ``path`` changes, or None where there is nothing."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a path object costs more than the stat
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
