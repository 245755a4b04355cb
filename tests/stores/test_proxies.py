"""Reading from URLs by way of a real proxy, and what is still checked then.

Source: contract stores 4; SECURITY on OSSA-2026-038.
"""

import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, StoreUnavailable
from imagereg.settings.imaging import ImportFiltering
from imagereg.stores.fetcher import Fetcher, FetchOptions
from imagereg.stores.proxies import parse_proxies
from imagereg.stores.url_filter import URLFilter, URLRefused
from tests.stores.forward_proxy import ForwardProxy, forward_proxy
from tests.stores.web import Web, web_server

CERT = Path(__file__).parent.parent / "policy" / "tls" / "cert.pem"

#: Every port; no host is exempt from what is asked of its addresses.
ANY = replace(ImportFiltering(), allowed_ports=())
LOCAL = replace(ANY, allowed_hosts=("127.0.0.1",))

#: What is known of names on this side of the proxy.
NAMES = {"inside.test": "127.0.0.1", "metadata.test": "169.254.169.254"}


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        running.put("/x", b"bytes")
        yield running


@pytest.fixture
def secure() -> Iterator[Web]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERT, CERT.with_name("key.pem"))
    with web_server(tls) as running:
        running.put("/x", b"bytes")
        yield running


@pytest.fixture
def proxy() -> Iterator[ForwardProxy]:
    with forward_proxy() as running:
        running.names["far.test"] = "127.0.0.1"
        yield running


def resolve(host: str, port: int) -> Sequence[str]:
    if host[0].isdigit():
        return (host,)
    if host not in NAMES:
        raise socket.gaierror
    return (NAMES[host],)


def by_way_of(
    proxy: ForwardProxy,
    *schemes: str,
    filtering: ImportFiltering = ANY,
    account: str = "",
    **more: object,
) -> Fetcher:
    place = f"{account}127.0.0.1:{proxy.port}"
    proxies = parse_proxies(dict.fromkeys(schemes, place))
    options = replace(FetchOptions(), proxies=proxies, **more)  # type: ignore[arg-type] # a table of options
    return Fetcher(URLFilter(filtering, resolve), options)


def body(fetch: Fetcher, url: str) -> bytes:
    answer = fetch.request("GET", url)
    try:
        return b"".join(answer)
    finally:
        answer.close()


def test_a_name_that_only_the_proxy_knows_is_read(
    proxy: ForwardProxy, web: Web
) -> None:
    url = web.url("/x", "far.test")

    assert body(by_way_of(proxy, "http"), url) == b"bytes"
    with pytest.raises(URLRefused):
        body(by_way_of(proxy), url)

    ((method, target, _),) = proxy.asked
    assert (method, target) == ("GET", url)
    assert web.asked[0][2]["Host"] == f"far.test:{web.port}"


def test_tls_goes_through_the_proxy(proxy: ForwardProxy, secure: Web) -> None:
    fetch = by_way_of(proxy, "https", filtering=LOCAL, ca_file=CERT)

    assert body(fetch, secure.url("/x")) == b"bytes"

    ((method, target, _),) = proxy.asked
    assert (method, target) == ("CONNECT", f"127.0.0.1:{secure.port}")


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_certificates_are_checked_for_the_name_behind_the_proxy(
    proxy: ForwardProxy, secure: Web
) -> None:
    url = secure.url("/x", "far.test")

    with pytest.raises(StoreUnavailable):
        body(by_way_of(proxy, "https", ca_file=CERT), url)
    assert secure.asked == []
    assert body(by_way_of(proxy, "https", verify=False), url) == b"bytes"


def test_each_scheme_has_a_proxy_of_its_own(proxy: ForwardProxy, web: Web) -> None:
    fetch = by_way_of(proxy, "https", filtering=LOCAL)

    assert body(fetch, web.url("/x")) == b"bytes"
    assert proxy.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "0x7f.1",
        "2130706433",
        "inside.test",
        "metadata.test",
    ],
)
def test_what_is_known_to_be_inside_is_refused_before_the_proxy_is_asked(
    proxy: ForwardProxy, web: Web, host: str
) -> None:
    with pytest.raises(URLRefused):
        body(by_way_of(proxy, "http"), web.url("/x", host))

    assert (proxy.asked, web.asked) == ([], [])


@pytest.mark.parametrize(
    ("rules", "url"),
    [
        ({"disallowed_hosts": ("far.test",)}, "http://far.test/x"),
        ({"allowed_hosts": ("other.test",)}, "http://far.test/x"),
        ({"allowed_ports": (80,)}, "http://far.test:81/x"),
        ({"allowed_schemes": ("https",)}, "http://far.test/x"),
    ],
)
def test_lists_hold_for_names_that_only_the_proxy_knows(
    proxy: ForwardProxy, rules: dict[str, tuple[object, ...]], url: str
) -> None:
    fetch = by_way_of(proxy, "http", filtering=replace(ANY, **rules))  # type: ignore[arg-type] # a table of options

    with pytest.raises(URLRefused):
        fetch.request("GET", url)
    assert proxy.asked == []


def test_each_redirect_is_checked_as_well(proxy: ForwardProxy, web: Web) -> None:
    web.redirect("/inside", "http://169.254.169.254/latest")
    web.redirect("/near", web.url("/x", "far.test"))
    fetch = by_way_of(proxy, "http")

    with pytest.raises(URLRefused):
        body(fetch, web.url("/inside", "far.test"))
    assert body(fetch, web.url("/near", "far.test")) == b"bytes"
    assert len(proxy.asked) == 3


def test_the_account_is_for_the_proxy_alone(
    proxy: ForwardProxy, web: Web, secure: Web
) -> None:
    proxy.account = "user:p:w"
    named = {"filtering": LOCAL, "ca_file": CERT}
    known = by_way_of(proxy, "http", "https", account="user:p%3Aw@", **named)  # type: ignore[arg-type] # as above

    assert body(known, web.url("/x")) == body(known, secure.url("/x")) == b"bytes"
    for url in (web.url("/x"), secure.url("/x")):
        with pytest.raises(StoreUnavailable):
            body(by_way_of(proxy, "http", "https", **named), url)  # type: ignore[arg-type] # as above

    seen = [headers for each in (web, secure) for _, _, headers in each.asked]
    assert len(seen) == 2
    assert not any("Proxy-Authorization" in headers for headers in seen)
    assert "p:w" not in repr(known._options)


def test_credentials_of_the_url_go_to_its_server(proxy: ForwardProxy, web: Web) -> None:
    url = web.url("/x", "far.test").replace("http://", "http://me:secret@")

    assert body(by_way_of(proxy, "http"), url) == b"bytes"
    assert "secret" not in proxy.asked[0][1]
    assert web.asked[0][2]["Authorization"].startswith("Basic ")


def test_a_proxy_that_is_away_or_cannot_reach_it_is_an_outage(
    proxy: ForwardProxy, web: Web, secure: Web
) -> None:
    proxy.names["far.test"] = "127.0.0.255"
    for scheme, port in (("http", web.port), ("https", secure.port)):
        with pytest.raises(StoreUnavailable):
            body(by_way_of(proxy, scheme), f"{scheme}://far.test:{port}/x")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = ForwardProxy(unused.getsockname()[1])
        with pytest.raises(StoreUnavailable):
            body(by_way_of(nobody, "http"), "http://far.test/x")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("proxy:3128", "http://proxy:3128"),
        ("http://proxy:3128/", "http://proxy:3128"),
        ("proxy.example.org", "http://proxy.example.org:80"),
        ("[fd00::1]:3128", "http://[fd00::1]:3128"),
        ("user:word@proxy:3128", "http://proxy:3128"),
    ],
)
def test_how_proxies_are_written(text: str, url: str) -> None:
    assert parse_proxies({"http": text})["http"].url == url


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("http", ""),
        ("http", "https://proxy:3128"),
        ("http", "socks5://proxy:1080"),
        ("http", "proxy:port"),
        ("http", "proxy:3128/path"),
        ("ftp", "proxy:3128"),
    ],
)
def test_what_is_no_proxy_is_a_fault(scheme: str, text: str) -> None:
    with pytest.raises(ConfigurationError, match="http_proxy_information: expected"):
        parse_proxies({scheme: text})
