"""Show one image, list many.  Source: contract api-images 10 and 11."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from imagereg.access import Grant
from imagereg.approved import ImageView
from imagereg.db.images import ImageRepository
from imagereg.db.listing import ListQuery
from imagereg.errors import Forbidden, Invalid
from imagereg.targets import is_visible


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Attributes:
        views: what the caller may see of the rows read.
        next_marker: id of the last row read, shown or not, when there may be more.
    """

    views: tuple[ImageView, ...]
    next_marker: str | None


@dataclass(frozen=True, slots=True)
class Catalog:
    """The use cases, bound to what they work on."""

    images: ImageRepository

    def show(self, grant: Grant) -> ImageView:
        """Return the image as the caller may see it."""
        return grant.view(grant.image)

    def page(
        self,
        grant: Grant,
        query: ListQuery,
        property_filters: Mapping[str, str],
        marker: str | None,
    ) -> Page:
        """Return one page.

        A filter on a property that the caller may not read matches nothing (R-6).

        Raises:
            Invalid: there is no image with the marker's id.
            Forbidden: the caller may not see the marker's image.
        """
        hidden = [name for name in property_filters if not grant.may_read(name)]
        query = replace(
            query,
            properties=tuple(property_filters.items()),
            impossible=query.impossible or bool(hidden),
        )
        if marker is not None:
            query = self._after(grant, query, marker)
        rows = self.images.page(query)
        full = len(rows) == query.limit and query.limit > 0
        return Page(
            views=tuple(grant.views(rows)),
            next_marker=rows[-1][0].id if full else None,
        )

    def _after(self, grant: Grant, query: ListQuery, marker: str) -> ListQuery:
        found = self.images.find(marker, grant.caller.project_id)
        if found is None:
            raise Invalid(f"marker `{marker}` is not the id of an image")
        if not is_visible(grant.caller, *found):
            raise Forbidden("the marker is not an image that you may see")
        return replace(query, marker=found[0])
