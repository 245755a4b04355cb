"""What comes after the marker of a list, in clauses of SQL.

A clause is a tuple: its text, then the parameters that it uses.

Source: contract api-images 10.
"""

from collections.abc import Sequence
from typing import Any

from imagereg.db.listing import ListQuery
from imagereg.model import Image

Clause = tuple[Any, ...]


def after(query: ListQuery, keys: Sequence[str]) -> Sequence[Clause]:
    """Return the clause that a row, of which ``keys`` are told, comes after the marker.

    Nothing without a marker.
    """
    if query.marker is None:
        return []
    values = _marker_values(query.marker, query)
    if query.one_way:
        return [_vector(query, keys, values)]
    return [_steps(query, keys, values)]


def beyond(query: ListQuery, keys: Sequence[str]) -> Sequence[Sequence[Clause]]:
    """Return disjoint sets of clauses that together are what comes after the marker.

    Each is one range of an index.  A row comparison is one range where the key that
    leads is a column; where it is an expression, SQLite would read the index from its
    beginning, so the images that equal the marker in that key get a range of their own.
    So they do on engines that make no range of a comparison, or a page in the middle
    of thousands of equals would take all that are before it.
    """
    if query.marker is None:
        return [[]]
    is_range = query.words.ranges_rows and keys[0].startswith("i.")
    if query.one_way and (is_range or len(keys) == 1):
        return [after(query, keys)]
    first, *rest = _marker_values(query.marker, query)
    sign = ">" if query.order[0][1] else "<"
    later: Clause = (f"{keys[0]} {sign} ?", first)
    alike: Clause = (f"{keys[0]} = ?", first)
    if query.one_way:
        return [[alike, _vector(query, keys[1:], rest)], [later]]
    return [[alike, *after(query, keys)], [later]]


def _steps(query: ListQuery, keys: Sequence[str], values: Sequence[object]) -> Clause:
    """Return one clause for keys that run in different directions."""
    steps: list[str] = []
    parameters: list[object] = []
    for position, (_, ascending) in enumerate(query.order):
        equal = [f"{key} = ?" for key in keys[:position]]
        sign = ">" if ascending else "<"
        steps.append(" AND ".join([*equal, f"{keys[position]} {sign} ?"]))
        parameters += values[: position + 1]
    return ("(" + " OR ".join(f"({step})" for step in steps) + ")", *parameters)


def _vector(query: ListQuery, keys: Sequence[str], values: Sequence[object]) -> Clause:
    sign = ">" if query.order[0][1] else "<"
    marks = ", ".join("?" * len(values))
    clause = f"({', '.join(keys)}) {sign} ({marks})"
    if query.words.ranges_rows:
        return (clause, *values)
    return (f"{keys[0]} {sign}= ? AND {clause}", values[0], *values)


def _marker_values(marker: Image, query: ListQuery) -> list[object]:
    return [_marker_value(marker, key) for key, _ in query.order]


def _marker_value(marker: Image, key: str) -> object:
    if key in ("created_at", "updated_at"):
        return getattr(marker, f"{key}_us")
    value = getattr(marker, key)
    if value is None:
        return -1 if key == "size" else ""
    return str(value) if isinstance(value, str) else value
