"""What can be wrong with a database, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Advice(StrEnum):
    """What to do about a flaw; the value is what is shown."""

    UPGRADE = "run `imagereg db upgrade`"
    FIX = "run `imagereg db check --fix`"
    RESTORE = "restore the database from a backup, or mend it by hand"
    REMOVE = "remove it, or move it elsewhere, unless you put it there"
    NEWER = "run the newer version of this program that made it"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is not as it should be.

    Attributes:
        what: in words.
        fixed: it is as it should be now.
    """

    what: str
    advice: Advice
    fixed: bool = False
