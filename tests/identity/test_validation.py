"""Tokens are asked about seldom, believed for a while, and kept nowhere.

Source: contract auth 1.2, rulings U-5 and U-10.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from imagereg.errors import IdentityUnavailable, IdentityUnreachable
from imagereg.identity import validation
from imagereg.identity.outage import PAUSE_S, Outage
from imagereg.identity.recent import Recent
from imagereg.identity.validation import REFUSED_S, Validation
from tests.identity.small_keystone import stamp


@dataclass
class Clock:
    """Time that passes when it is told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Teller:
    """An identity service that tells what it is given, and counts.

    Attributes:
        lasts: token -> for how many seconds it lasts; others are refused.
    """

    lasts: dict[str, float] = field(default_factory=dict)
    asked: list[tuple[str, bool]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    is_away: bool = False

    def validate(self, token: str, *, allow_expired: bool) -> bytes | None:
        self.asked.append((token, allow_expired))
        self.before()
        if self.is_away:
            raise IdentityUnreachable("away")
        lasts_s = self.lasts.get(token)
        if lasts_s is None or (lasts_s <= 0 and not allow_expired):
            return None
        document = {"user": {"id": f"{token[:4]}..."}, "expires_at": stamp(lasts_s)}
        return json.dumps({"token": document}).encode()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teller() -> Teller:
    return Teller({"good": 3600.0, "short": 60.0, "old": -60.0})


@pytest.fixture
def tokens(teller: Teller, clock: Clock) -> Validation:
    return Validation(teller, 300, clock)


def test_a_good_token_is_asked_about_once_in_a_while(
    tokens: Validation, teller: Teller, clock: Clock
) -> None:
    found = tokens.find("good")
    clock.now += 299

    assert found is not None
    assert found.user_id == "good..."
    assert tokens.find(" good ") is found
    assert len(teller.asked) == 1
    clock.now += 2
    assert tokens.find("good") is not None
    assert len(teller.asked) == 2


def test_nothing_is_believed_beyond_its_end(
    tokens: Validation, teller: Teller, clock: Clock
) -> None:
    assert tokens.find("short")
    clock.now += 61
    teller.lasts["short"] = -1

    assert tokens.find("short") is None


def test_a_refused_token_is_asked_about_again_after_ten_seconds(
    tokens: Validation, teller: Teller, clock: Clock
) -> None:
    assert [tokens.find("bad") for _ in range(5)] == [None] * 5
    assert len(teller.asked) == 1
    clock.now += REFUSED_S + 0.1
    teller.lasts["bad"] = 60.0

    assert tokens.find("bad")


def test_an_expired_token_counts_only_where_that_is_allowed(
    tokens: Validation, teller: Teller
) -> None:
    assert tokens.find("old") is None
    assert tokens.find("old", allow_expired=True)
    assert tokens.find("old") is None
    # It is not remembered as good, because it is good for nobody else.
    assert tokens.find("old", allow_expired=True)
    assert teller.asked == [("old", False), ("old", True), ("old", True)]


def test_a_service_that_calls_an_expired_token_good_is_not_believed(
    teller: Teller, clock: Clock
) -> None:
    late = Validation(teller, 300, clock, now=lambda: 4e9)

    assert late.find("good") is None


@pytest.mark.parametrize("remember_s", [0, -1])
def test_nothing_is_remembered_where_that_is_wanted(
    teller: Teller, clock: Clock, remember_s: int
) -> None:
    tokens = Validation(teller, remember_s, clock)

    assert tokens.find("good")
    del teller.lasts["good"]
    assert tokens.find("good") is None
    assert tokens.find("good") is None
    assert len(teller.asked) == 3


@pytest.mark.parametrize(
    "text", ["", " ", "a,b", "a b", "ä", "a\x00", "x" * 8193, "a\nb"], ids=range(8)
)
def test_what_cannot_be_a_token_is_not_asked_about(
    tokens: Validation, teller: Teller, text: str
) -> None:
    assert tokens.find(text) is None
    assert teller.asked == []


def test_many_threads_with_one_token_ask_once(
    tokens: Validation, teller: Teller
) -> None:
    gate = threading.Event()

    def hold() -> None:
        gate.wait(60)

    teller.before = hold
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(tokens.find("good")))
        for _ in range(20)
    ]
    for each in threads:
        each.start()
    gate.set()
    for each in threads:
        each.join(60)

    assert len(found) == 20
    assert None not in found
    assert len(teller.asked) == 1


def test_who_waits_too_long_for_another_thread_is_told(
    tokens: Validation, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "WAIT_S", 0.01)
    refused: list[str] = []

    def meanwhile() -> None:
        teller.before = lambda: None
        with pytest.raises(IdentityUnavailable) as told:
            tokens.find("good")
        refused.append(told.value.message)

    def ask_twice() -> None:
        other = threading.Thread(target=meanwhile)
        other.start()
        other.join(60)

    teller.before = ask_twice

    assert tokens.find("good")
    assert len(refused) == 1


def test_what_is_remembered_outlives_the_service_and_nothing_else_does(
    tokens: Validation, teller: Teller, clock: Clock
) -> None:
    assert tokens.find("good")
    teller.is_away = True

    assert tokens.find("good")
    for token in ("short", "bad"):
        with pytest.raises(IdentityUnavailable):
            tokens.find(token)
    assert len(teller.asked) == 2  # the second failure was known beforehand
    clock.now += 301
    with pytest.raises(IdentityUnavailable):
        tokens.find("good")
    teller.is_away = False
    clock.now += PAUSE_S
    assert tokens.find("good")
    assert tokens.find("short")


def test_a_malformed_answer_is_no_refusal_and_no_outage(
    tokens: Validation, monkeypatch: pytest.MonkeyPatch, teller: Teller
) -> None:
    monkeypatch.setattr(teller, "validate", lambda token, allow_expired: b"{}")
    with pytest.raises(IdentityUnavailable) as told:
        tokens.find("good")
    monkeypatch.undo()

    assert not isinstance(told.value, IdentityUnreachable)
    assert tokens.find("good")


def test_no_token_is_kept(tokens: Validation, teller: Teller) -> None:
    teller.lasts["canary-token"] = 60.0
    assert tokens.find("canary-token")
    assert tokens.find("canary-wrong") is None

    kept = repr((tokens._good._kept, tokens._refused._kept))

    assert (len(tokens._good), len(tokens._refused)) == (1, 1)
    assert "canary-" not in kept


def test_the_least_recently_used_makes_room(clock: Clock) -> None:
    recent: Recent[int] = Recent(3, clock)
    for number in (1, 2, 3):
        recent.keep(bytes([number]), number, 60)
    assert recent.find(b"\1") == 1
    recent.keep(b"\4", 4, 60)

    assert recent.find(b"\2") is None
    assert [recent.find(bytes([n])) for n in (1, 3, 4)] == [1, 3, 4]
    assert len(recent) == 3
    clock.now += 60
    assert recent.find(b"\1") is None
    assert len(recent) == 2
    recent.keep(b"\5", 5, 0)
    assert recent.find(b"\5") is None


def test_refused_tokens_do_not_push_out_good_ones(
    tokens: Validation, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens._refused, "_most", 5)
    assert tokens.find("good")
    for number in range(50):
        assert tokens.find(f"bad{number}") is None
    asked = len(teller.asked)

    assert tokens.find("good")
    assert len(teller.asked) == asked
    assert len(tokens._refused) == 5


def test_one_at_a_time_sees_whether_it_is_back(clock: Clock) -> None:
    outage = Outage(2.0, clock)

    def is_let_pass() -> bool:
        try:
            with outage.attempt():
                return True
        except IdentityUnavailable:
            return False

    with pytest.raises(IdentityUnreachable, match="asked"), outage.attempt():
        raise IdentityUnreachable("asked")
    assert not is_let_pass()
    clock.now += 2
    with outage.attempt():
        assert not is_let_pass()
    assert is_let_pass()


@pytest.mark.parametrize("kind", [ZeroDivisionError, IdentityUnavailable])
def test_whatever_else_happens_is_no_outage(
    clock: Clock, kind: type[Exception]
) -> None:
    outage = Outage(2.0, clock)
    for _ in range(2):
        with pytest.raises(kind), outage.attempt():
            raise kind
    with outage.attempt():
        pass
