"""Policy files that change while a request is answered: it goes on by the old rules."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagereg.policy.actions import DEFAULTS, Action
from imagereg.policy.compiler import Values
from imagereg.policy.rules import Decision, RuleSet
from tests.registry import LocalRegistry
from tests.wire import as_

OPEN = {"publicize_image": "", "get_image": "", "modify_image": ""}
CLOSED = {**dict.fromkeys(DEFAULTS, "!"), Action.CONTEXT_IS_ADMIN: "!"}
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
CHANGES = (
    {"op": "replace", "path": "/visibility", "value": "public"},
    {"op": "add", "path": "/colour", "value": "blue"},
)


class Meddler:
    """Writes other rules as soon as one was asked, and has them taken over."""

    def __init__(self, registry: LocalRegistry, rules: Mapping[str, str]) -> None:
        self.asked: list[str] = []
        self._registry, self._rules = registry, rules
        self._real = RuleSet.decide

    def decide(
        self, rules: RuleSet, credentials: Values, action: str, target: Values
    ) -> Decision:
        """Answer as ever, and meddle after the first answer."""
        self.asked.append(action)
        answer = self._real(rules, credentials, action, target)
        if len(self.asked) == 1:
            write(self._registry.where, self._rules)
            # Another request comes along, as in another thread, and sees the change.
            assert self._registry.client().get("/v2/images").status == 403
            del self.asked[1:]
        return answer


def write(where: Path, rules: Mapping[str, str]) -> None:
    """Put rules where the registry reads them."""
    (where / "policy.json").write_text(json.dumps(rules))


@pytest.fixture
def registry(tmp_path: Path) -> LocalRegistry:
    """A registry whose rules leave everything to ownership."""
    write(tmp_path, OPEN)
    policy = {"oslo_policy": {"policy_file": "{dir}/policy.json"}}
    return LocalRegistry(tmp_path, policy)


@pytest.mark.parametrize(
    ("method", "path", "body", "asked"),
    [
        ("PATCH", "/v2/images/{id}", CHANGES, {"modify_image", "publicize_image"}),
        ("GET", "/v2/images/{id}", None, {"get_image"}),
        ("GET", "/v2/images", None, {"get_images", "get_image"}),
        ("PUT", "/v2/images/{id}/tags/a", None, {"modify_image"}),
    ],
)
def test_a_request_is_decided_by_the_rules_it_began_with(
    registry: LocalRegistry,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: object,
    asked: set[str],
) -> None:
    owner = registry.client()
    place = path.format(id=owner.create()["id"])
    meddler = Meddler(registry, CLOSED)
    monkeypatch.setattr(RuleSet, "decide", lambda *given: meddler.decide(*given))

    during = owner.request(method, place, document=body, headers=PATCH)
    after = owner.request(method, place, document=body, headers=PATCH)

    assert during.status in (200, 204)
    assert asked <= set(meddler.asked)
    assert after.status in (403, 404)


def test_who_is_administrator_at_the_beginning_is_so_to_the_end(
    registry: LocalRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v2/images/{registry.client(as_('other', 'other')).create()['id']}"
    meddler = Meddler(registry, CLOSED)
    monkeypatch.setattr(RuleSet, "decide", lambda *given: meddler.decide(*given))

    assert registry.admin.request("DELETE", path).status == 204
