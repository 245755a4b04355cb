"""The way back from an import that failed: rows first, then bytes, then the lock.

Source: contract api-images 18.5; rulings D-9 to D-11.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.db.images import ImageRepository
from imagereg.db.jobs import NO_DATA, ImageStep, Job, JobRepository, Outcome
from imagereg.images.staged import StagedData
from imagereg.jobs.filling import Filling
from imagereg.jobs.import_plan import UNDER_WAY, ImportPlan, lists
from imagereg.jobs.import_request import ImportMethod
from imagereg.model import Image, Status, TaskStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Undoing:
    """Clears up after imports, as often as it takes."""

    jobs: JobRepository
    images: ImageRepository
    staged: StagedData
    filling: Filling

    def undo(self, job: Job, message: str) -> Outcome:
        """Return how a failed import ends, with its bytes gone already.

        Raises:
            LeaseLost: somebody else clears up.
        """
        plan = ImportPlan.of(job)
        image_id = job.task.image_id or ""
        found = self.images.find(image_id, None)
        if found is None:
            self._clear(image_id, plan)
            return Outcome(TaskStatus.FAILURE, message)
        image = found[0]
        if not plan.started:
            return self._not_begun(image, plan, message)
        if not plan.left and not plan.failed:
            # All stores hold the data; what failed came after that.
            self.staged.discard(image_id)
            result = {"image_id": image_id}
            return Outcome(TaskStatus.SUCCESS, message, result)
        if plan.done and not plan.must_succeed:
            return self._partly(image, plan, message)
        if not plan.failure:
            # A next attempt must not go on where this one gave up.
            job = self.jobs.note(job, {"failure": message})
        self._take_back(job, image, plan)
        self._clear(image_id, plan)
        return Outcome(
            TaskStatus.FAILURE,
            plan.failure or message,
            step=self._last_step(image, plan),
        )

    def _not_begun(self, image: Image, plan: ImportPlan, message: str) -> Outcome:
        """Let go of an image that the import did nothing to yet."""
        step = None
        is_direct = plan.method == ImportMethod.GLANCE_DIRECT
        if is_direct and image.status == Status.UPLOADING:
            self.staged.discard(image.id)
            step = ImageStep((Status.UPLOADING,), Status.QUEUED, facts=NO_DATA)
        return Outcome(TaskStatus.FAILURE, message, step=step)

    def _partly(self, image: Image, plan: ImportPlan, message: str) -> Outcome:
        """Leave the image with the stores that have it, where that was allowed."""
        self._clear(image.id, plan)
        failed = (*plan.failed, *plan.left)
        step = ImageStep(UNDER_WAY, properties=self._lists(image, failed))
        result = {"image_id": image.id}
        return Outcome(TaskStatus.SUCCESS, message, result, step)

    def _take_back(self, job: Job, image: Image, plan: ImportPlan) -> None:
        """Take away the locations that this import made.

        Their bytes go when the job has ended: until then others must not begin to
        remove what an attempt may be writing.
        """
        places = image.locations
        if image.status != Status.IMPORTING:
            places = tuple(place for place in places if place.store in plan.done)
            if len(places) == len(image.locations):
                # Somebody removed the one it was copied from; nothing else has it.
                places = places[1:]
        if not places:
            return
        self.jobs.advance(job, ImageStep(UNDER_WAY, dropped=places))

    def _last_step(self, image: Image, plan: ImportPlan) -> ImageStep | None:
        # Stores that were not tried are at fault for nothing, unless none was (D-11).
        properties = self._lists(image, plan.failed or plan.left)
        if image.status == Status.IMPORTING:
            return ImageStep(
                (Status.IMPORTING,),
                Status.QUEUED,
                facts={**plan.old_fields, **NO_DATA},
                properties={**plan.old_properties, **properties},
                clears=True,
            )
        return ImageStep(UNDER_WAY, properties=properties)

    def _lists(self, image: Image, failed: tuple[str, ...]) -> Mapping[str, str | None]:
        several = self.filling.several_stores
        return lists(image, left=(), failed=failed, several=several)

    def _clear(self, image_id: str, plan: ImportPlan) -> None:
        """Remove what no row tells of: staged data, and bytes without a location."""
        found = self.images.find(image_id, None)
        places = found[0].locations if found else ()
        self.filling.discard(image_id, places, plan.stores)
        self.staged.discard(image_id)
