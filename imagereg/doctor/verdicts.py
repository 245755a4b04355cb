"""What one object of a listing is, going by what the rows say about its key."""

from collections.abc import Callable

from imagereg.db.inventory import Claims
from imagereg.doctor.findings import Kind
from imagereg.stores.driver import ListedBlob


def judge(
    blob: ListedBlob,
    claims: Claims,
    canonical: Callable[[str], str],
    settled_before_s: float,
) -> Kind | None:
    """Return `Kind.ORPHAN` or `Kind.FOREIGN`, or None for an object that may stay.

    ``claims`` must have been read after the object was listed.  Whoever may still
    be at work on it is given the benefit of the doubt: an upload or a task of the
    same image, or an object younger than ``settled_before_s``.

    Condemned objects stay, because the list of condemned bytes sees to them.
    """
    if claims.busy or blob.changed_at_s > settled_before_s:
        return None
    if any(canonical(url) == blob.url for url in claims.urls | claims.condemned):
        return None
    return Kind.ORPHAN if claims.known else Kind.FOREIGN
