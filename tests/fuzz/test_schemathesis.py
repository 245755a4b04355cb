"""No input gives a 500: requests made up from the OpenAPI description.

A real server answers them; each answer must have a status that the description
tells of, and a body of the described form.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.api.routes import ROUTES
from tests.environments import programs_of
from tests.registry import CACHE, SEVERAL_STORES, merged
from tests.server import Config, Server

HERE = Path(__file__).parent

CHECKS = "not_a_server_error,status_code_conformance,response_schema_conformance"

#: A change is judged by the same requests in each run; this looks for others.
SEED = () if os.environ.get("IMAGEREG_TEST_EXPLORE") == "1" else ("--seed", "1")

#: Everybody may do everything; addresses that are made up are not called.
OPEN: Config = {
    "paste_deploy": {"flavor": None},
    "import_filtering_opts": {"allowed_hosts": "[127.0.0.1]", "allowed_ports": "[9]"},
    "database": {"sqlite_synchronous": "off"},
    "imagereg": {"upload_fsync": "false"},
}


@pytest.fixture(scope="session")
def schemathesis() -> Path:
    return programs_of(HERE / "requirements.txt") / "schemathesis"


def fuzz(schemathesis: Path, server: Server, *options: str) -> int:
    """Send made-up requests, and return how many; a failure of one fails the test."""
    report = server.where / "report.json"
    done = subprocess.run(
        [
            *(schemathesis, "run", f"{server.base}/openapi.json"),
            *("--checks", CHECKS, "--continue-on-failure", "--no-shrink"),
            *("--no-color", "--generation-database", "none"),
            *("--request-timeout", "60"),
            # How fast requests are made up depends on what else the machine does.
            *("--suppress-health-check", "all"),
            *("--report", "json", "--report-json-path", report),
            *options,
        ],
        cwd=server.where,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "hooks",
            "PYTHONPATH": str(HERE),
            "IMAGEREG_FUZZED": server.base,
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert "Traceback" not in server.log()
    found = json.loads(report.read_text())
    # All but the one that the description itself came from.
    assert found["operations"]["tested"] == len(ROUTES) - 1
    return int(found["test_cases"]["generated"])


def test_a_few_made_up_requests_to_each_route_meet_no_fault(
    schemathesis: Path, serve: Callable[..., Server]
) -> None:
    sent = fuzz(
        schemathesis,
        serve(OPEN),
        *("--phases", "fuzzing", "--max-examples", "8", *SEED),
    )

    assert sent > 4 * len(ROUTES)


@pytest.mark.long
@pytest.mark.parametrize(
    "stores", [{}, merged(SEVERAL_STORES, CACHE)], ids=["one", "several"]
)
def test_many_made_up_requests_meet_no_fault(
    schemathesis: Path, serve: Callable[..., Server], stores: Config
) -> None:
    config = merged(OPEN, {"DEFAULT": {"show_multiple_locations": "true"}}, stores)

    sent = fuzz(
        schemathesis,
        serve(config),
        *("--phases", "coverage,fuzzing,stateful", "--max-examples", "10", *SEED),
    )

    assert sent > 40 * len(ROUTES)
