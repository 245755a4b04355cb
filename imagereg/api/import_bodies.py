"""Bodies of imports, checked in the order that clients may rely on.

Source: contract api-images 18.1 and 18.2; ruling D-16.
"""

from collections.abc import Collection, Mapping

from imagereg.errors import Invalid
from imagereg.jobs.import_request import ImportMethod, ImportRequest

#: Most stores that one request may name.
MAX_STORES = 1000


def load_import(
    document: object, enabled: Collection[str], store_header: str | None
) -> ImportRequest:
    """Return what a body asks for.

    Args:
        document: the body.
        enabled: names of the methods that may be used.
        store_header: the value of ``X-Image-Meta-Store``, where it counts.

    Raises:
        Invalid: the body breaks the schema, or names no method that is enabled.
    """
    body = _object(document, "the request body")
    if "method" not in body:
        raise Invalid("`method` is required")
    source = _object(body["method"], "`method`")
    if "name" not in source:
        raise Invalid("the `name` of the method is required")
    name = source["name"]
    if not isinstance(name, str) or name not in enabled:
        raise Invalid(f"import method `{name}` is not enabled")
    return ImportRequest(
        method=ImportMethod(name),
        document=body,
        source={key: value for key, value in source.items() if key != "name"},
        all_stores=_flag(body, "all_stores", default=False),
        must_succeed=_flag(body, "all_stores_must_succeed", default=True),
        stores=_stores(body.get("stores")),
        store_header=store_header or None,
    )


def _object(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise Invalid(f"{what} must be a JSON object")
    return value


def _flag(body: Mapping[str, object], name: str, *, default: bool) -> bool:
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise Invalid(f"`{name}` must be true or false")
    return value


def _stores(value: object) -> tuple[str, ...]:
    """Return the ids of stores, each once, in their order."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_STORES:
        raise Invalid("`stores` must be a list of store ids")
    if not all(isinstance(each, str) for each in value):
        raise Invalid("`stores` must be a list of texts")
    return tuple(dict.fromkeys(value))
