"""The life of an image, lived by a registry, two nodes and real machines."""

import shutil
from pathlib import Path

import pytest

from tests.lifecycle.machine import MISSING, PROGRAM
from tests.lifecycle.story import NO_RESCUE, tell


@pytest.mark.long
@pytest.mark.skipif(shutil.which(PROGRAM) is None, reason=MISSING)
def test_an_image_lives_from_upload_to_the_snapshot_of_a_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    tell(tmp_path, said.append)

    if said[-1] == NO_RESCUE:
        with capsys.disabled():
            print(f"\n{NO_RESCUE}")  # noqa: T201 - nobody shall miss it
    assert sum("says: " in line for line in said) >= 5
