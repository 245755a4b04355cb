"""Query strings of lists of metadata definitions.

Source: contract api-metadefs 3.3, 4 and 6; ruling D-16.
"""

from collections.abc import Collection
from urllib.parse import parse_qsl, urlencode

from imagereg.db.metadefs import SORT_KEYS, NamespaceQuery
from imagereg.errors import Invalid
from imagereg.metadefs.contents import TagQuery
from imagereg.model import Caller

NAMESPACES = "/v2/metadefs/namespaces"

#: Rows beyond this fit no database's LIMIT.
_LARGEST = 2**63 - 1


class Query:
    """The parameters of one request; of a repeated one the last counts."""

    def __init__(self, query_string: str) -> None:
        """Read a query string.

        Raises:
            Invalid: it is not UTF-8, or has too many parameters.
        """
        try:
            self._pairs = parse_qsl(
                query_string,
                keep_blank_values=True,
                errors="strict",
                max_num_fields=1000,
            )
        except UnicodeDecodeError as error:
            raise Invalid("the query string is not UTF-8") from error
        except ValueError as error:
            raise Invalid("the query string has too many parameters") from error
        self._values = dict(self._pairs)

    def get(self, name: str) -> str | None:
        """Return a parameter, or None."""
        return self._values.get(name)

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        """Return a parameter that has only a few values.

        Raises:
            Invalid: it is none of them.
        """
        value = self._values.get(name, default)
        if value not in allowed:
            raise Invalid(f"`{name}` must be one of: {', '.join(allowed)}")
        return value

    def whole(self, name: str, smallest: int = 0) -> int | None:
        """Return a whole number, or None where there is no such parameter.

        Raises:
            Invalid: it is not a number, or too small.
        """
        text = self._values.get(name)
        if text is None:
            return None
        if not text.isascii() or not text.isdigit() or int(text[:25]) < smallest:
            raise Invalid(f"`{name}` must be a whole number from {smallest}")
        return min(int(text[:25]), _LARGEST)

    def is_ascending(self) -> bool:
        """Return the direction of the list.

        Raises:
            Invalid: it is none.
        """
        return self.choice("sort_dir", ("asc", "desc"), "desc") == "asc"

    def link(self, marker: str | None) -> str:
        """Return the path of the first page, or of the page after ``marker``."""
        pairs = [pair for pair in self._pairs if pair[0] != "marker"]
        if marker is not None:
            pairs.append(("marker", marker))
        return f"{NAMESPACES}?{urlencode(pairs)}" if pairs else NAMESPACES


def namespaces(
    query: Query, caller: Caller, *, default: int, largest: int
) -> NamespaceQuery:
    """Return which namespaces a request wants.

    A page has ``default`` rows when no limit is named, and ``largest`` at most.

    Raises:
        Invalid: a parameter's value is malformed.
    """
    limit = query.whole("limit")
    types = (query.get("resource_types") or "").split(",")
    visibility = query.get("visibility")
    if visibility is not None:
        query.choice("visibility", ("public", "private"), "")
    return NamespaceQuery(
        project_id=caller.project_id,
        is_admin=caller.is_admin,
        limit=min(default if limit is None else limit, largest),
        visibility=visibility,
        resource_types=tuple(each.strip() for each in types if each.strip()),
        sort_key=query.choice("sort_key", tuple(SORT_KEYS), "created_at"),
        ascending=query.is_ascending(),
    )


def check_objects(query: Query) -> None:
    """Refuse malformed parameters of a list of objects, which otherwise ignores them.

    Raises:
        Invalid: a parameter's value is malformed.
    """
    query.whole("limit", smallest=1)
    query.is_ascending()
    if query.get("visibility") is not None:
        query.choice("visibility", ("public", "private", "shared"), "")


def tags(query: Query) -> TagQuery:
    """Return which tags a request wants.

    Raises:
        Invalid: a parameter's value is malformed.
    """
    return TagQuery(
        sort_key=query.choice(
            "sort_key", ("created_at", "name", "updated_at"), "created_at"
        ),
        ascending=query.is_ascending(),
        limit=query.whole("limit"),
        marker=query.get("marker"),
    )
