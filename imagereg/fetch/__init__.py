"""What runs on a compute node: images to paths, or into the cache of the node.

    from imagereg.fetch import Fetcher, find_access, load_fetch_config

    config = load_fetch_config([Path("imagereg-fetch.conf")])
    fetcher = Fetcher(config, find_access(os.environ).auth)
    result = fetcher.fetch("5b1a5d2c-8d4f-4f0a-9a5c-1e6f3f1d2c3b")

It speaks to any service of the Image API v2, and knows neither Flask nor a database.
Source: contract compute-fetch.
"""

from imagereg.fetch.access import Access, find_access
from imagereg.fetch.acquire import Choices
from imagereg.fetch.config import FetchConfig, load_fetch_config
from imagereg.fetch.fetcher import Fetcher, FetchResult
from imagereg.fetch.reporting import Progress
from imagereg.fetch.service import Auth, FixedAuth

__all__ = [
    "Access",
    "Auth",
    "Choices",
    "FetchConfig",
    "FetchResult",
    "Fetcher",
    "FixedAuth",
    "Progress",
    "find_access",
    "load_fetch_config",
]
