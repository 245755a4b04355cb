"""Put the cache of this node together from the settings."""

import socket

from imagereg.cache.copies import CacheRules, ImageCache
from imagereg.cache.directory import CacheDirectory
from imagereg.cache.management import CacheManagement
from imagereg.cache.upkeep import ImageSource, Upkeep
from imagereg.db.copies import CopyRepository
from imagereg.db.engine import Engine
from imagereg.db.images import ImageRepository
from imagereg.settings import Settings


def open_directory(settings: Settings) -> CacheDirectory | None:
    """Return the directory of the cache; None where it is not turned on.

    Raises:
        ConfigurationError: it cannot be used.
    """
    path, locks = settings.default.image_cache_dir, settings.oslo_concurrency.lock_path
    if path is None or locks is None:
        return None
    directory = CacheDirectory(path, locks)
    directory.prepare()
    return directory


def open_cache(
    settings: Settings, directory: CacheDirectory, engine: Engine, source: ImageSource
) -> CacheManagement:
    """Return all that there is to do with the cache of this node.

    Args:
        settings: the operator's.
        directory: from `open_directory`.
        engine: the database of the registry, which has the books.
        source: reads images in the stores.
    """
    base, own = settings.default, settings.imagereg
    rules = CacheRules(
        max_bytes=base.image_cache_max_size,
        stall_s=base.image_cache_stall_time,
        files=own.cache_file_stores,
        fsync=own.upload_fsync,
    )
    books = CopyRepository(engine, node_name(settings))
    cache = ImageCache(directory, books, ImageRepository(engine), rules)
    upkeep = Upkeep(cache, source, base.cache_prefetcher_interval)
    together = base.image_cache_driver == "centralized_db"
    return CacheManagement(cache, upkeep, knows_nodes=together)


def node_name(settings: Settings) -> str:
    """Return what the nodes that share a database know this one by: its URL."""
    base = settings.default
    own = f"http://{socket.gethostname()}:{base.bind_port}"
    return base.worker_self_reference_url or own
