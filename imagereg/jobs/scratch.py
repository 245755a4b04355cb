"""The work area of import steps: a directory for each task, gone when it ends.

A crash leaves directories behind; those whose task is finished are removed by
whoever looks at the queue on the same node.

Source: contract config 6, ``[task] work_dir``.
"""

import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Scratch:
    """Directories below one."""

    root: Path

    @contextmanager
    def of(self, task_id: str) -> Iterator[Path]:
        """Yield an empty directory for a task, and remove it."""
        directory = self.root / task_id
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700, parents=True)
        try:
            yield directory
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def sweep(self, unfinished: Callable[[], Collection[str]]) -> None:
        """Remove the directories of tasks that are finished."""
        if not self.root.is_dir():
            return
        # Looked at before the queue is, so that a task that begins now keeps its own.
        directories = [each for each in self.root.iterdir() if _is_id(each.name)]
        if not directories:
            return
        kept = unfinished()
        for directory in directories:
            if directory.name not in kept:
                shutil.rmtree(directory, ignore_errors=True)


def _is_id(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False
