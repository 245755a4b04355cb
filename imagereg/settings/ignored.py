"""Options that are accepted and do nothing, each with the reason, and refused ones.

Names may end in ``*``.  Source: the rows marked `w` and `x` of contract config
2 to 7.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

_NO_BUS = "there is no message bus; see event_webhook and event_log in [imagereg]"
_GONE = "this option is gone from the Image service"
_RUNTIME = "imagereg does not run on the library that this option adjusts"
_DRIVER = "there is no such store driver; the drivers are file, s3 and http"
_KEYS = "there is no key service; see certificates_dir in [imagereg]"
_DATABASE = "imagereg has one connection per thread and no such adjustment"
_LOG = "the log of imagereg has no such adjustment"
_TOKENS = "imagereg checks tokens itself, and has no such adjustment"

_FOREIGN_STORES = ("swift_*", "rbd_*", "cinder_*", "vmware_*", "rootwrap_config")


def _each(reason: str, *names: str) -> dict[str, str]:
    return dict.fromkeys(names, reason)


IGNORED_OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "DEFAULT": {
            **_each(
                "the cache keeps its records in the database", "image_cache_sqlite_db"
            ),
            **_each(_NO_BUS, "default_publisher_id", "disabled_notifications"),
            **_each(_NO_BUS, "transport_url", "rpc_*", "control_exchange"),
            **_each(_NO_BUS, "executor_thread_pool_size", "conn_pool_*"),
            **_each("signatures name their own digest", "digest_algorithm"),
            **_each("there is no remote debugger", "pydev_worker_debug_*"),
            **_each(
                "location_order is how it is done; for store_type set each weight",
                "location_strategy",
            ),
            **_each(_GONE, "registry_*", "enable_v1_*", "enable_v2_*"),
            **_each(_GONE, "use_user_token", "admin_*", "auth_region", "auth_url"),
            **_each(_GONE, "auth_strategy", "verbose"),
            **_each(_LOG, "use_journal", "log_color", "rate_limit_*"),
            **_each(_LOG, "publish_errors", "instance_format"),
            **_each(_LOG, "instance_uuid_format", "watch_log_file", "use_eventlog"),
            **_each(_LOG, "logging_exception_prefix", "logging_debug_format_suffix"),
            **_each(_LOG, "logging_user_identity_format", "log_rotate_interval*"),
            **_each("nothing here is deprecated", "fatal_deprecations"),
        },
        "database": {
            **_each("reads go to the same database as writes", "slave_connection"),
            **_each(_DATABASE, "mysql_*", "use_db_reconnect", "connection_debug"),
            **_each(_DATABASE, "connection_trace", "asyncio_*", "backend"),
            **_each(_DATABASE, "connection_parameters", "db_inc_retry_interval"),
            **_each(_DATABASE, "db_retry_interval", "db_max_retry_interval"),
            **_each(_DATABASE, "db_max_retries"),
        },
        "oslo_concurrency": _each(
            "locks between processes are always needed", "disable_process_locking"
        ),
        "paste_deploy": _each("the pipeline is fixed by the flavor", "config_file"),
        "oslo_policy": _each("the scope of tokens is always enforced", "enforce_scope"),
        "healthcheck": {
            **_each("the check is always at /healthcheck", "path"),
            **_each(
                "there is one port, see disable_by_file_path", "disable_by_file_paths"
            ),
            **_each("there is disable_by_file_path", "enable_by_file_paths"),
        },
        "wsgi": _each("imagereg runs in its own interpreter", "python_interpreter"),
        "task": {
            **_each("there is one way to run tasks", "task_executor"),
            **_each("tasks do not poll", "eventlet_executor_pool_size"),
        },
        "taskflow_executor": _each(
            "see output_format in [image_conversion]", "conversion_format"
        ),
        "keystone_authtoken": {
            **_each(_TOKENS, "auth_version", "cache", "memcache_*", "auth_section"),
            **_each(_TOKENS, "enforce_token_bind", "auth_protocol", "auth_host"),
            **_each(_TOKENS, "auth_port", "identity_uri", "signing_dir", "trust_id"),
            **_each(_TOKENS, "default_domain_*", "user_id", "project_id", "domain_*"),
            **_each(_TOKENS, "system_scope", "timeout", "collect_timing"),
        },
        "glance_store": _each(_DRIVER, *_FOREIGN_STORES),
        "backend_defaults": _each(_DRIVER, *_FOREIGN_STORES),
    }
)
STORE_IGNORED: Mapping[str, str] = MappingProxyType(_each(_DRIVER, *_FOREIGN_STORES))

IGNORED_SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "profiler": "there is no profiler",
        "oslo_messaging_*": _NO_BUS,
        "oslo_reports": "there are no reports on demand",
        "oslo_limit": "limits come from limits_file in [imagereg]",
        "key_manager": _KEYS,
        "barbican": _KEYS,
        "barbican_service_user": _KEYS,
        "vault": _KEYS,
        "oslo_middleware_tracing": "there is no tracing",
        "matchmaker_redis": _NO_BUS,
        "store_type_location_strategy": "set the weight of each store",
    }
)

REFUSED_STORE_TYPES = ("rbd", "swift", "cinder", "vmware", "vmware_datastore")

# Section and option -> texts that are harmless, and why any other is refused.
REFUSED: Mapping[tuple[str, str], tuple[tuple[str, ...], str]] = MappingProxyType(
    {
        ("DEFAULT", "metadata_encryption_key"): (
            ("",),
            "locations are not encrypted, and encrypted ones could not be read",
        ),
        ("DEFAULT", "owner_is_tenant"): (
            ("true", "1", "on", "yes"),
            "images belong to projects, never to single users",
        ),
    }
)


def find_reason(table: Mapping[str, str], name: str) -> str | None:
    """Return why ``name`` is ignored, or None if it is not in ``table``."""
    if name in table:
        return table[name]
    prefixes = (key for key in table if key.endswith("*"))
    return next((table[key] for key in prefixes if name.startswith(key[:-1])), None)


def find_nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like ``name``."""
    # Imported here: a file without unknown names does not pay for it.
    from difflib import get_close_matches

    spelled = {item.lower(): item for item in known}
    return next(map(spelled.get, get_close_matches(name.lower(), spelled, n=1)), None)
