"""What belongs to others stays theirs: lists, children, read-only fields, ownership.

Source: contract policy 12 (P-4, P-5), api-images 4.3, 5, 10.3; SECURITY.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from imagereg.api.list_query import CHOICES, EXACT, NUMBERS, SPECIAL, TIMES
from imagereg.images.fields import READ_ONLY
from imagereg.model import MemberStatus, Visibility
from tests.api.personas import ABSENT, DATA, MEMBER, OWNER, PENDING, PERSONAS, an_image
from tests.registry import PATCH, LocalClient, LocalRegistry, add, remove, replace
from tests.wire import as_

MD5, SHA512 = (hashlib.new(name, DATA).hexdigest() for name in ("md5", "sha512"))
ORIGIN_FILE = Path(__file__).parent.parent / "policy" / "origin.json"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry with the open policy file of the origin."""
    made = LocalRegistry(
        tmp_path_factory.mktemp("origin"),
        {"oslo_policy": {"policy_file": "policy.json"}},
        files={"policy.json": ORIGIN_FILE.read_text()},
    )
    yield made
    made.close()


def client(registry: LocalRegistry, persona: str) -> LocalClient:
    """Return a client of one persona."""
    return registry.client(PERSONAS[persona])


@pytest.fixture(scope="module")
def full(origin: LocalRegistry) -> LocalRegistry:
    """Return a registry with an image of each visibility, hidden ones too."""
    for visibility in Visibility:
        for hidden in (False, True):
            ids = an_image()(origin, visibility)
            done = origin.admin.patch(ids["image_id"], replace("os_hidden", hidden))
            assert done.status == 200
    return origin


FILTERS = [
    f"owner={OWNER}",
    "owner=",
    *(f"visibility={v}" for v in (*Visibility, "all", "")),
    *(f"member_status={s}" for s in (*MemberStatus, "all")),
    *("os_hidden=true", "os_hidden=false", "protected=false", "deleted=true"),
    *("name=n", "name=in:n,m", "status=active", "status=eq:active"),
    *("container_format=bare", "disk_format=in:raw,qcow2", "tag=old"),
    *("colour=blue", f"size={len(DATA)}", "size_min=0", "min_disk=0", "min_ram_max=9"),
    *("created_at=gte:2001-01-01T00:00:00Z", "updated_at=neq:2001-01-01T00:00:00Z"),
    *("os_hash_algo=sha512", "is_public=true", "is_admin=true", "project_id=x"),
    *("member=project-member", "limit=1000", "sort=name:asc", "tenant=x"),
    *("location=x", "locations=x", "members=x", "properties=x", "member_id=x"),
    *("id=in:x", f"id={ABSENT}", "virtual_size_max=9", "min_ram=0", "owner_max=x"),
    *(f"checksum={MD5}", f"os_hash_value={SHA512}", "changes-since=2001-01-01"),
]


def test_every_filter_that_the_list_knows_is_tried() -> None:
    known = {*SPECIAL, *CHOICES, *EXACT, *TIMES, *NUMBERS}
    tried = {query.partition("=")[0].removesuffix("_max") for query in FILTERS}

    assert known <= tried


@pytest.mark.parametrize("wide", ["", "&visibility=all&member_status=all"])
@pytest.mark.parametrize("query", FILTERS)
def test_no_filter_shows_more_than_may_be_seen(
    full: LocalRegistry, query: str, wide: str
) -> None:
    for persona in PERSONAS:
        if persona == "anonymous":
            continue
        caller = client(full, persona)
        path = f"/v2/images?{query}&owner={OWNER}{wide}"

        answer = caller.get(path)
        if answer.status != 200:
            # Nobody learns whose filter it was.
            assert answer.status == full.admin.get(path).status == 400
            continue
        listed = [image["id"] for image in answer.json()["images"]]

        assert len(listed) == len({*listed})
        statuses = {caller.get(f"/v2/images/{each}").status for each in listed}
        assert statuses <= {200}, persona


@pytest.mark.parametrize("persona", ["stranger", "service"])
def test_strangers_list_nothing_but_what_is_public(
    full: LocalRegistry, persona: str
) -> None:
    listed = client(full, persona).get("/v2/images").json()["images"]
    everything = client(full, persona).get(
        "/v2/images?visibility=all&member_status=all&os_hidden=true"
    )

    assert {image["visibility"] for image in listed} == {"public"}
    assert {image["visibility"] for image in everything.json()["images"]} == {
        "public",
        "community",
    }


def test_a_pending_member_must_ask_for_what_it_has_not_accepted(
    full: LocalRegistry,
) -> None:
    caller = client(full, "pending")

    def shared(query: str) -> int:
        images = caller.get(f"/v2/images?{query}").json()["images"]
        return sum(image["visibility"] == "shared" for image in images)

    assert shared("") == shared("visibility=shared") == 0
    assert shared("member_status=pending") == shared("member_status=all") == 1
    assert shared("member_status=rejected") == 0


def test_the_next_page_cannot_begin_after_a_foreign_image(
    full: LocalRegistry,
) -> None:
    private = an_image()(full, "private")["image_id"]

    theirs = client(full, "stranger").get(f"/v2/images?marker={private}")
    nobodys = client(full, "stranger").get(f"/v2/images?marker={ABSENT}")

    assert (theirs.status, nobodys.status) == (403, 400)


def test_a_member_is_reached_through_its_own_image_alone(
    origin: LocalRegistry,
) -> None:
    theirs = an_image()(origin, "shared")["image_id"]
    owner = client(origin, "owner")
    mine = str(owner.create()["id"])
    before = origin.admin.get(f"/v2/images/{theirs}/members").body
    path = f"/v2/images/{mine}/members/{MEMBER}"

    statuses = {
        owner.get(path).status,
        owner.request("DELETE", path).status,
        client(origin, "member")
        .request("PUT", path, document={"status": "rejected"})
        .status,
    }

    assert statuses == {404}
    assert origin.admin.get(f"/v2/images/{theirs}/members").body == before


def test_a_tag_is_reached_through_its_own_image_alone(origin: LocalRegistry) -> None:
    theirs = an_image()(origin, "shared")["image_id"]
    mine = str(client(origin, "owner").create()["id"])

    answer = client(origin, "owner").request("DELETE", f"/v2/images/{mine}/tags/old")

    assert answer.status == 404
    assert origin.admin.show(theirs)["tags"] == ["old"]


def test_a_member_does_not_learn_who_else_is_one(origin: LocalRegistry) -> None:
    image_id = an_image()(origin, "shared")["image_id"]
    caller = client(origin, "member")
    path = f"/v2/images/{image_id}/members"

    listed = caller.get(path).json()["members"]
    other, nobody = caller.get(f"{path}/{PENDING}"), caller.get(f"{path}/project-none")

    assert [member["member_id"] for member in listed] == [MEMBER]
    assert other.status == nobody.status == 404
    assert other.body.replace(PENDING.encode(), b"project-none") == nobody.body


@pytest.mark.parametrize("name", sorted(READ_ONLY | {"stores", "locations"}))
def test_nobody_creates_with_a_field_of_the_server(
    registry: LocalRegistry, name: str
) -> None:
    for value in ("x", 1, None):
        answer = registry.admin.request("POST", "/v2/images", document={name: value})

        assert answer.status == 403


@pytest.mark.parametrize("pointer", ["/{}", "/ {} ", "/{}/x", "/{}/0"])
@pytest.mark.parametrize("name", sorted(READ_ONLY | {"id"}))
def test_nobody_patches_a_field_of_the_server(
    registry: LocalRegistry, name: str, pointer: str
) -> None:
    image_id = str(registry.admin.create()["id"])
    before = registry.admin.show(image_id)
    path = pointer.format(name)
    older = {"Content-Type": PATCH["Content-Type"].replace("2.1", "2.0")}

    statuses = set()
    for op in ("add", "replace", "remove"):
        newest = {"op": op, "path": path, "value": "x"}
        statuses.add(registry.admin.patch(image_id, newest).status)
        answer = registry.admin.request(
            "PATCH",
            f"/v2/images/{image_id}",
            document=[{op: path, "value": "x"}],
            headers=older,
        )
        statuses.add(answer.status)

    assert statuses == ({400} if pointer.count("/") > 1 else {403})
    assert registry.admin.show(image_id) == before


@pytest.mark.parametrize("name", ["Status", "STATUS", "sTatus", "image_id", "member"])
def test_a_name_that_only_resembles_a_field_is_a_custom_property(
    registry: LocalRegistry, name: str
) -> None:
    created = registry.admin.create(**{name: "active"})

    assert created["status"] == "queued"
    assert created[name] == "active"
    assert registry.admin.patch(created["id"], remove(name)).status == 200


@pytest.mark.parametrize(
    "header", ["X-Image-Meta-Status", "X-Image-Meta-Id", "X-Image-Meta-Owner"]
)
def test_old_headers_set_no_field(registry: LocalRegistry, header: str) -> None:
    image_id = str(registry.admin.create()["id"])
    before = registry.admin.show(image_id)
    octets = {"Content-Type": "application/octet-stream"}

    registry.admin.request(
        "PUT",
        f"/v2/images/{image_id}/file",
        body=b"1",
        headers={**octets, header: "deactivated"},
    )

    after = registry.admin.show(image_id)
    assert (after["id"], after["owner"]) == (before["id"], before["owner"])
    assert after["status"] == "active"


@pytest.mark.parametrize("persona", ["stranger", "member", "pending", "service"])
@pytest.mark.parametrize("visibility", list(Visibility))
def test_a_foreign_delete_erases_no_bytes(
    origin: LocalRegistry, persona: str, visibility: str
) -> None:
    image_id = an_image()(origin, visibility)["image_id"]

    answer = client(origin, persona).request("DELETE", f"/v2/images/{image_id}")

    assert answer.status in (403, 404)
    assert origin.admin.download(image_id).body == DATA
    assert origin.admin.show(image_id)["status"] == "active"


def test_a_member_shares_with_nobody_else(origin: LocalRegistry) -> None:
    image_id = an_image()(origin, "shared")["image_id"]
    path = f"/v2/images/{image_id}/members"

    answer = client(origin, "member").request(
        "POST", path, document={"member": "project-friend"}
    )

    assert answer.status == 403
    friend = origin.client(as_("fred", "project-friend"))
    assert friend.get(f"/v2/images/{image_id}").status == 404


def test_a_member_does_not_remove_itself_or_others(origin: LocalRegistry) -> None:
    image_id = an_image()(origin, "shared")["image_id"]

    statuses = {
        client(origin, "member")
        .request("DELETE", f"/v2/images/{image_id}/members/{project}")
        .status
        for project in (MEMBER, PENDING)
    }

    assert statuses == {403}
    assert (
        len(origin.admin.get(f"/v2/images/{image_id}/members").json()["members"]) == 2
    )


def test_the_owner_does_not_accept_for_a_member(origin: LocalRegistry) -> None:
    image_id = an_image()(origin, "shared")["image_id"]
    path = f"/v2/images/{image_id}/members/{PENDING}"

    answer = client(origin, "owner").request(
        "PUT", path, document={"status": "accepted"}
    )

    assert answer.status == 403
    assert origin.admin.get(path).json()["status"] == "pending"


def test_a_stranger_does_not_reactivate(origin: LocalRegistry) -> None:
    image_id = an_image("deactivated")(origin, "public")["image_id"]

    path = f"/v2/images/{image_id}/actions/reactivate"

    assert client(origin, "stranger").request("POST", path).status == 403
    assert origin.admin.show(image_id)["status"] == "deactivated"


@pytest.mark.parametrize("operation", [add, replace])
@pytest.mark.parametrize("owner", ["project-else", OWNER, None, ""])
def test_only_an_administrator_gives_an_image_away(
    origin: LocalRegistry, operation: type, owner: str | None
) -> None:
    image_id = an_image()(origin, "public")["image_id"]

    mine = client(origin, "owner").patch(image_id, operation("owner", owner))
    before = origin.admin.show(image_id)["owner"]
    theirs = origin.admin.patch(image_id, operation("owner", owner))

    assert (mine.status, before) == (403, OWNER)
    assert theirs.status == 200
    assert theirs.json()["owner"] == (owner or None)


def test_what_belongs_to_nobody_administrators_alone_change(
    origin: LocalRegistry,
) -> None:
    image_id = str(origin.admin.create(owner=None, visibility="private")["id"])
    nobody = origin.client(as_("x", "", ("member", "reader")))

    for caller in (client(origin, "owner"), nobody):
        assert caller.get(f"/v2/images/{image_id}").status == 200
        assert caller.patch(image_id, replace("name", "x")).status == 403
        assert caller.request("DELETE", f"/v2/images/{image_id}").status == 403
    assert origin.admin.patch(image_id, replace("name", "x")).status == 200


def test_a_caller_without_a_project_owns_and_creates_nothing(
    origin: LocalRegistry,
) -> None:
    headers: Mapping[str, str] = {
        name: value for name, value in as_("x").items() if name != "X-Project-Id"
    }
    caller = origin.client(headers)
    an_image()(origin, "public")

    listed = caller.get("/v2/images?limit=1000").json()["images"]

    assert caller.request("POST", "/v2/images", document={}).status == 403
    assert {image["visibility"] for image in listed} == {"public"}
    assert {image["owner"] for image in listed} <= {OWNER, "project-else", None}
