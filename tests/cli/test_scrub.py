"""`imagereg scrub` beside a real server, and the scrubber inside the server."""

import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.server import PROGRAM, Config, Server, eventually

DATA = b"the bytes of an image"


def delayed(**options: object) -> Config:
    return {"DEFAULT": {"delayed_delete": "true", "wakeup_time": "3600", **options}}


def command(server: Server, *words: str) -> list[str]:
    conf = server.where / "etc" / "imagereg.conf"
    return [str(PROGRAM), "scrub", "--config", str(conf), *words]


def run(server: Server, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(server, *words),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def deleted(server: Server) -> Path:
    """Return the file of an image that was uploaded and deleted."""
    client = server.client()
    image_id = str(client.create()["id"])
    assert client.upload(image_id, DATA).status == 204
    path = server.images_dir / image_id
    assert path.exists()
    assert client.request("DELETE", f"/v2/images/{image_id}").status == 204
    assert client.get(f"/v2/images/{image_id}").status == 404
    return path


def test_once(serve: Serve) -> None:
    server = serve(delayed())
    path = deleted(server)
    kept = path.exists()

    done = run(server)

    assert kept
    assert not path.exists()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1 images and 0 single locations scrubbed, 0 obj")


def test_restore(serve: Serve) -> None:
    server = serve(delayed(scrub_time=3600))
    path = deleted(server)

    scrubbed = run(server)
    done = run(server, "--restore", path.name)
    again = run(server, "--restore", path.name)

    assert scrubbed.stdout.startswith("0 images")
    assert (done.returncode, done.stdout) == (0, f"{path.name}: active\n")
    assert server.client().download(path.name).body == DATA
    assert again.returncode == 1
    assert again.stderr == (
        f"imagereg: image {path.name} is active, not pending_delete\n"
    )


@pytest.mark.parametrize("by", ["command line", "configuration"])
def test_restore_and_daemon_exclude_each_other(serve: Serve, by: str) -> None:
    options = {"daemon": "true"} if by == "configuration" else {}
    server = serve(delayed(**options))
    words = ["--daemon"] if by == "command line" else []

    assert run(server, *words, "--restore", "x").returncode == 2


@pytest.mark.long
def test_a_daemon_runs_on_and_keeps_others_out(serve: Serve) -> None:
    server = serve(delayed())
    log = (server.where / "scrub.log").open("w+")
    with subprocess.Popen(
        command(server, "--daemon", "--wakeup-time", "1"), stdout=log
    ) as daemon:
        try:
            assert eventually(lambda: "scrubbed" in Path(log.name).read_text())
            path = deleted(server)
            assert eventually(lambda: not path.exists())
            kept = deleted(server)
            restored = run(server, "--restore", kept.name)
            second = run(server)
        finally:
            daemon.send_signal(signal.SIGKILL)
    log.close()
    after = run(server)

    assert restored.returncode == second.returncode == 1
    assert "another scrubber is at work" in restored.stderr
    # The lease of a dead process holds nobody up.
    assert after.returncode == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_the_server_scrubs_by_itself(serve: Serve, workers: int) -> None:
    server = serve(delayed(wakeup_time=1), workers=workers)
    path = deleted(server)

    assert eventually(lambda: not path.exists())
    assert "Traceback" not in server.log()


def test_nothing_of_it_is_reachable_over_http(serve: Serve) -> None:
    server = serve(delayed())
    path = deleted(server)
    client = server.client()

    for method, url in (
        ("POST", f"/v2/images/{path.name}/actions/restore"),
        ("POST", "/v2/scrub"),
        ("GET", "/v2/store/verify"),
        ("GET", f"/v2/images/{path.name}"),
    ):
        assert client.request(method, url).status in (404, 405), url
    assert path.exists()
