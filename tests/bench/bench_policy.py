"""How many decisions a CPU second yields, here and in the reference engine.

    python tests/bench/bench_policy.py

Both get the same rules, credentials and targets, and have to agree on each.  Two
pairs are compared: the whole entrance, with its look at the policy files, and the
check alone.
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from imagereg.model import Caller
from imagereg.policy.actions import DEFAULTS
from imagereg.policy.enforcer import Enforcer
from tests.policy.oracle import Oracle

#: The rules that requests ask most, and the newest of them all.
ACTIONS = (
    *("get_image", "get_images", "download_image", "add_image", "modify_image"),
    *("upload_image", "delete_image", "publicize_image", "get_member"),
    *("get_metadef_object", "add_metadef_tag", "cache_list", "stores_info_detail"),
)
CALLERS = (
    Caller("u1", "p1", frozenset({"member", "reader"})),
    Caller("u2", "p2", frozenset({"reader"})),
    Caller("u3", "p3", frozenset({"admin", "member", "reader"})),
    Caller("u4", "p4", frozenset({"member", "reader"})),
)
VISIBILITIES = ("private", "shared", "public")
OVERRIDES = {
    "owner": "project_id:%(project_id)s",
    "delete_image": "role:operator and (rule:owner or role:admin)",
}


@dataclass(frozen=True)
class Rate:
    """How often one way of asking answers, per CPU second."""

    name: str
    ours: float
    reference: float

    @property
    def ratio(self) -> float:
        """Our decisions for each of the reference's."""
        return self.ours / self.reference


Question = tuple[str, dict[str, object], dict[str, object]]


def questions() -> list[Question]:
    """Return action, credentials and target of every question, as both take them."""
    return [
        (action, {**caller.credentials}, _target(visibility, caller))
        for action, caller, visibility in itertools.product(
            ACTIONS, CALLERS, VISIBILITIES
        )
    ]


def _callers() -> list[Caller]:
    return [
        caller for _, caller, _ in itertools.product(ACTIONS, CALLERS, VISIBILITIES)
    ]


def _check_agreement(
    enforcer: Enforcer, oracle: Oracle, asked: list[Question], theirs: list[Question]
) -> None:
    """Check that both answer alike, without which no rate means anything."""
    for (name, credentials, target), (_, same, _) in zip(asked, theirs, strict=True):
        ours = enforcer.decide(credentials, name, target).allowed
        if ours is not oracle.allows(name, target, same):
            raise AssertionError(f"no agreement on {name}: {credentials}, {target}")


def _target(visibility: str, caller: Caller) -> dict[str, object]:
    shared = visibility == "shared" and caller.project_id != "p1"
    return {
        "id": "8c1cbd62-1c3a-4a33-9e33-3b1a0d2f6a01",
        "project_id": "p1",
        "owner": "p1",
        "visibility": visibility,
        "member_id": caller.project_id if shared else None,
        "status": "active",
        "name": "cirros",
        "tags": ["a", "b"],
    }


def rate(ask: Callable[[], object], count: int, repeat: int) -> float:
    """Return how many of ``count`` answers per call ``ask`` gives in a CPU second."""
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(repeat):
            ask()
        best = min(best, time.process_time() - start)
    return count * repeat / max(best, 1e-9)


def measure(file: Path, repeat: int) -> list[Rate]:
    """Return the rates for the built-in rules with the overrides of ``file``."""
    enforcer = Enforcer.from_files(file)
    oracle = Oracle.of_service(file)
    asked = questions()
    theirs = [
        # The reference wants its roles in a list.
        (name, {**credentials, "roles": sorted(caller.roles)}, target)
        for (name, credentials, target), caller in zip(asked, _callers(), strict=True)
    ]
    _check_agreement(enforcer, oracle, asked, theirs)
    checks = {name: oracle.bare_check(name) for name in DEFAULTS}

    def enter() -> None:
        for name, credentials, target in asked:
            enforcer.refresh()
            enforcer.decide(credentials, name, target)

    def enter_reference() -> None:
        for name, credentials, target in theirs:
            oracle.allows(name, target, credentials)

    def check() -> None:
        decide = enforcer.rules.decide
        for name, credentials, target in asked:
            decide(credentials, name, target)

    def check_reference() -> None:
        for name, credentials, target in theirs:
            checks[name](target, credentials)

    few = max(1, repeat // 20)
    return [
        Rate(name, rate(we, len(asked), repeat), rate(they, len(asked), few))
        for name, we, they in (
            ("entrance, files looked at", enter, enter_reference),
            ("decision alone", check, check_reference),
        )
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print both rates and their ratio."""
    parser = argparse.ArgumentParser(description="Measure policy decisions.")
    parser.add_argument("--repeat", type=int, default=400, help="rounds of questions")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.json"
        file.write_text(json.dumps(OVERRIDES))
        rates = measure(file, options.repeat)
    for one in rates:
        sys.stdout.write(
            f"{one.name:<28}{one.ours:>12,.0f}/s{one.reference:>12,.0f}/s"
            f"{one.ratio:>8.1f}x\n"
        )


if __name__ == "__main__":
    main()
