"""What whoever began an import may do, asked again once its properties are known.

A step of an import sets properties that nobody named in the request.  They are
decided as if the caller had sent them: by the rules and protections in force now, on
the image as it is now.

Source: contract property-protection 4, last row of its table.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from imagereg.access import Gate
from imagereg.approved import Changes
from imagereg.images.limits import Limits
from imagereg.model import Caller, Image, Operation
from imagereg.policy.actions import Action
from imagereg.targets import StoredImage

#: What belongs to one request, or is decided anew from the rest.
_PASSING = frozenset({"is_admin", "read_only", "request_id"})
_SETS = frozenset({"roles", "service_roles"})


@dataclass(frozen=True, slots=True)
class ImportRights:
    """Asks on behalf of callers who are not there any more."""

    gate: Gate
    limits: Limits

    def check(
        self, caller: Caller, image: Image, properties: Mapping[str, str | None]
    ) -> None:
        """Refuse properties that the caller could not have set or removed.

        Raises:
            PropertyReserved: a protection refuses one of them.
            Forbidden, ImageNotFound: the caller may not modify the image any more.
            TooLarge: the image would have too many.
        """
        there = {n: v for n, v in properties.items() if v is not None}
        gone = frozenset(properties) - there.keys()
        changes = Changes({}, there, gone, None, tuple(_rights(image, properties)))
        gate = self.gate.settled()
        known = gate.recognise(caller)
        grant = gate.authorize(known, (Action.MODIFY_IMAGE,), StoredImage(image))
        grant.approve(changes)
        self.limits.check_properties((image.properties.keys() - gone) | there.keys())


def written(caller: Caller) -> Mapping[str, object]:
    """Return what the queue keeps of a caller: no token, and nothing that passes."""
    kept = {n: v for n, v in asdict(caller).items() if n not in _PASSING}
    return {n: sorted(v) if n in _SETS else v for n, v in kept.items()}


def caller_of(kept: Mapping[str, object]) -> Caller:
    """Return the caller that `written` wrote down."""
    known = {each.name for each in fields(Caller)} - _PASSING
    values = {n: v for n, v in kept.items() if n in known}
    for name in _SETS:
        roles = values.get(name)
        values[name] = frozenset(map(str, roles if isinstance(roles, list) else ()))
    return Caller(**values)  # type: ignore[arg-type] # `written` wrote it


def _rights(
    image: Image, properties: Mapping[str, str | None]
) -> list[tuple[Operation, str]]:
    def operation(name: str) -> Operation:
        if properties[name] is None:
            return Operation.DELETE
        return Operation.UPDATE if name in image.properties else Operation.CREATE

    return [
        (operation(name), name)
        for name in properties
        if properties[name] is not None or name in image.properties
    ]
