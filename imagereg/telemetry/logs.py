"""Where log lines go, and which.

Tokens, passwords and signed URLs are never logged, because no code hands them to a
logger; of libraries that might, only what matters is let through.

Source: contract config 2; ruling U-11.
"""

import logging
import logging.config
import sys
from collections.abc import Mapping, Sequence
from logging.handlers import SysLogHandler
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from imagereg.errors import ConfigurationError
from imagereg.settings import SECTIONS, Settings
from imagereg.settings.logs import LogOptions
from imagereg.settings.options import Table, options_of
from imagereg.settings.pending import pending
from imagereg.telemetry.files import LogFile
from imagereg.telemetry.lines import (
    CONTEXT_FORMAT,
    DEFAULT_FORMAT,
    NO_CONTEXT,
    JSONLines,
    TextLines,
)

MIB = 1024 * 1024

#: A secret of fewer letters is likely to be a word of its own.
SHORTEST = 8

SYSLOG = Path("/dev/log")

#: What lines may show of the code that made them.
_OF_CALLERS = ("pathname", "filename", "module", "lineno", "funcName")

#: Where `logging` begins, by which it tells its own frames from those of callers.
_SOURCE_FILE: str = vars(logging)["_srcfile"]

#: Libraries whose small steps hold URLs, headers or values of rows.
LIBRARIES: Mapping[str, int] = MappingProxyType(
    {
        "boto3": logging.WARNING,
        "botocore": logging.WARNING,
        "peewee": logging.INFO,
        "s3transfer": logging.WARNING,
        "urllib3": logging.WARNING,
        "keystoneauth": logging.WARNING,
        "keystonemiddleware": logging.WARNING,
        "pymysql": logging.INFO,
        "psycopg": logging.INFO,
    }
)


def configure_logging(settings: Settings) -> None:
    """Send log lines where the configuration says, and say what it warns of.

    Raises:
        ConfigurationError: lines cannot go there, or not in that form.
    """
    base = settings.default
    # Lines are made by the thousand, and nothing shows these.
    logging.logThreads = logging.logMultiprocessing = False
    _look_for_callers(wanted=_shows_callers(base))
    if base.log_config_append is not None:
        _configure_by_file(base.log_config_append)
    else:
        _configure(base, secrets_of(settings))
    log = logging.getLogger("imagereg.configuration")
    for warning in (*settings.warnings, *pending(settings)):
        log.warning("%s", warning)


def _look_for_callers(*, wanted: bool) -> None:
    """Have each record say which line of code made it, or not.

    To find out is half of what a line costs.  That the attribute turns it off is
    documented (Logging HOWTO, "Optimization").
    """
    vars(logging)["_srcfile"] = _SOURCE_FILE if wanted else None


def _shows_callers(base: LogOptions) -> bool:
    formats = base.logging_context_format_string, base.logging_default_format_string
    return base.log_config_append is not None or any(
        f"%({name})" in (text or "") for text in formats for name in _OF_CALLERS
    )


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Return every secret of the configuration, and what of a secret URL is one.

    Too short ones are left out: to mask them would tell them, letter by letter.
    """
    tables: list[Table] = [getattr(settings, name.lower()) for name in SECTIONS]
    tables += [store.options for store in settings.stores]
    found: set[str | None] = set()
    for table in tables:
        for name, option in options_of(type(table)).items():
            value = getattr(table, name)
            if option.is_secret and isinstance(value, str):
                found |= _secrets_in(value)
            elif option.is_secret and isinstance(value, Mapping):
                # Proxies are places, and may have an account.
                places = (text.rpartition("//")[2] for text in value.values())
                found |= {urlsplit(f"//{place}").password for place in places}
    # The longest first: one may be a part of another.
    long = (each for each in found if each and len(each) >= SHORTEST)
    return tuple(sorted(long, key=len)[::-1])


def _secrets_in(text: str) -> set[str | None]:
    url = urlsplit(text)
    # The path of SQLite's URL is a file, and no secret.
    if text.startswith("sqlite"):
        return set()
    return {url.password, url.path, url.query} if url.scheme else {text}


def _configure(base: LogOptions, secrets: Sequence[str]) -> None:
    lines = _lines(base, secrets)
    handlers = _handlers(base)
    for handler in handlers:
        handler.setFormatter(lines)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        if isinstance(old, (LogFile, SysLogHandler)):
            old.close()
    root.handlers[:] = handlers
    root.setLevel(logging.DEBUG if base.debug else logging.INFO)
    for name, number in LIBRARIES.items():
        logging.getLogger(name).setLevel(number)
    for name, level in base.default_log_levels:
        known = level.upper().replace("TRACE", "DEBUG")
        logging.getLogger(name).setLevel(known)


def _lines(base: LogOptions, secrets: Sequence[str]) -> logging.Formatter:
    if base.use_json:
        return JSONLines(secrets)
    context = base.logging_context_format_string or CONTEXT_FORMAT
    default = base.logging_default_format_string or DEFAULT_FORMAT
    faults = [
        f"[DEFAULT] {name}: {fault}"
        for name, text in (
            ("logging_context_format_string", context),
            ("logging_default_format_string", default),
        )
        if (fault := _fault_of(text))
    ]
    if faults:
        raise ConfigurationError(faults)
    return TextLines(context, default, base.log_date_format, secrets)


def _fault_of(text: str) -> str | None:
    """Return what is wrong with the format of lines, or None."""
    record = logging.makeLogRecord({"message": "", "asctime": ""})
    try:
        text % {**NO_CONTEXT, **record.__dict__}
    except KeyError as error:
        return f"lines have no field {error}"
    except (TypeError, ValueError) as error:
        return f"is no format: {error}"
    return None


def _handlers(base: LogOptions) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    try:
        if base.log_file is not None:
            handlers.append(_file(base, base.log_file))
        if base.use_syslog:
            handlers.append(_syslog(base.syslog_log_facility))
    except OSError as error:
        place = "log_file" if not handlers and base.log_file else "use_syslog"
        fault = f"[DEFAULT] {place}: cannot be written: {error.strerror}"
        raise ConfigurationError([fault]) from error
    if base.use_stderr or not handlers:
        handlers.append(logging.StreamHandler(sys.stderr))
    return handlers


def _file(base: LogOptions, path: Path) -> LogFile:
    by_size = base.log_rotation_type == "size"
    return LogFile(
        path,
        max_bytes=base.max_logfile_size_mb * MIB if by_size else 0,
        daily=base.log_rotation_type == "interval",
        keep=base.max_logfile_count,
    )


def _syslog(facility: str) -> SysLogHandler:
    name = facility.lower().removeprefix("log_")
    if name not in SysLogHandler.facility_names:
        fault = f"[DEFAULT] syslog_log_facility: there is no facility `{facility}`"
        raise ConfigurationError([fault])
    return SysLogHandler(str(SYSLOG), SysLogHandler.facility_names[name])


def _configure_by_file(path: Path) -> None:
    """Do as a file of Python's logging configuration says, and nothing else."""
    try:
        logging.config.fileConfig(path, disable_existing_loggers=False)
    except (
        *(OSError, ValueError, KeyError, AttributeError),
        *(TypeError, ImportError, RuntimeError),
    ) as error:
        fault = f"[DEFAULT] log_config_append: cannot be used: {error}"
        raise ConfigurationError([fault]) from error
