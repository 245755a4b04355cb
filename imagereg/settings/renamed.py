"""Names that options had once, and where they are now.

The reference takes some of these with a warning, and no longer knows the others; in
files that grew over years there are all of them.
"""

from collections.abc import Mapping
from types import MappingProxyType

#: Section and option, as they were -> what they are.
RENAMED: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("DEFAULT", "sql_connection"): "[database] connection",
        ("DEFAULT", "sql_idle_timeout"): "[database] connection_recycle_time",
        ("DEFAULT", "sql_max_pool_size"): "[database] max_pool_size",
        ("DEFAULT", "sql_max_overflow"): "[database] max_overflow",
        ("DEFAULT", "sql_max_retries"): "[database] max_retries",
        ("DEFAULT", "sql_retry_interval"): "[database] retry_interval",
        ("DEFAULT", "logfile"): "[DEFAULT] log_file",
        ("DEFAULT", "logdir"): "[DEFAULT] log_dir",
        ("DEFAULT", "log_config"): "[DEFAULT] log_config_append",
        ("DEFAULT", "log_format"): "[DEFAULT] logging_default_format_string",
        ("DEFAULT", "known_stores"): "[glance_store] stores",
        ("DEFAULT", "image_cache_invalid_entry_grace_period"): (
            "[DEFAULT] image_cache_stall_time"
        ),
        ("DEFAULT", "task_time_to_live"): "[task] task_time_to_live",
        ("DEFAULT", "eventlet_executor_pool_size"): "[taskflow_executor] max_workers",
        ("database", "sql_connection"): "[database] connection",
        ("database", "idle_timeout"): "[database] connection_recycle_time",
        ("database", "sql_max_pool_size"): "[database] max_pool_size",
        ("keystone_authtoken", "auth_uri"): "[keystone_authtoken] www_authenticate_uri",
        ("keystone_authtoken", "admin_user"): "[keystone_authtoken] username",
        ("keystone_authtoken", "admin_password"): "[keystone_authtoken] password",
        ("keystone_authtoken", "admin_tenant_name"): (
            "[keystone_authtoken] project_name"
        ),
        ("keystone_authtoken", "memcache_servers"): (
            "[keystone_authtoken] memcached_servers"
        ),
        ("taskflow_executor", "eventlet_executor_pool_size"): (
            "[taskflow_executor] max_workers"
        ),
    }
)
