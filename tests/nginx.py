"""A real nginx in front of a server, with the configuration that operators get."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.server import Server, free_port

SAMPLE = Path(__file__).parents[1] / "conf" / "nginx-x-accel.conf"

#: What surrounds the sample on a usual system, without its paths.
AROUND = """
{user}
daemon off;
pid tmp/nginx.pid;
error_log stderr warn;
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path tmp/body;
    proxy_temp_path tmp/proxy;
    fastcgi_temp_path tmp/fastcgi;
    uwsgi_temp_path tmp/uwsgi;
    scgi_temp_path tmp/scgi;
    include {included};
}}
"""


def sample_for(images: Path, app_port: int, port: int) -> str:
    """Return the sample with places and ports of a test, and nothing else changed."""
    text = SAMPLE.read_text()
    for old, new in (
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("http://127.0.0.1:9292;", f"http://127.0.0.1:{app_port};"),
        ("alias /var/lib/imagereg/images/;", f"alias {images}/;"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


@contextmanager
def running(where: Path, port: int, served: str) -> Iterator[int]:
    """Run nginx below ``where`` for the block; yield the id of its master process.

    ``served`` is the text of the http block, with a server that listens on ``port``.
    """
    (where / "tmp").mkdir(parents=True)
    included = where / "served.conf"
    included.write_text(served)
    # The folders of tests are root's own, if root it is.
    user = "user root;" if os.geteuid() == 0 else ""
    conf = where / "nginx.conf"
    conf.write_text(AROUND.format(user=user, included=included))
    with (where / "log").open("wb") as log:
        process = subprocess.Popen(
            ["nginx", "-p", f"{where}/", "-c", str(conf), "-e", "stderr"],
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 60
        while not _listens(port):
            assert process.poll() is None, (where / "log").read_text()
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(0.02)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@contextmanager
def in_front(server: Server, images: Path, where: Path) -> Iterator[str]:
    """Run nginx with the sample in front of ``server``; yield its base URL."""
    port = free_port()
    with running(where, port, sample_for(images, server.port, port)):
        yield f"http://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False
