"""The logging options of section [DEFAULT].  Source: contract config 2."""

# `option` builds a dataclass field, as `dataclasses.field` does.

from dataclasses import dataclass
from pathlib import Path

from imagereg.settings.kinds import (
    BOOL,
    CONFIG_PATH,
    NAME,
    PATH,
    WORKING_PATH,
    choice,
    integer,
)
from imagereg.settings.options import Table, option
from imagereg.settings.special import LEVELS


@dataclass(frozen=True)
class LogOptions(Table):
    """Where the log goes, and what is in it."""

    debug: bool = option(BOOL, False, "Log the small steps too.")
    log_file: Path | None = option(
        PATH,
        None,
        "The log file; a relative name is one in log_dir.",
        shown="imagereg.log when log_dir is set, else standard error",
        example="imagereg.log",
    )
    log_dir: Path | None = option(
        WORKING_PATH,
        None,
        "The directory of the log file.",
        example="/var/log/imagereg",
    )
    log_config_append: Path | None = option(
        CONFIG_PATH,
        None,
        "A file of Python's logging configuration, in place of all options here.",
        example="logging.conf",
    )
    log_date_format: str = option(
        NAME, "%Y-%m-%d %H:%M:%S", "How times are written, as in strftime."
    )
    use_syslog: bool = option(BOOL, False, "Log to the system log.")
    syslog_log_facility: str = option(
        NAME, "LOG_USER", "The facility under which the system log files it."
    )
    use_json: bool = option(BOOL, False, "Write each log line as a JSON object.")
    use_stderr: bool = option(
        BOOL, False, "Log to standard error, besides a file if there is one."
    )
    logging_context_format_string: str | None = option(
        NAME,
        None,
        "The format of lines that belong to a request.",
        shown="unset: imagereg's own",
        example="%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s",
    )
    logging_default_format_string: str | None = option(
        NAME,
        None,
        "The format of all other lines.",
        shown="unset: imagereg's own",
        example="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    default_log_levels: tuple[tuple[str, str], ...] = option(
        LEVELS,
        (),
        "The levels of single loggers; imagereg.requests=WARNING leaves out the line"
        " that each request is.",
        shown="unset: the general level for all, libraries less",
        example="peewee=INFO,urllib3=WARNING",
    )
    log_rotation_type: str = option(
        choice("none", "size", "interval", fold=True),
        "none",
        "Start a new log file never, by size, or daily (interval).",
    )
    max_logfile_size_mb: int = option(
        integer(1), 200, "The size at which a new log file is started.", unit="MiB"
    )
    max_logfile_count: int = option(
        integer(0), 30, "Old log files that are kept.", unit="files"
    )
