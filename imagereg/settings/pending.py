"""Options that are read and checked, and that this version does not act upon yet.

An operator who sets one is told so at every start, because an option that silently
does nothing is worse than one that is refused.  A test holds this list against the
code: what nothing reads stands here, and nothing else.
"""

from collections.abc import Mapping
from types import MappingProxyType

from imagereg.settings.load import Settings

_TOKENS = "each process remembers the tokens that it saw"

#: Section and option -> why nothing happens.
PENDING: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        (section, option): reason
        for section, reason, options in (
            (
                "DEFAULT",
                "the server has fixed values for this",
                "tcp_keepidle http_keepalive client_socket_timeout",
            ),
            ("keystone_authtoken", _TOKENS, "memcached_servers"),
            (
                "oslo_policy",
                "a name that no rule has is refused, so none stands in for it",
                "policy_default_rule",
            ),
            ("wsgi", "background work has threads of its own", "task_pool_threads"),
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
