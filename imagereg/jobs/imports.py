"""Begin an import: what is checked while the client waits.

Source: contract api-images 18.1 to 18.4; rulings D-16 and D-21.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from imagereg.access import Grant
from imagereg.approved import ApprovedTask
from imagereg.db.tasks import TaskRepository
from imagereg.errors import Conflict, ImageRegError, Invalid, StatusConflict
from imagereg.images.processes import worker_name
from imagereg.images.staged import StagedData
from imagereg.jobs.delegation import Delegation, Delegations, RegionAccess
from imagereg.jobs.import_request import (
    BEGINS,
    ImportMethod,
    ImportRequest,
    remote_image,
)
from imagereg.jobs.import_rights import written
from imagereg.model import Image, Task, TaskType, shown_url
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.url_filter import URLFilter, URLRefused

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Imports:
    """The use case, bound to what it works on.

    Attributes:
        several_stores: clients see and choose stores by their ids.
        wake: tells the workers of this process that there is something to do.
        delegations: what callers lend to imports that this process runs itself; None
            where it runs none.
    """

    tasks: TaskRepository
    stores: StoreCatalog
    staged: StagedData
    url_filter: URLFilter
    wake: Callable[[], None]
    delegations: Delegations | None
    several_stores: bool = False

    def begin(
        self, grant: Grant, wanted: ImportRequest, lent: Delegation
    ) -> Task | None:
        """Lock the image and queue the work; None if there is nothing to do.

        ``lent`` is what the caller lends to a download from another region.

        Raises:
            Conflict: a task works on the image, or a store cannot be used.
            Invalid: the choice of stores, or the URL.
            StatusConflict: the image is not as the method needs it any more.
        """
        image = grant.image
        self.tasks.check_unlocked(image.id)
        targets = self._targets(image, wanted)
        if not targets:
            return None
        access = self._access(wanted, lent)
        wanted = self._check_source(image, wanted)
        several = self.several_stores
        approved = grant.approve_task(
            TaskType.API_IMAGE_IMPORT,
            {
                "image_id": image.id,
                "import_req": _shown(wanted),
                "backend": list(targets) if several else [None],
            },
        )
        payload = {
            "method": wanted.method,
            "source": dict(wanted.source),
            "stores": list(targets),
            "must_succeed": wanted.must_succeed,
            "caller": written(grant.caller),
        }
        self._queue(approved, wanted, payload, access)
        log.info("image %s: task %s began", image.id, approved.task.id)
        self.wake()
        return approved.task

    def _queue(
        self,
        approved: ApprovedTask,
        wanted: ImportRequest,
        payload: Mapping[str, object],
        access: RegionAccess | None,
    ) -> None:
        """Queue the work: for every process, or for this one that has the token."""
        status, task_id = BEGINS[wanted.method], approved.task.id
        if access is None or self.delegations is None:
            self.tasks.begin(approved, status, payload)
            return
        self.delegations.keep(task_id, access)
        try:
            self.tasks.begin(approved, status, payload, worker=worker_name())
        except ImageRegError:
            self.delegations.drop(task_id)
            raise

    def _access(self, wanted: ImportRequest, lent: Delegation) -> RegionAccess | None:
        """Return how the other region is spoken to, None if there is none.

        Raises:
            Invalid: it cannot be.
        """
        if wanted.method != ImportMethod.GLANCE_DOWNLOAD:
            return None
        if self.delegations is None:
            # A token is handed to no other process (ruling U-5).
            raise Invalid("glance-download needs a server that runs its jobs itself")
        remote = remote_image(wanted.source)
        return lent.access(remote.region, remote.interface)

    def _targets(self, image: Image, wanted: ImportRequest) -> tuple[str, ...]:
        """Return the stores to fill, in their order."""
        if not self.several_stores:
            if wanted.method == ImportMethod.COPY_IMAGE:
                raise Invalid("copy-image needs several stores")
            if not wanted.must_succeed:
                raise Invalid("`all_stores_must_succeed` needs several stores")
            return (self.stores.default.id,)
        wanted.check_single_choice()
        if wanted.all_stores:
            named = tuple(store.id for store in self.stores if store.writable)
        else:
            header = (wanted.store_header,) if wanted.store_header else ()
            named = wanted.stores or header or (self.stores.default.id,)
        for store_id in named:
            self._check_store(store_id)
        if wanted.method != ImportMethod.COPY_IMAGE:
            return named
        return self._without_copies(image, named, skip=wanted.all_stores)

    def _check_store(self, store_id: str) -> None:
        if store_id not in self.stores:
            raise Conflict(f"there is no store `{store_id}`")
        if not self.stores[store_id].writable:
            raise Conflict(f"store `{store_id}` takes no data")

    def _without_copies(
        self, image: Image, named: tuple[str, ...], *, skip: bool
    ) -> tuple[str, ...]:
        """Return those stores that do not hold the image yet.

        Raises:
            Invalid: one that was asked for by name does.
        """
        held = {place.store for place in image.locations}
        if not skip and any(store_id in held for store_id in named):
            raise Invalid(f"image {image.id} is in one of these stores already")
        return tuple(store_id for store_id in named if store_id not in held)

    def _check_source(self, image: Image, wanted: ImportRequest) -> ImportRequest:
        """Refuse a source that cannot be read; return the request without secrets."""
        if wanted.method == ImportMethod.WEB_DOWNLOAD:
            uri = wanted.source.get("uri")
            if not isinstance(uri, str):
                raise URLRefused
            self.url_filter.check(uri)
            # Other keys of the method mean nothing, and need not be kept.
            return replace(wanted, source={"uri": uri})
        if wanted.method == ImportMethod.GLANCE_DOWNLOAD:
            remote = remote_image(wanted.source)
            source = {"region": remote.region, "image_id": remote.image_id}
            return replace(wanted, source=source)
        if wanted.method == ImportMethod.GLANCE_DIRECT:
            if self.staged.size(image.id) is None:
                raise StatusConflict(f"not all data of image {image.id} are staged")
            return replace(wanted, source={})
        return wanted


def _shown(wanted: ImportRequest) -> dict[str, object]:
    """Return the request as its owner may see it: without the password of a URL."""
    document = dict(wanted.document)
    uri = wanted.source.get("uri")
    if isinstance(uri, str):
        method = document["method"]
        fields = method if isinstance(method, dict) else {}
        document["method"] = {**fields, "uri": shown_url(uri)}
    return document
