"""Policy and protection files to a rehearsal."""

from pathlib import Path

from imagereg.policy.rules import RuleSet
from imagereg.protection.rules import CheckPolicy, PolicyFacts, load_protections
from imagereg.rehearsal.questions import Rehearsal


def load_rehearsal(
    rules: RuleSet, protection_file: Path | None = None, rule_format: str = "roles"
) -> Rehearsal:
    """Return a rehearsal of these rules and of a protection file, if there is one.

    Raises:
        ConfigurationError: with every fault of the protection file.
    """
    if protection_file is None:
        return Rehearsal.of(rules)
    return Rehearsal.of(
        rules, load_protections(protection_file, rule_format, know_policies(rules))
    )


def know_policies(rules: RuleSet) -> CheckPolicy:
    """Return what answers for the policies that a protection file names."""

    def check_policy(text: str) -> PolicyFacts:
        if ":" in text:
            rule = rules.compile(text)
            return PolicyFacts(rule.fields, True, rule.reads_whole_target)
        whole = rules.reads_whole_target(text)
        return PolicyFacts(rules.fields_read(text), text in rules, whole)

    return check_policy
