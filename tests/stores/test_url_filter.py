"""Which URLs may be followed: every spelling, and what names resolve to."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address

import pytest

from imagereg.settings.imaging import ImportFiltering
from imagereg.stores.url_filter import URLFilter, URLRefused, is_reachable, resolve

GLOBAL = "93.184.216.34"


def resolving(*addresses: str) -> URLFilter:
    return URLFilter(ImportFiltering(), lambda host, port: addresses)


ANY = resolving(GLOBAL)


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "target"),
    [
        ("http://example.org/x", "http", "example.org", 80, "/x"),
        ("HTTP://EXAMPLE.org./x?a=b#c", "http", "example.org", 80, "/x?a=b"),
        ("https://example.org", "https", "example.org", 443, "/"),
        ("https://example.org:443/a%20b", "https", "example.org", 443, "/a%20b"),
        ("http://93.184.216.34:80/x", "http", GLOBAL, 80, "/x"),
        ("http://[2606:4700::0:1111]/x", "http", "2606:4700::1111", 80, "/x"),
        ("http://example.org/ü", "http", "example.org", 80, "/%C3%BC"),
        ("http://example.org//a/../b", "http", "example.org", 80, "//a/../b"),
    ],
)
def test_a_plain_url_passes(
    url: str, scheme: str, host: str, port: int, target: str
) -> None:
    checked = ANY.check(url)

    assert checked.origin == (scheme, host, port)
    assert checked.target == target
    assert checked.addresses == (GLOBAL,)


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "127.000.000.001",
        "127.0.0.1.",
        "1.2.3.4.5",
        "example.0x7f",
        "example.1",
        "0",
        "0x",
        "[::1%25lo]",
        "[fe80::1%25eth0]",
        "[v1.x]",
        "[127.0.0.1]",
        "\uff11\uff12\uff17.0.0.1",  # full-width digits
        "127\u30020\u30020\u30021",  # ideographic full stops
        "\u24db\u24de\u24d2al\u24d7\u24de\u24e2t",  # circled letters
        "exa mple.org",
        "ex%61mple.org",
        "exam\\ple.org",
        "-x.org",
        "a..b",
        ".",
        "",
        "x" * 64 + ".org",
        ".".join(["abcdefg"] * 40),
    ],
)
def test_odd_spellings_of_a_host_are_refused(host: str) -> None:
    with pytest.raises(URLRefused):
        ANY.check(f"http://{host}/x")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/x",
        "//example.org/x",
        "http:example.org",
        "http:///x",
        "ftp://example.org/x",
        "file:///etc/passwd",
        "gopher://example.org/x",
        "http://example.org:0/x",
        "http://example.org:22/x",
        "http://example.org:65536/x",
        "http://example.org:x/x",
        "http://[::1",
        "http://example.org/a b",
        "http://example.org/\r\nHost: x",
        "http://example.org/\x00",
        "http://example.org\\@127.0.0.1/",
        " http://example.org/",
    ],
)
def test_what_is_no_usable_url_is_refused(url: str) -> None:
    with pytest.raises(URLRefused):
        ANY.check(url)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        (GLOBAL, True),
        ("2606:4700::1111", True),
        ("10.1.2.3", True),  # private ranges: the site's own servers
        ("172.16.0.1", True),
        ("192.168.1.1", True),
        ("fd12:3456::1", True),
        ("64:ff9b::5db8:d822", True),  # NAT64 of a global address
        ("127.0.0.1", False),
        ("127.255.255.254", False),
        ("::1", False),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("fec0::1", False),
        ("0.0.0.0", False),
        ("0.1.2.3", False),
        ("::", False),
        ("224.0.0.1", False),
        ("ff02::1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("100.64.0.1", False),
        ("100.100.100.200", False),
        ("fd00:ec2::254", False),
        ("168.63.129.16", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2002:a9fe:a9fe::1", False),
        ("2001:0:5db8:d822:0:0:80ff:fffe", False),
        ("2001:db8::1", False),
    ],
)
def test_what_may_be_connected_to(address: str, allowed: bool) -> None:
    literal = f"[{address}]" if ":" in address else address

    assert is_reachable(ip_address(address)) is allowed
    if not allowed:
        for url in ("http://example.org/", f"http://{literal}/"):
            with pytest.raises(URLRefused):
                resolving(address).check(url)


def test_one_bad_address_among_good_ones_is_enough() -> None:
    with pytest.raises(URLRefused):
        resolving(GLOBAL, "127.0.0.1").check("http://example.org/")


def test_a_name_that_does_not_resolve_is_refused_in_the_same_words() -> None:
    def fail(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(URLRefused) as unknown:
        URLFilter(ImportFiltering(), fail).check("http://example.org/")
    with pytest.raises(URLRefused) as nothing:
        resolving().check("http://example.org/")
    with pytest.raises(URLRefused) as inside:
        resolving("127.0.0.1").check("http://example.org/")

    assert unknown.value.message == inside.value.message == nothing.value.message


@pytest.mark.parametrize(
    ("options", "url", "passes"),
    [
        ({"allowed_hosts": ("Example.org",)}, "http://example.ORG/", True),
        ({"allowed_hosts": ("example.org",)}, "http://example.com/", False),
        ({"disallowed_hosts": ("example.org",)}, "http://example.org./", False),
        ({"disallowed_hosts": ("example.org",)}, "http://example.com/", True),
        (
            {"allowed_hosts": ("a.org",), "disallowed_hosts": ("a.org",)},
            "http://a.org/",
            True,
        ),
        ({"allowed_schemes": ("https",)}, "http://example.org/", False),
        (
            {"allowed_schemes": (), "disallowed_schemes": ("http",)},
            "http://example.org/",
            False,
        ),
        ({"allowed_schemes": ("ftp",)}, "ftp://example.org/", False),
        ({"allowed_ports": (8080,)}, "http://example.org:8080/", True),
        ({"allowed_ports": (8080,)}, "http://example.org:80/", False),
        ({"allowed_ports": (8080,)}, "http://example.org/", True),  # not written
        ({"allowed_ports": ()}, "http://example.org:9/", True),
        (
            {"allowed_ports": (), "disallowed_ports": (9,)},
            "http://example.org:9/",
            False,
        ),
    ],
)
def test_the_lists_decide(options: dict[str, object], url: str, passes: bool) -> None:
    chosen = replace(ImportFiltering(), **options)  # type: ignore[arg-type] # a table of options
    url_filter = URLFilter(chosen, lambda host, port: (GLOBAL,))

    if passes:
        assert url_filter.check(url).addresses == (GLOBAL,)
    else:
        with pytest.raises(URLRefused):
            url_filter.check(url)


def test_a_host_that_is_allowed_by_name_may_be_anywhere() -> None:
    options = replace(ImportFiltering(), allowed_hosts=("127.0.0.1", "inner"))
    url_filter = URLFilter(options, lambda host, port: ("127.0.0.1",))

    assert url_filter.check("http://127.0.0.1/").addresses == ("127.0.0.1",)
    assert url_filter.check("http://inner/").addresses == ("127.0.0.1",)


def test_credentials_are_told_apart_from_the_host() -> None:
    checked = ANY.check("http://us%40er:p%3Aw@example.org/x")

    assert checked.credentials == ("us@er", "p:w")
    assert checked.host == "example.org"


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://example.org/", "example.org"),
        ("http://example.org:443/", "example.org:443"),
        ("https://[2606:4700::1]:80/", "[2606:4700::1]:80"),
    ],
)
def test_the_host_header_names_the_host(url: str, header: str) -> None:
    assert ANY.check(url).host_header == header


def test_the_system_resolves_plain_addresses() -> None:
    assert resolve("127.0.0.1", 80) == ("127.0.0.1",)
