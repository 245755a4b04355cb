"""Locations by PATCH: who may, what is checked, and what becomes of the image.

Source: contract api-images 19.1.
"""

import hashlib
from collections.abc import Iterator

import pytest

from tests import databases
from tests.api.conftest import Make
from tests.registry import LocalRegistry, add, merged, remove, replace
from tests.server import Config
from tests.stores.web import Web, web_server
from tests.wire import ADMIN, Document, as_

#: Sources may lie on this machine.
LOCAL: Config = {
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[]"}
}
SHOWN: Config = {"DEFAULT": {"show_multiple_locations": "true"}}
OPEN = merged(LOCAL, SHOWN)

SHA512 = hashlib.sha512(b"hello").hexdigest()
MD5 = hashlib.md5(b"hello").hexdigest()


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as running:
        for name in ("hello", "other", "third"):
            running.put(f"/{name}", name.encode())
        yield running


@pytest.fixture
def registry(make: Make) -> LocalRegistry:
    return make(OPEN)


def place(url: str, **metadata: object) -> Document:
    return {"url": url, "metadata": metadata}


def queued(registry: LocalRegistry, **fields: object) -> str:
    return str(registry.client().create(**fields)["id"])


def urls(document: Document) -> list[str]:
    return [each["url"] for each in document["locations"]]


def test_the_first_location_makes_an_image_active(
    registry: LocalRegistry, web: Web
) -> None:
    alice, image_id = registry.client(), queued(registry)

    answer = alice.patch(image_id, add("locations/-", place(web.url("/hello"), a=1)))

    record = answer.json()
    assert (record["status"], record["size"]) == ("active", 5)
    assert (record["checksum"], record["os_hash_value"]) == (None, None)
    assert record["locations"] == [{"url": web.url("/hello"), "metadata": {"a": 1}}]
    assert alice.download(image_id).body == b"hello"
    ranged = alice.download(image_id, Range="bytes=1-3")
    assert (ranged.status, ranged.body) == (206, b"ell")
    assert alice.upload(image_id, b"data").status == 409


def test_replace_sets_the_first_locations(registry: LocalRegistry, web: Web) -> None:
    alice, image_id = registry.client(), queued(registry)
    both = [place(web.url("/hello")), place(web.url("/other"))]

    record = alice.patch(image_id, replace("locations", both)).json()

    assert record["status"] == "active"
    assert record["locations"] == both


def test_replace_edits_metadata_alone(registry: LocalRegistry, web: Web) -> None:
    alice, image_id = registry.client(), queued(registry)
    one, two = web.url("/hello"), web.url("/other")
    alice.patch(image_id, replace("locations", [place(one), place(two)]))

    edited = alice.patch(
        image_id, replace("locations", [place(two, b=2), place(one, a=1)])
    ).json()

    assert edited["locations"] == [place(one, a=1), place(two, b=2)]
    for wrong in (
        [place(one)],
        [place(one), place(one)],
        [place(one), place(web.url("/third"))],
        [place(one), place(two), place(two)],
    ):
        assert alice.patch(image_id, replace("locations", wrong)).status == 400
    assert alice.patch(image_id, replace("locations", [])).status == 403


def test_passwords_in_urls_are_kept_and_never_shown(
    registry: LocalRegistry, web: Web
) -> None:
    alice, image_id = registry.client(), queued(registry)
    secret = web.url("/hello").replace("http://", "http://user:canary@")

    added = alice.patch(image_id, add("locations/-", place(secret)))
    listed = added.json()["locations"]
    edited = alice.patch(image_id, replace("locations", [place(listed[0]["url"], a=1)]))
    alice.download(image_id)

    assert edited.status == 200
    assert b"canary" not in added.body + edited.body
    assert urls(edited.json()) == [web.url("/hello")]
    assert web.asked[-1][2]["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "filesystem:///etc/passwd",
        "FileSystem:///etc/passwd",
        "swift+config://r/c/o",
        "swift+CONFIG://r/c/o",
        "file:/etc/passwd",
        "file://localhost/etc/passwd",
        "fi%6ce:///etc/passwd",
        " file:///etc/passwd",
        "ftp://h/x",
        "s3://key:secret@host/bucket/object",
        "memory://memory/x",
        "x",
        "",
        "http://",
        "http://[",
        "http://127.0.0.2/x",
        "http://localhost/x",
        "http://2130706433/x",
        "http://169.254.169.254/x",
        "{web}/missing",
        "{web}/empty",
        "{web}/unsaid",
        "{web}/broken",
        "{web}/away",
        "{web}/longer",
    ],
)
@pytest.mark.parametrize("status", ["queued", "active"])
def test_an_unusable_location_is_refused(
    registry: LocalRegistry, web: Web, url: str, status: str
) -> None:
    alice, image_id = registry.client(), queued(registry)
    web.put("/empty")
    web.put("/unsaid", b"bytes", says_length=False)
    web.put("/broken", b"bytes", status=500)
    web.redirect("/away", "http://169.254.169.254/latest")
    web.put("/longer", b"longer than hello")
    if status == "active":
        alice.patch(image_id, add("locations/-", place(web.url("/hello"))))
    elif "longer" in url:
        return
    before = alice.show(image_id)

    answer = alice.patch(
        image_id, add("locations/-", place(url.replace("{web}", web.url(""))))
    )

    assert answer.status == 400
    assert alice.show(image_id) == before


def test_the_bytes_of_an_image_are_not_had_through_another(make: Make) -> None:
    registry = make(OPEN)
    alice, other = registry.client(), queued(registry)
    alice.upload(other, b"secret")
    url = urls(registry.admin.show(other))[0]
    bob = registry.client(as_("bob", "project-b"))
    image_id = str(bob.create()["id"])

    for spelled in (url, url.replace("file:", "filesystem:")):
        assert bob.patch(image_id, add("locations/-", place(spelled))).status == 400


@pytest.mark.parametrize(
    ("position", "status"),
    [("-", 200), ("0", 200), ("99", 200), ("x", 400), ("-1", 400), ("1.0", 400)],
)
def test_positions(
    registry: LocalRegistry, web: Web, position: str, status: int
) -> None:
    alice, image_id = registry.client(), queued(registry)

    answer = alice.patch(
        image_id, add(f"locations/{position}", place(web.url("/hello")))
    )

    assert answer.status == status


def test_the_same_location_twice_is_refused(registry: LocalRegistry, web: Web) -> None:
    alice, image_id = registry.client(), queued(registry)
    one = add("locations/-", place(web.url("/hello")))

    assert alice.patch(image_id, one, one).status == 400
    assert alice.patch(image_id, one).status == 200
    assert alice.patch(image_id, one).status == 400
    other = add("locations/-", place(web.url("/hello"), a=1))
    assert alice.patch(image_id, other).status == 200


def test_formats_must_be_known_by_then(registry: LocalRegistry, web: Web) -> None:
    alice = registry.client()
    image_id = queued(registry, disk_format=None)
    one = add("locations/-", place(web.url("/hello")))

    assert alice.patch(image_id, one).status == 400
    assert alice.patch(image_id, replace("disk_format", "raw"), one).status == 200


def test_nothing_is_kept_of_a_patch_that_fails_later(
    registry: LocalRegistry, web: Web
) -> None:
    alice, image_id = registry.client(), queued(registry)
    before = alice.show(image_id)
    one = add("locations/-", place(web.url("/hello")))

    assert alice.patch(image_id, one, remove("colour")).status == 409
    assert alice.show(image_id) == before


def test_only_an_administrator_removes_by_default(
    registry: LocalRegistry, web: Web
) -> None:
    alice, image_id = registry.client(), queued(registry)
    both = [place(web.url("/hello")), place(web.url("/other"))]
    alice.patch(image_id, replace("locations", both))

    assert alice.patch(image_id, remove("locations/0")).status == 403
    assert registry.admin.patch(image_id, remove("locations/2")).status == 400
    assert registry.admin.patch(image_id, remove("locations/x")).status == 400
    removed = registry.admin.patch(image_id, remove("locations/-"))
    assert urls(removed.json()) == [web.url("/hello")]
    assert registry.admin.patch(image_id, remove("locations/0")).status == 403
    assert registry.admin.patch(image_id, remove("locations/7")).status == 403
    assert alice.download(image_id).body == b"hello"


def test_removing_a_location_removes_its_bytes(
    registry: LocalRegistry, web: Web
) -> None:
    image_id = queued(registry)
    alice = registry.client()
    alice.upload(image_id, b"hello")
    alice.patch(image_id, add("locations/-", place(web.url("/hello"))))
    assert len(list(registry.blobs())) == 1

    registry.admin.patch(image_id, remove("locations/0"))

    assert list(registry.blobs()) == []
    assert registry.everything().rows["condemned_locations"] == []
    assert alice.download(image_id).body == b"hello"


@pytest.mark.parametrize("status", ["saving", "uploading", "importing", "deactivated"])
def test_the_status_must_fit(registry: LocalRegistry, web: Web, status: str) -> None:
    alice, image_id = registry.client(), queued(registry)
    assert registry.admin.patch(image_id, remove("locations/0")).status == 409
    databases.execute(registry.where, "UPDATE images SET status = ?", status)

    for operation in (
        add("locations/-", place(web.url("/hello"))),
        replace("locations", [place(web.url("/hello"))]),
        remove("locations/0"),
    ):
        assert registry.admin.patch(image_id, operation).status == 409
    assert alice.show(image_id)["locations"] == []


@pytest.mark.parametrize(
    "operation",
    [
        add("locations/-", place("http://127.0.0.1/x")),
        replace("locations", []),
        remove("locations/0"),
    ],
)
def test_with_the_option_off_locations_are_invisible(
    make: Make, operation: Document
) -> None:
    registry = make(LOCAL)
    image_id = queued(registry)

    answer = registry.admin.patch(image_id, operation)

    assert answer.status == 403
    assert b"invisible" in answer.body


@pytest.mark.parametrize(
    "value",
    [
        "x",
        [],
        {},
        {"url": "http://h/x"},
        {"metadata": {}},
        {"url": 1, "metadata": {}},
        {"url": "http://h/x", "metadata": "x"},
        {"url": "http://h/x", "metadata": None},
        {"url": "http://h/" + "x" * 255, "metadata": {}},
        {"url": "http://h/x", "metadata": {}, "validation_data": None},
        {"url": "http://h/x", "metadata": {}, "validation_data": {"checksum": MD5}},
        {
            "url": "http://h/x",
            "metadata": {},
            "validation_data": {"os_hash_algo": "sha512", "os_hash_value": 1},
        },
    ],
)
def test_the_schema_comes_before_everything(make: Make, value: object) -> None:
    registry = make(LOCAL)

    stranger = registry.client(as_("bob", "project-b"))

    assert stranger.patch("no-such-image", add("locations/-", value)).status == 400
    if not isinstance(value, list):
        document = replace("locations", [value])
        assert stranger.patch("no-such-image", document).status == 400
    assert stranger.patch("no-such-image", replace("locations", "x")).status == 400


def test_the_rule_decides_who_adds(make: Make, web: Web) -> None:
    policy = {"oslo_policy": {"policy_file": "policy.json"}}
    rules = '{"set_image_location": "role:admin"}'
    registry = make(merged(OPEN, policy), files={"policy.json": rules})
    image_id = queued(registry)
    one = add("locations/-", place(web.url("/hello")))

    assert registry.client().patch(image_id, one).status == 403
    assert registry.client(as_("bob", "project-b")).patch(image_id, one).status == 404
    assert web.asked == []
    assert registry.client(ADMIN).patch(image_id, one).status == 200


def test_a_stranger_cannot_change_a_public_image(make: Make, web: Web) -> None:
    policy = {"oslo_policy": {"policy_file": "policy.json"}}
    registry = make(
        merged(OPEN, policy), files={"policy.json": '{"set_image_location": ""}'}
    )
    image_id = queued(registry, visibility="community")
    one = add("locations/-", place(web.url("/hello")))

    bob = registry.client(as_("bob", "project-b"))

    assert bob.patch(image_id, one).status == 403


def test_the_quota_of_locations(make: Make, web: Web) -> None:
    quota = {"DEFAULT": {"image_location_quota": "2"}}
    registry = make(merged(OPEN, quota))
    alice, image_id = registry.client(), queued(registry)

    for path, status in (("/hello", 200), ("/other", 200), ("/third", 413)):
        answer = alice.patch(image_id, add("locations/-", place(web.url(path))))
        assert answer.status == status
    assert len(urls(alice.show(image_id))) == 2


def test_the_storage_quota_counts_locations(make: Make, web: Web) -> None:
    quota = {"DEFAULT": {"user_storage_quota": "12"}}
    registry = make(merged(OPEN, quota))
    alice, image_id = registry.client(), queued(registry)

    for path, status in (("/hello", 200), ("/other", 200), ("/third", 413)):
        answer = alice.patch(image_id, add("locations/-", place(web.url(path))))
        assert answer.status == status


def validated(url: str, **digest: str) -> Document:
    known = {"os_hash_algo": "sha512", "os_hash_value": SHA512, "checksum": MD5}
    return {"url": url, "metadata": {}, "validation_data": {**known, **digest}}


def test_digests_are_taken_over_and_bind_later_ones(
    registry: LocalRegistry, web: Web
) -> None:
    alice, image_id = registry.client(), queued(registry)
    hello, other = web.url("/hello"), web.url("/other")

    record = alice.patch(image_id, add("locations/-", validated(hello))).json()

    assert (record["checksum"], record["os_hash_value"]) == (MD5, SHA512)
    wrong = validated(other, checksum="0" * 32)
    assert alice.patch(image_id, add("locations/-", wrong)).status == 409
    assert alice.patch(image_id, add("locations/-", validated(other))).status == 200
    assert all("validation_data" not in p for p in alice.show(image_id)["locations"])


@pytest.mark.parametrize(
    "digest",
    [
        {"os_hash_algo": "sha256"},
        {"os_hash_value": "zz" * 64},
        {"os_hash_value": SHA512[:-2]},
        {"checksum": "g" * 32},
    ],
)
def test_what_cannot_be_a_digest_is_a_conflict(
    registry: LocalRegistry, web: Web, digest: dict[str, str]
) -> None:
    alice, image_id = registry.client(), queued(registry)
    one = validated(web.url("/hello"), **digest)

    assert alice.patch(image_id, add("locations/-", one)).status == 409
    assert alice.show(image_id)["status"] == "queued"


def test_digests_cannot_be_set_later(registry: LocalRegistry, web: Web) -> None:
    alice, image_id = registry.client(), queued(registry)
    alice.patch(image_id, add("locations/-", place(web.url("/hello"))))
    other = validated(web.url("/other"))

    assert alice.patch(image_id, add("locations/-", other)).status == 409


def test_contradicting_digests_in_one_request(
    registry: LocalRegistry, web: Web
) -> None:
    alice, image_id = registry.client(), queued(registry)
    two = [
        validated(web.url("/hello")),
        validated(web.url("/other"), checksum="0" * 32),
    ]

    assert alice.patch(image_id, replace("locations", two)).status == 409


def test_every_sequence_of_operations_keeps_the_digests(
    registry: LocalRegistry, web: Web
) -> None:
    """OSSA-2016-006: locations that come and go must not swap an image's data."""
    alice, image_id = registry.client(), queued(registry)
    alice.upload(image_id, b"hello")
    facts = ("size", "checksum", "os_hash_algo", "os_hash_value", "status")
    before = {name: alice.show(image_id)[name] for name in facts}

    for operation in (
        add("locations/0", place(web.url("/other"))),
        remove("locations/0"),
        replace("locations", [place(web.url("/other"), a=1)]),
        add("locations/-", validated(web.url("/hello"))),
        remove("locations/0"),
    ):
        registry.admin.patch(image_id, operation)
        assert {name: alice.show(image_id)[name] for name in facts} == before


def test_another_location_comes_in_while_the_first_is_asked_for(
    registry: LocalRegistry, web: Web
) -> None:
    """Whoever decided on an older state decides anew."""
    alice, image_id = registry.client(), queued(registry)
    asked = web.pages["/hello"]
    pages = dict(web.pages)

    class Slow(dict[str, object]):
        def get(self, path: str, default: object = None) -> object:
            if path == "/hello" and len(web.asked) == 1:
                one = add("locations/-", place(web.url("/other")))
                assert alice.patch(image_id, one).status == 200
            return pages.get(path, default)

    web.pages = Slow()  # type: ignore[assignment] # interferes on purpose
    answer = alice.patch(image_id, add("locations/-", place(web.url("/hello"))))

    assert asked.body == b"hello"
    assert answer.status == 200
    assert urls(answer.json()) == [web.url("/other"), web.url("/hello")]
