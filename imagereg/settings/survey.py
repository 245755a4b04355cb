"""What is right in itself and yet unlikely to be meant: `imagereg config check`.

Nothing here keeps a server from starting; whoever reads it may know better.  Paths are
looked at as whoever runs the command sees them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from imagereg.settings.kinds import CONFIG_PATH, WORKING_PATH
from imagereg.settings.load import SECTIONS, Settings
from imagereg.settings.options import options_of
from imagereg.settings.pending import pending
from imagereg.settings.service import DefaultSection
from imagereg.settings.storage import FileStoreSettings

_EVERYBODY = ("0.0.0.0/0", "::/0")


def survey(settings: Settings) -> tuple[str, ...]:
    """Return what the operator should look at, each in one line with its place."""
    lines = (
        *settings.warnings,
        *pending(settings),
        *_paths(settings),
        *_contradictions(settings),
    )
    return tuple(dict.fromkeys(lines))


def _told(settings: Settings, section: str, name: str, what: str) -> str:
    place = settings.origins.get((section, name))
    line = f"[{section}] {name}: {what}"
    return f"{place}: {line}" if place else line


# Paths.


def _paths(settings: Settings) -> Iterator[str]:
    for section, table in SECTIONS.items():
        values = getattr(settings, section.lower())
        for name, option in options_of(table).items():
            path = getattr(values, name)
            if not isinstance(path, Path) or (section, name) not in settings.origins:
                continue
            if option.kind is CONFIG_PATH:
                fault = unread(path)
            elif option.kind is WORKING_PATH:
                fault = unwritten(path)
            else:
                continue
            if fault:
                yield _told(settings, section, name, fault)
    log_file = settings.default.log_file
    if log_file is not None and (fault := unwritten(log_file, made=False)):
        name = "log_file" if ("DEFAULT", "log_file") in settings.origins else "log_dir"
        yield _told(settings, "DEFAULT", name, fault)
    if fault := unwritten(settings.imagereg.state_dir):
        yield _told(settings, "imagereg", "state_dir", fault)
    yield from _store_paths(settings)


def _store_paths(settings: Settings) -> Iterator[str]:
    for store in (*settings.stores, settings.staging, settings.tasks_store):
        if not isinstance(store.options, FileStoreSettings):
            continue
        for path, _ in store.options.directories:
            if fault := unwritten(path):
                yield f"store {store.id}: {fault}"


def unread(path: Path) -> str | None:
    """Return why a file or directory cannot be read, or None."""
    if not path.exists():
        return f"{path} does not exist"
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        return f"{path} cannot be read"
    return None


def unwritten(path: Path, *, made: bool = True) -> str | None:
    """Return why a path cannot be written, or None.

    What is missing on the way to it is ``made`` by the service, or has to be there.
    """
    if path.exists():
        wanted = os.W_OK | (os.X_OK if path.is_dir() else 0)
        return None if os.access(path, wanted) else f"{path} cannot be written"
    above = path.parent
    if not made and not above.exists():
        return f"{above} does not exist"
    while not above.exists():
        above = above.parent
    if not above.is_dir():
        return f"{above} is no directory"
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{path} does not exist, and {above} cannot be written"
    return None


# Contradictions.


def _contradictions(settings: Settings) -> Iterator[str]:
    for section, name, what in (
        *_identity(settings),
        *_logs(settings.default, settings),
        *_lists(settings),
        *_risks(settings),
    ):
        yield _told(settings, section, name, what)


_Found = Iterator[tuple[str, str, str]]


def _identity(settings: Settings) -> _Found:
    flavor, own = settings.paste_deploy.flavor, settings.imagereg
    named = flavor or "none"
    for section, name, wanted in (
        ("imagereg", "auth_users_file", "http_basic"),
        ("oslo_middleware", "http_basic_auth_user_file", "http_basic"),
        ("keystone_authtoken", "auth_url", "keystone"),
        ("keystone_authtoken", "username", "keystone"),
        ("keystone_authtoken", "password", "keystone"),
    ):
        if flavor != wanted and (section, name) in settings.origins:
            yield section, name, f"counts with flavor {wanted}; the flavor is {named}"
    if flavor and own.noauth_headers:
        yield "imagereg", "noauth_headers", f"counts without a flavor; it is {named}"
    if flavor and own.allow_open_noauth:
        yield "imagereg", "allow_open_noauth", f"counts without a flavor; it is {named}"
    if flavor == "http_basic" and own.auth_users_file is None:
        yield "imagereg", "auth_users_file", "unset, so no user has a project or a role"


def _logs(base: DefaultSection, settings: Settings) -> _Found:
    set_here = settings.origins.keys()
    if base.log_rotation_type != "size" and ("DEFAULT", "max_logfile_size_mb") in (
        set_here
    ):
        yield "DEFAULT", "max_logfile_size_mb", "counts with log_rotation_type = size"
    if base.log_rotation_type == "none" and ("DEFAULT", "max_logfile_count") in (
        set_here
    ):
        yield "DEFAULT", "max_logfile_count", "counts with a log_rotation_type"
    if base.log_rotation_type != "none" and base.log_file is None:
        yield "DEFAULT", "log_rotation_type", "there is no log_file"
    formats = ("logging_context_format_string", "logging_default_format_string")
    for name in formats:
        if base.use_json and ("DEFAULT", name) in set_here:
            yield "DEFAULT", name, "has no effect with use_json"


def _lists(settings: Settings) -> _Found:
    base, wanted = settings.default, settings.import_filtering_opts
    if base.limit_param_default > base.api_limit_max:
        what = "is more than api_limit_max, which counts then"
        yield "DEFAULT", "limit_param_default", what
    for kind in ("schemes", "hosts", "ports"):
        name = f"disallowed_{kind}"
        if getattr(wanted, f"allowed_{kind}") and getattr(wanted, name):
            what = f"has no effect, because allowed_{kind} is not empty"
            yield "import_filtering_opts", name, what
    if ("DEFAULT", "scrub_time") in settings.origins and not base.delayed_delete:
        yield "DEFAULT", "scrub_time", "counts with delayed_delete = true"
    if ("imagereg", "verify_interval") in settings.origins and (
        not settings.imagereg.verify_rate
    ):
        yield "imagereg", "verify_interval", "counts with a verify_rate"


def _risks(settings: Settings) -> _Found:
    flavor, own = settings.paste_deploy.flavor, settings.imagereg
    if flavor == "trusted-headers" and set(own.trusted_proxies) & {*_EVERYBODY}:
        yield "imagereg", "trusted_proxies", "anybody can say to be anybody"
    if not flavor and own.allow_open_noauth:
        yield "imagereg", "allow_open_noauth", "everybody who connects is administrator"
    if settings.default.show_multiple_locations:
        what = "whoever may change an image may change where its bytes lie"
        yield "DEFAULT", "show_multiple_locations", what
    cors = settings.cors
    if "*" in cors.allowed_origin and cors.allow_credentials:
        yield "cors", "allowed_origin", "any page may act for whoever looks at it"
