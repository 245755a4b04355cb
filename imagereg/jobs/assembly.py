"""Put the runner and its kinds of jobs together.  Source: contract config 6."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from imagereg.access import Gate
from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.db.jobs import JobRepository
from imagereg.db.tasks import TaskRepository
from imagereg.images.locations import LocationRules
from imagereg.images.processes import worker_name
from imagereg.images.quotas import Quotas
from imagereg.images.removal import Removal
from imagereg.images.sources import Sources
from imagereg.images.staged import StagedData
from imagereg.jobs.delegation import Delegations
from imagereg.jobs.filling import Filling
from imagereg.jobs.image_import import ImageImport
from imagereg.jobs.import_request import ImportMethod
from imagereg.jobs.import_rights import ImportRights
from imagereg.jobs.location_import import LocationImport
from imagereg.jobs.plugins import load_plugins
from imagereg.jobs.region_source import region_source
from imagereg.jobs.runner import Queue, Runner
from imagereg.jobs.scratch import Scratch
from imagereg.jobs.sources import CopySource, Source, WebSource
from imagereg.jobs.undoing import Undoing
from imagereg.model import TaskType
from imagereg.settings import Settings
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.fetcher import Fetcher
from imagereg.stores.formats import FormatRules
from imagereg.stores.signatures import Signatures
from imagereg.stores.url_filter import URLFilter


@dataclass(frozen=True, slots=True)
class Parts:
    """What jobs share with the use cases of requests.

    Attributes:
        wanted: set by whoever adds work.
        delegations: what callers lend to the imports that this process accepted.
    """

    settings: Settings
    gate: Gate
    engine: Engine
    images: ImageRepository
    stores: StoreCatalog
    staged: StagedData
    removal: Removal
    rules: LocationRules
    quotas: Quotas
    formats: FormatRules
    wanted: threading.Event
    delegations: Delegations


def make_runner(parts: Parts) -> Runner:
    """Return what works off the queue.

    Raises:
        ConfigurationError: an import step is configured that does not exist.
    """
    settings, executor = parts.settings, parts.settings.taskflow_executor
    jobs = JobRepository(parts.engine, settings.task.task_time_to_live * 3600)
    scratch = Scratch(settings.work_dir)
    queue = Queue(
        jobs=jobs,
        tasks=TaskRepository(parts.engine),
        kinds={
            TaskType.LOCATION_IMPORT: _location_import(parts, jobs),
            TaskType.API_IMAGE_IMPORT: _image_import(parts, jobs, scratch),
        },
        worker=worker_name,
        scratch=scratch,
        ended=parts.removal.remove_all,
        waiting=parts.delegations.tasks,
        threads=executor.max_workers if executor.engine_mode == "parallel" else 1,
    )
    return Runner(queue, parts.wanted)


def _location_import(parts: Parts, jobs: JobRepository) -> LocationImport:
    base = parts.settings.default
    return LocationImport(
        jobs=jobs,
        images=parts.images,
        rules=parts.rules,
        quotas=parts.quotas,
        reads=base.do_secure_hash,
        tries=base.http_retries,
    )


def _image_import(parts: Parts, jobs: JobRepository, scratch: Scratch) -> ImageImport:
    settings = parts.settings
    filling = Filling(
        images=parts.images,
        stores=parts.stores,
        staged=parts.staged,
        limits=parts.rules.limits,
        formats=parts.formats,
        signatures=Signatures(settings.imagereg.certificates_dir),
        hash_algorithm=settings.default.hashing_algorithm,
        parallel=settings.image_import_opts.max_parallel_stores,
        several_stores=settings.multi_store,
    )
    return ImageImport(
        jobs=jobs,
        images=parts.images,
        quotas=parts.quotas,
        staged=parts.staged,
        filling=filling,
        undoing=Undoing(jobs, parts.images, parts.staged, filling),
        rights=ImportRights(parts.gate, parts.rules.limits),
        scratch=scratch,
        sources=_sources(parts),
        plugins=load_plugins(settings),
    )


def _sources(parts: Parts) -> Mapping[ImportMethod, Source]:
    fetcher = Fetcher(URLFilter(parts.settings.import_filtering_opts))
    longest_s = parts.settings.imagereg.web_download_timeout
    return {
        ImportMethod.WEB_DOWNLOAD: WebSource(fetcher, longest_s),
        ImportMethod.COPY_IMAGE: CopySource(Sources(parts.stores)),
        ImportMethod.GLANCE_DOWNLOAD: region_source(parts.settings, parts.delegations),
    }
