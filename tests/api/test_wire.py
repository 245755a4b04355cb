"""What every answer has in common: ids, representation of errors, methods, order.

Source: contract api-images 1.2 to 1.7, policy 6.
"""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.api.dispatch import METHODS, Route
from imagereg.api.routes import ROUTES
from tests.api.conftest import Make
from tests.api.personas import ABSENT, an_image, key
from tests.registry import PATCH, LocalRegistry, replace
from tests.server import Server
from tests.wire import ADMIN, as_

IDS = {"image_id": ABSENT, "member_id": "m", "tag": "t", "name": "image"}
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def path_of(route: Route) -> str:
    """Return a path of the route."""
    path = route.path.replace("<path:name>", "image")
    return re.sub(r"<(\w+)>", lambda part: IDS.get(part[1], "x"), path)


# Request ids.


@pytest.mark.parametrize("path", ["/v2/images", "/v2/images/x", "/v2/nothing"])
def test_every_answer_below_v2_has_a_request_id(
    registry: LocalRegistry, path: str
) -> None:
    answers = [registry.admin.get(path).headers for _ in range(2)]
    ids = [headers["x-openstack-request-id"] for headers in answers]

    assert all(REQUEST_ID.fullmatch(each) for each in ids)
    assert ids[0] != ids[1]


@pytest.mark.parametrize("path", ["/", "/versions", "/healthcheck"])
def test_unversioned_documents_have_none(registry: LocalRegistry, path: str) -> None:
    assert "x-openstack-request-id" not in registry.admin.get(path).headers


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ("req-mine", "req-mine"),
        ("mine", "req-mine"),
        ("x" * 64, f"req-{'x' * 64}"),
        ("req-<script>", "req-<script>"),
    ],
)
def test_the_clients_own_request_id_is_adopted(
    registry: LocalRegistry, given: str, answered: str
) -> None:
    answer = registry.admin.get("/v2/images", X_OpenStack_Request_ID=given)

    assert answer.headers["x-openstack-request-id"] == answered


@pytest.mark.parametrize(
    ("given", "status"), [("x" * 65, 431), ("a\tb", 400), ("\xfc", 400), ("a\x7f", 400)]
)
def test_a_request_id_that_no_log_should_hold_is_refused(
    registry: LocalRegistry, given: str, status: int
) -> None:
    answer = registry.admin.get("/v2/images", X_OpenStack_Request_ID=given)

    assert answer.status == status


def test_request_ids_may_be_as_long_as_the_operator_says(make: Make) -> None:
    registry = make({"DEFAULT": {"max_request_id_length": "0"}})

    answer = registry.admin.get("/v2/images", X_OpenStack_Request_ID="x" * 4000)

    assert answer.status == 200


# Errors.


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("*/*", "text/html; charset=UTF-8"),
        ("text/html", "text/html; charset=UTF-8"),
        ("text/*", "text/html; charset=UTF-8"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("application/json, */*;q=0.5", "application/json"),
        ("application/json;q=0.4, text/html", "text/html; charset=UTF-8"),
        ("application/json, text/html", "text/html; charset=UTF-8"),
        ("text/html;q=0, application/json", "application/json"),
        ("application/json;q=0", "text/plain; charset=UTF-8"),
        ("", "text/plain; charset=UTF-8"),
        ("image/png", "text/plain; charset=UTF-8"),
        (";;;,,q=x", "text/plain; charset=UTF-8"),
    ],
)
def test_an_error_comes_in_the_form_that_accept_prefers(
    registry: LocalRegistry, accept: str, form: str
) -> None:
    answer = registry.admin.get("/v2/images/<b>", Accept=accept)

    assert answer.status == 404
    assert answer.headers["content-type"] == form
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (b"<b>" in answer.body) is (form != "text/html; charset=UTF-8")


def test_an_error_in_json_is_flat(registry: LocalRegistry) -> None:
    answer = registry.admin.get("/v2/images/x", Accept="application/json").json()

    assert answer["code"] == "404 Not Found"
    assert answer["title"] == "Not Found"
    assert answer["message"] == "no image found with id `x`"
    assert answer.keys() == {"code", "title", "message"}


def test_an_error_in_plain_text_is_titled(registry: LocalRegistry) -> None:
    answer = registry.admin.get("/v2/images/x", Accept="")

    assert answer.body == b"404 Not Found\n\nno image found with id `x`\n\n"


@given(st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "S", "Zs"])))
def test_no_accept_header_breaks_the_answer(accept: str) -> None:
    from flask import Flask

    from imagereg.api.problems import problem

    with Flask("test").test_request_context(headers={"Accept": accept}):
        assert problem(404, "x").status_code == 404


@pytest.mark.parametrize("accept", ["text/html", "text/plain", ""])
def test_success_is_json_whatever_accept_says(
    registry: LocalRegistry, accept: str
) -> None:
    answer = registry.admin.get("/v2/images", Accept=accept)

    assert answer.headers["content-type"] == "application/json"


def test_a_fault_of_ours_tells_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    registry = make()
    registry.admin.get("/v2/images")

    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(type(registry.registry.engine), "rows", fail)
    app = registry.registry.app
    answer = app.test_client().get("/v2/images", headers=as_())

    assert answer.status_code == 500
    assert b"secret" not in answer.data
    assert answer.headers["X-Openstack-Request-Id"].startswith("req-")
    assert "ZeroDivisionError" in caplog.text


# Methods.


@pytest.mark.parametrize("method", [*METHODS, "HEAD"])
@pytest.mark.parametrize("path", sorted({path_of(route) for route in ROUTES}))
def test_a_method_without_a_route_is_refused_with_a_list(
    registry: LocalRegistry, path: str, method: str
) -> None:
    # `clean` could be the id of an image as well, as far as a URL tells.
    routes = [
        route
        for route in ROUTES
        if re.fullmatch(re.sub(r"<[\w:]+>", "[^/]+", route.path), path)
    ]
    methods = {route.method for route in routes}
    methods |= {"HEAD" for route in routes if route.head}
    if "*" in methods or method in methods:
        return

    answer = registry.admin.request(method, path)

    if path.endswith(("/info/usage", f"{ABSENT}/tasks")):
        assert answer.status == 404  # As the reference has it: contract 1.2.
        return
    methods -= {"GET"} if path.endswith("/locations") else set()
    assert answer.status == 405
    assert answer.headers["allow"] == ", ".join(sorted(methods))
    assert (answer.body == b"") is (method == "HEAD")


@pytest.mark.parametrize("path", ["/v2/images/x/y", "/v2/images/", "/v2/", "/v2/x"])
def test_what_no_route_takes_is_not_found(registry: LocalRegistry, path: str) -> None:
    assert registry.admin.get(path).status == 404


def test_a_method_that_nobody_knows_is_not_implemented(registry: LocalRegistry) -> None:
    assert registry.admin.request("BREW", "/v2/nothing").status == 501


@pytest.mark.parametrize("path", ["/", "/v2/images", f"/v2/images/{ABSENT}", "/v2/x"])
def test_options_answers_without_identity_and_says_nothing(
    registry: LocalRegistry, path: str
) -> None:
    answer = registry.client({}).request("OPTIONS", path)

    assert (answer.status, answer.body) == (200, b"")
    assert "x-openstack-request-id" not in answer.headers
    assert "allow" not in answer.headers


@pytest.mark.parametrize("path", ["/v2/images/%ff", "/v2/images?name=%ff", "/v2/%c3"])
def test_a_url_that_is_not_utf_8_is_refused(server: Server, path: str) -> None:
    assert server.client(ADMIN).get(path).status == 400


# Bodies.


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.bodyless], ids=key
)
def test_a_body_where_none_belongs_is_refused_first(
    registry: LocalRegistry, route: Route
) -> None:
    answer = registry.admin.request(route.method, path_of(route), body=b"{}")

    assert answer.status == 400


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"1", b'"x"', b"null", b"\xff{}", b'{"a":1', b"{}{}"]
)
@pytest.mark.parametrize("path", ["/v2/images", f"/v2/images/{ABSENT}/members"])
def test_a_body_that_is_no_json_object_is_refused(
    registry: LocalRegistry, path: str, body: bytes
) -> None:
    assert registry.admin.request("POST", path, body=body).status == 400


def test_the_content_type_of_json_does_not_matter(registry: LocalRegistry) -> None:
    for kind in ("text/plain", "application/octet-stream", "x"):
        answer = registry.admin.request(
            "POST", "/v2/images", body=b"{}", headers={"Content-Type": kind}
        )

        assert answer.status == 201


def test_a_json_body_may_come_in_chunks(registry: LocalRegistry) -> None:
    answer = registry.admin.request("POST", "/v2/images", body=[b'{"name"', b':"n"}'])

    assert answer.json()["name"] == "n"


@pytest.mark.parametrize("chunked", [True, False])
def test_a_json_body_has_a_limit(make: Make, chunked: bool) -> None:
    registry = make({"oslo_middleware": {"max_request_body_size": "1000"}})
    body = json.dumps({"name": "n" * 100, "long": "x" * 1000}).encode()

    answer = registry.admin.request(
        "POST", "/v2/images", body=[body[:500], body[500:]] if chunked else body
    )

    assert answer.status == 413
    assert "retry-after" not in answer.headers


# The order of checks.


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'[{"op": "test", "path": "/name", "value": 1}]', 400),
        (b'[{"op": "replace", "path": "/name", "value": 1}]', 400),
        (b'[{"op": "replace", "path": "/status", "value": "x"}]', 403),
        (b'[{"op": "add", "path": "/os_glance_x", "value": "x"}]', 403),
        (b'[{"op": "replace", "path": "/name", "value": "x"}]', 404),
        (b"[]", 404),
    ],
)
def test_a_patch_is_read_before_its_image_is_looked_for(
    registry: LocalRegistry, body: bytes, status: int
) -> None:
    path = f"/v2/images/{ABSENT}"

    answer = registry.admin.request("PATCH", path, body=body, headers=PATCH)

    assert answer.status == status


def test_a_patch_of_an_unknown_kind_is_told_what_is_known(
    registry: LocalRegistry,
) -> None:
    answer = registry.admin.request("PATCH", f"/v2/images/{ABSENT}", document=[])

    assert answer.status == 415
    assert answer.headers["accept-patch"].count("json-patch") == 2


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"X-OpenStack-Image-Size": "-1"}, 400),
        ({"X-OpenStack-Image-Size": "1_0"}, 400),
        ({"X-OpenStack-Image-Size": "9" * 21}, 400),
        ({}, 404),
    ],
)
def test_an_upload_is_described_before_its_image_is_looked_for(
    registry: LocalRegistry, headers: dict[str, str], status: int
) -> None:
    sent = {"Content-Type": "application/octet-stream", **headers}

    answer = registry.admin.request(
        "PUT", f"/v2/images/{ABSENT}/file", body=b"x", headers=sent
    )

    assert answer.status == status


def test_an_upload_is_judged_before_the_images_status(registry: LocalRegistry) -> None:
    image_id = an_image()(registry, "public")["image_id"]

    assert registry.client(as_("s", "stranger")).upload(image_id, b"x").status == 403
    assert registry.admin.upload(image_id, b"x").status == 409


def test_a_deletion_is_judged_before_protection(registry: LocalRegistry) -> None:
    image_id = an_image()(registry, "public")["image_id"]
    registry.admin.patch(image_id, replace("protected", True))
    path = f"/v2/images/{image_id}"

    theirs = registry.client(as_("s", "stranger")).request("DELETE", path)
    ours = registry.admin.request("DELETE", path)

    assert (theirs.status, ours.status) == (403, 403)
    assert b"protected" not in theirs.body
    assert b"protected" in ours.body


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([replace("name", "x"), replace("visibility", "public")], 403),
        ([replace("visibility", "public"), replace("nothing", "x")], 403),
        ([replace("nothing", "x"), replace("visibility", "private")], 409),
        ([replace("name", "x"), replace("disk_format", "iso")], 403),
    ],
)
def test_one_refused_operation_stores_nothing(
    registry: LocalRegistry, operations: list[dict[str, object]], status: int
) -> None:
    image_id = an_image()(registry, "shared")["image_id"]
    before = registry.admin.show(image_id)

    owner = registry.client(as_("o", "project-owner"))

    assert owner.patch(image_id, *operations).status == status
    assert registry.admin.show(image_id) == before


@pytest.mark.parametrize("quota", ["image_tag_quota", "image_property_quota"])
def test_a_refusal_goes_before_a_quota(make: Make, quota: str) -> None:
    registry = make({"DEFAULT": {quota: "0"}})
    document = {"tags": ["a"], "x": "y", "visibility": "public"}

    mine = registry.client().request("POST", "/v2/images", document=document)
    admins = registry.admin.request("POST", "/v2/images", document=document)

    assert (mine.status, admins.status) == (403, 413)


def test_a_list_takes_as_many_filters_as_an_image_can_have_tags(
    registry: LocalRegistry,
) -> None:
    tags = [f"t{number}" for number in range(128)]
    created = registry.admin.create(tags=tags)
    wanted = "&".join(f"tag={tag}" for tag in tags)
    many = "&".join(f"p{number}=x" for number in range(300))

    listed = registry.admin.get(f"/v2/images?{wanted}")
    none = registry.client().get(f"/v2/images?{many}")

    assert [image["id"] for image in listed.json()["images"]] == [created["id"]]
    assert (none.status, none.json()["images"]) == (200, [])
