"""What becomes of a namespace when a file about it is loaded.  Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from imagereg.metadef_model import Content, Kind, Namespace, NewNamespace


class Mode(StrEnum):
    """What to do with a namespace that is there already."""

    SKIP = "skip"
    MERGE = "merge"
    REPLACE = "replace"


class Effect(StrEnum):
    """What happens to one thing, in the words of a report."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    KEPT = "kept as it is"
    SKIPPED = "there already"
    PROTECTED = "protected, so it stays"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a report; without a kind it is about the namespace itself."""

    namespace: str
    effect: Effect
    kind: Kind | None = None
    name: str = ""

    def __str__(self) -> str:
        thing = f" {self.kind} {self.name}" if self.kind else ""
        return f"{self.namespace}{thing}: {self.effect}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to store, or None for nothing, and what that changes."""

    result: NewNamespace | None
    changes: tuple[Change, ...]


_FIELDS = ("visibility", "protected", "owner", "display_name", "description")

Items = Mapping[str, Any]


def plan(
    new: NewNamespace,
    before: tuple[Namespace, Content] | None,
    mode: Mode,
    *,
    prefer_new: bool = False,
) -> Plan:
    """Return what loading ``new`` over ``before`` comes to.

    Merging adds what is missing and keeps what differs, unless ``prefer_new``;
    replacing also removes what the file does not have.
    """
    if before is None:
        return Plan(new, (Change(new.name, Effect.ADDED),))
    if mode is Mode.SKIP:
        return Plan(None, (Change(new.name, Effect.SKIPPED),))
    overwrite = prefer_new or mode is Mode.REPLACE
    fields, changes = _merge_fields(new, before[0], overwrite=overwrite)
    merged: dict[Kind, Items] = {}
    old, wanted = _by_kind(before[1]), _by_kind(new)
    for kind in Kind:
        merged[kind] = _merge(
            old[kind], wanted[kind], overwrite=overwrite, prune=mode is Mode.REPLACE
        )
        changes += _compare(new.name, kind, old[kind], wanted[kind], merged[kind])
    changed = any(each.effect is not Effect.KEPT for each in changes)
    result = replace(
        fields,
        objects=tuple(merged[Kind.OBJECT].values()),
        properties=merged[Kind.PROPERTY],
        tags=tuple(merged[Kind.TAG].values()),
        associations=tuple(merged[Kind.ASSOCIATION].values()),
    )
    return Plan(result if changed else None, tuple(changes))


def _merge_fields(
    new: NewNamespace, before: Namespace, *, overwrite: bool
) -> tuple[NewNamespace, list[Change]]:
    old = {name: getattr(before, name) for name in _FIELDS}
    if all(old[name] == getattr(new, name) for name in _FIELDS):
        return new, []
    effect = Effect.CHANGED if overwrite else Effect.KEPT
    fields = new if overwrite else replace(new, **old)
    return fields, [Change(new.name, effect)]


def _by_kind(content: NewNamespace | Content) -> Mapping[Kind, Items]:
    return {
        Kind.OBJECT: {each.name: each for each in content.objects or ()},
        Kind.PROPERTY: dict(content.properties or {}),
        Kind.TAG: {each.name: each for each in content.tags or ()},
        Kind.ASSOCIATION: {each.name: each for each in content.associations or ()},
    }


def _merge(old: Items, wanted: Items, *, overwrite: bool, prune: bool) -> Items:
    kept = {name: old[name] for name in old if name in wanted or not prune}
    for name, item in wanted.items():
        if name not in kept or (overwrite and not _same(kept[name], item)):
            kept[name] = item
    return kept


def _same(old: Any, new: Any) -> bool:  # noqa: ANN401 - one of four kinds
    """Return whether two things say the same, whenever they were made."""
    if isinstance(old, Mapping):
        return bool(old == new)
    untimed = {"created_at_us": 0, "updated_at_us": 0}
    return bool(replace(old, **untimed) == replace(new, **untimed))


def _compare(
    namespace: str, kind: Kind, old: Items, wanted: Items, merged: Items
) -> Iterator[Change]:
    for name in sorted({*old, *wanted}):
        effect = None
        if name not in merged:
            effect = Effect.REMOVED
        elif name not in old:
            effect = Effect.ADDED
        elif merged[name] is not old[name]:
            effect = Effect.CHANGED
        elif name in wanted and not _same(old[name], wanted[name]):
            effect = Effect.KEPT
        if effect is not None:
            yield Change(namespace, effect, kind, name)
