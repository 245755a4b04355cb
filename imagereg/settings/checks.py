"""What follows from one option for another, and what does not fit together."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from imagereg.settings.own import Own
from imagereg.settings.reader import Reader
from imagereg.settings.sections import (
    Concurrency,
    Cors,
    Database,
    PasteDeploy,
    PolicyFiles,
)
from imagereg.settings.service import DefaultSection
from imagereg.settings.special import CACHE_SUFFIXES

_LOG_NAME = "imagereg.log"
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#\s,*]+")
_IDENTITY_PREFIXES = (
    "x-identity-",
    "x-user",
    "x-project",
    "x-tenant",
    "x-domain-",
    "x-role",
    "x-is-admin-",
    "x-service-",
    "openstack-system-scope",
)


@dataclass(frozen=True)
class Completion:
    """Works out what the files left open; paths nobody chose are in the state."""

    reader: Reader
    state_dir: Path

    def flavor(self, paste: PasteDeploy) -> PasteDeploy:
        """Return the flavor taken apart into its base and the cache it asks for."""
        base, _, suffix = paste.flavor.rpartition("+")
        if suffix not in CACHE_SUFFIXES:
            base, suffix = paste.flavor, ""
        return replace(
            paste,
            flavor=base,
            caching=bool(suffix),
            cachemanagement=suffix == "cachemanagement",
        )

    def service(
        self, default: DefaultSection, paste: PasteDeploy, imagereg: Own
    ) -> DefaultSection:
        """Return the section with its log file, and the cache if a flavor wants it."""
        if default.use_keystone_limits and imagereg.limits_file is None:
            what = "no identity service is asked for limits; set [imagereg] limits_file"
            self.reader.fault("DEFAULT", "use_keystone_limits", what)
        cache_dir = default.image_cache_dir
        if cache_dir is None and paste.caching:
            cache_dir = self.state_dir / "cache"
        log_file = default.log_file or (Path(_LOG_NAME) if default.log_dir else None)
        if log_file is not None:
            log_file = self.reader.places.at_work(default.log_dir or Path()) / log_file
        return replace(default, image_cache_dir=cache_dir, log_file=log_file)

    def database(self, database: Database) -> Database:
        """Return the section with a connection, by default to a file of the state."""
        own = f"sqlite:///{self.state_dir / 'registry.sqlite'}"
        return replace(database, connection=database.connection or own)

    def concurrency(self, concurrency: Concurrency) -> Concurrency:
        """Return the section with the directory of locks."""
        own = self.state_dir / "locks"
        return replace(concurrency, lock_path=concurrency.lock_path or own)

    def policy(self, policy: PolicyFiles) -> PolicyFiles:
        """Return the section with the policy file that is there, if none was named."""
        if policy.policy_file is not None:
            return policy
        find = self.reader.places.find
        return replace(policy, policy_file=find("policy.yaml") or find("policy.json"))

    def cors(self, cors: Cors) -> Cors:
        """Return the section without the headers that say who is calling.

        A page that could send them would speak for anyone, were they ever believed.
        """
        if any(not _ORIGIN.fullmatch(origin) for origin in cors.allowed_origin):
            what = "an origin is scheme://host or scheme://host:port, or all are *"
            self.reader.fault("cors", "allowed_origin", what)
        kept = tuple(
            name
            for name in cors.allow_headers
            if not name.lower().startswith(_IDENTITY_PREFIXES)
        )
        if kept != cors.allow_headers:
            what = "headers of identity are left out"
            self.reader.warn("cors", "allow_headers", what)
        return replace(cors, allow_headers=kept)
