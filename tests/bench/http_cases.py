"""What the HTTP benchmark asks: images like those that `bench_lists.py` seeds."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.bench.bench_lists import PROJECT, image_id, properties_of, tags_of
from tests.bench.http_load import ask_once, turns
from tests.registry import PATCH
from tests.wire import ADMIN, Headers, as_

CALLER = as_("user-1", PROJECT)
READER = as_("user-2", PROJECT, ("reader",))

Address = tuple[str, int]


@dataclass(frozen=True)
class Service:
    """An Image service to measure.

    Attributes:
        prefix: what stands before ``/v2``.
        headers: sent with every request in place of a caller's, such as a token.
    """

    address: Address
    host: str
    prefix: str = ""
    headers: Headers | None = None

    def request(
        self,
        method: str,
        path: str,
        headers: Headers = CALLER,
        *,
        document: object = None,
        extra: Headers | None = None,
    ) -> bytes:
        """Return a request as it goes over the wire."""
        body = b"" if document is None else json.dumps(document).encode()
        sent = {
            "Host": self.host,
            "Accept": "application/json",
            **(self.headers or headers),
            **(extra or {}),
        }
        if document is not None:
            sent.setdefault("Content-Type", "application/json")
        if body or method in ("POST", "PUT", "PATCH"):
            sent["Content-Length"] = str(len(body))
        lines = [f"{method} {self.prefix}{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in sent.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def ids(self, count: int = 100) -> list[str]:
        """Return ids of images that the caller sees.

        Raises:
            ValueError: the service does not list any.
        """
        path = f"/v2/images?limit={count}"
        status, body = ask_once(self.address, self.request("GET", path))
        found = json.loads(body)["images"] if status == 200 else []
        if not found:
            message = f"the service listed no images: {status} {body[:200]!r}"
            raise ValueError(message)
        return [str(image["id"]) for image in found]

    def fill(self, images: int) -> None:
        """Create images through the API, one after another, as an administrator."""
        for number in range(images):
            request = self.request("POST", "/v2/images", ADMIN, document=record(number))
            status, body = ask_once(self.address, request)
            if status != 201:
                message = f"an image was not created: {status} {body[:200]!r}"
                raise ValueError(message)


def record(number: int, images: int = 1000) -> dict[str, object]:
    """Return the document of one image, with 15 properties and 3 tags."""
    row: dict[str, object] = {"id": image_id(number), "created_at_us": 0}
    properties = {
        str(each["name"]): each["value"] for each in properties_of(row, images)
    }
    tags = [str(each["tag"]) for each in tags_of(row, images)]
    return {
        "name": f"image-{number}",
        "owner": f"project-{number % 7}",
        "visibility": "shared" if number % 10 else "public",
        "disk_format": "raw",
        "container_format": "bare",
        "tags": tags,
        **properties,
    }


Make = Callable[[Service, list[str]], Iterator[bytes]]


@dataclass(frozen=True)
class Case:
    """One thing to measure.

    Attributes:
        writes: whether images are created or changed.
    """

    name: str
    make: Make
    connections: Sequence[int] = (1,)
    expected: frozenset[int] = frozenset({200})
    writes: bool = False


def _listing(query: str) -> Make:
    def make(service: Service, ids: list[str]) -> Iterator[bytes]:
        return turns([service.request("GET", f"/v2/images?limit=100{query}")])

    return make


def _deep(service: Service, ids: list[str]) -> Iterator[bytes]:
    """List from a marker as far back as pages of a hundred reach in ten turns."""
    marker = ids[-1]
    for _ in range(10):
        path = f"/v2/images?limit=100&marker={marker}"
        _, body = ask_once(service.address, service.request("GET", path))
        page = json.loads(body)
        if "next" not in page:
            break
        marker = page["images"][-1]["id"]
    else:
        return _listing(f"&marker={marker}")(service, ids)
    return _listing(f"&marker={ids[0]}")(service, ids)


def _show(service: Service, ids: list[str]) -> Iterator[bytes]:
    return turns([service.request("GET", f"/v2/images/{each}") for each in ids])


def _created(service: Service, ids: list[str]) -> Iterator[bytes]:
    own = {**record(1), "owner": PROJECT}
    if service.headers is not None:
        del own["owner"]
    for number in itertools.count():
        document = {**own, "name": f"new-{number}"}
        yield service.request("POST", "/v2/images", document=document)


def _owned(service: Service) -> list[str]:
    """Return ids of a few images of the caller's own."""
    found = []
    for number in range(20):
        document = {**record(1), "name": f"own-{number}"}
        del document["owner"]
        request = service.request("POST", "/v2/images", document=document)
        _, body = ask_once(service.address, request)
        found.append(str(json.loads(body)["id"]))
    return found


def _patched(service: Service, ids: list[str]) -> Iterator[bytes]:
    own = _owned(service)
    for number, image in enumerate(itertools.cycle(own)):
        operation = {"op": "replace", "path": "/property_3", "value": f"v{number}"}
        yield service.request(
            "PATCH", f"/v2/images/{image}", document=[operation], extra=PATCH
        )


def _refused(service: Service, ids: list[str]) -> Iterator[bytes]:
    operation = {"op": "replace", "path": "/name", "value": "x"}
    image = _owned(service)[0]
    request = service.request(
        "PATCH", f"/v2/images/{image}", READER, document=[operation], extra=PATCH
    )
    return turns([request])


def _mixed(service: Service, ids: list[str]) -> Iterator[bytes]:
    """Show 14, list 2, create 2 and change 2 of each 20."""
    show, page = _show(service, ids), _listing("")(service, ids)
    create, patch = _created(service, ids), _patched(service, ids)
    for number in itertools.count():
        yield next({0: page, 1: create, 2: patch}.get(number % 10, show))


#: Everything that is measured at every size.
LISTS = (
    Case("list 100", _listing(""), (1, 16)),
    Case("list 100 by name", _listing("&sort=name:asc")),
    Case("list 100, deep marker", _deep),
    Case("list, property of half", _listing("&property_0=value-1")),
    Case("list, rare property", _listing("&property_14=rare")),
    Case("list, tag of half", _listing("&tag=half-1")),
    Case("list, rare tag", _listing("&tag=rare")),
)

#: What does not depend on how many images there are, and so is measured once.
SINGLE = (
    Case("show", _show, (1, 16, 64)),
    Case("refused PATCH", _refused, expected=frozenset({403}), writes=True),
    Case("PATCH", _patched, (1, 16), writes=True),
    Case("create", _created, (1, 16, 64), frozenset({201}), writes=True),
    Case("mixed", _mixed, (16, 64), frozenset({200, 201}), writes=True),
)

#: What shall not cost more with more images, which is measured again in turn.
GROWING = ("list 100", "list 100 by name", "list 100, deep marker")

#: What is measured again with 20 protection sections.
PROTECTED = ("show", "create", "list 100")

#: Twenty sections, the one that most names come to being the last.
SECTIONS = "".join(
    f"[^secret_{number}_.*]\ncreate = admin\nread = admin\nupdate = admin\n"
    "delete = admin\n"
    for number in range(19)
) + (
    "[.*]\ncreate = member,admin\nread = member,reader,admin\n"
    "update = member,admin\ndelete = member,admin\n"
)
