"""How `imagereg-fetch` shows how far it is: a bar, a line of a log, or JSON.

Source: contract compute-fetch C-12.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click
import orjson
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from imagereg.fetch import FetchResult, Progress
from imagereg.fetch.reporting import Listener

SHOWN = ("auto", "bar", "json", "none")

#: How often a log gets a line of an image on its way.
LINE_EVERY_S = 30.0

#: Events that a bar names; everything else moves it.
_WORDS = {"verify": "verifying", "convert": "converting"}


class Display:
    """Shows images on their way, one after the other.

    Attributes:
        is_json: standard output is for machines.
    """

    def __init__(self, shown: str, *, as_json: bool) -> None:
        self._console = Console(stderr=True, highlight=False)
        is_shown = shown in ("auto", "bar")
        # A bar in a log would be one line for each of its moves.
        self._has_bar = is_shown and self._console.is_terminal
        self._has_line = is_shown and not as_json
        self._has_events = shown == "json"
        self.is_json = as_json or self._has_events

    @contextmanager
    def of(self, image: str) -> Iterator[Listener | None]:
        """Yield what is told how far one image is."""
        if self._has_events:
            yield _write_event
        elif self._has_bar:
            with _bars(self._console) as bars:
                yield _Mover(bars, image)
        elif self._has_line:
            yield _Teller(self._console, image)
        else:
            yield None

    def close(self, image: str, result: FetchResult, seconds: float) -> None:
        """Say what came of one image."""
        if not self._has_line:
            return
        how = "verified" if result.verified else "not verified"
        took = f"{decimal(result.size)} in {seconds:.1f} s"
        self._console.print(
            f"{image}: {took}, {result.source}, {how}", markup=False, soft_wrap=True
        )


class _Mover:
    """Moves the bar of one image."""

    def __init__(self, bars: Bars, image: str) -> None:
        self._bars = bars
        self._task = bars.add_task(image[:8], total=None, what="asking")

    def __call__(self, progress: Progress) -> None:
        what = _WORDS.get(progress.event, progress.source or "asking")
        self._bars.update(
            self._task, completed=progress.done, total=progress.total, what=what
        )


class _Teller:
    """Writes a line now and then, for logs."""

    def __init__(self, console: Console, image: str) -> None:
        self._console = console
        self._image = image
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.event != "progress" or now - self._last < LINE_EVERY_S:
            return
        self._last = now
        total = f" of {decimal(progress.total)}" if progress.total else ""
        share = f" ({progress.done / progress.total:.0%})" if progress.total else ""
        rate = f"{decimal(round(progress.rate))}/s, {progress.source}"
        line = f"{self._image}: {decimal(progress.done)}{total}{share}, {rate}"
        self._console.print(line, markup=False, soft_wrap=True)


def _bars(console: Console) -> Bars:
    return Bars(
        TextColumn("{task.description} {task.fields[what]:<10}"),
        BarColumn(bar_width=None),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
        expand=True,
    )


def _write_event(progress: Progress) -> None:
    if progress.event == "done":
        return  # The command itself writes the last line, which has more to say.
    line = {**asdict(progress), "rate": round(progress.rate)}
    click.echo(orjson.dumps(line).decode())
