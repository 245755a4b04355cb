"""`imagereg user`: both files, changed by the command and read by the service."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from imagereg.cli import main
from imagereg.errors import Unauthenticated
from imagereg.identity.passwords import Passwords

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    conf = tmp_path / "imagereg.conf"
    conf.write_text(
        "[oslo_middleware]\nhttp_basic_auth_user_file = htpasswd\n"
        "[imagereg]\nauth_users_file = users.ini\n"
    )

    def command(*arguments: str, password: str = "") -> Result:
        name, *rest = arguments
        return CliRunner().invoke(
            main,
            ["user", name, "--config", str(conf), *rest],
            input=password + "\n",
            catch_exceptions=False,
        )

    return command


def let_in(folder: Path, name: str, password: str) -> bool:
    try:
        Passwords(folder / "htpasswd", folder / "users.ini").account(name, password, "")
    except Unauthenticated:
        return False
    return True


def test_a_life(run: Run, tmp_path: Path) -> None:
    added = run("add", "alice", "--project", "p1", "--roles", "admin", password="one")
    assert added.output == "alice: project p1, roles admin,member,reader\n"
    assert run("add", "bob", password="bobs").output == (
        "bob: project bob, roles member,reader\n"
    )
    assert let_in(tmp_path, "alice", "one")

    assert run("passwd", "alice", password="two").output == "alice: password changed\n"
    assert not let_in(tmp_path, "alice", "one")
    assert let_in(tmp_path, "alice", "two")
    assert let_in(tmp_path, "bob", "bobs")

    run("disable", "alice")
    assert not let_in(tmp_path, "alice", "two")
    assert run("list").output == (
        "alice: project p1, roles admin,member,reader, disabled\n"
        "bob: project bob, roles member,reader\n"
    )
    run("disable", "alice", "--undo")
    assert let_in(tmp_path, "alice", "two")


def test_check_says_what_the_service_would(run: Run) -> None:
    run("add", "alice", password="one")
    good = run("check", "alice", password="one")
    bad = run("check", "alice", password="two")
    unknown = run("check", "eve", password="one")
    assert (good.exit_code, bad.exit_code, unknown.exit_code) == (0, 1, 1)
    assert bad.output == "alice: not let in\n"


def test_the_files_are_not_for_others(run: Run, tmp_path: Path) -> None:
    run("add", "alice", "--project", "p1", password="one")
    for name in ("htpasswd", "users.ini"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "htpasswd",
        "imagereg.conf",
        "users.ini",
    ]


@pytest.mark.parametrize(
    "name", ["", " a", "a:b", "a\nb", "*", "[a]", "a#b", "x" * 256]
)
def test_names_that_a_file_cannot_hold_are_refused(
    run: Run, tmp_path: Path, name: str
) -> None:
    refused = run("add", "--", name, password="one")
    assert refused.exit_code == 1
    assert "cannot be the name of a user" in refused.output
    assert not (tmp_path / "htpasswd").exists()


@pytest.mark.parametrize("password", ["", "x" * 73])
def test_passwords_that_bcrypt_would_cut_are_refused(
    run: Run, tmp_path: Path, password: str
) -> None:
    refused = run("add", "alice", "--project", "p", password=password)
    assert refused.exit_code == 1
    assert "1 to 72 bytes" in refused.output
    assert not (tmp_path / "users.ini").exists()


def test_nobody_is_added_twice_or_changed_unknown(run: Run, tmp_path: Path) -> None:
    run("add", "alice", password="one")
    before = (tmp_path / "htpasswd").read_text()
    again = run("add", "alice", password="two")
    assert (again.exit_code, "already" in again.output) == (1, True)
    for arguments in (("passwd", "eve"), ("disable", "eve")):
        result = run(*arguments, password="x")
        assert (result.exit_code, "no user `eve`" in result.output) == (1, True)
    assert (tmp_path / "htpasswd").read_text() == before


def test_values_cannot_smuggle_lines(run: Run, tmp_path: Path) -> None:
    refused = run("add", "alice", "--project", "p\nroles = admin", password="one")
    assert refused.exit_code == 1
    assert not (tmp_path / "users.ini").exists()
