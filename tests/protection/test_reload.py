"""Following the file: all or nothing, the last good rules stay."""

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.model import Operation
from imagereg.protection import guard as guard_module
from imagereg.protection.guard import PropertyGuard
from imagereg.protection.rules import PolicyFacts
from tests.protection.files import know_all, section

OPEN = section(".*", "@ @ @ @")
SHUT = section(".*", "! ! ! !")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pp.conf"
    path.write_text(OPEN)
    return path


def may_read(guard: PropertyGuard) -> bool:
    return guard.verdicts(Operation.READ, frozenset(), lambda _: True)["x"]


def test_a_guard_needs_a_good_file_to_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        PropertyGuard.from_file(tmp_path / "missing", "roles", know_all)


def test_the_file_is_in_force_from_the_start(path: Path) -> None:
    path.write_text(SHUT)

    assert not may_read(PropertyGuard.from_file(path, "roles", know_all))


def test_without_a_path_nothing_is_followed() -> None:
    guard = PropertyGuard.from_file(None, "roles", know_all)

    assert may_read(guard)
    assert guard.refresh(policies_changed=True) is False


def test_a_change_is_followed_and_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    caplog.set_level(logging.INFO)
    path.write_text(SHUT + section("later", "! ! ! !"))

    assert guard.refresh()
    assert not guard.refresh()
    assert not may_read(guard)
    assert caplog.messages == [f"property protections reloaded: {path}, 2 sections"]


@pytest.mark.parametrize("change", ["mtime", "size", "inode"])
def test_any_sign_of_change_is_enough(path: Path, change: str) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    before = path.stat()
    if change == "inode":
        other = path.with_name("other")
        other.write_text(SHUT)
        other.replace(path)
    else:
        path.write_text(SHUT + ("\n" if change == "size" else ""))
    # An older time is a change as well: a copy from a backup keeps its time.
    older = before.st_mtime_ns - (10**9 if change == "mtime" else 0)
    os.utime(path, ns=(before.st_atime_ns, older))

    assert guard.refresh()
    assert not may_read(guard)


def test_an_unchanged_file_costs_one_stat(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    stats: list[Path] = []
    sign = guard_module._sign

    def count(path: Path) -> object:
        stats.append(path)
        return sign(path)

    monkeypatch.setattr(guard_module, "_sign", count)

    assert not guard.refresh()
    assert stats == [path]


def test_a_fault_leaves_the_last_good_rules_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    path.write_text(SHUT + "[x(]\n")

    assert [guard.refresh() for _ in range(3)] == [False] * 3
    assert may_read(guard)
    assert guard.last_fault is not None
    assert len(guard.last_fault.splitlines()) == 5
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "[x(]: is no regular expression" in caplog.text


def test_the_same_fault_is_told_again_after_another_change(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    path.write_text("nonsense\n" + SHUT)
    guard.refresh()
    path.write_text("nonsense\n" + OPEN)
    guard.refresh()

    fault = f"{path}:1: `nonsense` stands before the first section"
    told = f"property protections not reloaded, the last good ones stay: {fault}"
    assert caplog.messages == [told, told]


def test_several_faults_are_told_on_one_line(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    path.write_text("nonsense\nmore\n" + SHUT)
    guard.refresh()

    (told,) = caplog.messages
    assert told.endswith(
        f"stay: {path}:1: `nonsense` stands before the first section;"
        f" {path}:2: `more` stands before the first section"
    )


def test_a_removed_file_leaves_the_last_good_rules(path: Path) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    path.unlink()

    assert not guard.refresh()
    assert may_read(guard)
    assert guard.last_fault is not None
    assert "cannot be read" in guard.last_fault


def test_a_repaired_file_is_in_force_again(path: Path) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    path.write_text("nonsense")
    guard.refresh()
    path.write_text(SHUT)

    assert guard.refresh()
    assert not may_read(guard)
    assert guard.last_fault is None


class Policies:
    """Policy rules that change under the file."""

    def __init__(self) -> None:
        self.names = {"p", "q"}

    def __call__(self, text: str) -> PolicyFacts:
        return PolicyFacts(known=text in self.names)


@pytest.fixture
def known() -> Policies:
    return Policies()


@pytest.fixture
def following(path: Path, known: Policies) -> PropertyGuard:
    path.write_text(section(".*", "p q @ @"))
    return PropertyGuard.from_file(path, "policies", known)


def test_changed_policies_are_followed_without_a_word(
    following: PropertyGuard, known: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    assert not following.refresh()
    assert following.refresh(policies_changed=True)
    assert caplog.messages == []


def test_a_policy_that_vanished_is_told_once_and_its_return_too(
    following: PropertyGuard, known: Policies, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    known.names = {"p"}

    assert not following.refresh(policies_changed=True)
    assert not following.refresh(policies_changed=True)
    assert following.last_fault is not None
    known.names = set()
    assert not following.refresh(policies_changed=True)
    known.names = {"p", "q"}
    assert following.refresh(policies_changed=True)
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "ERROR", "INFO"]


def test_odd_places_are_told_at_start_and_on_change(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(OPEN.replace("read = @", "read ="))
    guard = PropertyGuard.from_file(path, "roles", know_all)
    path.write_text(OPEN.replace("delete = @", "delete ="))
    guard.refresh()

    told = [each.message for each in caplog.records if each.levelno > logging.INFO]
    assert told == [
        f"{path}:3: [.*] read: is empty: nobody may do it",
        f"{path}:5: [.*] delete: is empty: nobody may do it",
    ]


def test_verdicts_of_a_request_do_not_change_in_its_midst(path: Path) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    verdicts = guard.verdicts(Operation.READ, frozenset(), lambda _: True)
    path.write_text(SHUT)
    guard.refresh()

    assert verdicts["x"]
    assert not may_read(guard)


def test_of_two_threads_that_see_a_change_one_reloads(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = PropertyGuard.from_file(path, "roles", know_all)
    path.write_text(SHUT)
    sign = guard_module._sign

    def other_thread_is_faster(path: Path) -> object:
        monkeypatch.setattr(guard_module, "_sign", sign)
        assert guard.refresh()
        return None

    monkeypatch.setattr(guard_module, "_sign", other_thread_is_faster)

    assert not guard.refresh()
    assert not may_read(guard)


def test_a_thread_that_meets_a_reload_goes_on_with_the_rules_in_force(
    path: Path,
) -> None:
    seen: list[bool] = []
    guard: PropertyGuard
    shut = section(".*", "p ! p p")

    def check(text: str) -> PolicyFacts:
        if path.read_text() == shut:
            path.write_text(shut + "# changed again")
            seen.extend([guard.refresh(), may_read(guard)])
        return PolicyFacts()

    path.write_text(section(".*", "p @ p p"))
    guard = PropertyGuard.from_file(path, "policies", check)
    path.write_text(shut)

    assert guard.refresh()
    assert seen == [False, True]
    assert not may_read(guard)


def test_the_guard_can_be_made_without_a_file() -> None:
    make: Callable[[None], PropertyGuard] = PropertyGuard

    assert not make(None).refresh()
