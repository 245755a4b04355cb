"""What can be known about a pattern by looking at it: shape, anchors, a name.

Whether one regular expression covers another is hard to say in general.  Most
patterns of protection files are plain text with anchors, and about those the answers
here are certain; where nothing is known, nothing is claimed.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

NAME_CHARS = 255

_TOKEN = re.compile(
    r"(?P<atom>\[\^?\]?(?:\\.|[^\]\\])*\]"  # a character class
    r"|\\.)"  # an escape
    r"|(?P<open>\((?:\?(?:P<\w+>|P=\w+|[a-zA-Z-]+[:)]|[:=!>]|<[=!]))?)"  # a group
    r"|(?P<repeat>[*+?]|\{(?P<least>[0-9]*),?[0-9]*\})"
    r"|.",
    re.DOTALL,
)
_LITERAL = re.compile(r"(?:[^\\^$.|?*+()\[\]{}]|\\[^A-Za-z0-9])*")
_START, _END = ("^", r"\A"), ("$", r"\Z")
_ANYTHING = ".*"
_SAMPLES = "a0_- !"
# A class that lets all of these pass is meant to let everything pass.
_SINGLES = (
    *map(chr, range(ord(" "), ord("~") + 1)),
    "\N{LATIN SMALL LETTER E WITH ACUTE}",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A pattern that is plain text.

    Attributes:
        text: what a matching name contains.
        starts: the name begins with it.
        ends: the name ends with it.
    """

    text: str
    starts: bool
    ends: bool

    def covers(self, other: "Shape") -> bool:
        """Say whether every name of the ``other`` shape has this one."""
        if self.starts and self.ends:
            return other == self
        if self.starts:
            return other.starts and other.text.startswith(self.text)
        if self.ends:
            return other.ends and other.text.endswith(self.text)
        return self.text in other.text


def find_shape(pattern: str) -> Shape | None:
    """Return the shape of ``pattern``, None when it is more than plain text."""
    if pattern.startswith("(?"):
        return None
    text, starts, ends = _strip_anchors(pattern)
    if text.startswith(_ANYTHING):
        text, starts = text.removeprefix(_ANYTHING), False
    if text.endswith(_ANYTHING):
        text, ends = text.removesuffix(_ANYTHING), False
    if not _LITERAL.fullmatch(text):
        return None
    return Shape(re.sub(r"\\(.)", r"\1", text), starts, ends)


def covers(earlier: re.Pattern[str], later: re.Pattern[str]) -> bool:
    """Say whether ``earlier`` certainly matches every name that ``later`` matches."""
    if earlier.pattern == later.pattern or is_catch_all(earlier):
        return True
    shape = find_shape(later.pattern)
    if shape is None:
        return False
    if shape.starts and shape.ends:
        return earlier.search(shape.text) is not None
    general = find_shape(earlier.pattern)
    return general is not None and general.covers(shape)


def is_catch_all(pattern: re.Pattern[str]) -> bool:
    """Say whether ``pattern`` matches every name."""
    return all(map(pattern.search, _SINGLES))


def find_anchors(pattern: str) -> list[tuple[bool, bool]]:
    """Return for each alternative whether it is held at its start and at its end."""
    return [_strip_anchors(part)[1:] for part in _split_alternatives(pattern)]


def sample_name(pattern: re.Pattern[str]) -> str | None:
    """Return a name that ``pattern`` matches, None when none was found."""
    *_, name = skeletons(pattern.pattern)
    return name if pattern.search(name) else None


def skeletons(pattern: str) -> Iterator[str]:
    """Yield names made of one character per part: up to each repetition, then whole.

    A part that is repeated a fixed number of times is; of alternatives, all appear.
    """
    name = ""
    for token in _TOKEN.finditer(pattern):
        if token["repeat"]:
            yield name[:-1]
            name += name[-1:] * (min(int(token["least"] or 1), NAME_CHARS) - 1)
        elif token["open"]:
            yield name
        else:
            name += _sample(token[0])
    yield name


def _sample(token: str) -> str:
    """Return a character that ``token`` alone matches, or nothing."""
    try:
        # What `re` finds odd in the pattern is reported where the pattern is read.
        with warnings.catch_warnings(action="ignore"):
            alone = re.compile(token, re.DOTALL)
    except re.error:
        return ""
    return next(filter(alone.fullmatch, token[-1] + _SAMPLES + token), "")


def _strip_anchors(pattern: str) -> tuple[str, bool, bool]:
    text = re.sub(r"^\(\?[a-zA-Z]+\)", "", pattern)
    bare = text.removeprefix(_START[0]).removeprefix(_START[1])
    ended = bare.endswith(_END) and not bare.endswith("\\$")
    core = bare.removesuffix(_END[0]).removesuffix(_END[1]) if ended else bare
    return core, bare != text, ended


def _split_alternatives(pattern: str) -> list[str]:
    parts, depth = [""], 0
    for token in _TOKEN.finditer(pattern):
        if token["open"] and not token["open"].endswith(")"):
            depth += 1
        elif token[0] == ")":
            depth -= 1
        if token[0] == "|" and not depth:
            parts.append("")
        else:
            parts[-1] += token[0]
    return parts
