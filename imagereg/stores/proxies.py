"""Proxies that stand between the service and the web servers it reads from.

A proxy is the operator's word, so its own address passes no filter.  It looks names
up itself: what it connects to is what it finds then, and its own rules have to keep
it from addresses that nobody should reach.

Source: contract stores 4.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from imagereg.errors import ConfigurationError
from imagereg.settings.storage import HTTPStoreSettings, StoreSettings
from imagereg.stores.url_filter import DEFAULT_PORTS


@dataclass(frozen=True, slots=True)
class Proxy:
    """A server that is asked in the place of others.

    Attributes:
        url: of the proxy, without credentials.
        headers: what it alone is told.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse_proxies(options: Mapping[str, str]) -> Mapping[str, Proxy]:
    """Return the proxy for URLs of each scheme, of ``http_proxy_information``.

    Raises:
        ConfigurationError: a scheme is never asked for, or a proxy not understood.
    """
    found = {scheme: _parse(text) for scheme, text in options.items()}
    if not found.keys() <= DEFAULT_PORTS.keys() or None in found.values():
        raise ConfigurationError(
            [
                "http_proxy_information: expected http:PROXY and https:PROXY, "
                "with PROXY as [http://][USER:PASSWORD@]HOST[:PORT]"
            ]
        )
    return {scheme: proxy for scheme, proxy in found.items() if proxy is not None}


def proxied_schemes(stores: Iterable[StoreSettings]) -> frozenset[str]:
    """Return the schemes for which any store has a proxy."""
    return frozenset(
        scheme
        for store in stores
        if isinstance(store.options, HTTPStoreSettings)
        for scheme in store.options.http_proxy_information
    )


def _parse(text: str) -> Proxy | None:
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port or DEFAULT_PORTS["http"]
    except ValueError:
        return None
    extra = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme != "http" or not parts.hostname or extra:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Proxy(f"http://{host}:{port}", _headers(parts))


def _headers(parts: SplitResult) -> Mapping[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {b64encode(pair.encode()).decode()}"}
