"""The property-protection file: ordered sections, the first match decides alone.

Loading refuses every fault at once, with file, line, section and key, because the
service must not start on a file that does not say what its author meant.

Source: contract property-protection 2, rulings R-1, R-2, R-3, R-12 and R-13.
"""

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from imagereg.errors import ConfigurationError, ImageRegError
from imagereg.model import Operation
from imagereg.protection.ini import Entry, RawFile, RawSection, Remark, parse_ini
from imagereg.protection.patterns import NAME_CHARS
from imagereg.protection.probe import LIMIT_S, slowest_s

FORMATS = ("roles", "policies")
RESERVED_PREFIX = "os_glance"
EVERYONE, NOBODY = "@", "!"


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """What the policy room knows about a rule before anyone asks it.

    Attributes:
        fields: target fields that the rule reads, its references included.
        known: a policy file or a default defines the name.
        reads_whole_target: a server is sent the target, so every field counts.
    """

    fields: frozenset[str] = frozenset()
    known: bool = True
    reads_whole_target: bool = False

    @property
    def reads_target(self) -> bool:
        """Whether the answer depends on the image."""
        return self.reads_whole_target or bool(self.fields)


_NOTHING_READ = PolicyFacts()


CheckPolicy = Callable[[str], PolicyFacts]


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may do one operation.

    Attributes:
        text: the value as written.
        line: where it stands; for a section that lacks it, in ``[DEFAULT]``.
        verdict: the answer for every caller, None where the caller matters.
        roles: any of these admits; lower case.
        policy: policy name or inline expression to ask instead of roles.
        facts: what the policy reads.
    """

    text: str
    line: int
    verdict: bool | None = None
    roles: frozenset[str] = frozenset()
    policy: str = ""
    facts: PolicyFacts = _NOTHING_READ


@dataclass(frozen=True, slots=True)
class Section:
    """One pattern with its four rules.  ``line`` 0 is the built-in section."""

    name: str
    line: int
    pattern: re.Pattern[str]
    rules: Mapping[Operation, Rule]


def _built_in() -> Section:
    # The service's own bookkeeping is never hidden from the service; that API users
    # cannot set these names is decided before protections are asked.  It is anchored,
    # unlike the reference's, which opens `my_os_glance_x` to everyone.
    rule = Rule(EVERYONE, 0, verdict=True)
    pattern = re.compile(f"^{RESERVED_PREFIX}")
    rules = MappingProxyType(dict.fromkeys(Operation, rule))
    return Section(pattern.pattern, 0, pattern, rules)


@dataclass(frozen=True, slots=True)
class Protections:
    """A protection file that is free of faults.

    Attributes:
        source: the file's name, for explanations.
        sections: in the order of asking, the built-in one first.
        remarks: what is legal and probably not meant.
    """

    source: str
    rule_format: str
    sections: tuple[Section, ...]
    remarks: tuple[Remark, ...] = ()

    def find(self, name: str) -> Section | None:
        """Return the section that decides about the property ``name``, if any.

        None decides about a name that is too long for a property: patterns were not
        tried on such lengths, and a filter may still bring one.
        """
        if len(name) > NAME_CHARS:
            return None
        for section in self.sections:
            if section.pattern.search(name):
                return section
        return None

    def fields_read(self, operation: Operation) -> frozenset[str]:
        """Return the target fields that some rule for ``operation`` reads.

        Not the whole truth where a rule sends its whole target to a server.
        """
        rules = (section.rules[operation] for section in self.sections)
        return frozenset().union(*(rule.facts.fields for rule in rules))

    def reads_target(self, operation: Operation) -> bool:
        """Say whether some rule for ``operation`` depends on the image."""
        rules = (section.rules[operation] for section in self.sections)
        return any(rule.facts.reads_target for rule in rules)

    def asks_policy(self, operation: Operation) -> bool:
        """Say whether some rule for ``operation`` is a policy, not roles."""
        rules = (section.rules[operation] for section in self.sections)
        return any(rule.verdict is None and rule.policy for rule in rules)

    @property
    def warnings(self) -> tuple[str, ...]:
        """The remarks as lines of text."""
        return tuple(remark.render(self.source) for remark in self.remarks)


def load_protections(
    path: Path, rule_format: str, check_policy: CheckPolicy
) -> Protections:
    """Return the protections of the file ``path``.

    Raises:
        ConfigurationError: with all faults; an unreadable or empty file is one.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        fault = f"{path}: cannot be read: {error.strerror or type(error).__name__}"
        faults = [fault, *_refuse_format(rule_format, str(path))]
        raise ConfigurationError(faults) from error
    except UnicodeDecodeError as error:
        faults = [f"{path}: is not UTF-8 text", *_refuse_format(rule_format, str(path))]
        raise ConfigurationError(faults) from error
    return parse_protections(text, rule_format, check_policy, source=str(path))


def parse_protections(
    text: str, rule_format: str, check_policy: CheckPolicy, source: str = "<text>"
) -> Protections:
    """Return the protections that ``text`` describes.

    ``check_policy`` is asked once for each distinct value of format ``policies``
    that is neither ``@`` nor ``!``.

    Raises:
        ConfigurationError: with all faults.
    """
    raw = parse_ini(text)
    reader = _Reader(raw, rule_format, check_policy)
    sections = tuple(reader.read_section(section) for section in raw.sections)
    if not sections:
        reader.blame(0, "", "", "no sections: every property would be denied to all")
    faults = _refuse_format(rule_format, source)
    faults += [fault.render(source) for fault in sorted(reader.faults)]
    if faults:
        raise ConfigurationError(faults)
    remarks = tuple(sorted(reader.remarks))
    return Protections(source, rule_format, (_built_in(), *sections), remarks)


def _refuse_format(rule_format: str, source: str) -> list[str]:
    if rule_format in FORMATS:
        return []
    known = " nor ".join(f"`{name}`" for name in FORMATS)
    fault = f"property_protection_rule_format `{rule_format}` is neither {known}"
    return [f"{source}: {fault}"]


@dataclass
class _Reader:
    """Turns raw sections into rules and collects what is wrong with them."""

    raw: RawFile
    rule_format: str
    check_policy: CheckPolicy
    faults: list[Remark] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.faults.extend(self.raw.faults)
        self.remarks.extend(self.raw.warnings)
        self._answers: dict[str, PolicyFacts | str] = {}

    def blame(self, line: int, section: str, key: str, text: str) -> None:
        """Record a fault."""
        self.faults.append(Remark(line, section, key, text))

    def read_section(self, raw: RawSection) -> Section:
        """Return the section; it is of use only when no fault was recorded."""
        pattern = self._read_pattern(raw)
        entries = {**self.raw.defaults.entries, **raw.entries}
        rules = {}
        for operation in Operation:
            if operation in entries:
                rules[operation] = self._read_rule(raw, entries[operation])
            else:
                self.blame(raw.line, raw.name, operation, "is missing")
        for entry in raw.entries.values():
            if entry.key not in rules:
                remark = "is no operation and has no effect"
                self.remarks.append(Remark(entry.line, raw.name, entry.key, remark))
        return Section(raw.name, raw.line, pattern, MappingProxyType(rules))

    def _read_pattern(self, raw: RawSection) -> re.Pattern[str]:
        if raw.name.startswith(RESERVED_PREFIX):
            text = f"names beginning `{RESERVED_PREFIX}` belong to the service"
            self.blame(raw.line, raw.name, "", text)
        try:
            with warnings.catch_warnings(record=True) as notes:
                warnings.simplefilter("always")
                pattern = re.compile(raw.name)
        except (re.error, OverflowError, RecursionError) as error:
            text = f"is no regular expression: {error}"
            self.blame(raw.line, raw.name, "", text)
            return re.compile(r"\Z.")
        for note in notes:
            self.remarks.append(Remark(raw.line, raw.name, "", str(note.message)))
        if slowest_s(pattern) >= LIMIT_S:
            text = (
                f"needs more than {LIMIT_S * 1000:.0f} ms for a name of {NAME_CHARS} "
                f"characters: repetitions overlap, so it backtracks"
            )
            self.blame(raw.line, raw.name, "", text)
        return pattern

    def _read_rule(self, raw: RawSection, entry: Entry) -> Rule:
        # The first line of a value may be empty; nothing ends in white space.
        text = entry.value.lstrip()
        if "%%" in text:
            remark = "`%%` means two percent signs here: there is no interpolation"
            self.remarks.append(Remark(entry.line, raw.name, entry.key, remark))
        if not text.strip(", \n"):
            remark = "is empty: nobody may do it"
            self.remarks.append(Remark(entry.line, raw.name, entry.key, remark))
        if not text:
            return Rule(text, entry.line, verdict=False)
        if self.rule_format == "policies":
            return self._read_policy(raw, entry, text)
        return self._read_roles(raw, entry, text)

    def _read_roles(self, raw: RawSection, entry: Entry, text: str) -> Rule:
        listed = [name.strip().lower() for name in text.split(",")]
        roles = frozenset(filter(None, listed))
        if {EVERYONE, NOBODY} <= roles:
            fault = f"`{EVERYONE}` and `{NOBODY}` contradict each other"
            self.blame(entry.line, raw.name, entry.key, fault)
        for role in roles:
            if len(role.split()) > 1:
                remark = (
                    f"`{' '.join(role.split())}` is one role name with blanks in it"
                )
                self.remarks.append(Remark(entry.line, raw.name, entry.key, remark))
        # `!` comes first: `admin,!` denies administrators too.
        if NOBODY in roles:
            return Rule(text, entry.line, verdict=False)
        if EVERYONE in roles:
            return Rule(text, entry.line, verdict=True)
        return Rule(text, entry.line, roles=roles)

    def _read_policy(self, raw: RawSection, entry: Entry, text: str) -> Rule:
        if text in (EVERYONE, NOBODY):
            return Rule(text, entry.line, verdict=text == EVERYONE)
        if "," in text:
            fault = f"`{text}` holds a comma; one policy name or rule is expected"
            self.blame(entry.line, raw.name, entry.key, fault)
            return Rule(text, entry.line)
        facts = self._ask(text)
        if isinstance(facts, str):
            self.blame(entry.line, raw.name, entry.key, facts)
            return Rule(text, entry.line)
        return Rule(text, entry.line, policy=text, facts=facts)

    def _ask(self, text: str) -> PolicyFacts | str:
        """Return the facts about a policy, or what is wrong with it."""
        if text not in self._answers:
            self._answers[text] = self._check(text)
        return self._answers[text]

    def _check(self, text: str) -> PolicyFacts | str:
        try:
            facts = self.check_policy(text)
        except ConfigurationError as error:
            return f"`{text}`: {'; '.join(error.faults)}"
        except ImageRegError as error:
            return f"`{text}`: {error.message}"
        if facts.known:
            return facts
        return f"no policy is named `{text}`"
