"""The rules in force, compiled once: credentials, action and target to a decision."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from imagereg.errors import ConfigurationError, RuleFailed, UnknownRule
from imagereg.policy import compiler
from imagereg.policy.actions import REGISTERED, RETIRED, Action, Default
from imagereg.policy.checks import Always, Check, Never, asks_remote, fields, references
from imagereg.policy.compiler import Evaluate, RemoteAsk, Values, refuse_remote
from imagereg.policy.files import Entry, Origin, read_policy_files
from imagereg.policy.language import parse, parse_rule
from imagereg.policy.merging import Rule, effective_rules
from imagereg.policy.references import References, examine

_log = logging.getLogger(__name__)


def _refuse(credentials: Values, target: Values, asked: str | None) -> bool:
    """Refuse: the name that was asked or referred to leads nowhere."""
    return False


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one question.

    Attributes:
        allowed: whether the rule holds.
        action: the name that was asked.
        rule: the name under which the rule that decided is written.
        scope: the scope that the caller would need, where that is why the answer
            is no; else None.  Source: contract auth, ruling U-9.
    """

    allowed: bool
    action: str
    rule: str
    scope: str | None = None


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A free-standing expression, its names resolved in one rule set.

    Attributes:
        check: the tree.
        fields: target fields it reads, through references.
        reads_whole_target: a server is sent the target, so every field counts.
    """

    check: Check
    fields: frozenset[str]
    reads_whole_target: bool
    evaluate: Evaluate

    def allows(self, credentials: Values, target: Values) -> bool:
        """Return whether the expression holds; data it cannot judge is a no."""
        try:
            return self.evaluate(credentials, target, None)
        except RuleFailed as failure:
            _log.warning("expression %s cannot be judged: %s", self.check, failure)
            return False


# What one question needs: the closure, the scope, and the three possible answers.
_Case = tuple[Evaluate, str | None, Decision, Decision, Decision]


class RuleSet:
    """Rules that never change, each compiled once.

    A name that is neither registered nor in a file is refused at load (ruling P-1),
    unless ``default_rule`` is given: then it means the rule of that name, as in the
    reference, and a decision is no where that is missing too.

    Raises:
        ConfigurationError: names that lead nowhere or in a circle, all of them.
    """

    def __init__(
        self,
        rules: Mapping[str, Rule],
        *,
        default_rule: str | None = None,
        remote: RemoteAsk | None = None,
        files: Sequence[Path] = (),
    ) -> None:
        self.rules: Mapping[str, Rule] = MappingProxyType(dict(rules))
        self.default_rule = default_rule
        self.files = tuple(files)
        self._remote = remote or refuse_remote
        self._closures: dict[str, Evaluate] = {}
        self._fields: dict[str, frozenset[str]] = {}
        self._whole: dict[str, bool] = {}
        known = self._examine()
        self._sizes = known.sizes
        for name in known.order:
            compiled = self.compile_check(self.rules[name].check)
            self._closures[name] = compiled.evaluate
            self._fields[name] = compiled.fields
            self._whole[name] = compiled.reads_whole_target
        self._cases = {
            name: _case(rule, self._closures[name]) for name, rule in self.rules.items()
        }
        if default_rule is None:
            # No file can override what everyone may do, nor refuse it by accident.
            free = Rule(Action.DISCOVER.value, Always(), Action.DISCOVER.value)
            allow = self.compile_check(free.check).evaluate
            self._cases[free.name] = _case(free, allow)

    @classmethod
    def from_texts(
        cls,
        texts: Mapping[str, object],
        *,
        default_rule: str | None = "default",
        remote: RemoteAsk | None = None,
    ) -> "RuleSet":
        """Return a set of these rules alone, for use of the engine as a library.

        Raises:
            RuleSyntaxError: a text is no rule.
            ConfigurationError: the rules refer to each other in a circle.
        """
        rules = {
            name: Rule(name, parse_rule(text), name) for name, text in texts.items()
        }
        return cls(rules, default_rule=default_rule, remote=remote)

    def __contains__(self, name: object) -> bool:
        return name in self.rules

    def __iter__(self) -> Iterator[str]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def decide(self, credentials: Values, action: str, target: Values) -> Decision:
        """Return whether ``credentials`` may do ``action`` to ``target``.

        Never raises for what the data hold: what a rule cannot judge, it refuses.
        """
        case = self._cases.get(action)
        if case is None:
            case = self._stranger(action)
        evaluate, scope, allowed, refused, misplaced = case
        if scope is not None and (
            credentials.get("system_scope") or credentials.get("domain_id")
        ):
            return misplaced
        try:
            return allowed if evaluate(credentials, target, action) else refused
        except RuleFailed as failure:
            _log.warning("rule %s cannot be judged: %s", refused.rule, failure)
            return refused

    def fields_read(self, action: str) -> frozenset[str]:
        """Return the target fields that deciding ``action`` reads.

        Equal values of these give equal decisions.  Where `reads_whole_target` holds,
        those fields stand for the others that tell one target from another.
        """
        name = self.resolve(action)
        return self._fields[name] if name is not None else frozenset()

    def reads_whole_target(self, action: str) -> bool:
        """Return whether deciding ``action`` sends the whole target to a server."""
        name = self.resolve(action)
        return name is not None and self._whole[name]

    def size(self, action: str) -> int:
        """Return how many checks deciding ``action`` comes to, if all are asked."""
        name = self.resolve(action)
        return self._sizes[name] if name is not None else 0

    def origin(self, name: str) -> Origin | None:
        """Return where the text of ``name`` is written; None where it is built in."""
        rule = self.rules.get(name)
        return rule.origin if rule else None

    def compile(self, expression: str) -> CompiledRule:
        """Return a free-standing expression, ready to be asked.

        Raises:
            RuleSyntaxError: the text is no rule.
            UnknownRule: it refers to a name that this set does not hold.
        """
        check = parse(expression)
        if self.default_rule is None:
            for name in references(check):
                if name not in self.rules:
                    raise UnknownRule(f"`{expression}` refers to unknown rule `{name}`")
        return self.compile_check(check)

    def resolve(self, name: str) -> str | None:
        """Return the name of the rule that a reference to ``name`` asks, if any."""
        if name in self.rules:
            return name
        return self.default_rule if self.default_rule in self.rules else None

    def compile_check(self, check: Check) -> CompiledRule:
        """Return a tree, or a part of one, ready to be asked.

        It may refer only to names that `resolve` knows, or to nothing at all.
        """
        found = set(fields(check))
        whole = asks_remote(check)
        for name in map(self.resolve, references(check)):
            if name is None:
                continue
            found |= self._fields[name]
            whole = whole or self._whole[name]
        evaluate = compiler.compile_check(check, self._closure, self._remote)
        return CompiledRule(check, frozenset(found), whole, evaluate)

    def _examine(self) -> References:
        """Return how the rules hang together."""
        checks = {name: rule.check for name, rule in self.rules.items()}
        known = examine(checks, self.resolve, refuse_unknown=self.default_rule is None)
        if known.faults:
            raise ConfigurationError(
                [f"{self.rules[name].place}: {what}" for name, what in known.faults]
            )
        return known

    def _closure(self, name: str) -> Evaluate:
        """Return what a reference to ``name`` asks."""
        found = self.resolve(name)
        return _refuse if found is None else self._closures[found]

    def _stranger(self, action: str) -> _Case:
        """Return the case of a name that no rule has.

        INVARIANT: not kept, for such names may come from anywhere.
        """
        if self.default_rule is None:
            _log.error("no policy rule is named %s, which is refused", action)
        name = self.default_rule or action
        return _case(Rule(action, Never(), name), self._closure(action))


def load_rule_set(
    policy_file: Path | None,
    policy_dirs: Sequence[Path] = (),
    *,
    default_rule: str = "default",
    enforce_new_defaults: bool = True,
    remote: RemoteAsk | None = None,
    registered: Mapping[str, Default] = REGISTERED,
    unknown_to_default: bool = False,
) -> RuleSet:
    """Return the rules of the files, merged with the built-in defaults.

    Unknown names are refused, unless ``unknown_to_default``: then ``default_rule``
    stands in for them, as in the reference.

    Raises:
        ConfigurationError: every fault of every file.
    """
    found = read_policy_files(policy_file, policy_dirs)
    if policy_file is not None and policy_file not in found.files:
        _log.info("no policy file %s, the built-in rules apply", policy_file)
    rules, wrong = effective_rules(
        found.entries, registered, enforce_new_defaults=enforce_new_defaults
    )
    faults = [*found.faults, *wrong]
    _warn_of_retired(found.entries)
    try:
        rule_set = RuleSet(
            rules,
            default_rule=default_rule if unknown_to_default else None,
            remote=remote,
            files=found.files,
        )
    except ConfigurationError as error:
        raise ConfigurationError([*faults, *error.faults]) from None
    if faults:
        raise ConfigurationError(faults)
    return rule_set


def _case(rule: Rule, evaluate: Evaluate) -> _Case:
    """Return all that deciding ``rule`` needs, the three answers made beforehand."""
    return (
        evaluate,
        rule.scope,
        Decision(allowed=True, action=rule.name, rule=rule.decided_by),
        Decision(allowed=False, action=rule.name, rule=rule.decided_by),
        Decision(False, rule.name, rule.decided_by, rule.scope),
    )


def _warn_of_retired(entries: Sequence[Entry]) -> None:
    """Say once which names of older releases have no effect any more."""
    for entry in entries:
        if entry.name in RETIRED:
            _log.warning("%s: rule %s has no effect", entry.origin, entry.name)
