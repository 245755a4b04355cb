"""Everything a request can reach, made once by `app.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Request

from imagereg.access import Gate, Grant
from imagereg.api.audit import Audit
from imagereg.api.auth import Authenticator
from imagereg.api.documents import DocumentOptions
from imagereg.api.front_end import FrontEnd
from imagereg.api.health import Health
from imagereg.api.openapi import Description
from imagereg.api.schemas import ImageBodies
from imagereg.cache.management import CacheManagement
from imagereg.db.images import ImageRepository
from imagereg.images.actions import Actions
from imagereg.images.catalog import Catalog
from imagereg.images.data import ImageData
from imagereg.images.downloads import Downloads
from imagereg.images.locations import Locations
from imagereg.images.members import Members
from imagereg.images.metadata import Metadata
from imagereg.images.quotas import Quotas
from imagereg.images.staging import Staging
from imagereg.images.tags import Tags
from imagereg.jobs.imports import Imports
from imagereg.jobs.tasks import Tasks
from imagereg.metadefs.namespaces import Namespaces
from imagereg.meters import Backlog, Meters

#: Core fields of `NewImage.fields`.
FIELDS = frozenset(
    {
        "name",
        "visibility",
        "protected",
        "os_hidden",
        "container_format",
        "disk_format",
        "min_disk",
        "min_ram",
    }
)


@dataclass(frozen=True)
class Services:
    """The parts that views and the dispatcher work with.

    Attributes:
        max_body_bytes: the longest JSON body.
        max_request_id: the longest request id, in characters; 0 is no limit.
        page_default: rows of a list page when the client names no limit.
        page_max: rows of a list page at most.
        public_endpoint: base URL of the versions document, or None for the request's.
        versions: pairs of minor version id and status, in the order of the document.
        import_methods: those that are enabled; the header of a create names them.
        cache: None where it is not turned on.
        audit: None where nobody wants the record.
        documents: schema documents by path below ``/v2/schemas/``.
    """

    authenticator: Authenticator
    gate: Gate
    images: ImageRepository
    catalog: Catalog
    metadata: Metadata
    data: ImageData
    downloads: Downloads
    front_end: FrontEnd
    staging: Staging
    tags: Tags
    members: Members
    actions: Actions
    locations: Locations
    tasks: Tasks
    imports: Imports
    quotas: Quotas
    health: Health
    meters: Meters
    find_backlog: Callable[[], Backlog | None]
    cache: CacheManagement | None
    metadefs: Namespaces
    bodies: ImageBodies
    options: DocumentOptions
    max_body_bytes: int
    max_request_id: int
    page_default: int
    page_max: int
    public_endpoint: str | None
    versions: tuple[tuple[str, str], ...]
    import_methods: tuple[str, ...]
    schemas: Mapping[str, Mapping[str, Any]]
    description: Description
    fields: frozenset[str] = FIELDS
    audit: Audit | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One request that has passed the gate.

    Attributes:
        ids: parts of the path.
        body: what finding the target read already.
    """

    grant: Grant
    request: Request
    services: Services
    ids: Mapping[str, str]
    body: Any
