"""Cases run against a policy, and what of it they tried."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagereg.model import Caller, Operation
from imagereg.policy.actions import Action
from imagereg.policy.coverage import RuleCoverage
from imagereg.policy.explain import Explanation, explain, reason
from imagereg.policy.rules import load_rule_set
from imagereg.rehearsal.cases import BareQuestion, Case, CaseFile
from imagereg.rehearsal.files import load_rehearsal
from imagereg.rehearsal.questions import Answer, Question, Rehearsal, Stage, Verdict


@dataclass(frozen=True)
class Result:
    """How one case went.

    Attributes:
        fault: why it failed, empty where it did not.
        taken_s: seconds.
    """

    case: Case
    verdict: Verdict
    fault: str
    taken_s: float

    @property
    def passed(self) -> bool:
        """Whether all expectations were met."""
        return not self.fault


@dataclass
class Coverage:
    """What cases tried of one policy and its protections."""

    rules: RuleCoverage
    sections: frozenset[tuple[str, Operation]]
    tried: set[tuple[str, Operation]] = field(default_factory=set)

    @classmethod
    def of(cls, rehearsal: Rehearsal) -> "Coverage":
        """Return an account in which nothing was tried."""
        protections = rehearsal.gate.guard.protections
        sections = protections.sections if protections else ()
        return cls(
            RuleCoverage.of(rehearsal.rules, built_in=not sections),
            frozenset(
                (section.name, operation)
                for section in sections
                for operation in section.rules
                if section.line
            ),
        )

    def add_section(self, section: str, operation: Operation | None) -> None:
        """Count that a section decided about an operation."""
        self.tried |= {(section, operation)} if operation is not None else set()

    @property
    def counts(self) -> dict[str, tuple[int, int]]:
        """How many there are of each kind: tried, and in all."""
        rules, branches = self.rules.rules, self.rules.branches
        found = {
            "rules": (len(rules) - len(self.rules.missed_rules), len(rules)),
            "branches": (len(branches & self.rules.tried), len(branches)),
        }
        if self.sections:
            found["sections"] = (len(self.tried & self.sections), len(self.sections))
        return found

    @property
    def percent(self) -> float:
        """All kinds together."""
        tried = sum(part for part, _ in self.counts.values())
        whole = sum(every for _, every in self.counts.values())
        return 100 * tried / whole if whole else 100.0

    @property
    def missed(self) -> tuple[str, ...]:
        """What was not tried, one line each."""
        return (
            *(f"{name}: no case asks this rule" for name in self.rules.missed_rules),
            *self.rules.missed_branches,
            *(f"[{n}] {op}: no case" for n, op in sorted(self.sections - self.tried)),
        )


class Runner:
    """Runs cases, and remembers what they tried."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self.rehearsal = rehearsal
        self.coverage = Coverage.of(rehearsal)

    @classmethod
    def for_file(
        cls,
        file: CaseFile,
        policy: Path | None = None,
        protections: Path | None = None,
        rule_format: str | None = None,
    ) -> "Runner":
        """Return a runner for the policy of a file, or for another one instead.

        Raises:
            ConfigurationError: every fault of policy and protections.
        """
        rules = load_rule_set(policy or file.policy)
        chosen = rule_format or (file.rule_format if protections is None else "roles")
        path = protections or file.protections
        return cls(load_rehearsal(rules, path, chosen))

    def run(self, case: Case) -> Result:
        """Return how the case went."""
        started = time.perf_counter()
        question = case.question
        if isinstance(question, BareQuestion):
            verdict, why = self._ask_rule(question)
        else:
            verdict, why = self._ask(question)
        fault = _find_fault(case, verdict, why)
        return Result(case, verdict, fault, time.perf_counter() - started)

    def _ask_rule(self, question: BareQuestion) -> tuple[Verdict, str]:
        found = explain(
            self.rehearsal.rules, question.credentials, question.rule, question.target
        )
        self.coverage.rules.add(found)
        allowed = found.decision.allowed
        verdict = Verdict(
            Answer.ALLOW if allowed else Answer.FORBIDDEN,
            Stage.ALLOWED if allowed else Stage.RULE,
            question.rule,
            found.decision.rule,
        )
        return verdict, reason(found)

    def _ask(self, question: Question) -> tuple[Verdict, str]:
        verdict = self.rehearsal.ask(question)
        caller, fields = self.rehearsal.fields(question)
        why = verdict.stage.value
        # The gate asks this first, to know whether the caller is an administrator.
        self._count(caller, Action.CONTEXT_IS_ADMIN, {})
        for action in question.actions:
            if verdict.stage is Stage.VISIBILITY:
                break
            why = reason(self._count(caller, action, fields))
            if action == verdict.action and not verdict.allowed:
                break
        if verdict.stage not in (Stage.ALLOWED, Stage.RULE):
            why = f"{verdict.stage.value}; {verdict.message}"
        if verdict.section is not None:
            why = f"[{verdict.section.section}]: {verdict.section.why}"
            self.coverage.add_section(verdict.section.section, question.operation)
        return verdict, why

    def _count(
        self, caller: Caller, action: str, fields: Mapping[str, object]
    ) -> Explanation:
        """Return why a rule decides, and remember what it tried."""
        found = explain(self.rehearsal.rules, caller.credentials, action, fields)
        self.coverage.rules.add(found)
        return found


def _find_fault(case: Case, verdict: Verdict, why: str) -> str:
    """Return what was expected and did not come, or nothing."""
    if verdict.answer not in case.expected:
        wanted = " or ".join(sorted(case.expected))
        return f"expected {wanted}, got {verdict.answer}: {why}"
    if case.decided_by and case.decided_by != verdict.rule:
        return f"expected rule `{case.decided_by}` to decide, not `{verdict.rule}`"
    found = verdict.section.section if verdict.section else ""
    if case.section and case.section != found:
        return f"expected section [{case.section}] to decide, not [{found}]"
    return ""


def run_file(runner: Runner, file: CaseFile) -> Sequence[Result]:
    """Return how each case of a file went, in its order."""
    return [runner.run(case) for case in file.cases]
