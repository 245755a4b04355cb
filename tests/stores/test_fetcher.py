"""Following URLs: the checked address, redirects, credentials, certificates."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imagereg.errors import BlobNotFound, StoreUnavailable
from imagereg.settings.imaging import ImportFiltering
from imagereg.stores.fetcher import Fetcher, FetchOptions
from imagereg.stores.url_filter import URLFilter, URLRefused
from tests.stores.web import Web, web_server

CERT = Path(__file__).parent.parent / "policy" / "tls" / "cert.pem"

OPEN = replace(ImportFiltering(), allowed_ports=())
LOCAL = replace(OPEN, allowed_hosts=("127.0.0.1", "one.test", "two.test"))


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        yield running


def local(host: str, port: int) -> Sequence[str]:
    return ("127.0.0.1",)


def fetcher(options: ImportFiltering = LOCAL, **more: object) -> Fetcher:
    return Fetcher(URLFilter(options, local), replace(FetchOptions(), **more))  # type: ignore[arg-type] # a table of options


def body(fetch: Fetcher, url: str) -> bytes:
    answer = fetch.request("GET", url)
    try:
        return b"".join(answer)
    finally:
        answer.close()


def test_reads_what_lies_there_under_the_name_of_the_host(web: Web) -> None:
    web.put("/x", b"bytes")

    assert body(fetcher(), web.url("/x", "one.test")) == b"bytes"

    method, path, headers = web.asked[0]
    assert (method, path, headers["Host"]) == ("GET", "/x", f"one.test:{web.port}")
    assert headers["Accept-Encoding"] == "identity"


def test_a_resolver_that_flips_is_asked_once_and_taken_at_its_word(web: Web) -> None:
    web.put("/x", b"secret")
    answers = [("203.0.114.9",), ("127.0.0.1",)]
    flipping = URLFilter(OPEN, lambda host, port: answers.pop(0))
    fetch = Fetcher(flipping, FetchOptions(connect_s=0.05, head_s=0.2))

    with pytest.raises(StoreUnavailable):
        body(fetch, web.url("/x", "rebinding.test"))

    assert web.asked == []
    assert answers == [("127.0.0.1",)]
    with pytest.raises(URLRefused):
        body(fetch, web.url("/x", "rebinding.test"))


def test_an_address_that_does_not_answer_gives_way_to_the_next(web: Web) -> None:
    web.put("/x", b"bytes")
    filtering = URLFilter(LOCAL, lambda host, port: ("127.0.0.2", "127.0.0.1"))

    assert body(Fetcher(filtering, FetchOptions()), web.url("/x", "one.test"))


@pytest.mark.parametrize("status", [301, 302])
def test_follows_redirects(web: Web, status: int) -> None:
    web.put("/end", b"bytes")
    web.redirect("/b/two", "../end", status)
    start = web.redirect("/one", web.url("/b/two", "two.test"), status)

    assert body(fetcher(), start) == b"bytes"
    assert [path for _, path, _ in web.asked] == ["/one", "/b/two", "/end"]


@pytest.mark.parametrize("status", [300, 303, 304, 305, 307, 308])
def test_no_other_redirect_is_followed(web: Web, status: int) -> None:
    web.put("/end", b"bytes")

    with pytest.raises(StoreUnavailable):
        body(fetcher(), web.redirect("/one", "/end", status))


def test_at_most_five_redirects(web: Web) -> None:
    for number in range(6):
        web.redirect(f"/{number}", f"/{number + 1}")
    web.put("/6", b"end")

    assert body(fetcher(), web.url("/1")) == b"end"
    with pytest.raises(StoreUnavailable):
        body(fetcher(), web.url("/0"))


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://2130706433/",
        "http://localhost:{port}/secret",
        "http://[::1]:{port}/secret",
        "//127.0.0.2:{port}/secret",
        "file:///etc/passwd",
        "ftp://one.test/x",
        "http://one.test:{port}/\r\nx",
    ],
)
def test_every_hop_is_checked(web: Web, target: str) -> None:
    web.put("/secret", b"secret")
    web.redirect("/one", web.url("/two"))
    web.redirect("/two", target.format(port=web.port).replace("\r\n", " "))

    with pytest.raises((URLRefused, StoreUnavailable)):
        body(fetcher(), web.url("/one"))

    assert [path for _, path, _ in web.asked] == ["/one", "/two"]


def test_credentials_stay_with_their_server(web: Web) -> None:
    web.put("/end", b"bytes")
    web.redirect("/away", web.url("/end", "two.test"))
    web.redirect("/here", "/end")
    base = f"http://user:pw@one.test:{web.port}"

    body(fetcher(), f"{base}/away")
    body(fetcher(), f"{base}/here")

    sent = [(path, headers.get("Authorization")) for _, path, headers in web.asked]
    basic = "Basic dXNlcjpwdw=="
    assert sent == [("/away", basic), ("/end", None), ("/here", basic), ("/end", basic)]


def test_credentials_of_a_redirect_are_not_sent(web: Web) -> None:
    web.put("/end", b"bytes")
    web.redirect("/one", f"http://root:pw@two.test:{web.port}/end")

    body(fetcher(), web.url("/one"))

    assert all("Authorization" not in headers for _, _, headers in web.asked)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, BlobNotFound),
        (410, BlobNotFound),
        (401, StoreUnavailable),
        (403, StoreUnavailable),
        (500, StoreUnavailable),
    ],
)
def test_what_a_server_says_in_words_stays_inside(
    web: Web, status: int, error: type[Exception]
) -> None:
    web.put("/x", b"canary", status=status)

    with pytest.raises(error) as failure:
        body(fetcher(), web.url("/x"))

    assert "canary" not in str(failure.value)
    assert str(status) not in str(failure.value)


def test_a_body_that_breaks_off_is_a_failure(web: Web) -> None:
    web.put("/x", b"0123456789", cut=3)

    with pytest.raises(StoreUnavailable):
        body(fetcher(), web.url("/x"))


def test_compressed_answers_are_not_taken_for_data(web: Web) -> None:
    web.put("/x", b"zip", headers={"Content-Encoding": "gzip"})

    with pytest.raises(StoreUnavailable):
        body(fetcher(), web.url("/x"))


def test_a_server_that_is_silent_is_given_up(web: Web) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x"

        with pytest.raises(StoreUnavailable):
            body(fetcher(read_s=0.05), url)


@pytest.fixture
def secure() -> Iterator[Web]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(CERT, CERT.with_name("key.pem"))
    with web_server(tls) as running:
        running.put("/x", b"bytes")
        yield running


def test_certificates_are_checked(secure: Web) -> None:
    with pytest.raises(StoreUnavailable):
        body(fetcher(), secure.url("/x", "127.0.0.1"))

    assert secure.asked == []


def test_certificates_are_checked_for_the_name_not_the_address(secure: Web) -> None:
    assert body(fetcher(ca_file=CERT), secure.url("/x", "127.0.0.1")) == b"bytes"
    with pytest.raises(StoreUnavailable):
        body(fetcher(ca_file=CERT), secure.url("/x", "one.test"))


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_an_operator_may_do_without(secure: Web) -> None:
    assert body(fetcher(verify=False), secure.url("/x", "one.test")) == b"bytes"
