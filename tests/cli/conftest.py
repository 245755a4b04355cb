"""Files that the tests of commands read."""

from pathlib import Path

import pytest


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Return a policy file with two rules, in lines 2 and 3."""
    path = tmp_path / "policy.json"
    path.write_text('{\n "get_image": "role:member",\n "delete_image": "!"\n}')
    return path
