"""The doctor and a real S3 service."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from imagereg.doctor.findings import Kind
from imagereg.stores.s3_client import S3Client
from tests.doctor.conftest import Doctor
from tests.doctor.test_collection import DATA, told
from tests.registry import LocalRegistry
from tests.server import Config
from tests.stores.bucket import Service

#: The service rounds times up to the second, and has a clock of its own.
SETTLED_S = -10.0


@pytest.fixture
def bucket(s3: Service) -> S3Client:
    """Yield a client of a bucket of its own."""
    client = s3.client(s3.options())
    client.call("create_bucket")
    return client


@pytest.fixture
def registry(tmp_path: Path, s3: Service, bucket: S3Client) -> Iterator[LocalRegistry]:
    config: Config = {
        "DEFAULT": {"enabled_backends": "bucket:s3"},
        "glance_store": {
            "stores": None,
            "default_store": None,
            "filesystem_store_datadir": None,
            "default_backend": "bucket",
        },
        "bucket": {
            "s3_store_host": f"http://{s3.host}",
            "s3_store_access_key": s3.access_key,
            "s3_store_secret_key": s3.secret_key,
            "s3_store_bucket": bucket._options.bucket,
        },
    }
    made = LocalRegistry(tmp_path, config)
    yield made
    made.close()


def test_a_bucket_is_looked_after_like_a_directory(
    registry: LocalRegistry, doctor: Doctor, bucket: S3Client
) -> None:
    image_id, queued, foreign = (
        *(str(registry.admin.create()["id"]) for _ in range(2)),
        str(uuid4()),
    )
    assert registry.admin.upload(image_id, DATA).status == 204
    clean = doctor.gc(settled_s=SETTLED_S) + doctor.verify()
    for key in (queued, foreign, "backups/of somebody/else"):
        bucket.call("put_object", Key=key, Body=b"x")

    found = doctor.gc(fix=True, settled_s=SETTLED_S)
    again = doctor.gc(settled_s=SETTLED_S)
    bucket.call("put_object", Key=image_id, Body=bytes(len(DATA)))
    damaged = doctor.verify()
    bucket.call("delete_object", Key=image_id)
    missing = doctor.gc(settled_s=SETTLED_S)

    assert clean == []
    assert set(told(found)) == {
        (Kind.ORPHAN, "bucket", queued, True),
        (Kind.FOREIGN, "bucket", foreign, False),
    }
    assert told(again) == [(Kind.FOREIGN, "bucket", foreign, False)]
    assert told(damaged) == [(Kind.HASH, "bucket", image_id, False)]
    assert (Kind.MISSING, "bucket", image_id, False) in told(missing)
