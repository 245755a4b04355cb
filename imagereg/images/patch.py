"""Apply the operations of a PATCH, in order, to what the caller sees of an image.

Nothing is written here: the outcome is `Changes`, which a grant must approve.

Source: contract api-images 12.3 and 12.4; property-protection R-5.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from imagereg.approved import Changes
from imagereg.errors import Forbidden, PropertyConflict, ReadOnlyField
from imagereg.images.fields import CORE, FORMATS
from imagereg.images.locations import LocationDraft, NewLocation
from imagereg.model import Image, Operation, Status


@dataclass(frozen=True, slots=True)
class PatchOperation:
    """One operation, whichever dialect it was written in.

    Attributes:
        op: ``add``, ``replace`` or ``remove``.
        name: the field or property.
        rest: what follows the name in the pointer; only locations have any.
        value: already checked against the image schema; None for ``remove``.
        fresh_only: the 2.0 dialect, where ``add`` refuses what is there already.
    """

    op: str
    name: str
    rest: tuple[str, ...] = ()
    value: object = None
    fresh_only: bool = False


@dataclass(slots=True)
class _Draft:
    """The image as it would be after the operations so far."""

    image: Image
    readable: dict[str, object]
    hidden: frozenset[str]
    fields: dict[str, object] = field(default_factory=dict)
    written: dict[str, object] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    tags: tuple[str, ...] | None = None
    rights: list[tuple[Operation, str]] = field(default_factory=list)
    places: LocationDraft | None = None


def apply(
    image: Image,
    hidden: frozenset[str],
    operations: Iterable[PatchOperation],
    places: LocationDraft | None = None,
) -> Changes:
    """Return what the operations change.

    Args:
        image: the record, whole.
        hidden: names of its properties that the caller cannot read.
        operations: in the order of the body.
        places: takes the operations on locations; None where nobody may change them.

    Raises:
        PropertyConflict: an operation does not fit what the caller can see.
        Forbidden: the field cannot be removed, or not changed any more.
    """
    readable = {n: v for n, v in image.properties.items() if n not in hidden}
    draft = _Draft(image, readable, hidden, places=places)
    for operation in operations:
        if operation.name in CORE:
            _core(draft, operation)
        elif operation.op == "remove":
            _remove(draft, operation.name)
        else:
            _write(draft, operation)
    return Changes(
        fields=draft.fields,
        properties=draft.written,
        removed=frozenset(draft.removed),
        tags=draft.tags,
        rights=tuple(draft.rights),
        places=places.changes() if places is not None else None,
    )


def _core(draft: _Draft, operation: PatchOperation) -> None:
    name = operation.name
    if name == "locations":
        _locations(draft, operation)
        return
    if name == "stores":
        if operation.op == "add":
            raise ReadOnlyField(name)
        raise PropertyConflict("property `stores` does not exist")
    if operation.op == "remove":
        raise Forbidden(f"property `{name}` may not be removed")
    if operation.op == "add" and operation.fresh_only:
        raise PropertyConflict(f"property `{name}` already present")
    if name in FORMATS and draft.image.status not in (Status.QUEUED, Status.IMPORTING):
        message = f"attribute `{name}` can only be replaced for a queued image"
        raise Forbidden(message)
    if name == "tags":
        assigned = operation.value
        if isinstance(assigned, tuple):
            draft.tags = assigned
    elif name == "owner":
        # An empty text names nobody.
        draft.fields[name] = operation.value or None
    else:
        draft.fields[name] = operation.value


def _locations(draft: _Draft, operation: PatchOperation) -> None:
    """Hand one operation on locations to the draft that can ask stores."""
    if draft.places is None:
        raise Forbidden("it is not allowed to change locations: they are invisible")
    if operation.op == "remove":
        draft.places.remove(operation.rest[0])
        return
    image = replace(draft.image, **draft.fields)  # type: ignore[arg-type] # checked by schema
    value = operation.value
    if isinstance(value, NewLocation):
        draft.places.add(operation.rest[0], value, image)
    elif isinstance(value, tuple):
        draft.places.replace(value, image)


def _write(draft: _Draft, operation: PatchOperation) -> None:
    name = operation.name
    present = name in draft.readable
    if operation.op == "replace" and not present:
        raise PropertyConflict(f"property `{name}` does not exist")
    if present and operation.op == "add" and operation.fresh_only:
        raise PropertyConflict(f"property `{name}` already present")
    # Ruling R-5: adding what exists but is hidden is an update, judged as such.
    exists = present or name in draft.hidden
    draft.rights.append((Operation.UPDATE if exists else Operation.CREATE, name))
    draft.readable[name] = operation.value
    draft.written[name] = operation.value


def _remove(draft: _Draft, name: str) -> None:
    if name not in draft.readable:
        raise PropertyConflict(f"property `{name}` does not exist")
    draft.rights.append((Operation.DELETE, name))
    del draft.readable[name]
    draft.written.pop(name, None)
    if name in draft.image.properties:
        draft.removed.add(name)
