"""There is one enforcement point, and no way around it.

Source: STYLE 3.
"""

import ast
import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

import imagereg.images
from imagereg import access
from imagereg.access import Gate, Grant
from imagereg.api.dispatch import Route, bind
from imagereg.api.routes import ROUTES
from imagereg.policy.actions import DEFAULTS, OWN, RETIRED, Action
from tests.api.personas import ASKS, BUILT_IN, key, requests_to
from tests.registry import CACHE, SEVERAL_STORES, LocalRegistry, merged
from tests.wire import ADMIN, as_

PACKAGE = Path(access.__file__).parent
ORIGIN = Path(__file__).parent / "policy" / "origin.json"
SHIPPED = PACKAGE.parent / "policies" / "policy.json"

#: Actions that no code asks for, and why.
NOT_ASKED: Mapping[Action, str] = {
    **dict.fromkeys(
        (
            Action.DEFAULT,
            Action.SERVICE_API,
            Action.METADEF_DEFAULT,
            Action.METADEF_ADMIN,
        ),
        "rules build upon it",
    ),
    **dict.fromkeys(
        (Action.GET_TASK, Action.GET_TASKS, Action.ADD_TASK, Action.MODIFY_TASK),
        "kept for old files, consulted by nobody (contract policy 10)",
    ),
    **dict.fromkeys(
        (Action.EXPLAIN_DENIAL,),
        "not built yet",
    ),
    Action.MANAGE_IMAGE_CACHE: "the default of others; its own routes are not offered",
}


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """Yield a registry whose rules admitted everybody before they admitted nobody."""
    config = merged(
        SEVERAL_STORES,
        CACHE,
        {"DEFAULT": {"allow_anonymous_access": "true"}},
        {"oslo_policy": {"policy_file": "policy.json"}},
    )
    made = LocalRegistry(
        tmp_path_factory.mktemp("closed"), config, files={"policy.json": "{}"}
    )
    yield made
    made.close()


def rules(registry: LocalRegistry, entries: Mapping[str, str]) -> None:
    """Write the policy file anew."""
    (registry.where / "policy.json").write_text(json.dumps(entries))


NOBODY = dict.fromkeys((*DEFAULTS, *OWN), "!")

REQUESTS = [
    pytest.param(route, name, id=name)
    for route in ROUTES
    for name in requests_to(route)
]


def test_the_url_map_is_the_table_of_routes(closed: LocalRegistry) -> None:
    mapped = {
        (method, rule.rule)
        for rule in closed.registry.app.url_map.iter_rules()
        for method in rule.methods or ("*",)
    }

    wanted = {(route.method, route.path) for route in ROUTES}
    heads = {("HEAD", route.path) for route in ROUTES if route.head}
    assert mapped == wanted | heads
    assert all(route.method == "GET" for route in ROUTES if route.head)


def test_every_endpoint_is_a_view_behind_the_gate(closed: LocalRegistry) -> None:
    views = closed.registry.app.view_functions

    assert views.keys() == {key(route) for route in ROUTES}
    assert {view.__qualname__ for view in views.values()} == {"guarded.<locals>.enter"}


def test_views_are_attached_in_one_place() -> None:
    places = {
        (path.name, attribute)
        for path, tree in sources()
        for node in ast.walk(tree)
        if (attribute := getattr(node, "attr", ""))
        in ("view_functions", "add_url_rule", "url_map", "route", "register_blueprint")
        and not (attribute == "route" and path.name == "dispatch.py")
    }

    assert places == {("dispatch.py", "view_functions"), ("dispatch.py", "url_map")}
    assert bind.__module__ == "imagereg.api.dispatch"


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.head and route.action != Action.DISCOVER],
    ids=key,
)
def test_head_passes_the_gate_of_its_get(closed: LocalRegistry, route: Route) -> None:
    rules(closed, {})
    ask = ASKS[key(route)]
    path = route.path.replace("<image_id>", ask.prepare(closed, "private")["image_id"])

    allowed = closed.client(ADMIN).request("HEAD", path)
    rules(closed, {"download_image": "!"})
    refused = closed.client(ADMIN).request("HEAD", path)

    assert (allowed.status, allowed.body) == (200, b"")
    assert refused.status == 403


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(ADMIN, id="admin"),
        pytest.param(as_("olga", "project-owner"), id="owner"),
        pytest.param(as_("nova", "project-owner", ("service", "admin")), id="service"),
    ],
)
@pytest.mark.parametrize(("route", "name"), REQUESTS)
def test_rules_that_refuse_everything_let_nothing_be_touched(
    closed: LocalRegistry, route: Route, name: str, headers: dict[str, str]
) -> None:
    ask = ASKS[name]
    rules(closed, {})
    prepared = [ask.prepare(closed, kind) for kind in BUILT_IN[name]]
    rules(closed, NOBODY)
    before = closed.everything()

    statuses = {ask.send(closed, route, headers, ids).status for ids in prepared}

    discovery = {"/metrics": {404}}.get(route.path, {200})
    if route.method == "*":
        discovery = {"/": {300}, "/v2": {302}}.get(route.path, discovery)
    expected = discovery if route.action == Action.DISCOVER else {403, 404}
    assert statuses <= expected
    assert closed.everything() == before


def test_only_discovery_goes_without_a_rule() -> None:
    free = {route.path for route in ROUTES if route.action == Action.DISCOVER}

    assert free == {
        *("/", "/versions", "/v2", "/healthcheck", "/openapi.json"),
        *("/livez", "/readyz", "/metrics"),
        "/v2/schemas/<path:name>",
        *("/v2/info/import", "/v2/info/usage", "/v2/info/stores"),
    }
    assert {route.path for route in ROUTES if route.open} == {
        *("/", "/versions", "/v2", "/healthcheck", "/openapi.json"),
        *("/livez", "/readyz", "/metrics"),
    }


def test_every_action_is_asked_for_or_has_a_reason_not_to_be() -> None:
    asked = {
        Action[node.attr]
        for path, tree in sources()
        if path.parent.name in ("api", "images", "metadefs", "jobs")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Action"
    }
    # Which the gate asks by itself, for itself.
    asked |= {Action.CONTEXT_IS_ADMIN, Action.GET_IMAGE, Action.GET_IMAGE_LOCATION}

    assert asked | NOT_ASKED.keys() == {*Action}
    assert asked & NOT_ASKED.keys() == set(), "asked now: strike it off NOT_ASKED"


def test_the_shipped_policy_file_has_every_action_of_the_origin() -> None:
    shipped = json.loads(SHIPPED.read_text())
    origins = json.loads(ORIGIN.read_text())

    assert origins.keys() - RETIRED <= shipped.keys()
    assert shipped.keys() <= {*DEFAULTS, *OWN, *RETIRED}


@pytest.mark.parametrize(
    "name", ["Grant", "ApprovedImage", "ApprovedChanges", "ApprovedTask", "ImageView"]
)
def test_what_proves_a_decision_is_made_at_the_gate_alone(name: str) -> None:
    makers = {
        str(path.relative_to(PACKAGE))
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) == name
    }

    assert makers == {"access.py"}


@pytest.mark.parametrize(
    "name", ["Grant", "ApprovedImage", "ApprovedChanges", "ApprovedTask"]
)
def test_nobody_copies_a_proof_with_other_contents(name: str) -> None:
    assert getattr(access, name).__dataclass_params__.frozen
    assert not any(
        name in ast.unparse(node)
        for path, tree in sources()
        if path.name != "access.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) in ("__new__", "__setattr__")
    )


def test_only_the_dispatcher_asks_the_gate_for_a_grant() -> None:
    # Questions that nobody asked are put to the gate as well; their grants are dropped.
    # So are those by which a job asks for whoever began it, after its request is over.
    askers = {
        path.name
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called(node) == Gate.authorize.__name__
    }

    assert askers <= {
        "access.py",
        "dispatch.py",
        "import_rights.py",
        "questions.py",
    }


def use_cases() -> Iterator[tuple[str, inspect.Signature]]:
    """Yield every public method of the classes that work on behalf of a caller."""
    for module in pkgutil.iter_modules(imagereg.images.__path__):
        loaded = importlib.import_module(f"imagereg.images.{module.name}")
        for _, kind in inspect.getmembers(loaded, inspect.isclass):
            if kind.__module__ != loaded.__name__ or kind.__name__ in NOT_USE_CASES:
                continue
            for name, method in inspect.getmembers(kind, inspect.isfunction):
                if not name.startswith("_"):
                    yield (
                        f"{module.name}.{kind.__name__}.{name}",
                        inspect.signature(method),
                    )


#: Classes of `images/` that act for nobody, and why.
NOT_USE_CASES: Mapping[str, str] = {
    "Limits": "compares numbers",
    "Recovery": "housekeeping: what crashed processes left",
    "LimitTable": "compares numbers",
    "Quotas": "counts what a project has",
    "Scrubber": "housekeeping: ends granted deletions; restores for operators",
    "Scrubbed": "a value",
    "Removal": "housekeeping: bytes that a granted deletion condemned",
    "_Attempt": "a part of `Removal`",
    "_UnderWay": "a part of `Removal`",
    "Incoming": "a value",
    "Digest": "a value",
    "LocationDraft": "what a granted PATCH would do, before it is approved",
    "LocationRules": "judges URLs",
    "NewLocation": "a value",
    "NewImage": "a value",
    "Page": "a value",
    "Part": "a value",
    "SegmentReader": "bytes that somebody was allowed to read",
    "StagedBody": "a value",
    "StagedData": "bytes that a granted request, or the job it began, stages and reads",
    "StagedRange": "a value",
    "StagedState": "a value",
    "StagingRules": "compares numbers",
    "PatchOperation": "a value",
    "Copies": "what the cache offers, which acts for downloads that were granted",
    "Sources": "reads for whom it was granted, and for copies of our own",
    "Wanted": "a value: an image and a part of it",
}


@pytest.mark.parametrize(("name", "signature"), tuple(use_cases()))
def test_every_use_case_insists_on_a_grant(
    name: str, signature: inspect.Signature
) -> None:
    _, first, *_ = signature.parameters.values()

    assert first.annotation is Grant


def test_repositories_write_records_only_as_approved() -> None:
    from imagereg.db.images import ImageRepository

    for method, proof in (("add", "ApprovedImage"), ("update", "ApprovedChanges")):
        parameters = inspect.signature(getattr(ImageRepository, method)).parameters

        assert parameters["approved"].annotation.__name__ == proof


@cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    """Return every module of the package, parsed."""
    return tuple((path, ast.parse(path.read_text())) for path in PACKAGE.rglob("*.py"))


def called(node: ast.Call) -> str:
    """Return the last part of what is called."""
    function = node.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""
