"""The recorded exchanges and service helpers are copies, and stay exact ones."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SHARED = TESTS.parent.parent / "shared"


def contents(root: Path) -> dict[str, tuple[bytes, bool]]:
    """Return each file below ``root``: its bytes, and whether it may be run."""
    return {
        path.relative_to(root).as_posix(): (
            path.read_bytes(),
            bool(path.stat().st_mode & 0o100),
        )
        for path in root.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("name", ["golden", "services"])
def test_the_copy_equals_its_original_where_that_is_at_hand(name: str) -> None:
    original = SHARED / name
    copy = contents(TESTS / name)

    # Outside the workshop there is no original; the copy is then all there is.
    expected = contents(original) if original.is_dir() else copy

    assert sorted(copy) == sorted(expected)
    assert [path for path in copy if copy[path] != expected[path]] == []
    assert copy
