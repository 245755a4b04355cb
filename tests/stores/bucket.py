"""A real S3 service, OpenStack Swift with its S3 interface, and drivers for it."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from imagereg.stores.s3 import S3Driver
from imagereg.stores.s3_client import S3Client, S3Options
from tests.environments import PATIENT, cache, installing
from tests.server import free_port

HELPERS = Path(__file__).parent.parent / "services"


@dataclass(frozen=True)
class Service:
    """A running S3 service and the account that may use it.

    Attributes:
        host: name and port.
    """

    host: str
    access_key: str
    secret_key: str
    where: Path = field(repr=False)

    def options(self, **more: Any) -> S3Options:  # noqa: ANN401 - fields of `S3Options`
        """Return options for a bucket of its own, which need not exist yet."""
        given = {
            "host": self.host,
            "bucket": f"bucket-{uuid4().hex}",
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "secure": False,
        }
        return S3Options(**{**given, **more})

    def driver(self, **more: Any) -> S3Driver:  # noqa: ANN401 - fields of `S3Options`
        """Return a driver whose bucket is there."""
        driver = S3Driver(self.options(**more))
        driver._client.call("create_bucket")
        return driver

    def client(self, options: S3Options) -> S3Client:
        """Return a client that looks into a driver's bucket."""
        return S3Client(
            S3Options(
                host=self.host,
                bucket=options.bucket,
                access_key=self.access_key,
                secret_key=self.secret_key,
                secure=False,
            )
        )


@contextmanager
def s3_service(where: Path) -> Iterator[Service]:
    """Run the service for the block, installed on first use."""
    home = {**os.environ, "SERVICES_HOME": str(cache() / "services")}
    command = (HELPERS / "s3-up", where, str(free_port()), "--install", *PATIENT)
    with installing("services"):
        up = subprocess.run(
            command, check=False, capture_output=True, text=True, env=home, timeout=800
        )
    assert up.returncode == 0, up.stderr
    told = dict(line.split("=", 1) for line in shlex.split(up.stdout))
    try:
        yield Service(
            told["S3_ENDPOINT_URL"].removeprefix("http://"),
            told["S3_ACCESS_KEY"],
            told["S3_SECRET_KEY"],
            where,
        )
    finally:
        subprocess.run((HELPERS / "down", where, "--wipe"), check=True, timeout=180)
