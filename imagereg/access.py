"""The one enforcement point: who may do what to which image, and what they see of it.

`Gate.authorize` is called by `api/dispatch.py` alone, before any view runs.  It
returns a `Grant`, and every use case insists on one.  `Grant` and the types of
`approved.py` are made in this module only, so whoever holds one knows that the
question was asked.

Pure: no Flask, no Peewee.  Rules come from `policy`, ownership is judged in
`ownership.py`, properties in `property_rights.py`.

Source: contract api-images 4, policy 6 and 7 with rulings P-3, P-4, P-7, P-10,
property-protection 4 with rulings R-4 to R-9.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import Lock
from uuid import uuid4

from imagereg import ownership
from imagereg.approved import (
    ApprovedChanges,
    ApprovedImage,
    ApprovedTask,
    Changes,
    ImageView,
)
from imagereg.errors import (
    ActionDenied,
    Forbidden,
    ImageRegError,
    MemberNotFound,
    NotFound,
    NotOwner,
    ReadOnlyCaller,
)
from imagereg.metadef_model import Namespace
from imagereg.model import (
    Caller,
    Image,
    Location,
    MemberStatus,
    Operation,
    Status,
    Task,
    TaskType,
    now_us,
)
from imagereg.policy.actions import Action
from imagereg.policy.enforcer import Enforcer, Witness, nobody
from imagereg.policy.explain import explain_denial
from imagereg.property_rights import SERVER_PREFIX, PropertyRights, ReadableLater
from imagereg.protection.guard import PropertyGuard, Verdicts
from imagereg.targets import (
    ImageFields,
    StoredImage,
    StoredNamespace,
    Target,
    is_owner,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Grant:
    """The caller may do the action to the target.

    Made by `Gate` alone.
    """

    caller: Caller
    action: Action
    target: Target
    gate: "Gate"

    @property
    def image(self) -> Image:
        """The image that this grant is about.  Raises `TypeError` if there is none."""
        if not isinstance(self.target, StoredImage):
            message = f"a grant for {self.action} has no image"
            raise TypeError(message)
        return self.target.image

    @property
    def namespace(self) -> Namespace:
        """The namespace that this is about.  Raises `TypeError` if there is none."""
        if not isinstance(self.target, StoredNamespace):
            message = f"a grant for {self.action} has no namespace"
            raise TypeError(message)
        return self.target.namespace

    def require(self, action: Action) -> None:
        """Ask for one more action on the same target.

        Raises:
            Forbidden: a rule or ownership refuses.
            NotFound: the same, and the caller may not know of the target either.
        """
        self.gate.check(self.caller, action, self.target)

    def may_list(self, namespace: Namespace) -> bool:
        """Return whether the rules let the caller know of a namespace it may see."""
        fields = StoredNamespace(namespace).fields(self.caller)
        return self.gate.allows(self.caller, Action.GET_METADEF_NAMESPACE, fields)

    def allows(self, action: Action) -> bool:
        """Return whether one more action on the same target is allowed."""
        try:
            self.require(action)
        except (Forbidden, NotFound):
            return False
        return True

    def renew(self, target: Target) -> "Grant":
        """Return a grant for the same action on newer data, asking everything anew."""
        return self.gate.authorize(self.caller, (self.action,), target)

    def may_read(self, name: str) -> bool:
        """Return whether the caller may read a property of this name on any image.

        Decided by the name before a query runs, so a filter reveals nothing (R-6).
        """
        return name.startswith(SERVER_PREFIX) or self._read_verdicts(None)[name]

    def view(self, image: Image) -> ImageView:
        """Return what the caller may see of an image that it may see."""
        readable = self._read_verdicts(image)
        seen = image
        if not all(map(readable.__getitem__, image.properties)):
            shown = {n: v for n, v in image.properties.items() if readable[n]}
            seen = replace(image, properties=shown)
        concealed = image.status == Status.DEACTIVATED and not self.caller.is_admin
        places = () if concealed else image.locations
        return ImageView(
            image=seen,
            locations=self.gate.visible_locations(self.caller, image, places),
            stores=tuple([place.store for place in places if place.store]),
        )

    def check_member(self, member_id: str) -> None:
        """Refuse a membership that is not the caller's to see.

        A member sees its own entry alone; the owner and administrators see all.

        Raises:
            MemberNotFound: as if the project were no member.

        Source: contract policy 7.
        """
        caller = self.caller
        if caller.is_admin or is_owner(caller, self.image):
            return
        if member_id != caller.project_id:
            raise MemberNotFound(self.image.id, member_id)

    def check_own_membership(self, member_id: str) -> None:
        """Refuse to answer for another project, whatever the rules say (P-4).

        Raises:
            MemberNotFound: the entry is not the caller's to see.
            NotOwner: it is to see, not to change.
        """
        self.check_member(member_id)
        if not self.caller.is_admin and member_id != self.caller.project_id:
            raise NotOwner("only the member itself may change its status")

    def hidden(self, image: Image) -> frozenset[str]:
        """Return the names of the image's properties that the caller cannot read."""
        readable = self._read_verdicts(image)
        return frozenset(name for name in image.properties if not readable[name])

    def views(
        self, rows: Iterable[tuple[Image, MemberStatus | None]]
    ) -> Iterator[ImageView]:
        """Yield those images of a page that the rule ``get_image`` admits.

        The rule is asked once for each distinct set of the fields that it reads.
        """
        rules = self.gate.policy.rules
        reads = sorted(rules.fields_read(Action.GET_IMAGE))
        if rules.reads_whole_target(Action.GET_IMAGE):
            reads = ["id"]
        answers: dict[str, bool] = {}
        for image, membership in rows:
            fields = self.gate.fields(self.caller, StoredImage(image, membership))
            key = repr([fields.get(name) for name in reads])
            if key not in answers:
                answers[key] = self.gate.allows(self.caller, Action.GET_IMAGE, fields)
            if answers[key]:
                yield self.view(image)

    def approve_new(self, image: Image) -> ApprovedImage:
        """Ask for the creation of each custom property.

        Raises:
            PropertyReserved: one of them may not be created by this caller.
        """
        wanted = ((Operation.CREATE, name) for name in image.properties)
        self.gate.rights.check(self.caller, wanted, image)
        return ApprovedImage(image)

    def approve_task(
        self, task_type: TaskType, wanted: Mapping[str, object]
    ) -> ApprovedTask:
        """Return the granted action as work to be done later; the caller owns it."""
        time = now_us()
        task = Task(
            id=str(uuid4()),
            type=task_type,
            created_at_us=time,
            updated_at_us=time,
            owner=self.caller.project_id,
            image_id=self.image.id,
            request_id=self.caller.request_id or None,
            user_id=self.caller.user_id,
            input=wanted,
        )
        return ApprovedTask(task)

    def approve(self, changes: Changes) -> ApprovedChanges:
        """Ask for each change to each property, and for a change of owner.

        Raises:
            PropertyReserved: a protection refuses one of them.
            Forbidden: only an administrator changes the owner (D-2, P-5), or the
                locations may not be changed.
        """
        places = changes.places
        if places is not None and (places.added or places.edited):
            self.require(Action.SET_IMAGE_LOCATION)
        if places is not None and places.removed:
            self.require(Action.DELETE_IMAGE_LOCATION)
        if "owner" in changes.fields and not self.caller.is_admin:
            raise Forbidden("only an administrator may change the owner of an image")
        self.gate.rights.check(self.caller, changes.rights, self.image)
        return ApprovedChanges(changes, self.image)

    @cached_property
    def _verdicts_for_all(self) -> Verdicts:
        return self.gate.rights.verdicts(self.caller, Operation.READ, None)

    def _read_verdicts(self, image: Image | None) -> Verdicts:
        if image is None or not self.gate.guard.reads_target:
            return self._verdicts_for_all
        return self.gate.rights.verdicts(self.caller, Operation.READ, image)


class Gate:
    """Decides every request; `Grant` is its word for yes.

    Attributes:
        policy: the rules, reloaded when their files change.
        guard: the property protections, likewise.
        shows_locations: an option reveals locations to whom the rule
            ``get_image_location`` admits (ruling P-10).
        witness: told of each decision, for the audit record.
    """

    witness: Witness = staticmethod(nobody)

    def __init__(
        self, policy: Enforcer, guard: PropertyGuard, *, shows_locations: bool = False
    ) -> None:
        self.policy = policy
        self.guard = guard
        self.shows_locations = shows_locations
        self.rights = PropertyRights(policy, guard)
        self._lock = Lock()
        self._settled = self

    def settled(self) -> "Gate":
        """Return a gate of the rules in force now, which no later change reaches.

        Files that changed on disk are taken over here.  A request asks one such gate
        alone, or a change in its midst would have old and new rules answer it.  While
        one thread takes over, others go on with what was in force.
        """
        if self._lock.acquire(blocking=self._settled is self):
            try:
                self._take_over()
            finally:
                self._lock.release()
        return self._settled

    def recognise(self, caller: Caller) -> Caller:
        """Return the caller with ``is_admin`` as ``context_is_admin`` decides it."""
        is_admin = self.allows(caller, Action.CONTEXT_IS_ADMIN, {})
        return replace(caller, is_admin=is_admin) if is_admin else caller

    def authorize(
        self, caller: Caller, actions: Sequence[Action], target: Target
    ) -> Grant:
        """Return the grant for one request, or refuse it.

        Order: visibility, then each action's rule and ownership.  The last action is
        the one granted; those before it only open the way.

        Raises:
            ReadOnlyCaller: an anonymous caller tries to write.
            ImageNotFound: the image is hidden from the caller.
            ActionDenied: a rule refuses.
            NotOwner: the rules allow it, ownership does not.
        """
        needed = target.asks or tuple(actions)
        target.check_visible(caller)
        for action in needed:
            self.admit(caller, action)
            self.check(caller, action, target)
        return Grant(caller, actions[-1], target, self)

    def admit(self, caller: Caller, action: Action) -> None:
        """Refuse anonymous writers before their target is looked for.

        Otherwise the answer would tell which images exist.

        Raises:
            ReadOnlyCaller: an anonymous caller tries to write.
        """
        if caller.read_only and action in ownership.WRITES:
            raise ReadOnlyCaller("read-only access")

    def check(self, caller: Caller, action: Action, target: Target) -> None:
        """Raise unless the rule and, for a write, ownership allow the action.

        Raises:
            ActionDenied, NotOwner: refused, and the caller may know of the target.
            NotFound: refused, and the rule that shows the target refuses too.
        """
        refusal = self._refusal(caller, action, target)
        if refusal is None:
            return
        log.info("refused %s to user %s: %s", action, caller.user_id, refusal)
        shown_by = target.shown_by
        if shown_by is not None and (
            action == shown_by
            or not self.allows(caller, shown_by, self.fields(caller, target))
        ):
            raise target.missing() from refusal
        raise refusal

    def _refusal(
        self, caller: Caller, action: Action, target: Target
    ) -> ImageRegError | None:
        fields = self.fields(caller, target)
        decision = self.policy.decide(caller.credentials, action, fields)
        self.witness(action, decision.rule, decision.allowed)
        if not decision.allowed:
            rules = self.policy.rules
            detail = explain_denial(rules, caller.credentials, action, fields)
            if decision.scope and not detail:
                detail = f"{decision.scope} scope is required"
            return ActionDenied(action, decision.rule, detail)
        return ownership.refusal(caller, action, target)

    def allows(
        self, caller: Caller, action: Action, fields: Mapping[str, object]
    ) -> bool:
        """Return what the rule alone says."""
        return self.policy.decide(caller.credentials, action, fields).allowed

    def fields(self, caller: Caller, target: Target) -> Mapping[str, object]:
        """Return what rules may read of the target on behalf of this caller."""
        if not isinstance(target, StoredImage):
            return target.fields(caller)
        image = target.image
        readable = ReadableLater(self.rights, caller, image)
        return ImageFields(image, caller, readable)

    def visible_locations(
        self, caller: Caller, image: Image, places: tuple[Location, ...]
    ) -> tuple[Location, ...]:
        """Return those locations, if an option and the rule let the caller see them."""
        if not self.shows_locations or not places:
            return ()
        fields = self.fields(caller, StoredImage(image))
        allowed = self.allows(caller, Action.GET_IMAGE_LOCATION, fields)
        return places if allowed else ()

    def _take_over(self) -> None:
        """Follow the files, and publish rules and protections as one."""
        changed = self.policy.refresh()
        changed = self.guard.refresh(changed) or changed
        if changed or self._settled is self:
            self._settled = Gate(
                Enforcer.fixed(self.policy.rules),
                PropertyGuard(self.guard.protections),
                shows_locations=self.shows_locations,
            )
            self._settled.witness = self.witness
