"""A copy tells nobody anything that the image itself would not.

Source: SECURITY, OSSA-2013-027: a cached image was served without its policy.
"""

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.api.personas import BUILT_IN, DATA, KINDS, PERSONAS, an_image
from tests.cache.conftest import close, is_at_rest
from tests.registry import CACHE, SEVERAL_STORES, LocalRegistry, merged
from tests.server import eventually
from tests.wire import ADMIN, Answer

FILE = "/v2/images/<image_id>/file"

#: What is asked for -> method, query and headers.
WAYS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "whole": ("GET", "", {}),
    "head": ("HEAD", "", {}),
    "part": ("GET", "", {"Range": "bytes=2-4"}),
    "no part": ("GET", "", {"Range": "bytes=999-"}),
    "older part": ("GET", "", {"Content-Range": "bytes 0-3/*"}),
    "store": ("GET", "?prefer=cheap", {}),
    "no store": ("GET", "?prefer=nowhere", {}),
    "if changed": ("GET", "", {"If-None-Match": '"sha512:00"'}),
}

POLICY = {"oslo_policy": {"policy_file": "policy.json"}}
ANONYMOUS = {"DEFAULT": {"allow_anonymous_access": "true"}}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry with a cache, which lets anonymous callers in."""
    config = merged(SEVERAL_STORES, CACHE, ANONYMOUS, POLICY)
    made = LocalRegistry(
        tmp_path_factory.mktemp("isolation"), config, files={"policy.json": "{}"}
    )
    yield made
    close(made)


def image(registry: LocalRegistry, kind: str, *, warm: bool) -> str:
    """Return the id of an image, and see that it is cached, or not."""
    kinds = {"private": "private", "shared": "shared", "open": "public"}
    image_id = str(an_image()(registry, kinds.get(kind, kind))["image_id"])
    upkeep = registry.registry.cache
    assert upkeep is not None
    stored = upkeep.cache.images.get(image_id, None)[0]
    if warm:
        path = FILE.replace("<image_id>", image_id)
        assert registry.client(ADMIN).get(path).body == DATA
        assert eventually(lambda: upkeep.cache.holds(stored))
        assert eventually(lambda: is_at_rest(upkeep.cache), 60)
    assert upkeep.cache.holds(stored) is warm
    return image_id


def ask(registry: LocalRegistry, image_id: str, persona: str, way: str) -> Answer:
    method, query, headers = WAYS[way]
    path = FILE.replace("<image_id>", image_id) + query
    return registry.client(PERSONAS[persona]).request(method, path, headers=headers)


def told(answer: Answer, image_id: str) -> tuple[int, bytes, Mapping[str, str]]:
    """Return all that an answer tells, but for the ids in it."""
    headers = dict(answer.headers)
    headers.pop("x-openstack-request-id", None)
    return answer.status, answer.body.replace(image_id.encode(), b"ID"), headers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "any"])
def test_whoever_may_not_download_learns_nothing(
    registry: LocalRegistry, kind: str, way: str
) -> None:
    warm, cold = (image(registry, kind, warm=warm) for warm in (True, False))
    statuses = BUILT_IN[f"GET {FILE}"][kind]
    refused = [persona for persona in PERSONAS if statuses[persona] >= 400]

    for persona in refused:
        of_warm, of_cold = (
            told(ask(registry, image_id, persona, way), image_id)
            for image_id in (warm, cold)
        )

        assert of_warm[0] == statuses[persona], persona
        assert of_warm == of_cold, persona
    assert refused


@pytest.mark.parametrize("way", [way for way in WAYS if way != "no store"])
def test_whoever_may_download_cannot_tell_by_the_answer(
    registry: LocalRegistry, way: str
) -> None:
    warm, cold = (image(registry, "private", warm=warm) for warm in (True, False))

    of_warm, of_cold = (
        told(ask(registry, image_id, "owner", way), image_id)
        for image_id in (warm, cold)
    )

    assert of_warm == of_cold


def test_a_copy_makes_wishes_for_stores_void(registry: LocalRegistry) -> None:
    """Source: contract api-images 16."""
    warm, cold = (image(registry, "private", warm=warm) for warm in (True, False))

    assert ask(registry, warm, "owner", "no store").body == DATA
    assert ask(registry, cold, "owner", "no store").status == 400


@pytest.mark.parametrize("rule", ["download_image", "get_image"])
@pytest.mark.parametrize("way", WAYS)
def test_a_rule_that_changes_counts_for_copies_at_once(
    registry: LocalRegistry, way: str, rule: str
) -> None:
    warm = image(registry, "private", warm=True)
    policy = registry.where / "policy.json"
    rules = {rule: "!", "download_image": "!"}

    policy.write_text(json.dumps(rules))
    try:
        answers = [ask(registry, warm, who, way).status for who in ("admin", "owner")]
    finally:
        policy.write_text("{}")

    assert answers == ([404, 404] if rule == "get_image" else [403, 403])


@pytest.mark.parametrize("way", WAYS)
def test_deactivated_images_stay_refused(registry: LocalRegistry, way: str) -> None:
    warm = image(registry, "private", warm=True)
    path = f"/v2/images/{warm}/actions/deactivate"
    assert registry.admin.request("POST", path).status == 204

    assert ask(registry, warm, "owner", way).status == 403


def test_copies_are_for_administrators_to_see(registry: LocalRegistry) -> None:
    warm = image(registry, "public", warm=True)
    paths = ("/v2/cache", f"/v2/cache/nodes/{warm}")

    for persona, headers in PERSONAS.items():
        client = registry.client(headers)
        statuses = {client.get(path).status for path in paths}

        assert statuses == ({200} if persona == "admin" else {403}), persona


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_what_is_hidden_and_what_is_gone_look_alike(
    registry: LocalRegistry, method: str
) -> None:
    """Also to those whom rules let delete copies, and when there is one."""
    warm = image(registry, "private", warm=True)
    gone = image(registry, "private", warm=True)
    upkeep = registry.registry.cache
    assert upkeep is not None
    upkeep.cache.images.delete(gone)
    policy = registry.where / "policy.json"

    policy.write_text(json.dumps({"cache_delete": "@", "cache_image": "@"}))
    try:
        stranger = registry.client(PERSONAS["stranger"])
        answers = [
            told(stranger.request(method, f"/v2/cache/{image_id}"), image_id)
            for image_id in (warm, gone)
        ]
    finally:
        policy.write_text("{}")

    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert upkeep.cache.directory.file(warm).exists()
    assert upkeep.cache.directory.file(gone).exists()
