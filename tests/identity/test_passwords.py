"""Names and passwords against both files, as they change under a running service."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError, TooManyAttempts, Unauthenticated
from imagereg.identity import htpasswd
from imagereg.identity import passwords as module
from imagereg.identity.attempts import Attempts
from imagereg.identity.htpasswd import hash_password
from imagereg.identity.passwords import REMEMBERED_S, Passwords

PEER = "192.0.2.1"
ALICE = hash_password("secret", cost=4)
BOB = hash_password("bobs", cost=4)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "htpasswd"
    path.write_text(f"alice:{ALICE}\nbob:{BOB}\n")
    return path


@pytest.fixture
def accounts(tmp_path: Path) -> Path:
    path = tmp_path / "users.ini"
    path.write_text("[alice]\nproject = p1\n[bob]\ndisabled = true\n")
    return path


@pytest.fixture
def passwords(users: Path, accounts: Path, clock: Clock) -> Passwords:
    return Passwords(users, accounts, Attempts(clock=clock), clock)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """Yield the passwords that bcrypt was asked about."""
    asked: list[tuple[str, str]] = []

    def counted(password: str, hashed: str) -> bool:
        asked.append((password, hashed))
        return module_matches(password, hashed)

    module_matches = htpasswd.matches
    monkeypatch.setattr(module, "matches", counted)
    yield asked


def write(path: Path, text: str) -> None:
    path.write_text(text)
    now = path.stat().st_mtime_ns
    os.utime(path, ns=(now, now + 1_000_000))


def test_the_right_password_gives_the_account(passwords: Passwords) -> None:
    assert passwords.account("alice", "secret", PEER).project == "p1"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("alice", "Secret"),
        ("alice", ""),
        ("bob", "bobs"),
        ("eve", "secret"),
        ("", "secret"),
        ("alice\0", "secret"),
    ],
    ids=["wrong", "empty", "disabled", "unknown", "nameless", "nul"],
)
def test_every_refusal_costs_and_says_the_same(
    passwords: Passwords, computed: list[tuple[str, str]], name: str, password: str
) -> None:
    with pytest.raises(Unauthenticated, match=r"^wrong name or password$"):
        passwords.account(name, password, PEER)
    assert len(computed) == 1
    assert computed[0][1] in (ALICE, BOB)


def test_a_right_password_is_computed_once_in_five_minutes(
    passwords: Passwords, computed: list[tuple[str, str]], clock: Clock
) -> None:
    for _ in range(50):
        passwords.account("alice", "secret", PEER)
    assert len(computed) == 1
    clock.now += REMEMBERED_S
    passwords.account("alice", "secret", PEER)
    assert len(computed) == 2


def test_a_wrong_password_is_never_remembered(
    passwords: Passwords, computed: list[tuple[str, str]]
) -> None:
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            passwords.account("alice", "wrong", PEER)
    assert len(computed) == 3


def test_a_changed_password_counts_at_once(passwords: Passwords, users: Path) -> None:
    passwords.account("alice", "secret", PEER)
    write(users, f"alice:{hash_password('new', cost=4)}\n")
    with pytest.raises(Unauthenticated):
        passwords.account("alice", "secret", PEER)
    assert passwords.account("alice", "new", PEER).project == "p1"


def test_a_disabled_user_is_out_at_once_although_remembered(
    passwords: Passwords, accounts: Path
) -> None:
    passwords.account("alice", "secret", PEER)
    write(accounts, "[alice]\ndisabled = true\n")
    with pytest.raises(Unauthenticated):
        passwords.account("alice", "secret", PEER)


def test_a_user_whose_line_was_spoilt_is_refused(
    passwords: Passwords, users: Path
) -> None:
    write(users, f"alice:{{SHA}}abc\nbob:{BOB}\n")
    with pytest.raises(Unauthenticated):
        passwords.account("alice", "secret", PEER)


def test_files_that_become_nonsense_leave_the_users_in_force(
    passwords: Passwords,
    users: Path,
    accounts: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write(accounts, "[alice\n")
    users.unlink()
    with caplog.at_level(logging.ERROR):
        assert passwords.account("alice", "secret", PEER).project == "p1"
        assert passwords.account("alice", "secret", PEER).project == "p1"
    # Threads of other tests may have more to tell.
    told = [each for each in caplog.records if each.name == module.__name__]
    assert len(told) == 2
    assert ALICE not in caplog.text


@pytest.mark.parametrize("content", [None, "alice:plain\n", "alice\n", b"\xff\xfe"])
def test_a_bad_password_file_refuses_to_start(
    tmp_path: Path, content: str | bytes | None
) -> None:
    path = tmp_path / "htpasswd"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=str(path)):
        Passwords(path, None)


def test_ten_failures_a_minute_and_no_more(
    passwords: Passwords, computed: list[tuple[str, str]], clock: Clock
) -> None:
    passwords.account("alice", "secret", PEER)
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            passwords.account("alice", "guess", PEER)
    spent = len(computed)
    with pytest.raises(TooManyAttempts) as refused:
        passwords.account("bob", "secret", PEER)
    assert refused.value.wait_s == 60.0
    assert len(computed) == spent
    # Who was let in before stays in, and other peers are no worse off.
    passwords.account("alice", "secret", PEER)
    with pytest.raises(Unauthenticated):
        passwords.account("eve", "guess", "192.0.2.2")
    clock.now += 60.0
    with pytest.raises(Unauthenticated):
        passwords.account("alice", "guess", PEER)


def test_success_is_no_failure(passwords: Passwords, clock: Clock) -> None:
    for _ in range(30):
        clock.now += REMEMBERED_S / 10
        passwords.account("alice", "secret", PEER)


def test_attempts_at_once_are_no_way_around() -> None:
    attempts = Attempts(failures=2)
    assert [attempts.begin(PEER) > 0 for _ in range(4)] == [False, False, True, True]
    attempts.forgive(PEER)
    assert attempts.begin(PEER) == 0.0


def test_the_memory_of_peers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagereg.identity.attempts._PEERS", 3)
    attempts = Attempts(failures=1)
    for number in range(10):
        attempts.begin(f"192.0.2.{number}")
    assert len(attempts._times) == 3
    assert attempts.begin("192.0.2.9") > 0
