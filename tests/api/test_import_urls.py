"""``web-download`` leads nowhere but where the operator allows.

Through the route, because what the filter refuses is of no use if a path to the
fetcher goes around it.

Source: contract api-images 18.3; SECURITY on OSSA-2026-004 and OSSA-2026-038.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.jobs.image_import import ImageImport
from imagereg.jobs.import_request import ImportMethod
from imagereg.jobs.sources import WebSource
from imagereg.model import TaskType
from imagereg.stores.fetcher import Fetcher
from imagereg.stores.url_filter import URLFilter
from tests.api.conftest import Make
from tests.api.imports import SINGLE, Importing
from tests.registry import LocalRegistry
from tests.stores.web import Web, web_server

#: Ways to write, or to hide, an address that nobody outside may reach.
HOSTS = (
    *("127.0.0.1", "127.8.8.8", "localhost", "LOCALHOST", "localhost."),
    *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.1"),
    *("127.000.000.001", "127.0.0.1.", "0", "0.0.0.0"),
    *("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]", "[fe80::1]"),
    *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]"),
    *("[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]"),
    *("169.254.169.254", "169.254.170.2", "2852039166", "0xa9fea9fe", "0251.0376.1"),
    *("[fd00:ec2::254]", "168.63.129.16", "100.64.0.1", "100.100.100.200"),
    *("192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u24db\u24de\u24d2al"),
    *("user@127.0.0.1", "192.168.0.1@127.0.0.1", "192.168.0.1\\@127.0.0.1"),
    *("", "-", "a..b"),
)

URLS = (
    *(f"http://{host}/x" for host in HOSTS),
    *("", "x", "/x", "//192.168.0.1/x", "http:192.168.0.1", "http:///x"),
    *("file:///etc/passwd", "FILE:///etc/passwd", "filesystem:///etc/passwd"),
    *("ftp://192.168.0.1/x", "gopher://192.168.0.1/x", "dict://192.168.0.1:11211/"),
    *("jar:http://192.168.0.1!/x", "data:,x", "s3://192.168.0.1/b/k"),
    *(f"http://192.168.0.1:{port}/x" for port in (0, 22, 25, 8080, 65536, "x", -1)),
    *("http://192.168.0.1/\r\nX: y", "http://192.168.0.1/\x00", " http://192.168.0.1"),
)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry with the filter as it is without any option."""
    made = LocalRegistry(tmp_path_factory.mktemp("strict"))
    yield made
    made.close()


@pytest.mark.parametrize("url", URLS, ids=repr)
def test_a_url_that_is_refused_begins_nothing(strict: LocalRegistry, url: str) -> None:
    image = Importing(strict)
    before = strict.everything()

    answer = image.ask({"name": "web-download", "uri": url})

    assert answer.status == 400, answer
    # In the same words for every reason.
    assert b"the URL is not one that may be used" in answer.body
    assert strict.everything() == before


@pytest.mark.parametrize("uri", [None, 1, [], {}, True], ids=repr)
def test_what_is_no_text_is_no_url(strict: LocalRegistry, uri: object) -> None:
    image = Importing(strict)

    assert image.ask({"name": "web-download", "uri": uri}).status == 400
    assert image.ask("web-download").status == 400


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        running.put("/inner", b"what nobody outside may read")
        yield running


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make(SINGLE)


@pytest.mark.parametrize("status", [301, 302])
@pytest.mark.parametrize("host", [h for h in HOSTS if not h.endswith("127.0.0.1")])
def test_a_redirect_leads_no_further_than_a_url(
    registry: LocalRegistry, web: Web, host: str, status: int
) -> None:
    web.redirect("/data", f"http://{host}:{web.port}/inner", status)
    image = Importing(registry).fetch(web)

    image.work()

    assert image.record["status"] == "queued"
    assert image.task["message"] == "the data could not be read from their source"
    assert [path for _, path, _ in web.asked] == ["/data"]


@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1:70/", "//[::1]/x"],
)
def test_a_redirect_changes_to_no_other_scheme(
    registry: LocalRegistry, web: Web, target: str
) -> None:
    web.redirect("/data", target)
    image = Importing(registry).fetch(web)

    image.work()

    assert image.record["status"] == "queued"
    assert [path for _, path, _ in web.asked] == ["/data"]


def test_a_name_that_changes_its_address_is_checked_when_it_is_connected_to(
    make: Make, web: Web
) -> None:
    """The name server says one thing to the request, and another to the job."""
    answers = iter(["192.168.0.1", "127.0.0.1", "127.0.0.1"])
    flips = lambda host, port: (next(answers),)  # noqa: E731 - a resolver in one line
    registry = make()
    imports = registry.registry.app.view_functions["POST /v2/images/<image_id>/import"]
    services = next(
        cell.cell_contents
        for cell in imports.__closure__ or ()
        if hasattr(cell.cell_contents, "imports")
    )
    filters = [services.imports.url_filter, fetcher_of(registry).filter]
    for each in filters:
        assert isinstance(each, URLFilter)
        object.__setattr__(each, "resolver", flips)
    image = Importing(registry)

    image.begin({"name": "web-download", "uri": "http://rebound.example.org/inner"})
    image.work()

    assert image.record["status"] == "queued"
    assert image.task["status"] == "failure"
    assert web.asked == []


def fetcher_of(registry: LocalRegistry) -> Fetcher:
    kind = registry.registry.jobs._queue.kinds[TaskType.API_IMAGE_IMPORT]
    assert isinstance(kind, ImageImport)
    source = kind.sources[ImportMethod.WEB_DOWNLOAD]
    assert isinstance(source, WebSource)
    return source.fetcher


def test_nothing_of_this_machine_is_read(registry: LocalRegistry, web: Web) -> None:
    secret = Path(registry.where) / "imagereg.conf"
    web.redirect("/data", secret.as_uri())
    image = Importing(registry).fetch(web)

    image.work()

    assert image.record["status"] == "queued"
