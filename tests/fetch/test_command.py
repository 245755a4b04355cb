"""`imagereg-fetch` as programs see it: exit status, lines, who is calling."""

import contextlib
import json
import os
import subprocess
from pathlib import Path

import bcrypt
import pytest
from click.testing import CliRunner

from imagereg.cli.fetch import fetch
from tests.conftest import Serve
from tests.fetch.conftest import DATA, MIB, Node, upload
from tests.server import Server, free_port
from tests.wire import ADMIN

UNKNOWN = "11111111-2222-4333-8444-555555555555"
NOWHERE = f"http://127.0.0.1:{free_port()}"


def run(
    where: Path, *words: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command at a place of its own; `Node.command` is the real program."""
    clean = {name: None for name in os.environ if name.startswith("OS_")}
    with contextlib.chdir(where):
        done = CliRunner().invoke(fetch, words, env={**clean, **variables})
    return subprocess.CompletedProcess(
        words, done.exit_code, stdout=done.stdout, stderr=done.stderr
    )


@pytest.fixture
def base(shared: Server) -> tuple[str, str]:
    return "--endpoint", shared.base


def test_the_path_is_all_that_programs_have_to_read(
    node: Node, shared: Server, base: tuple[str, str]
) -> None:
    process = node.command(upload(shared), "--dest", "disk", *base)
    shown, errors = process.communicate(timeout=300)

    assert (process.returncode, shown) == (0, "disk\n")
    assert "http, verified" in errors
    assert "\x1b" not in errors


def test_events_are_lines_of_json(
    node: Node, shared: Server, base: tuple[str, str]
) -> None:
    image_id = upload(shared)
    words = ("--dest", "disk", "--progress", "json", "--limit-rate", str(8 * MIB))

    ended = run(node.where, image_id, *words, *base)

    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["start", "done"]
    assert {each["image"] for each in events} == {image_id}
    assert (events[-1]["bytes"], events[-1]["source"]) == (len(DATA), "http")
    moves = [each["done"] for each in events if each["event"] == "progress"]
    assert moves == sorted(moves)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((), 2),
        ((UNKNOWN, "--dest", "disk", "--cache"), 2),
        ((UNKNOWN, UNKNOWN, "--dest", "disk"), 2),
        (("odd", "--dest", "disk"), 2),
        ((UNKNOWN, "--hardlink"), 2),
        ((UNKNOWN, "--dest", "disk"), 3),
        ((UNKNOWN, "--dest", "disk", "--endpoint", NOWHERE, "--retries", "0"), 9),
    ],
)
def test_failures_have_their_exit_status(
    node: Node, base: tuple[str, str], words: tuple[str, ...], status: int
) -> None:
    ended = run(node.where, *base, *words)

    assert (ended.returncode, ended.stdout) == (status, ""), ended.stderr
    assert ended.stderr
    assert list(node.where.iterdir()) == []


def test_images_that_cannot_be_had_have_theirs(
    node: Node, shared: Server, base: tuple[str, str]
) -> None:
    queued, closed, damaged = shared.client().create()["id"], *map(upload, [shared] * 2)
    path = f"/v2/images/{closed}/actions/deactivate"
    assert shared.client(ADMIN).request("POST", path).status == 204
    (shared.images_dir / damaged).write_bytes(DATA[::-1])

    for image_id, status in ((closed, 4), (queued, 5), (damaged, 6)):
        ended = run(node.where, image_id, "--dest", "disk", "--json", *base)
        line = json.loads(ended.stdout)
        assert (ended.returncode, line["exit_status"]) == (status, status)
        assert (line["event"], line["image"]) == ("error", image_id)


def test_a_path_is_a_name_of_the_cached_file(
    node: Node, shared: Server, base: tuple[str, str]
) -> None:
    words = ("--cache-dir", "cache", "--dest", "disk", "--hardlink", "--json")

    line = json.loads(run(node.where, upload(shared), *words, *base).stdout)

    assert (line["path"], line["source"]) == ("disk", "http")
    assert node.dest.stat().st_nlink == 2


def test_faults_of_the_configuration_are_listed(node: Node) -> None:
    conf = node.where / "node.conf"
    conf.write_text("[image_cache]\nlayout = odd\n[glance]\nnum_retries = many\n")

    ended = run(node.where, UNKNOWN, "--config", str(conf))

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 2


@pytest.mark.long
def test_names_and_passwords_come_from_the_environment(
    node: Node, serve: Serve
) -> None:
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    server = serve(
        {
            "paste_deploy": {"flavor": "http_basic"},
            "oslo_middleware": {"http_basic_auth_user_file": "{dir}/etc/htpasswd"},
        },
        files={"htpasswd": f"alice:{hashed}\n"},
    )
    caller = {"OS_AUTH_TYPE": "http_basic", "OS_USERNAME": "alice"}
    base = ("--dest", "disk", "--endpoint", server.base)

    right = run(node.where, UNKNOWN, *base, **caller, OS_PASSWORD="secret")
    wrong = run(node.where, UNKNOWN, *base, **caller, OS_PASSWORD="other")
    nobody = run(node.where, UNKNOWN, *base)

    assert [each.returncode for each in (right, wrong, nobody)] == [3, 4, 4]
    assert "other" not in wrong.stderr
