"""The only place where the parts meet."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from flask import Flask

from imagereg.api.audit import Audit
from imagereg.api.cors import CrossOrigin
from imagereg.api.dispatch import bind
from imagereg.api.documents import DocumentOptions
from imagereg.api.front_end import FrontEnd
from imagereg.api.health import LOOPBACK, Health, Near
from imagereg.api.negotiation import WSGI, Negotiation, advertised
from imagereg.api.openapi import Description
from imagereg.api.peers import Peers
from imagereg.api.proxies import ProxyHeaders
from imagereg.api.routes import ROUTES
from imagereg.api.schema_documents import schema_documents
from imagereg.api.schemas import ImageBodies, image_schema
from imagereg.api.services import Services
from imagereg.cache.upkeep import Upkeep
from imagereg.db.backlog import find_backlog
from imagereg.db.engine import Engine
from imagereg.db.members import MemberRepository
from imagereg.db.metadefs import NamespaceRepository
from imagereg.db.outbox import EventRepository
from imagereg.db.tasks import TaskRepository
from imagereg.db.uploads import UploadRepository
from imagereg.doctor.rounds import Rounds
from imagereg.events.assembly import make_delivery
from imagereg.events.delivery import Delivery
from imagereg.ground import Ground, open_ground
from imagereg.images.actions import Actions
from imagereg.images.catalog import Catalog
from imagereg.images.data import ImageData
from imagereg.images.downloads import Downloads
from imagereg.images.members import Members
from imagereg.images.metadata import Metadata
from imagereg.images.processes import worker_name
from imagereg.images.recovery import Recovery
from imagereg.images.scrubber import Scrubber
from imagereg.images.staging import Staging, StagingRules
from imagereg.images.tags import Tags
from imagereg.jobs.assembly import Parts, make_runner
from imagereg.jobs.imports import Imports
from imagereg.jobs.runner import Runner
from imagereg.jobs.tasks import Tasks
from imagereg.metadefs.namespaces import Namespaces
from imagereg.meters import Meters
from imagereg.readiness import make_readiness
from imagereg.settings import Settings
from imagereg.settings.own import Own
from imagereg.stores.proxies import proxied_schemes
from imagereg.stores.signatures import Signatures
from imagereg.stores.url_filter import URLFilter


@dataclass(frozen=True)
class Registry:
    """A registry that is ready to serve.

    Attributes:
        app: the WSGI application.
        recovery: clears away what crashed processes left, at start and now and then.
        scrubber: ends delayed deletions, now and then.
        rounds: reads objects again, slowly, if that is wanted.
        engine: the database; close it before the process forks.
        jobs: works off the queue, once it is started in each process.
        cache: keeps the image cache in order, likewise; None where there is none.
        events: tells events, likewise; None where nobody is told.
        close: lets go of the database and of files, in the process that calls it.
        meters: count what happens.
    """

    app: Flask
    recovery: Recovery
    scrubber: Scrubber
    rounds: Rounds
    engine: Engine
    jobs: Runner
    close: Callable[[], None]
    cache: Upkeep | None = None
    events: Delivery | None = None
    meters: Meters = field(default_factory=Meters)


def create_app(settings: Settings, meters: Meters | None = None) -> Registry:
    """Put a registry together from its settings; the database is made or migrated.

    Args:
        settings: the operator's.
        meters: count what happens; None counts nothing.

    Raises:
        ConfigurationError: with every fault that the parts find.
    """
    ground = open_ground(settings, meters)
    with ExitStack() as unless_whole:
        unless_whole.callback(ground.close)
        registry = _registry(ground)
        unless_whole.pop_all()
    return registry


def _registry(ground: Ground) -> Registry:
    settings = ground.settings
    services = _services(ground)
    app = bind(ROUTES, services)
    app.wsgi_app = _doors(app.wsgi_app, services, settings)  # type: ignore[method-assign, assignment] # as Flask's documentation does it
    uploads = UploadRepository(ground.engine)
    recovery = Recovery(
        uploads, ground.stores, ground.removal, ground.staged, worker_name
    )
    upkeep = ground.cache.upkeep if ground.cache else None
    runner = make_runner(_parts(ground))
    scrubber, rounds = ground.scrubber, ground.rounds
    events = make_delivery(settings, ground.engine, ground.journals.events)
    return Registry(
        app,
        recovery,
        scrubber,
        rounds,
        ground.engine,
        runner,
        ground.close,
        upkeep,
        events,
        ground.meters,
    )


def _doors(application: WSGI, services: Services, settings: Settings) -> WSGI:
    """Return the application behind what comes before its routes."""
    inner: WSGI = Negotiation(application, [name for name, _ in services.versions])
    if settings.oslo_middleware.enable_proxy_headers_parsing:
        inner = ProxyHeaders(inner, Peers(settings.imagereg.trusted_proxies))
    if settings.cors.allowed_origin:
        inner = CrossOrigin(inner, settings.cors)
    return inner


def _parts(ground: Ground) -> Parts:
    return Parts(
        settings=ground.settings,
        gate=ground.gate,
        engine=ground.engine,
        images=ground.images,
        stores=ground.stores,
        staged=ground.staged,
        removal=ground.removal,
        rules=ground.locations.rules,
        quotas=ground.quotas,
        formats=ground.formats,
        wanted=ground.wanted,
        delegations=ground.delegations,
    )


def _services(ground: Ground) -> Services:
    settings, images, declared = ground.settings, ground.images, ground.declared
    base, formats = settings.default, settings.image_format
    names = formats.disk_formats, formats.container_formats
    schema, documents = image_schema(*names), schema_documents(*names, declared)
    return Services(
        authenticator=ground.authenticator,
        gate=ground.gate,
        images=images,
        catalog=Catalog(images),
        metadata=_metadata(ground),
        data=_data(ground),
        downloads=_downloads(ground),
        front_end=_front_end(settings.imagereg),
        staging=_staging(ground),
        tags=Tags(images, ground.limits),
        members=Members(MemberRepository(ground.engine), ground.limits),
        actions=Actions(images),
        locations=ground.locations,
        tasks=_tasks(ground),
        imports=_imports(ground),
        metadefs=Namespaces(NamespaceRepository(ground.engine)),
        quotas=ground.quotas,
        health=_health(ground),
        meters=ground.meters,
        find_backlog=partial(find_backlog, ground.engine),
        cache=ground.cache,
        bodies=ImageBodies(schema, declared),
        options=_document_options(ground),
        max_body_bytes=settings.oslo_middleware.max_request_body_size,
        max_request_id=base.max_request_id_length,
        page_default=base.limit_param_default,
        page_max=base.api_limit_max,
        public_endpoint=base.public_endpoint,
        versions=_versions(ground),
        import_methods=base.enabled_import_methods,
        schemas=documents,
        description=Description(ROUTES, schema, documents),
        audit=_audit(ground),
    )


def _versions(ground: Ground) -> tuple[tuple[str, str], ...]:
    return advertised(
        cache=ground.cache is not None, several_stores=ground.settings.multi_store
    )


def _metadata(ground: Ground) -> Metadata:
    cache = ground.cache.cache if ground.cache else None
    return Metadata(
        ground.images,
        ground.limits,
        ground.quotas,
        ground.removal,
        ground.locations,
        cache.forget if cache else lambda image_id: None,
    )


def _downloads(ground: Ground) -> Downloads:
    return Downloads(
        ground.sources,
        ground.settings.multi_store,
        ground.cache.cache if ground.cache else None,
        _announce(ground),
        ground.meters,
    )


def _front_end(own: Own) -> FrontEnd:
    return FrontEnd(own.x_accel_redirect, Peers(own.trusted_proxies))


def _staging(ground: Ground) -> Staging:
    is_enabled = "glance-direct" in ground.settings.default.enabled_import_methods
    rules = StagingRules(ground.limits, enabled=is_enabled)
    return Staging(ground.staged, ground.quotas, rules)


def _audit(ground: Ground) -> Audit | None:
    journal = ground.journals.audit
    if journal is None:
        return None
    return Audit(journal, reads=ground.settings.imagereg.audit_reads)


def _announce(ground: Ground) -> Callable[[str, int | None], None] | None:
    """Return what tells of downloads, None where nobody wants to know."""
    wanted = ground.settings.imagereg.event_downloads and ground.engine.events.sinks
    return EventRepository(ground.engine).sent if wanted else None


def _health(ground: Ground) -> Health:
    wanted, own = ground.settings.healthcheck, ground.settings.imagereg
    optional = [store.id for store in ground.settings.stores if store.optional]
    sources = wanted.allowed_source_ranges
    return Health(
        readiness=make_readiness(
            ground.engine, ground.stores, optional, own.ready_timeout
        ),
        near=Near(Peers((*LOOPBACK, *own.trusted_proxies))),
        disabled_by=wanted.disable_by_file_path,
        backends=wanted.backends,
        detailed=wanted.detailed,
        sources=Peers(sources) if sources else None,
        ignores_proxied=wanted.ignore_proxied_requests,
    )


def _data(ground: Ground) -> ImageData:
    return ImageData(
        images=ground.images,
        uploads=UploadRepository(ground.engine),
        stores=ground.stores,
        limits=ground.limits,
        quotas=ground.quotas,
        formats=ground.formats,
        signatures=Signatures(ground.settings.imagereg.certificates_dir),
        hash_algorithm=ground.settings.default.hashing_algorithm,
        worker=worker_name,
        several_stores=ground.settings.multi_store,
    )


def _tasks(ground: Ground) -> Tasks:
    return Tasks(
        tasks=TaskRepository(ground.engine),
        stores=ground.stores,
        url_filter=URLFilter(
            ground.settings.import_filtering_opts,
            proxied=proxied_schemes(ground.settings.stores),
        ),
        wake=ground.wanted.set,
    )


def _imports(ground: Ground) -> Imports:
    runs_jobs = ground.settings.imagereg.run_jobs
    return Imports(
        tasks=TaskRepository(ground.engine),
        stores=ground.stores,
        staged=ground.staged,
        url_filter=URLFilter(ground.settings.import_filtering_opts),
        wake=ground.wanted.set,
        delegations=ground.delegations if runs_jobs else None,
        several_stores=ground.settings.multi_store,
    )


def _document_options(ground: Ground) -> DocumentOptions:
    base, several = ground.settings.default, ground.settings.multi_store
    return DocumentOptions(
        direct_url=base.show_image_direct_url,
        locations=base.show_multiple_locations,
        weights={store.id: store.weight for store in ground.stores} if several else {},
        nullable=ground.declared,
    )
