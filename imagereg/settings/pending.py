"""Options that are read and checked, and that this version does not act upon yet.

An operator who sets one is told so at every start, because an option that silently
does nothing is worse than one that is refused.  A test holds this list against the
code: what nothing reads stands here, and nothing else.
"""

from collections.abc import Mapping
from types import MappingProxyType

from imagereg.settings.load import Settings

_LOGS = "logs are plain lines on standard error, or in log_file"
_TOKENS = "each process remembers the tokens that it saw"
_HEALTH = "the health check knows no conditions yet"

#: Section and option -> why nothing happens.
PENDING: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (section, option): reason
        for section, reason, options in (
            (
                "DEFAULT",
                _LOGS,
                "log_config_append log_date_format use_syslog syslog_log_facility "
                "use_json use_stderr logging_context_format_string "
                "logging_default_format_string default_log_levels log_rotation_type "
                "max_logfile_size_mb max_logfile_count",
            ),
            (
                "DEFAULT",
                "the server has fixed values for this",
                "tcp_keepidle http_keepalive client_socket_timeout",
            ),
            ("keystone_authtoken", _TOKENS, "memcached_servers"),
            (
                "healthcheck",
                _HEALTH,
                "disable_by_file_path backends detailed allowed_source_ranges "
                "ignore_proxied_requests",
            ),
            (
                "oslo_policy",
                "a name that no rule has is refused, so none stands in for it",
                "policy_default_rule",
            ),
            ("wsgi", "background work has threads of its own", "task_pool_threads"),
            ("imagereg", "there are no metrics yet", "metrics"),
            ("imagereg", "identities come from flavors alone", "remote_user"),
        )
        for option in options.split()
    }
)


def pending(settings: Settings) -> tuple[str, ...]:
    """Return a warning for each option that is set and not acted upon."""
    return tuple(
        f"[{section}] {option}: has no effect in this version: {reason}"
        for (section, option), reason in PENDING.items()
        if (section, option) in settings.origins
    )
