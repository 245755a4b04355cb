"""The recorded conversations of `tests/golden`, held with a real server.

All areas that were selected run in one go, because `replay.py` lets scenarios of
equal configuration share a server, across areas too.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import databases, warm, warm_client
from tests.scenarios import launch
from tests.server import PROGRAM

GOLDEN = Path(__file__).parent.parent / "golden"
SCENARIOS = GOLDEN / "scenarios"

# Every scenario of these areas passes.
WHOLE = (
    "cache",
    "edge",
    "image-create",
    "image-data",
    "image-delete",
    "image-format",
    "image-list",
    "image-patch",
    "image-show",
    "import",
    "info",
    "locations",
    "members",
    "metadefs",
    "policy",
    "protections",
    "quota",
    "routing",
    "schemas",
    "staging",
    "tags",
    "tasks",
    "versions",
    "visibility",
    "workflow",
)

# Scenario -> what it waits for.  The other areas stand here scenario by scenario,
# so that one which begins to pass must be struck off in the same change.
NOT_YET: dict[str, str] = {
    "multi-store/patch-stores": "ruling D-4: the scenario adds a property `stores`",
}

# Names are lower case; two verdicts may share a line when both jobs write at once.
VERDICT = re.compile(r"(PASS|FAIL) +\d+/\d+ +([^\sA-Z]+)")


def command(folder: Path) -> str:
    """Return the command that starts a server, for `replay.py` to fill in.

    On another engine than SQLite ``folder`` holds its databases.
    """
    words = [str(PROGRAM)]
    if warm.WANTED:
        client = str(Path(warm_client.__file__))
        words = [sys.executable, "-IS", client, warm.address(), *words]
    if databases.NAME != "sqlite":
        launch.offer(folder)
        words = [sys.executable, "-m", launch.__name__, *words]
    return f"{shlex.join(words)} serve --config {{conf}} --port {{port}} --workers 1"


def scenarios(area: str) -> set[str]:
    """Return the names of an area's scenarios."""
    return {f"{area}/{path.stem}" for path in (SCENARIOS / area).glob("*.json")}


AREAS = sorted(path.name for path in SCENARIOS.iterdir())


@dataclass
class Replayed:
    """What one scenario came to, and the lines `replay.py` wrote about it."""

    passed: bool
    lines: list[str] = field(default_factory=list)


def parse_report(text: str) -> dict[str, Replayed]:
    """Return the results in the output of `replay.py`, by scenario."""
    results: dict[str, Replayed] = {}
    current: Replayed | None = None
    for line in text.splitlines():
        for verdict in VERDICT.finditer(line):
            current = Replayed(verdict[1] == "PASS", [verdict[0]])
            results[verdict[2]] = current
        if current is not None and line.startswith("    "):
            current.lines.append(line)
    return results


def impatient(name: str, folder: Path) -> Path:
    """Return a scenario, or a copy that does not wait long where it must fail.

    What is missing never happens, and half a minute of waiting for each such step
    would be most of the run.
    """
    path = SCENARIOS / f"{name}.json"
    if name not in NOT_YET:
        return path
    scenario = json.loads(path.read_text())
    for step in scenario["steps"]:
        if "until" in step:
            step["until"]["timeout"] = 3
    copy = folder / f"{name.replace('/', '-')}.json"
    copy.write_text(json.dumps(scenario))
    return copy


@pytest.fixture(scope="module")
def replayed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Replayed]:
    """Return the result of every scenario in the areas that were selected."""
    areas = {
        str(item.callspec.params["area"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "replayed" in item.fixturenames
    }
    names = {name for area in areas for name in scenarios(area)}
    folder, offered = (tmp_path_factory.mktemp(name) for name in ("made", "offered"))
    done = subprocess.run(
        [
            *(sys.executable, str(GOLDEN / "replay.py")),
            *("--launch", command(offered), "-j", "2", "--timeout", "60"),
            *(str(impatient(name, folder)) for name in sorted(names)),
        ],
        check=False,
        env={**os.environ, launch.FOLDER: str(offered)},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    results = parse_report(done.stdout)
    assert results, done.stdout + done.stderr
    return results


@pytest.mark.parametrize("area", AREAS)
def test_the_server_answers_as_was_recorded(
    area: str, replayed: Mapping[str, Replayed]
) -> None:
    listed = {name for name in NOT_YET if name.startswith(f"{area}/")}
    results = {
        name: replayed.get(name, Replayed(False, [f"LOST {name}"]))
        for name in scenarios(area)
    }

    wrong = [
        line
        for name in sorted(results.keys() - listed)
        if not results[name].passed
        for line in results[name].lines
    ]
    right_after_all = [name for name in sorted(listed) if results[name].passed]

    assert not wrong, "\n" + "\n".join(wrong)
    assert right_after_all == [], "passes now: strike it off NOT_YET"


def test_the_tables_account_for_every_scenario() -> None:
    known = {name for area in AREAS for name in scenarios(area)}
    areas_not_yet = {name.partition("/")[0] for name in NOT_YET}

    assert NOT_YET.keys() <= known
    assert areas_not_yet.isdisjoint(WHOLE)
    assert areas_not_yet | set(WHOLE) == set(AREAS)
    assert all(NOT_YET.values())


def test_verdicts_that_share_a_line_are_both_read() -> None:
    found = parse_report("FAIL    1/2    a/bFAIL    0/1    a/c\n\n    step 1\n")

    assert found == {
        "a/b": Replayed(False, ["FAIL    1/2    a/b"]),
        "a/c": Replayed(False, ["FAIL    0/1    a/c", "    step 1"]),
    }
