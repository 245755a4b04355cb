"""How long, and how many, tokens are kept in memory."""

import pytest

from imagereg.errors import Conflict
from imagereg.jobs import delegation
from imagereg.jobs.delegation import LONGEST_S, Delegation, Delegations, RegionAccess

ACCESS = RegionAccess("http://far", "canary")


def test_what_is_kept_is_there_until_it_is_dropped() -> None:
    kept = Delegations()
    kept.keep("a", ACCESS)

    assert kept.find("a") is ACCESS
    assert list(kept.tasks()) == ["a"]
    assert kept.find("b") is None
    kept.drop("a")
    assert (kept.find("a"), list(kept.tasks())) == (None, [])


def test_what_is_kept_expires() -> None:
    now = [0.0]
    kept = Delegations(lambda: now[0])
    kept.keep("a", ACCESS)

    now[0] = LONGEST_S - 1
    assert kept.find("a") is ACCESS
    now[0] = LONGEST_S
    assert (kept.find("a"), list(kept.tasks())) == (None, [])


def test_no_more_are_kept_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delegation, "MOST", 1)
    kept = Delegations()
    kept.keep("a", ACCESS)

    with pytest.raises(Conflict):
        kept.keep("b", ACCESS)
    kept.drop("a")
    kept.keep("b", ACCESS)


def test_no_text_of_it_shows_the_token() -> None:
    assert "canary" not in repr(ACCESS)
    assert "canary" not in repr(Delegation("canary", '["canary"]'))
