"""What the parts of the service stand on, opened from the settings.

Every fault that shows while it is opened is told, not only the first.  Each part is
made when somebody needs it, once.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from imagereg.access import Gate
from imagereg.api import audit
from imagereg.api.auth import Authenticator, NoAuth, TrustedHeaders
from imagereg.api.declared import DeclaredProperties, load_declared
from imagereg.api.peers import Peers
from imagereg.api.schema_documents import schema_documents
from imagereg.cache.directory import CacheDirectory
from imagereg.cache.management import CacheManagement
from imagereg.cache.opening import open_cache, open_directory
from imagereg.db.deletions import DeletionRepository
from imagereg.db.engine import Engine, EventChoice
from imagereg.db.images import ImageRepository
from imagereg.db.inventory import Inventory
from imagereg.db.leases import LeaseRepository
from imagereg.db.opening import open_database
from imagereg.db.staged import StagedRepository
from imagereg.db.usage import UsageRepository
from imagereg.doctor.rounds import Rounds
from imagereg.doctor.verification import Verification
from imagereg.errors import ConfigurationError
from imagereg.events.assembly import LOG, WEBHOOK, Journals, open_journals
from imagereg.images.limits import Limits
from imagereg.images.locations import LocationRules, Locations
from imagereg.images.processes import worker_name
from imagereg.images.quotas import LimitTable, Quotas, load_limits
from imagereg.images.removal import Removal
from imagereg.images.scrubber import Scrubber, is_scrubber_gone
from imagereg.images.sources import Sources
from imagereg.images.staged import StagedData
from imagereg.jobs.delegation import Delegations
from imagereg.meters import Meters
from imagereg.policy.enforcer import Enforcer
from imagereg.policy.remote import RemoteClient, RemoteOptions
from imagereg.protection.guard import PropertyGuard
from imagereg.protection.rules import PolicyFacts
from imagereg.settings import Settings
from imagereg.stores.catalog import StoreCatalog
from imagereg.stores.formats import FormatRules

Part = TypeVar("Part")


@dataclass(frozen=True)
class Ground:
    """What the parts stand on.

    Attributes:
        table: limits by project, or None.
        cache_directory: None where the cache is not turned on.
        declared: custom properties that the operator declares.
        wanted: set when a job is waiting.
        delegations: what callers lend to imports.
        journals: the files that events and audit are appended to.
        meters: count what happens.
    """

    settings: Settings
    gate: Gate
    stores: StoreCatalog
    authenticator: Authenticator
    engine: Engine
    table: LimitTable | None
    cache_directory: CacheDirectory | None
    declared: DeclaredProperties
    wanted: threading.Event
    delegations: Delegations
    journals: Journals
    meters: Meters

    def close(self) -> None:
        """Let go of the database and of files."""
        self.engine.close()
        self.journals.close()

    @cached_property
    def images(self) -> ImageRepository:
        """Image records."""
        delays = self.settings.default.delayed_delete
        return ImageRepository(self.engine, delays_delete=delays)

    @cached_property
    def quotas(self) -> Quotas:
        """Limits of projects."""
        storage = self.settings.default.user_storage_quota
        return Quotas(UsageRepository(self.engine), self.table, storage)

    @cached_property
    def limits(self) -> Limits:
        """Limits of images."""
        base = self.settings.default
        return Limits(
            tags=base.image_tag_quota,
            properties=base.image_property_quota,
            members=base.image_member_quota,
            size_bytes=base.image_size_cap,
            locations=base.image_location_quota,
        )

    @cached_property
    def removal(self) -> Removal:
        """What removes bytes that nothing refers to."""
        return Removal(self.deletions, self.stores, worker_name)

    @cached_property
    def deletions(self) -> DeletionRepository:
        """What is to be removed, and when."""
        return DeletionRepository(self.engine, self.settings.default.scrub_time)

    @cached_property
    def rounds(self) -> Rounds:
        """What reads objects again."""
        inventory, own = Inventory(self.engine), self.settings.imagereg
        return Rounds(
            inventory,
            Verification(inventory, self.stores, self.removal),
            LeaseRepository(self.engine, is_scrubber_gone),
            worker_name,
            own.verify_rate,
            own.verify_interval,
        )

    @cached_property
    def scrubber(self) -> Scrubber:
        """What ends delayed deletions."""
        return Scrubber(
            self.deletions,
            self.removal,
            LeaseRepository(self.engine, is_scrubber_gone),
            worker_name,
            self.settings.default.scrub_pool_size,
        )

    @cached_property
    def staged(self) -> StagedData:
        """Bytes that wait for their import."""
        rows = StagedRepository(self.engine)
        return StagedData(rows, self.stores, self.removal, worker_name)

    @cached_property
    def sources(self) -> Sources:
        """The stores, as the places of images."""
        return Sources(self.stores)

    @cached_property
    def cache(self) -> CacheManagement | None:
        """The image cache of this node."""
        directory, read = self.cache_directory, self.sources.read
        if directory is None:
            return None
        return open_cache(self.settings, directory, self.engine, read)

    @cached_property
    def formats(self) -> FormatRules:
        """What is checked in image data."""
        wanted = self.settings.image_format
        return FormatRules(
            require_match=wanted.require_image_format_match,
            vmdk_allowed_types=wanted.vmdk_allowed_types,
            gpt_nonfatal=wanted.gpt_safety_checks_nonfatal,
        )

    @cached_property
    def locations(self) -> Locations:
        """What changes where the bytes lie."""
        base = self.settings.default
        rules = LocationRules(
            images=self.images,
            stores=self.stores,
            limits=self.limits,
            hash_algorithm=base.hashing_algorithm,
            several_stores=self.settings.multi_store,
        )
        editable = base.show_multiple_locations
        return Locations(rules, self.images, self.removal, editable=editable)


def open_ground(settings: Settings, meters: Meters | None = None) -> Ground:
    """Return what the parts stand on; the database is made or migrated.

    Raises:
        ConfigurationError: with every fault that the parts find.
    """
    faults: list[str] = []
    gate = _collect(faults, lambda: _gate(settings))
    counts = meters or Meters()
    stores = _collect(
        faults, lambda: StoreCatalog.from_settings(settings, meters=counts)
    )
    authenticator = _collect(faults, lambda: _authenticator(settings))
    engine = _collect(faults, lambda: open_database(settings))
    _choose_events(engine, settings)
    limits_file = settings.imagereg.limits_file
    table = _collect(faults, lambda: load_limits(limits_file)) if limits_file else None
    cache_directory = _collect(faults, lambda: open_directory(settings))
    declared = _collect(faults, lambda: _declared(settings))
    journals = _collect(faults, lambda: open_journals(settings)) or Journals()
    if faults or not (gate and stores and authenticator and engine and declared):
        if engine is not None:
            engine.close()
        journals.close()
        raise ConfigurationError(faults)
    return Ground(
        settings,
        gate,
        stores,
        authenticator,
        engine,
        table,
        cache_directory,
        declared,
        threading.Event(),
        Delegations(),
        journals,
        counts,
    )


def _choose_events(engine: Engine | None, settings: Settings) -> None:
    """Have changes written down for whoever is told of them."""
    own = settings.imagereg
    wanted = {LOG: own.event_log, WEBHOOK: own.event_webhook}
    if engine is not None:
        engine.events = EventChoice(
            tuple(name for name, place in wanted.items() if place is not None),
            f"{(settings.default.public_endpoint or '').rstrip('/')}/v2/images",
            own.event_properties,
        )


def _declared(settings: Settings) -> DeclaredProperties:
    formats = settings.image_format
    documents = schema_documents(formats.disk_formats, formats.container_formats)
    return load_declared(settings.schema_image_file, documents["image"]["properties"])


def _collect(faults: list[str], make: Callable[[], Part]) -> Part | None:
    """Return what ``make`` makes; its faults join the others, to be told at once."""
    try:
        return make()
    except ConfigurationError as error:
        faults += error.faults
        return None


def _gate(settings: Settings) -> Gate:
    wanted = settings.oslo_policy
    policy = Enforcer.from_files(
        wanted.policy_file,
        wanted.policy_dirs,
        enforce_new_defaults=wanted.enforce_new_defaults,
        remote=RemoteClient(
            RemoteOptions(
                content_type=wanted.remote_content_type,
                timeout_s=wanted.remote_timeout,
                verify=wanted.remote_ssl_verify_server_crt,
                ca_file=wanted.remote_ssl_ca_crt_file,
                client_cert_file=wanted.remote_ssl_client_crt_file,
                client_key_file=wanted.remote_ssl_client_key_file,
            )
        ),
    )

    def check_policy(rule: str) -> PolicyFacts:
        compiled = policy.rules.compile(rule if ":" in rule else f"rule:{rule}")
        return PolicyFacts(
            compiled.fields, reads_whole_target=compiled.reads_whole_target
        )

    guard = PropertyGuard.from_file(
        settings.default.property_protection_file,
        settings.default.property_protection_rule_format,
        check_policy,
    )
    shown = (
        settings.default.show_image_direct_url
        or settings.default.show_multiple_locations
    )
    gate = Gate(policy, guard, shows_locations=shown)
    gate.witness = audit.witness
    return gate


def _authenticator(settings: Settings) -> Authenticator:
    flavor = settings.paste_deploy.flavor
    if flavor == "":
        return NoAuth(headers=settings.imagereg.noauth_headers)
    if flavor == "trusted-headers":
        return TrustedHeaders(
            Peers(settings.imagereg.trusted_proxies),
            allow_anonymous=settings.default.allow_anonymous_access,
            keystone_url=settings.keystone_authtoken.www_authenticate_uri,
        )
    if flavor == "http_basic":
        # bcrypt and the files are this mode's alone.
        from imagereg.api.basic_auth import HTTPBasic
        from imagereg.identity.passwords import Passwords

        passwords = Passwords(
            settings.oslo_middleware.http_basic_auth_user_file,
            settings.imagereg.auth_users_file,
        )
        return HTTPBasic(
            passwords, allow_anonymous=settings.default.allow_anonymous_access
        )
    return _keystone(settings)


def _keystone(settings: Settings) -> Authenticator:
    # keystoneauth is large, and comes with an extra that this mode alone needs.
    from imagereg.api.keystone import KeystoneTokens, TokenRules
    from imagereg.identity.validation import Validation

    try:
        from imagereg.identity.keystone import Keystone
    except ModuleNotFoundError as error:
        fault = (
            f"[paste_deploy] flavor: keystone needs the module {error.name}: "
            "install imagereg[keystone]"
        )
        raise ConfigurationError([fault]) from error
    wanted = settings.keystone_authtoken
    rules = TokenRules(
        uri=wanted.www_authenticate_uri or wanted.auth_url or "",
        service_type=wanted.service_type or "image",
        service_roles=frozenset(role.lower() for role in wanted.service_token_roles),
        service_roles_required=wanted.service_token_roles_required,
        allow_anonymous=settings.default.allow_anonymous_access,
        delay_decision=wanted.delay_auth_decision,
    )
    tokens = Validation(Keystone(wanted), wanted.token_cache_time)
    return KeystoneTokens(tokens, rules)
