"""Import steps: what they are given, what they may change, and how they fail.

Source: contract api-images 18.4, config 6.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, ImportStopped
from imagereg.jobs.image_import import ImageImport
from imagereg.jobs.plugins import ImportWork, PluginResult
from imagereg.jobs.scratch import Scratch
from imagereg.model import TaskType
from tests.api.imports import DATA, SINGLE, STORES, Importing, staged
from tests.registry import LocalRegistry, merged

OTHER = DATA[::-1] + b"more"


@pytest.fixture
def registry(tmp_path: Path) -> LocalRegistry:
    return LocalRegistry(tmp_path, SINGLE)


class Step:
    """A step that does what it is told."""

    def __init__(self, do: Callable[[ImportWork], PluginResult]) -> None:
        self.do = do
        self.seen: list[tuple[bytes, str | None]] = []
        self.scratch: list[Path] = []

    def run(self, work: ImportWork) -> PluginResult:
        with work.open() as reader:
            data = b"".join(reader)
        assert len(data) == work.size
        work.check_wanted()
        self.seen.append((data, work.image.disk_format))
        self.scratch.append(work.scratch)
        (work.scratch / "file").write_bytes(data)
        return self.do(work)


def install(registry: LocalRegistry, *steps: Step) -> None:
    kind = registry.registry.jobs._queue.kinds[TaskType.API_IMAGE_IMPORT]
    assert isinstance(kind, ImageImport)
    object.__setattr__(kind, "plugins", steps)


def change(work: ImportWork) -> PluginResult:
    return PluginResult(
        {"disk_format": "iso"}, {"os_distro": "test", "gone": None}, iter([OTHER])
    )


def nothing(work: ImportWork) -> PluginResult:
    return PluginResult()


def test_a_step_changes_data_fields_and_properties_for_those_behind_it(
    registry: LocalRegistry,
) -> None:
    first, second = Step(change), Step(nothing)
    install(registry, first, second)
    # A container format of which nothing is inspected.
    image = Importing(registry, container_format="ovf", gone="x").stage().begin()

    record = image.work()

    assert first.seen == [(DATA, "raw")]
    assert second.seen == [(OTHER, "iso")]
    assert (record["status"], record["size"]) == ("active", len(OTHER))
    assert (record["disk_format"], record["os_distro"]) == ("iso", "test")
    assert "gone" not in record
    assert image.alice.download(image.id).body == OTHER
    assert staged(registry) == []
    assert not any(path.exists() for path in first.scratch + second.scratch)


def test_a_step_that_is_through_is_not_taken_again(registry: LocalRegistry) -> None:
    def die(work: ImportWork) -> PluginResult:
        raise SystemExit

    first, second = Step(change), Step(die)
    install(registry, first, second)
    image = Importing(registry, container_format="ovf").stage().begin()
    # The thread ends without a word, as by a full disk; the next one takes the job.
    with pytest.raises(SystemExit):
        registry.registry.jobs.run_pending()

    second.do = nothing
    record = image.work()

    assert len(first.seen) == 1
    assert second.seen == [(OTHER, "iso")] * 2
    assert (record["status"], record["size"]) == ("active", len(OTHER))


def test_a_step_that_refuses_ends_the_import(registry: LocalRegistry) -> None:
    def refuse(work: ImportWork) -> PluginResult:
        raise ImportStopped("this cannot be converted")

    step = Step(refuse)
    install(registry, step)
    image = Importing(registry).stage().begin()

    record = image.work()

    assert (record["status"], record["size"]) == ("queued", None)
    assert (image.is_locked, image.task["status"]) == (False, "failure")
    assert image.task["message"] == "this cannot be converted"
    assert staged(registry) == []
    assert not step.scratch[0].exists()


def test_what_a_step_makes_is_kept_within_the_limit(tmp_path: Path) -> None:
    limit = {"DEFAULT": {"image_size_cap": str(len(DATA))}}
    registry = LocalRegistry(tmp_path, merged(SINGLE, limit))
    install(registry, Step(change))
    image = Importing(registry).stage().begin()

    record = image.work()

    assert record["status"] == "queued"
    assert "limit" in image.task["message"]
    assert staged(registry) == []


def test_copies_pass_no_step(tmp_path: Path) -> None:
    registry = LocalRegistry(tmp_path, STORES)
    step = Step(change)
    install(registry, step)
    image = Importing(registry).upload()

    assert image.copy(stores=["slow"]).status == 202
    record = image.work()

    assert (record["stores"], record["disk_format"]) == ("fast,slow", "raw")
    assert step.seen == []


def test_a_step_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    unknown = {"image_import_opts": {"image_import_plugins": "[nonsense]"}}
    with pytest.raises(ConfigurationError, match="nonsense"):
        LocalRegistry(tmp_path, unknown)


def test_no_op_changes_nothing(tmp_path: Path) -> None:
    option = {"image_import_opts": {"image_import_plugins": "[no_op]"}}
    image = Importing(LocalRegistry(tmp_path, option)).stage().begin()

    assert image.work()["status"] == "active"
    assert image.alice.download(image.id).body == DATA


def test_only_directories_of_finished_tasks_are_swept(tmp_path: Path) -> None:
    ours, other = (f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2))
    for name in (ours, other, "lost+found"):
        (tmp_path / name).mkdir()

    Scratch(tmp_path).sweep(lambda: [ours])
    Scratch(tmp_path / "absent").sweep(lambda: [ours])

    assert sorted(path.name for path in tmp_path.iterdir()) == [ours, "lost+found"]
