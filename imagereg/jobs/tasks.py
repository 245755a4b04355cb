"""Use cases on tasks: begin one, look at those there are.

Source: contract api-images 11.2, 19.2 and 24.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from imagereg.access import Grant
from imagereg.db.tasks import TaskQuery, TaskRepository
from imagereg.errors import Forbidden, Invalid, NotFound
from imagereg.images.digests import Digest, is_digest
from imagereg.images.locations import FORBIDDEN_SCHEMES
from imagereg.model import Status, Task, TaskType, shown_url
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.url_filter import URLFilter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tasks:
    """The use cases, bound to what they work on.

    Attributes:
        wake: tells the workers of this process that there is something to do.
    """

    tasks: TaskRepository
    stores: StoreCatalog
    url_filter: URLFilter
    wake: Callable[[], None]

    def import_location(self, grant: Grant, url: str, given: Digest | None) -> Task:
        """Let an image have its data at a URL; the work is done later.

        Raises:
            Forbidden: only services name other than web locations.
            Invalid: the digest or the URL cannot be one.
            StatusConflict: the image is not ``queued`` any more.
            Conflict: another task works on it.
        """
        caller = grant.caller
        is_service = "service" in caller.roles | caller.service_roles
        has_web = any(store.type == "http" for store in self.stores)
        if not is_service and not (url.startswith("http") and has_web):
            raise Forbidden("only services may add a location of this kind")
        if given is not None and not is_digest(given.algorithm, given.value):
            raise Invalid("os_hash_value is not a digest of os_hash_algo")
        scheme = url.partition(":")[0].strip().lower()
        if scheme in FORBIDDEN_SCHEMES:
            raise Invalid("invalid location")
        if scheme in ("http", "https") or not is_service:
            self.url_filter.check(url)
        approved = grant.approve_task(
            TaskType.LOCATION_IMPORT,
            {
                "image_id": grant.image.id,
                "loc_url": shown_url(url),
                "validation_data": {}
                if given is None
                else {"os_hash_algo": given.algorithm, "os_hash_value": given.value},
            },
        )
        self.tasks.begin(approved, Status.QUEUED, {"url": url})
        log.info("image %s: task %s began", grant.image.id, approved.task.id)
        self.wake()
        return approved.task

    def of_image(self, grant: Grant) -> Sequence[Task]:
        """Return the tasks of an image that are the caller's to see."""
        return self._own(grant, self.tasks.of_image(grant.image.id, None))

    def page(
        self, grant: Grant, query: TaskQuery, marker: str | None
    ) -> Sequence[Task]:
        """Return one page of the tasks that are the caller's to see.

        Raises:
            Invalid: no task that the caller may see has the marker's id.
        """
        if marker is not None:
            found = self.tasks.find(marker)
            own = self._own(grant, [found] if found is not None else [])
            if not own:
                raise Invalid(f"marker `{marker}` is not the id of a task")
            query = replace(query, after=own[0])
        if grant.caller.is_admin:
            return self.tasks.page(query)
        if grant.caller.project_id is None:
            return ()
        return self.tasks.page(replace(query, owner=grant.caller.project_id))

    def show(self, grant: Grant, task_id: str) -> Task:
        """Return a task.

        Raises:
            NotFound: there is none, or it is another project's.
        """
        found = self.tasks.find(task_id)
        own = self._own(grant, [found] if found is not None else [])
        if not own:
            raise NotFound(f"no task found with id `{task_id}`")
        return own[0]

    def _own(self, grant: Grant, tasks: Sequence[Task]) -> Sequence[Task]:
        caller = grant.caller
        return [
            task
            for task in tasks
            if caller.is_admin
            or (task.owner is not None and task.owner == caller.project_id)
        ]
