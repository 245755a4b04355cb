"""Which properties a caller may touch: protections meet policy rules here.

Pure.  `protection` decides by name and role; where its file names a policy rule, the
rule is asked through this module, because the two rooms do not know each other.

Source: contract property-protection 2 and 4, rulings R-2, R-8 and R-9.
"""

from collections.abc import Iterable

from imagereg.errors import PropertyReserved
from imagereg.model import Caller, Image, Operation
from imagereg.policy.actions import Action
from imagereg.policy.enforcer import Enforcer
from imagereg.policy.rules import CompiledRule, RuleSet
from imagereg.protection.guard import PropertyGuard, Verdicts
from imagereg.targets import ImageFields

#: Properties of the server itself: no protection applies to them, no client sets them.
SERVER_PREFIX = "os_glance"


class PropertyRights:
    """Verdicts about the properties of one caller's images."""

    def __init__(self, policy: Enforcer, guard: PropertyGuard) -> None:
        self._policy = policy
        self._guard = guard
        # Compiled once per rule set; the texts come from the operator's file alone.
        self._expressions: tuple[RuleSet, dict[str, CompiledRule]] = (policy.rules, {})

    def verdicts(
        self, caller: Caller, operation: Operation, image: Image | None
    ) -> Verdicts:
        """Return property name -> may this caller do the operation to it.

        Service roles count beside the caller's own, for this question only (R-9).
        Without an image, rules that read the image's fields are false.
        """
        fields = ImageFields(image, caller) if image is not None else {}

        def ask(rule: str) -> bool:
            return self._compiled(rule).allows(caller.credentials, fields)

        return self._guard.verdicts(operation, caller.roles | caller.service_roles, ask)

    def check(
        self, caller: Caller, wanted: Iterable[tuple[Operation, str]], image: Image
    ) -> None:
        """Ask for each operation on each property of an image.

        Raises:
            PropertyReserved: one of them is refused.
        """
        verdicts: dict[Operation, Verdicts] = {}
        for operation, name in wanted:
            if operation not in verdicts:
                verdicts[operation] = self.verdicts(caller, operation, image)
            if not verdicts[operation][name]:
                raise self._reserved(caller, operation, image, name)

    def _reserved(
        self, caller: Caller, operation: Operation, image: Image, name: str
    ) -> PropertyReserved:
        """Return the refusal of an operation on a property.

        It tells which section decided to those whom ``explain_denial`` admits.
        """
        fields = ImageFields(image, caller)
        decision = self._policy.decide(
            caller.credentials, Action.EXPLAIN_DENIAL, fields
        )
        if not decision.allowed:
            return PropertyReserved(name)

        def ask(rule: str) -> bool:
            return self._compiled(rule).allows(caller.credentials, fields)

        roles = caller.roles | caller.service_roles
        reason = self._guard.verdict_section(operation, name, roles, ask)
        section = f"section [{reason.section}], line {reason.line}: "
        return PropertyReserved(
            name, f"{section if reason.section else ''}{operation}: {reason.why}"
        )

    def _compiled(self, rule: str) -> CompiledRule:
        """Return a rule that a protection names, or writes out, ready to be asked."""
        rules = self._policy.rules
        if self._expressions[0] is not rules:
            self._expressions = (rules, {})
        known = self._expressions[1]
        if rule not in known:
            known[rule] = rules.compile(rule if ":" in rule else f"rule:{rule}")
        return known[rule]


class ReadableLater:
    """Asks for read verdicts only when a rule really names a custom property."""

    __slots__ = ("_arguments", "_verdicts")

    def __init__(self, rights: PropertyRights, caller: Caller, image: Image) -> None:
        self._arguments = (rights, caller, image)
        self._verdicts: Verdicts | None = None

    def __call__(self, name: str) -> bool:
        """Return whether the caller may read the property."""
        if self._verdicts is None:
            rights, caller, image = self._arguments
            self._verdicts = rights.verdicts(caller, Operation.READ, image)
        return self._verdicts[name]
