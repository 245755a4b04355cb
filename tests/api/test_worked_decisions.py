"""The worked decisions on protected properties, row by row over HTTP.

Source: contract property-protection 6 and 7.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.registry import LocalClient, LocalRegistry, add, merged, remove, replace
from tests.wire import as_

ORIGIN_FILE = Path(__file__).parent.parent / "policy" / "origin.json"
OWNER = "project-a"


def section(pattern: str, create: str, read: str, update: str, delete: str) -> str:
    """Return one section of a protection file."""
    return (
        f"[{pattern}]\ncreate = {create}\nread = {read}\n"
        f"update = {update}\ndelete = {delete}\n"
    )


CATCH_ALL = section(".*", "@", "@", "@", "@")
SECTIONS = "".join(
    (
        section(
            "^x_owner_.*",
            "admin,owner_role",
            "admin,member",
            "admin,owner_role",
            "admin",
        ),
        section("^x_ro$", "admin", "@", "!", "admin"),
        section("^x_secret$", "admin", "!", "!", "!"),
        section("^x_w$", "member", "admin", "admin", "admin"),
    )
)
CONFIG = {
    "oslo_policy": {"policy_file": "policy.json"},
    "DEFAULT": {"property_protection_file": "protections.conf"},
}
FILES = {
    "policy.json": ORIGIN_FILE.read_text(),
    "protections.conf": SECTIONS + CATCH_ALL,
}


@pytest.fixture(scope="module")
def protected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry with the file of the worked decisions."""
    made = LocalRegistry(tmp_path_factory.mktemp("protected"), CONFIG, files=FILES)
    yield made
    made.close()


@pytest.fixture
def without_catch_all(protected: LocalRegistry) -> Iterator[None]:
    """Take the last section away for one test."""
    path = protected.where / "protections.conf"
    path.write_text(SECTIONS)
    yield
    path.write_text(SECTIONS + CATCH_ALL)


def by(registry: LocalRegistry, *roles: str, service: str = "") -> LocalClient:
    """Return a client of the owner's project with these roles."""
    headers = as_("user", OWNER, roles)
    if service:
        headers |= {
            "X-Service-Identity-Status": "Confirmed",
            "X-Service-Roles": service,
        }
    return registry.client(headers)


def create(client: LocalClient, **properties: str) -> str:
    """Create an image with these properties and return its id."""
    return str(client.create(**properties)["id"])


def properties(client: LocalClient, image_id: str) -> Mapping[str, object]:
    """Return what the client sees of the properties of these tests."""
    shown = client.show(image_id)
    names = ("x_owner_a", "x_ro", "x_secret", "x_w", "free", "my_x_ro")
    return {name: shown[name] for name in names if name in shown}


@pytest.mark.parametrize(
    ("roles", "name", "status"),
    [
        pytest.param(("member",), "x_owner_a", 403, id="1"),
        pytest.param(("Owner_Role", "member"), "x_owner_a", 201, id="2"),
        pytest.param(("admin",), "x_ro", 201, id="9"),
        pytest.param(("member",), "x_ro", 403, id="9, not admin"),
        pytest.param(("admin",), "x_secret", 201, id="12"),
        pytest.param(("member",), "x_w", 201, id="15"),
        pytest.param(("member",), "free", 201, id="21"),
        pytest.param(("member",), "os_glance_x", 403, id="26"),
        pytest.param(("admin",), "os_glance_x", 403, id="26, admin"),
        pytest.param(("member",), "my_x_ro", 201, id="27"),
    ],
)
def test_creating(
    protected: LocalRegistry, roles: tuple[str, ...], name: str, status: int
) -> None:
    before = protected.everything()

    answer = by(protected, *roles).request(
        "POST", "/v2/images", document={name: "1", "free": "1"}
    )

    assert answer.status == status
    assert (protected.everything() == before) is (status == 403)


@pytest.mark.parametrize(
    ("roles", "shown"),
    [
        pytest.param(("Owner_Role", "member"), {"x_owner_a": "1"}, id="2"),
        pytest.param(("member",), {"x_owner_a": "1"}, id="3"),
        pytest.param(("reader",), {}, id="4"),
        pytest.param(("owner_role",), {}, id="6"),
        pytest.param(("admin",), {"x_owner_a": "1"}, id="admin"),
    ],
)
def test_what_is_shown_goes_by_the_callers_own_roles(
    protected: LocalRegistry, roles: tuple[str, ...], shown: Mapping[str, str]
) -> None:
    image_id = create(by(protected, "owner_role", "member"), x_owner_a="1")

    assert properties(by(protected, *roles), image_id) == shown
    listed = by(protected, *roles).get(f"/v2/images?id={image_id}").json()["images"]
    assert ("x_owner_a" in listed[0]) is bool(shown)


@pytest.mark.parametrize(
    ("roles", "operation", "status"),
    [
        pytest.param(("reader",), replace("x_owner_a", "2"), 409, id="5"),
        pytest.param(("owner_role",), replace("x_owner_a", "2"), 409, id="6"),
        pytest.param(("owner_role", "member"), remove("x_owner_a"), 403, id="7"),
        pytest.param(("owner_role", "member"), replace("x_owner_a", "2"), 200, id="7b"),
        pytest.param(("admin",), remove("x_owner_a"), 200, id="8"),
    ],
)
def test_changing_what_others_created(
    protected: LocalRegistry,
    roles: tuple[str, ...],
    operation: dict[str, object],
    status: int,
) -> None:
    image_id = create(by(protected, "owner_role", "member"), x_owner_a="1")

    answer = by(protected, *roles).patch(image_id, operation)

    assert answer.status == status
    kept = properties(by(protected, "admin"), image_id)
    assert (kept == {"x_owner_a": "1"}) is (status != 200)


def test_row_9_update_refused_to_all_has_no_bypass(protected: LocalRegistry) -> None:
    admin = by(protected, "admin")
    image_id = create(admin, x_ro="1")

    assert admin.patch(image_id, replace("x_ro", "2")).status == 403
    assert properties(admin, image_id) == {"x_ro": "1"}


def test_row_10_what_is_removed_may_be_added_anew(protected: LocalRegistry) -> None:
    admin = by(protected, "admin")
    image_id = create(admin, x_ro="1")

    assert admin.patch(image_id, remove("x_ro")).status == 200
    assert admin.patch(image_id, add("x_ro", "2")).status == 200
    assert admin.patch(image_id, remove("x_ro"), add("x_ro", "3")).status == 200
    assert properties(admin, image_id) == {"x_ro": "3"}


@pytest.mark.parametrize("role", ["admin", "member", "reader", "foo"])
def test_row_11_anyone_reads_what_everyone_may(
    protected: LocalRegistry, role: str
) -> None:
    image_id = create(by(protected, "admin"), x_ro="1")

    assert properties(by(protected, role), image_id) == {"x_ro": "1"}


def test_row_12_what_nobody_reads_is_stored_and_never_shown(
    protected: LocalRegistry,
) -> None:
    admin = by(protected, "admin")

    created = admin.create(x_secret="hush")

    assert "x_secret" not in created
    assert properties(admin, created["id"]) == {}
    assert stored(protected, created["id"]) == {"x_secret": "hush"}


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        pytest.param(add("x_secret", "2"), 403, id="13"),
        pytest.param(replace("x_secret", "2"), 409, id="14, replace"),
        pytest.param(remove("x_secret"), 409, id="14, remove"),
    ],
)
def test_what_nobody_reads_stays(
    protected: LocalRegistry, operation: dict[str, object], status: int
) -> None:
    admin = by(protected, "admin")
    image_id = create(admin, x_secret="hush")

    assert admin.patch(image_id, operation).status == status
    assert stored(protected, image_id) == {"x_secret": "hush"}


def test_row_15_create_without_read_is_legal(protected: LocalRegistry) -> None:
    created = by(protected, "member").create(x_w="1")

    assert "x_w" not in created
    assert properties(by(protected, "admin"), created["id"]) == {"x_w": "1"}


def test_row_16_add_on_what_is_hidden_asks_for_update(protected: LocalRegistry) -> None:
    member = by(protected, "member")
    image_id = create(member, x_w="1")

    assert member.patch(image_id, add("x_w", "2")).status == 403
    assert by(protected, "admin").patch(image_id, add("x_w", "2")).status == 200
    assert stored(protected, image_id) == {"x_w": "2"}


def test_rows_17_and_18_no_write_takes_away_what_the_writer_cannot_read(
    protected: LocalRegistry,
) -> None:
    member = by(protected, "member")
    image_id = create(member, x_w="1")
    path = f"/v2/images/{image_id}"

    answers = [
        member.patch(image_id, replace("name", "new")),
        member.patch(image_id, add("free", "1"), remove("free")),
        member.patch(image_id, replace("tags", ["a"])),
        member.request("PUT", f"{path}/tags/b"),
        member.request("DELETE", f"{path}/tags/b"),
        member.upload(image_id, b"data"),
        member.request("POST", f"{path}/actions/deactivate"),
        member.request("POST", f"{path}/actions/reactivate"),
        member.request("POST", f"{path}/members", document={"member": "p"}),
    ]

    assert {answer.status for answer in answers} == {200, 204}
    assert properties(by(protected, "admin"), image_id) == {"x_w": "1"}


@pytest.mark.parametrize(
    ("role", "found"), [pytest.param("member", 0, id="19"), ("admin", 1)]
)
def test_rows_19_and_20_a_filter_is_a_read(
    protected: LocalRegistry, role: str, found: int
) -> None:
    image_id = create(by(protected, "member"), x_w="probe", name=f"row-{role}")

    path = f"/v2/images?x_w=probe&name=row-{role}"
    listed = by(protected, role).get(path).json()["images"]

    assert [image["id"] for image in listed] == [image_id] * found


def test_a_filter_on_what_is_hidden_does_not_tell_whether_it_is_there(
    protected: LocalRegistry,
) -> None:
    member = by(protected, "member")
    create(member, x_w="there")

    there = member.get("/v2/images?x_w=there").json()
    absent = member.get("/v2/images?x_w=absent").json()

    assert there["images"] == absent["images"] == []


@pytest.mark.usefixtures("without_catch_all")
@pytest.mark.parametrize("role", ["admin", "member"])
def test_row_22_what_no_section_matches_nobody_creates(
    protected: LocalRegistry, role: str
) -> None:
    answer = by(protected, role).request("POST", "/v2/images", document={"free": "1"})

    assert answer.status == 403


def test_row_23_what_no_section_matches_nobody_sees(
    protected: LocalRegistry, request: pytest.FixtureRequest
) -> None:
    image_id = create(by(protected, "member"), free="1")

    request.getfixturevalue("without_catch_all")

    assert properties(by(protected, "admin"), image_id) == {}
    assert stored(protected, image_id) == {"free": "1"}


def test_row_24_the_roles_of_a_service_token_count(protected: LocalRegistry) -> None:
    member = by(protected, "member", service="Owner_Role")

    answer = member.request("POST", "/v2/images", document={"x_owner_a": "1"})

    assert answer.status == 201
    assert answer.json()["x_owner_a"] == "1"


def test_the_roles_of_a_service_token_count_for_properties_alone(
    protected: LocalRegistry,
) -> None:
    client = by(protected, "member", service="admin")

    # Were its roles taken over, the caller would be an administrator from here on.
    created = client.create(x_owner_a="1")
    published = client.patch(created["id"], replace("visibility", "public"))
    both = client.patch(
        created["id"], add("x_owner_b", "1"), replace("visibility", "public")
    )

    assert (published.status, both.status) == (403, 403)
    assert stored(protected, created["id"]) == {"x_owner_a": "1"}


def test_row_25_the_caller_without_identity_layer_has_roles(tmp_path: Path) -> None:
    config = merged(CONFIG, {"paste_deploy": {"flavor": None}})
    registry = LocalRegistry(tmp_path, config, files=FILES)

    answer = registry.client({}).request(
        "POST", "/v2/images", document={"x_owner_a": "1"}
    )

    assert answer.status == 201
    assert answer.json()["x_owner_a"] == "1"
    registry.close()


def test_row_28_one_refusal_stores_nothing(protected: LocalRegistry) -> None:
    member = by(protected, "member")
    image_id = create(member, name="old")

    answer = member.patch(image_id, replace("name", "new"), add("x_ro", "1"))

    assert answer.status == 403
    assert member.show(image_id)["name"] == "old"


def test_row_29_readers_of_a_public_image_see_by_their_own_roles(
    protected: LocalRegistry,
) -> None:
    image_id = create(by(protected, "admin"), x_owner_a="1", visibility="public")

    reader = protected.client(as_("r", "project-else", ("reader",)))
    member = protected.client(as_("m", "project-else", ("member",)))

    assert properties(reader, image_id) == {}
    assert properties(member, image_id) == {"x_owner_a": "1"}


def test_row_30_adding_what_is_absent_asks_for_create(protected: LocalRegistry) -> None:
    member = by(protected, "member")
    image_id = create(member)

    assert member.patch(image_id, add("x_owner_a", "1")).status == 403


def stored(registry: LocalRegistry, image_id: str) -> Mapping[str, object]:
    """Return the properties in the database."""
    rows = registry.everything().rows["image_properties"]
    return {str(name): value for owner, name, value, *_ in rows if owner == image_id}
