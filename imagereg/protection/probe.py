"""How long a pattern may take: the guard against backtracking.

Names come from users and patterns from an operator, and a pattern such as
``(a+)+$`` needs longer than the age of the universe for an unlucky name.  `re`
cannot be interrupted, so trying such a name outright would hang the check itself.
Names are therefore tried in growing lengths: exponential growth shows while an
answer still takes milliseconds, and the next length is not tried when the last
two foretell that it would exceed the limit.

The names are built from what the pattern's own parts match, since only a name that
nearly matches makes a pattern work hard.  That finds the usual accidents; it is no
proof.

Source: contract property-protection 7, ruling R-12.
"""

import itertools
import re
import time
from collections.abc import Callable, Iterator

from imagereg.protection.patterns import NAME_CHARS, skeletons

LIMIT_S = 0.1

# Below this an answer may be noise, and nothing is foretold from it.
_NOISE_S = 0.00005
_FLOOR_S = 0.00001
# Steps stay small: a pattern that costs sixteenfold for each character, worse than
# any seen, answers its first step into trouble within milliseconds.
_LENGTHS = (*range(4, 64, 4), *range(64, NAME_CHARS, 8), NAME_CHARS)
# So many beginnings and repeated middles are tried for one pattern.
_HEADS, _FILLS = 6, 7
_HEAD_CHARS = NAME_CHARS // 2

# `$` accepts a name that merely ends in a newline, and `.` stops at one.
_MISMATCH = "\n!"

Measure = Callable[[re.Pattern[str], str], float]


def measure_s(pattern: re.Pattern[str], name: str) -> float:
    """Return the processor time of one search, which a busy machine leaves alone."""
    begun_s = time.thread_time()
    pattern.search(name)
    return time.thread_time() - begun_s


def slowest_s(pattern: re.Pattern[str], measure: Measure = measure_s) -> float:
    """Return the seconds that ``pattern`` needs for its worst name of full length.

    Anything from `LIMIT_S` on may be foretold instead of measured.
    """
    slowest = 0.0
    for head, fill, tail in _recipes(pattern.pattern):
        room = NAME_CHARS - len(head) - len(tail)
        names = [head + (fill * n)[: min(n, room)] + tail for n in _LENGTHS]
        slowest = max(slowest, _grow_s(pattern, names, measure))
        if slowest >= LIMIT_S:
            break
    return slowest


def _grow_s(pattern: re.Pattern[str], names: list[str], measure: Measure) -> float:
    """Return the time for the last of ``names``, or a foretold one over the limit."""
    before_s = taken_s = 0.0
    for name, following in itertools.pairwise([*names, names[-1]]):
        taken_s = measure(pattern, name)
        if taken_s >= LIMIT_S:
            break
        if taken_s <= _NOISE_S:
            before_s = taken_s
            continue
        # Twice more: a single slow answer may be the machine's doing.
        taken_s = min(taken_s, measure(pattern, name), measure(pattern, name))
        # One step can be twice as long as the last, hence the square.
        growth = (taken_s / max(before_s, _FLOOR_S)) ** 2
        if len(following) > len(name) and taken_s * growth >= LIMIT_S:
            return taken_s * growth
        before_s = taken_s
    return taken_s


def _recipes(pattern: str) -> Iterator[tuple[str, str, str]]:
    """Yield head, repeated middle and tail of names that nearly match."""
    *heads, whole = (name[:_HEAD_CHARS] for name in skeletons(pattern))
    # Only its own characters stop a class such as `[^x]`.
    refused = re.findall(r"\[\^(.)", pattern, re.DOTALL)[:2]
    letters = list(dict.fromkeys(whole))
    fills = dict.fromkeys([*letters[:_FILLS], whole or "a", "a", "0"])
    for head in list(dict.fromkeys(["", *heads]))[:_HEADS]:
        for fill in fills:
            yield head, fill, _MISMATCH
        for tail in refused:
            yield head, "a", tail
            yield head, "0", tail
