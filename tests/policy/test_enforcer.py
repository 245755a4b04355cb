"""The rules in force: reloaded as a whole or not at all, whatever changes."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imagereg.errors import ConfigurationError
from imagereg.policy.actions import Action
from imagereg.policy.enforcer import Enforcer
from imagereg.policy.rules import RuleSet, load_rule_set


def open_for_all(enforcer: Enforcer) -> bool:
    """Return whether anybody may see tasks."""
    return enforcer.decide({}, Action.TASKS_API_ACCESS, {}).allowed


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a policy file that refuses."""
    path = tmp_path / "policy.json"
    path.write_text('{"tasks_api_access": "!"}')
    return path


def replace(path: Path, text: str) -> None:
    """Write a file beside ``path`` and move it there, as editors do."""
    other = path.with_name("other")
    other.write_text(text)
    other.replace(path)


OPEN = '{"tasks_api_access": "@"}'


def test_a_changed_file_is_taken_over(file: Path) -> None:
    enforcer = Enforcer.from_files(file)

    before = open_for_all(enforcer)
    file.write_text('{"tasks_api_access": ""}')

    assert enforcer.refresh()
    assert (before, open_for_all(enforcer)) == (False, True)


def test_nothing_is_read_again_while_nothing_changes(file: Path) -> None:
    enforcer = Enforcer.from_files(file)
    rules = enforcer.rules

    assert not enforcer.refresh()
    assert enforcer.rules is rules
    assert enforcer.last_fault is None


def older(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    path.write_text(OPEN)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def another_inode(path: Path) -> None:
    before = path.stat()
    replace(path, OPEN)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("change", [older, same_size_and_time, another_inode])
def test_any_change_is_noticed(file: Path, change: Callable[[Path], None]) -> None:
    enforcer = Enforcer.from_files(file)

    change(file)

    assert enforcer.refresh()


def test_a_file_where_a_directory_is_expected_is_noticed(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = file.with_name("policy.d")
    enforcer = Enforcer.from_files(file, [folder])

    folder.touch()

    assert enforcer.refresh() is False
    assert caplog.messages == [
        "policy files are at fault, the rules stay:\n"
        f"{folder}: cannot be read: Not a directory"
    ]


def test_removed_files_are_told_in_the_order_of_names(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = file.with_name("policy.d")
    folder.mkdir()
    paths = [folder / name for name in "abcdef"]
    for path in paths:
        path.write_text("{}")
    enforcer = Enforcer.from_files(file, [folder])

    for path in paths:
        path.unlink()

    assert enforcer.refresh()
    assert caplog.messages == [
        f"policy file {path} is gone, and its rules with it" for path in paths
    ]


def test_broken_files_leave_the_last_good_rules_and_are_logged_once(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    enforcer = Enforcer.from_files(file)
    rules = enforcer.rules

    replace(file, '{"tasks_api_access": "@", "a": "rule:nowhere"}')
    refreshed = [enforcer.refresh(), enforcer.refresh()]

    assert refreshed == [False, False]
    assert enforcer.rules is rules
    assert enforcer.last_fault == (
        f"{file}:1: rule `a`: refers to unknown rule `nowhere`"
    )
    assert caplog.messages == [
        f"policy files are at fault, the rules stay:\n{enforcer.last_fault}"
    ]


def test_a_repaired_file_clears_the_fault(file: Path) -> None:
    enforcer = Enforcer.from_files(file)
    replace(file, "{")
    enforcer.refresh()

    replace(file, OPEN)

    assert enforcer.refresh()
    assert enforcer.last_fault is None
    assert open_for_all(enforcer)


def test_a_removed_file_means_the_defaults_after_a_warning(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file.write_text(OPEN)
    enforcer = Enforcer.from_files(file)

    file.unlink()

    assert enforcer.refresh()
    assert not open_for_all(enforcer)
    assert caplog.messages == [f"policy file {file} is gone, and its rules with it"]


def test_a_removed_entry_restores_the_default(file: Path) -> None:
    file.write_text(OPEN)
    enforcer = Enforcer.from_files(file)

    replace(file, "{}")

    assert enforcer.refresh()
    assert not open_for_all(enforcer)


def test_directories_are_watched_before_they_are_there(
    file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "policy.d"
    enforcer = Enforcer.from_files(file, [folder])

    folder.mkdir()
    (folder / "open.json").write_text(OPEN)
    added = enforcer.refresh(), open_for_all(enforcer)
    (folder / "open.json").write_text("{}")
    emptied = enforcer.refresh(), open_for_all(enforcer)

    assert added == (True, True)
    assert emptied == (True, False)


def test_a_missing_directory_hides_no_other(tmp_path: Path) -> None:
    folder = tmp_path / "policy.d"
    folder.mkdir()
    enforcer = Enforcer.from_files(None, [tmp_path / "absent.d", folder])

    (folder / "open.json").write_text(OPEN)

    assert enforcer.refresh()
    assert open_for_all(enforcer)


def test_files_at_fault_refuse_the_start(file: Path) -> None:
    file.write_text("[]")

    with pytest.raises(ConfigurationError):
        Enforcer.from_files(file)


def test_fixed_rules_stay() -> None:
    enforcer = Enforcer.fixed(load_rule_set(None))

    assert not enforcer.refresh()
    assert not open_for_all(enforcer)


def test_the_target_counts() -> None:
    enforcer = Enforcer.from_files(None)
    reader = {"roles": ["reader"], "project_id": "p"}

    allowed = [
        enforcer.decide(reader, Action.GET_IMAGE, {"visibility": visibility}).allowed
        for visibility in ("public", "private")
    ]

    assert allowed == [True, False]


def test_the_new_defaults_are_in_force_unless_told_otherwise() -> None:
    enforcer = Enforcer.from_files(None)

    assert not enforcer.decide({}, Action.DELETE_IMAGE, {}).allowed


def test_the_old_defaults_can_stay_in_force() -> None:
    enforcer = Enforcer.from_files(None, enforce_new_defaults=False)

    assert enforcer.decide({}, Action.DELETE_IMAGE, {}).allowed


def test_the_rules_of_a_file_ask_the_servers(file: Path) -> None:
    file.write_text('{"tasks_api_access": "http://host/"}')

    assert open_for_all(Enforcer.from_files(file, remote=lambda *_: True))


def test_rules_without_a_file_are_the_built_in_ones() -> None:
    assert not Enforcer.from_files(None).refresh()


def test_one_thread_reloads_and_the_others_go_on() -> None:
    stamps = iter([0, 1, 1, 2])
    loading, go_on = threading.Event(), threading.Event()
    sets = iter([load_rule_set(None), RuleSet.from_texts({"tasks_api_access": "@"})])

    def load() -> RuleSet:
        if loading.is_set():
            go_on.wait(60)
        loading.set()
        return next(sets)

    enforcer = Enforcer(load, lambda: next(stamps))
    slow = threading.Thread(target=enforcer.refresh)
    slow.start()
    while next_is_free(enforcer):
        pass

    refreshed = enforcer.refresh()
    before = open_for_all(enforcer)
    go_on.set()
    slow.join()

    assert (refreshed, before, open_for_all(enforcer)) == (False, False, True)


def next_is_free(enforcer: Enforcer) -> bool:
    return not enforcer._lock.locked()


def test_a_thread_that_comes_late_finds_the_work_done() -> None:
    stamps = iter([0, 1, 0])
    enforcer = Enforcer(lambda: load_rule_set(None), lambda: next(stamps))

    assert not enforcer.refresh()


def test_a_reload_is_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    enforcer = Enforcer.from_files(file)
    replace(file, OPEN)

    with caplog.at_level(logging.INFO):
        enforcer.refresh()

    assert caplog.messages == [f"policy rules reloaded from ['{file}']"]
