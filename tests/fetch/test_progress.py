"""What people and logs see of an image on its way."""

import io
import re

import pytest
from rich.console import Console

from imagereg.cli import fetch_progress
from imagereg.cli.fetch_progress import Display
from imagereg.fetch import Progress

IMAGE = "11111111-2222-4333-8444-555555555555"
GIB = 1 << 30


def shown_by(
    monkeypatch: pytest.MonkeyPatch, *told: Progress, is_terminal: bool
) -> list[str]:
    """Return the lines that are written, whatever moves on them."""
    written = io.StringIO()

    def console(**_: object) -> Console:
        return Console(
            file=written, width=80, force_terminal=is_terminal, color_system=None
        )

    monkeypatch.setattr(fetch_progress, "Console", console)
    with Display("auto", as_json=False).of(IMAGE) as listen:
        assert listen is not None
        for each in told:
            listen(each)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.getvalue())
    return re.split(r"[\r\n]+", text)


def test_a_bar_fits_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown_by(
        monkeypatch,
        Progress("start", IMAGE, 0, 20 * GIB, 0, "http"),
        Progress("progress", IMAGE, 15 * GIB, 20 * GIB, 1e8, "http"),
        Progress("convert", IMAGE, 20 * GIB, 20 * GIB, 1e8, "http"),
        is_terminal=True,
    )

    assert max(map(len, lines)) <= 80
    assert any("20.0/20.0 GiB" in line and "converting" in line for line in lines)


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        Progress("start", IMAGE, 0, 20 * GIB, 0, "direct"),
        Progress("progress", IMAGE, 5 * GIB, 20 * GIB, 1e8, "direct"),
        Progress("progress", IMAGE, 6 * GIB, None, 1e8, "direct"),
    ]

    assert shown_by(monkeypatch, *told, is_terminal=False) == [""]
    monkeypatch.setattr(fetch_progress, "LINE_EVERY_S", 0)
    assert shown_by(monkeypatch, *told, is_terminal=False) == [
        f"{IMAGE}: 5.4 GB of 21.5 GB (25%), 100.0 MB/s, direct",
        f"{IMAGE}: 6.4 GB, 100.0 MB/s, direct",
        "",
    ]
