"""Fixtures that write a configuration and load it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import pytest

from imagereg.errors import ConfigurationError
from imagereg.settings import Settings, load_settings, sources


class Load(Protocol):
    """Loads one file with the given text."""

    def __call__(
        self,
        text: str = "",
        environ: Mapping[str, str] = ...,
        overrides: Mapping[tuple[str, str], str] = ...,
    ) -> Settings: ...


class Faults(Protocol):
    """Loads one file with the given text, and returns its faults."""

    def __call__(
        self, text: str = "", environ: Mapping[str, str] = ...
    ) -> tuple[str, ...]: ...


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty directory, on a system without configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "SYSTEM_DIR", tmp_path / "system")


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads a file with the given text, ``a.conf``."""

    def from_text(
        text: str = "",
        environ: Mapping[str, str] = {},
        overrides: Mapping[tuple[str, str], str] = {},
    ) -> Settings:
        (tmp_path / "a.conf").write_text(text, encoding="utf-8")
        return load_settings([Path("a.conf")], (), environ, overrides)

    return from_text


@pytest.fixture
def faults(load: Load) -> Faults:
    """Return a function that loads a file in vain and returns why."""

    def of_text(text: str = "", environ: Mapping[str, str] = {}) -> tuple[str, ...]:
        with pytest.raises(ConfigurationError) as caught:
            load(text, environ)
        return caught.value.faults

    return of_text
