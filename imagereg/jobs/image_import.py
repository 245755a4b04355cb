"""The job behind an import: source to staging, steps, stores, and the way back.

Each step is one transaction that also notes how far the work is, so whichever
process takes the job up goes on from there.  Bytes are stored before their rows are
written, and rows go before their bytes: what a crash leaves behind is under the
image's own key in a store of the plan, where the next attempt replaces it and a
failure removes it.

Source: contract api-images 18.4 and 18.5; rulings D-9 to D-11, S-16.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from imagereg.db.images import ImageRepository
from imagereg.db.jobs import ImageStep, Job, JobRepository, Outcome
from imagereg.errors import (
    Conflict,
    DatabaseUnavailable,
    ImageRegError,
    ImportStopped,
    SizeMismatch,
    SourceUnavailable,
    StoreUnavailable,
    TooLarge,
)
from imagereg.images.quotas import Quotas
from imagereg.images.staged import Part, StagedData
from imagereg.jobs.filling import Filled, Filling, differs
from imagereg.jobs.import_plan import UNDER_WAY, ImportPlan, lists
from imagereg.jobs.import_request import BEGINS, ImportMethod
from imagereg.jobs.import_rights import ImportRights
from imagereg.jobs.plugins import ImportPlugin, ImportWork, PluginResult
from imagereg.jobs.scratch import Scratch
from imagereg.jobs.sources import Source
from imagereg.jobs.undoing import Undoing
from imagereg.jobs.watch import Watch
from imagereg.model import Blob, Image, Location, Status, TaskStatus

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ImageImport:
    """One kind of job, bound to what it works on.

    Attributes:
        sources: where data come from that are not staged yet.
        plugins: what they go through on their way to the stores.
    """

    jobs: JobRepository
    images: ImageRepository
    quotas: Quotas
    staged: StagedData
    filling: Filling
    undoing: Undoing
    rights: ImportRights
    scratch: Scratch
    sources: Mapping[ImportMethod, Source]
    plugins: Sequence[ImportPlugin] = ()

    def run(self, job: Job) -> Outcome:
        """Do the work, from where an earlier attempt stopped.

        Raises:
            ImageRegError: why it cannot be done; `failed` then clears up.
        """
        plan = ImportPlan.of(job)
        if plan.failure:
            raise ImportStopped(plan.failure)
        if not plan.started:
            job = self._start(job, plan)
        if plan.left:
            job = self._fill(self._transform(self._fetch(job, plan)))
            plan = ImportPlan.of(job)
        if not plan.done:
            raise ImportStopped("none of the stores took the data")
        image_id = job.task.image_id or ""
        self.staged.discard(image_id)
        return Outcome(TaskStatus.SUCCESS, result={"image_id": image_id})

    def failed(self, job: Job, message: str) -> Outcome:
        """Bring the image back to where it can be tried again, and free the bytes."""
        job = self.jobs.renewed(job)
        self._ended(job)
        return self.undoing.undo(job, message)

    def _ended(self, job: Job) -> None:
        source = self.sources.get(ImportPlan.of(job).method)
        if source is not None:
            source.ended(job.task.id)

    def _image(self, job: Job) -> Image:
        return self.images.get(job.task.image_id or "", None)[0]

    def _lists(
        self, image: Image, left: Sequence[str], failed: Sequence[str] = ()
    ) -> Mapping[str, str | None]:
        several = self.filling.several_stores
        return lists(image, left=left, failed=failed, several=several)

    def _start(self, job: Job, plan: ImportPlan) -> Job:
        """Make the first step: the image is being imported, and into these stores.

        Raises:
            StatusConflict: the image got its data elsewhere in the meantime.
            Conflict: its formats were taken away.
            TooLarge: over a limit.
        """
        image = self._image(job)
        needs_formats = plan.method != ImportMethod.GLANCE_DOWNLOAD
        if needs_formats and not (image.container_format and image.disk_format):
            raise Conflict("container_format and disk_format must be set first")
        is_staged = plan.method == ImportMethod.GLANCE_DIRECT
        size = self.staged.size(image.id) or 0 if is_staged else None
        step = ImageStep(
            (BEGINS[plan.method],),
            None if plan.copies else Status.IMPORTING,
            properties=self._lists(image, plan.stores),
            # A location may stand there that failed to verify.
            clears=not plan.copies,
            check=partial(self.quotas.check_import, image.owner, image.id, size),
        )
        return self.jobs.advance(job, step, {"started": True})

    def _fetch(self, job: Job, plan: ImportPlan) -> Job:
        """Stage the data, unless that was done.

        Raises:
            SourceUnavailable, ImportStopped: they cannot be had.
            Forbidden: the caller may not set what comes along with them.
            TooLarge: they are too many.
        """
        source, image = self.sources.get(plan.method), self._image(job)
        if source is None or self.staged.size(image.id) is not None:
            return job
        # An attempt that was cut off may have left a beginning.
        self.staged.discard(image.id)
        most, too_large = self._most(image, plan)
        watch = Watch(self.jobs, self.images, job)
        with source.open(image, plan.source, job.task.id) as incoming:
            if incoming.fields or incoming.properties:
                found = PluginResult(incoming.fields, incoming.properties)
                job = self._settle(job, watch, found, plan.steps)
            part = Part(
                watch.over(incoming.chunks),
                expected_size=incoming.size,
                whole=True,
                max_bytes=most,
                too_large=too_large,
            )
            try:
                self.staged.take(image.id, part)
            except SizeMismatch as error:
                log.info("image %s: its source: %s", image.id, error)
                raise SourceUnavailable from error
        source.ended(job.task.id)
        return job

    def _most(self, image: Image, plan: ImportPlan) -> tuple[int, str]:
        """Return how many bytes may come in, and what to say beyond them."""
        most, text = self.filling.limits.size_bytes, "the data exceed the size limit"
        if plan.copies:
            return most, text
        room = self.quotas.room_bytes(image.owner, image.id)
        if room is not None and room < most:
            most, text = room, self.quotas.too_large
        room = self.quotas.stage_room_bytes(image.owner)
        if room is not None and room < most:
            most, text = room, self.quotas.too_much_staged
        return most, text

    def _transform(self, job: Job) -> Job:
        """Take the staged data through the steps that are left."""
        plan = ImportPlan.of(job)
        if plan.copies:
            return job
        for number in range(plan.steps, len(self.plugins)):
            with self.scratch.of(job.task.id) as directory:
                watch = Watch(self.jobs, self.images, job)
                image = self._image(job)
                work = ImportWork(
                    image=image,
                    roles=plan.caller.roles,
                    size=self.staged.size(image.id) or 0,
                    open=partial(self.staged.open, image.id),
                    scratch=directory,
                    check_wanted=watch.look,
                )
                result = self.plugins[number].run(work)
                job = self._settle(job, watch, result, number + 1)
        return job

    def _settle(self, job: Job, watch: Watch, result: PluginResult, steps: int) -> Job:
        """Write what a step came to; its data count together with the note of it.

        Raises:
            Forbidden: whoever began the import may not set the properties.
        """
        if result.properties:
            caller = ImportPlan.of(job).caller
            self.rights.check(caller, self._image(job), result.properties)
        # Other data have another size, which the first store tells.
        facts = {} if result.data is None else {"size": None}
        step = ImageStep(
            (Status.IMPORTING,),
            facts={**result.fields, **facts},
            properties=result.properties,
        )
        notes = {"steps": steps, **self._before(job, result)}
        if result.data is None:
            return self.jobs.advance(job, step, notes)

        def leave() -> None:
            self.jobs.advance(job, step, notes)

        part = Part(
            watch.over(result.data),
            whole=True,
            max_bytes=self.filling.limits.size_bytes,
            leave=leave,
        )
        self.staged.replace(job.task.image_id or "", part)
        return self.jobs.renewed(job)

    def _before(self, job: Job, result: PluginResult) -> Mapping[str, object]:
        """Return what a failure has to restore: what was there before any step."""
        image, plan = self._image(job), ImportPlan.of(job)
        fields = {name: getattr(image, name) for name in result.fields}
        properties = {name: image.properties.get(name) for name in result.properties}
        return {
            "old_fields": {**fields, **plan.old_fields},
            "old_properties": {**properties, **plan.old_properties},
        }

    def _fill(self, job: Job) -> Job:
        """Fill the stores that are left."""
        plan = ImportPlan.of(job)
        watch = Watch(self.jobs, self.images, job)
        image = self._image(job)
        if job.attempts > 1:
            # What the attempt before was writing when its process died.
            self.filling.discard(image.id, image.locations, plan.left)
        filled = self.filling.fill(watch, image, plan.left, inspects=not plan.copies)
        for each in filled:
            job = self._record(job, each)
        return job

    def _record(self, job: Job, filled: Filled) -> Job:
        """Write what came of one store.

        Raises:
            ImportStopped: it failed, and all must succeed.
            DatabaseUnavailable: nothing can be written just now.
        """
        error = filled.error
        if filled.blob is not None and filled.location is not None:
            try:
                return self._place(job, filled.store_id, filled.blob, filled.location)
            except DatabaseUnavailable:
                # Which says nothing of the store.
                raise
            except (TooLarge, StoreUnavailable) as refused:
                image = self._image(job)
                self.filling.discard(image.id, image.locations, [filled.store_id])
                error = refused
        plan, name = ImportPlan.of(job), filled.store_id
        failed = (*plan.failed, name)
        if plan.must_succeed:
            self.jobs.note(job, {"failed": failed})
            raise ImportStopped(self._reason(name, error))
        image = self._image(job)
        left = [store for store in plan.left if store != name]
        step = ImageStep(UNDER_WAY, properties=self._lists(image, left, failed))
        return self.jobs.advance(job, step, {"failed": failed})

    def _reason(self, store_id: str, error: ImageRegError | None) -> str:
        text = "" if error is None else error.message
        return f"store `{store_id}`: {text}" if self.filling.several_stores else text

    def _place(self, job: Job, store_id: str, blob: Blob, location: Location) -> Job:
        """Give the image a location, and its facts with the first one.

        Raises:
            TooLarge: the project may not store so much.
            StoreUnavailable: these are not the bytes that the others have.
        """
        plan, image = ImportPlan.of(job), self._image(job)
        if differs(image, blob):
            raise StoreUnavailable("the data changed on their way")
        left = [store for store in plan.left if store != store_id]
        is_ready = image.status == Status.IMPORTING and not (plan.must_succeed and left)
        step = ImageStep(
            UNDER_WAY,
            Status.ACTIVE if is_ready else None,
            facts={} if plan.copies else _facts(blob),
            properties=self._lists(image, left, plan.failed),
            added=location,
            check=partial(self.quotas.check_bytes, image.owner, image.id, blob.size),
        )
        return self.jobs.advance(job, step, {"done": (*plan.done, store_id)})


def _facts(blob: Blob) -> Mapping[str, object]:
    return {
        "size": blob.size,
        "virtual_size": blob.virtual_size,
        "checksum": blob.checksum,
        "os_hash_algo": blob.os_hash_algo,
        "os_hash_value": blob.os_hash_value,
    }
