"""The guard against patterns that backtrack, with a clock that obeys."""

import re
import time

import pytest

from imagereg.protection.patterns import NAME_CHARS
from imagereg.protection.probe import LIMIT_S, _recipes, measure_s, slowest_s


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "^x_(a+)+$",
        "^[a-z]+_(x+x+)+y$",
        "(.*)*$",
        "([^x]+)+$",
        "^(a|a|a|a)*$",
        "^(a|aa)+$",
        r"^hw\.(\w+\.?)+$",
        "^.{30}(a+)+$",
        "^.{100}(a+)+$",
        r"^(\d+)*$",
        "^(?P<n>[ab]*)*c",
        r"^(([a-z])+.)+[A-Z]([a-z])+$",
    ],
)
def test_catastrophic_patterns_are_found_in_little_time(pattern: str) -> None:
    begun_s = time.thread_time()

    found_s = slowest_s(re.compile(pattern))

    # Generous: a full name would take years for most of these.
    assert found_s >= LIMIT_S
    assert time.thread_time() - begun_s < 5.0


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        ".*",
        "^x_.*",
        "x_none_read",
        "^(cpu|mem)_[0-9]+$",
        "(?i)^license",
        "foo.*bar",
        r"\s+$",
        "ü",
        r"(a)\1",
        "a{3}|b{,2}|c{1,}",
        "[]x]|[^]]",
        "^(?:a|b)(?=c)(?!d)(?<=c)(?P<e>f)(?P=e)$",
    ],
)
def test_ordinary_patterns_pass(pattern: str) -> None:
    assert slowest_s(re.compile(pattern)) < LIMIT_S


class Clock:
    """Measures by a formula, and records which lengths were tried."""

    def __init__(self, cost_s: "list[float] | None" = None, base: float = 0.0) -> None:
        self.lengths: list[int] = []
        self._costs = cost_s or []
        self._base = base

    def __call__(self, pattern: re.Pattern[str], name: str) -> float:
        self.lengths.append(len(name))
        if self._base:
            return float(1e-9 * self._base ** len(name))
        return self._costs.pop(0) if self._costs else 0.0


@pytest.mark.parametrize("base", [1.5, 2.0, 4.0])
def test_exponential_growth_is_foretold_and_not_tried(base: float) -> None:
    clock = Clock(base=base)

    found_s = slowest_s(re.compile("x"), clock)

    assert found_s >= LIMIT_S
    assert 1e-9 * base ** max(clock.lengths) < LIMIT_S


@pytest.mark.parametrize("slow_s", [LIMIT_S, 2 * LIMIT_S])
def test_a_slow_answer_is_the_end(slow_s: float) -> None:
    clock = Clock([0.0, slow_s])

    assert slowest_s(re.compile("x"), clock) == slow_s
    assert len(clock.lengths) == 2


@pytest.mark.parametrize(
    ("answers_s", "found_s"),
    [
        # Nothing came before the first, so that is as if it had cost next to nothing.
        ([0.001], 10.0),
        # Twenty times the last: four hundred times at the next.
        ([0.00006, 0.0012], 0.48),
        # Exactly the limit.
        ([0.00006, 0.0004, 0.0012, 0.0025, 0.005, 0.0085, 0.0125, 0.025], LIMIT_S),
    ],
)
def test_the_next_answer_is_foretold_by_the_square_of_growth(
    answers_s: list[float], found_s: float
) -> None:
    clock = Clock([answer_s for answer_s in answers_s for _ in range(3)])

    assert slowest_s(re.compile("x"), clock) == pytest.approx(found_s)
    assert len(clock.lengths) == 3 * len(answers_s)


def test_what_may_be_noise_is_not_measured_again() -> None:
    clock = Clock([0.00005])

    slowest_s(re.compile("x"), clock)

    assert clock.lengths[0] < clock.lengths[1]


def test_one_slow_answer_may_be_the_machine() -> None:
    clock = Clock([0.0, 0.09, 0.0001, 0.00002])

    assert slowest_s(re.compile("x"), clock) < LIMIT_S


def test_growth_that_ends_with_the_longest_name_is_not_foretold() -> None:
    class AtTheEnd(Clock):
        def __call__(self, pattern: re.Pattern[str], name: str) -> float:
            return 0.05 if len(name) == NAME_CHARS else 0.0

    assert slowest_s(re.compile("x"), AtTheEnd()) == pytest.approx(0.05)


def test_names_are_never_longer_than_names_can_be() -> None:
    clock = Clock()

    slowest_s(re.compile("^" + "long" * 100 + "(a+)+$"), clock)

    assert max(clock.lengths) == NAME_CHARS


def test_time_is_that_of_the_thread() -> None:
    assert 0 <= measure_s(re.compile("a"), "b" * 100) < LIMIT_S


def test_what_is_measured_is_a_search() -> None:
    # A match at the beginning alone looks once at each character.
    assert measure_s(re.compile("a*b"), "a" * 20_000) > 0.005


def test_a_pattern_without_characters_is_tried_with_some() -> None:
    assert [*_recipes("")] == [("", "a", "\n!"), ("", "0", "\n!")]


def test_only_so_many_beginnings_and_middles_are_tried() -> None:
    heads = {head for head, _, _ in _recipes("a+b+c+d+e+f+g+h+")}
    fills = [fill for _, fill, _ in _recipes("abcdefghij")]

    assert heads == {"", "a", "ab", "abc", "abcd", "abcde"}
    assert fills == [*"abcdefg", "abcdefghij", "0"]


def test_names_begin_like_the_pattern_and_end_in_what_it_refuses() -> None:
    tails = [("a", "x"), ("0", "x"), ("a", "y"), ("0", "y")]
    fills = [(fill, "\n!") for fill in ("b", "]", "b]]]", "a", "0")]

    assert [*_recipes("b([^x][^y])[^z]")] == [
        (head, *end) for head in ("", "b") for end in (*fills, *tails)
    ]
