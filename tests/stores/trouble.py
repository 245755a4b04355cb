"""Trouble for file stores: full disks, failing calls, little room."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.stores import datadir


def listed(directory: Path) -> list[str]:
    """Return the names in ``directory``, in order."""
    return sorted(entry.name for entry in directory.iterdir())


def room(monkeypatch: pytest.MonkeyPatch, **free: int) -> None:
    """Let directories have so many free bytes, by name."""

    def answer(handle: int) -> int:
        return free[Path(f"/proc/self/fd/{handle}").readlink().name]

    monkeypatch.setattr(datadir, "_free", answer)


def failing(number: int) -> Callable[..., object]:
    """Return a function that fails with the error ``number``."""

    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail
