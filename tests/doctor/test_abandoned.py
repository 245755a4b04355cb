"""Uploads in parts whose client never came back: found, and put back to `queued`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from imagereg.doctor.abandoned import HOUR_US, AbandonedUploads
from imagereg.doctor.findings import Kind
from imagereg.images.staged import StagedData
from imagereg.model import now_us
from tests.registry import LocalRegistry, merged
from tests.wire import as_

LIMITED = {
    "imagereg": {"limits_file": "{dir}/limits.ini", "run_jobs": "false"},
    "DEFAULT": {"enabled_import_methods": "[glance-direct]"},
}
LIMITS = {"limits.ini": "[default]\nimage_stage_total = 1\n"}

FORMATS = {"disk_format": "raw", "container_format": "bare"}

#: Enough that two of them are more than a project may stage.
PART = bytes(700_000)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    """Yield a registry in which a project may stage one MiB."""
    made = LocalRegistry(tmp_path, merged(LIMITED), files=LIMITS)
    yield made
    made.close()


def abandoned(registry: LocalRegistry, limit_h: int = 1) -> AbandonedUploads:
    return AbandonedUploads(staged(registry), limit_h)


def staged(registry: LocalRegistry) -> StagedData:
    return registry.registry.recovery.staged


def stage(
    registry: LocalRegistry, image_id: str, first: int, total: str, part: bytes = PART
) -> int:
    """Send one part as the member of a project; return the status of the answer."""
    words = f"bytes {first}-{first + len(part) - 1}/{total}"
    headers = {"Content-Type": "application/octet-stream", "Content-Range": words}
    path = f"/v2/images/{image_id}/stage"
    return (
        registry.client(as_()).request("PUT", path, body=part, headers=headers).status
    )


def begun(registry: LocalRegistry, hours_ago: float, total: str = "800000") -> str:
    """Return an image of which one part came so long ago, and was not the last."""
    image_id = str(registry.client(as_()).create(**FORMATS)["id"])
    assert stage(registry, image_id, 0, total) == 204
    age(registry, image_id, hours_ago)
    return image_id


def age(registry: LocalRegistry, image_id: str, hours: float) -> None:
    """Make what came of an image older."""
    then = now_us() - int(hours * HOUR_US)
    engine = registry.registry.engine
    with engine.transaction():
        engine.update("staged_parts", {"beat_at_us": then}, {"image_id": image_id})


def status(registry: LocalRegistry, image_id: str) -> str:
    return str(registry.admin.show(image_id)["status"])


def files(registry: LocalRegistry) -> list[str]:
    return [name for name, _ in registry.blobs()]


@pytest.mark.parametrize("total", ["800000", "*"])
def test_an_abandoned_upload_is_found_and_begins_anew(
    registry: LocalRegistry, total: str
) -> None:
    image_id = begun(registry, 2, total)
    other = str(registry.client(as_()).create(**FORMATS)["id"])
    assert stage(registry, other, 0, "800000") == 413

    (found,) = abandoned(registry).collect(fix=False)
    before = status(registry, image_id), len(files(registry))
    (fixed,) = abandoned(registry).collect(fix=True)

    assert (found.kind, found.subject) == (Kind.ABANDONED, image_id)
    assert (found.size, found.fixed) == (len(PART), False)
    assert found.detail.startswith("nothing came since 20")
    assert before == ("uploading", 1)
    assert fixed.fixed
    assert status(registry, image_id) == "queued"
    assert files(registry) == []
    assert list(abandoned(registry).collect(fix=True)) == []
    # Its bytes count no more, and it takes data again.
    assert stage(registry, other, 0, "*", b"other") == 204
    assert stage(registry, image_id, 0, "5", b"again") == 204
    assert staged(registry).size(image_id) == 5


@pytest.mark.parametrize(("hours_ago", "limit_h"), [(0.9, 1), (47, 48), (999, 0)])
def test_a_client_may_be_silent_as_long_as_the_operator_says(
    registry: LocalRegistry, hours_ago: float, limit_h: int
) -> None:
    image_id = begun(registry, hours_ago)

    assert list(abandoned(registry, limit_h).collect(fix=True)) == []

    assert status(registry, image_id) == "uploading"


def test_the_newest_part_counts(registry: LocalRegistry) -> None:
    image_id = begun(registry, 99, "700010")
    assert stage(registry, image_id, 700_000, "700010", b"five!") == 204

    assert list(abandoned(registry).collect(fix=True)) == []


def test_what_is_complete_waits_for_its_import_for_ever(
    registry: LocalRegistry,
) -> None:
    image_id = begun(registry, 0, "700000")
    age(registry, image_id, 999)

    assert list(abandoned(registry).collect(fix=True)) == []

    document = {"method": {"name": "glance-direct"}}
    path = f"/v2/images/{image_id}/import"
    assert registry.client(as_()).request("POST", path, document=document).status == 202
    assert list(abandoned(registry).collect(fix=True)) == []


def test_a_client_that_comes_back_in_time_keeps_its_parts(
    registry: LocalRegistry,
) -> None:
    image_id = begun(registry, 2)
    findings = abandoned(registry).collect(fix=True)
    rows = staged(registry).rows
    seen = rows.abandoned(now_us() - HOUR_US)
    assert stage(registry, image_id, 700_000, "800000", b"more") == 204

    given_up = staged(registry).give_up(image_id, now_us() - HOUR_US)

    assert [each.image_id for each in seen] == [image_id]
    assert not given_up
    assert list(findings) == []
    assert len(staged(registry).parts(image_id)) == 2


def run(registry: LocalRegistry, *words: str) -> Result:
    """Run `imagereg store` on the registry."""
    conf = str(registry.where / "imagereg.conf")
    return CliRunner().invoke(main, ["store", words[0], "--config", conf, *words[1:]])


@pytest.mark.parametrize("command", ["verify", "gc"])
def test_commands_tell_of_it_and_mend_it(registry: LocalRegistry, command: str) -> None:
    image_id = begun(registry, 169)
    young = begun_small(registry, 167)

    found = run(registry, command, "--json")
    there = status(registry, image_id)
    fixed = run(registry, command, "--fix")
    again = run(registry, command)

    assert [each.exit_code for each in (found, fixed, again)] == [1, 0, 0]
    (finding,) = json.loads(found.stdout)["findings"]
    assert finding["kind"] == "abandoned upload"
    assert finding["subject"] == image_id
    assert there == "uploading"
    assert (status(registry, image_id), status(registry, young)) == (
        "queued",
        "uploading",
    )
    assert len(files(registry)) == 1


def begun_small(registry: LocalRegistry, hours_ago: float) -> str:
    """Return an image of which a few bytes came so long ago."""
    image_id = str(registry.client(as_()).create(**FORMATS)["id"])
    assert stage(registry, image_id, 0, "*", b"few") == 204
    age(registry, image_id, hours_ago)
    return image_id
