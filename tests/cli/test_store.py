"""`imagereg store` beside a real server: exit statuses, texts, JSON."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.server import PROGRAM, Server

DATA = b"the bytes of an image"
OTHER = bytes(reversed(DATA))


def run(server: Server, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run `imagereg store` with the server's configuration."""
    conf = server.where / "etc" / "imagereg.conf"
    return subprocess.run(
        [str(PROGRAM), "store", words[0], "--config", str(conf), *words[1:]],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve()


def uploaded(server: Server) -> Path:
    """Return the file of a new image."""
    client = server.client()
    image_id = str(client.create()["id"])
    assert client.upload(image_id, DATA).status == 204
    return server.images_dir / image_id


@pytest.mark.parametrize("command", ["gc", "verify"])
def test_a_registry_in_order_is_0(server: Server, command: str) -> None:
    uploaded(server)

    done = run(server, command)

    assert (done.returncode, done.stderr) == (0, "")
    assert "no findings" in done.stdout


def test_findings_are_1_and_mended_ones_0(server: Server) -> None:
    path = uploaded(server)
    orphan = server.images_dir / str(server.client().create()["id"])
    orphan.write_bytes(b"orphan")

    first = run(server, "gc", "--older-than", "0")
    there = orphan.exists()
    fixed = run(server, "gc", "--older-than", "0", "--fix")
    last = run(server, "gc", "--older-than", "0")

    assert [each.returncode for each in (first, fixed, last)] == [1, 0, 0]
    assert there
    assert not orphan.exists()
    assert path.exists()
    assert orphan.name in first.stdout
    assert "1 findings, 1 left" in first.stdout
    assert "mended" in fixed.stdout


def test_what_is_too_young_is_left_alone(server: Server) -> None:
    orphan = server.images_dir / str(server.client().create()["id"])
    orphan.write_bytes(b"orphan")

    done = run(server, "gc", "--fix")

    assert done.returncode == 0
    assert orphan.exists()


def test_json_tells_each_finding(server: Server) -> None:
    path = uploaded(server)
    path.write_bytes(OTHER)

    done = run(server, "verify", "--json")

    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert document == {
        "findings": [
            {
                "kind": "wrong hash",
                "store": "file",
                "subject": path.name,
                "url": f"file://{path}",
                "size": len(OTHER),
                "detail": "checksum and os_hash_value differ",
                "fixed": False,
            }
        ],
        "counts": {"wrong hash": 1},
        "left": 1,
        "complete": True,
        "objects": 1,
        "bytes": len(OTHER),
    }


def test_a_sample_reads_no_more_than_that(server: Server) -> None:
    for _ in range(3):
        uploaded(server)

    done = run(server, "verify", "--sample", "2", "--json")

    assert json.loads(done.stdout)["objects"] == 2


def test_a_name_that_no_object_can_have_is_none_of_its_business(
    server: Server,
) -> None:
    for name in ("odd\x1b[31m", "bad\udcff", "l" * 201):
        (server.images_dir / name).write_bytes(b"")

    assert run(server, "gc", "--older-than", "0").returncode == 0


def test_what_cannot_be_looked_at_is_3(server: Server) -> None:
    uploaded(server)
    away = server.images_dir.rename(server.state_dir / "away")

    gone = run(server, "gc", "--json")
    unknown = run(server, "gc", "--store", "other")
    away.rename(server.images_dir)

    assert gone.returncode == unknown.returncode == 3
    assert json.loads(gone.stdout)["complete"] is False
    assert unknown.stderr == "imagereg: there is no store `other`\n"


def test_wrong_usage_is_2(server: Server) -> None:
    assert run(server, "verify", "--sample", "0").returncode == 2


def test_a_faulty_configuration_is_3(server: Server, tmp_path: Path) -> None:
    conf = server.where / "etc" / "imagereg.conf"
    conf.write_text("[DEFAULT]\nscrub_time = soon\n")

    done = run(server, "gc")

    assert done.returncode == 3
    assert "scrub_time" in done.stderr


def test_status_tells_what_was_verified_when(server: Server) -> None:
    path = uploaded(server)
    before = json.loads(run(server, "verify", "--status", "--json").stdout)
    run(server, "verify", "--fix")
    after = run(server, "verify", "--status")
    path.write_bytes(OTHER)
    run(server, "verify", "--fix")
    faulty = run(server, "verify", "--status", "--json")

    assert before["stores"] == [
        {
            "store": "file",
            "objects": 1,
            "never_verified": 1,
            "oldest": None,
            "faults": 0,
        }
    ]
    assert after.returncode == 0
    assert after.stdout.split()[-5:-2] == ["file", "1", "0"]
    assert faulty.returncode == 1
    assert json.loads(faulty.stdout)["stores"][0]["faults"] == 1
