"""`imagereg user`: the users of flavor ``http_basic``.  Source: ruling U-2."""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from imagereg.cli.config import config_options
from imagereg.errors import ConfigurationError, Invalid, NotFound
from imagereg.identity.accounts import Account, parse_accounts, with_account
from imagereg.identity.htpasswd import (
    hash_password,
    matches,
    parse_htpasswd,
    with_password,
)
from imagereg.settings import load_settings

Paths = tuple[Path, ...]

#: Both files hold secrets or roles, so others may not read them.
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class _Files:
    """The two files, as the configuration names them."""

    users: Path
    accounts: Path | None

    def account_file(self) -> Path:
        """Return the mapping file, which an option has to name.

        Raises:
            ConfigurationError: it does not.
        """
        if self.accounts is None:
            fault = "[imagereg] auth_users_file is not set, so accounts have no file"
            raise ConfigurationError([fault])
        return self.accounts

    def account(self, name: str) -> Account:
        """Return a user's account."""
        text = _text(self.accounts) if self.accounts else ""
        return parse_accounts(text).of(name)


@click.group()
def user() -> None:
    """Look after the users of flavor http_basic.

    Passwords are asked for, or read from standard input; they are never arguments,
    which other users of the machine could see.
    """


@user.command()
@config_options
@click.argument("name")
@click.option("--project", help="The project; that of the user's name by default.")
@click.option("--roles", help="Roles, separated by commas.")
@click.option("--user-id", help="The id that images and logs show.")
@click.option("--domain", help="The domain of user and project.")
def add(
    config_files: Paths,
    config_dirs: Paths,
    name: str,
    project: str | None,
    roles: str | None,
    user_id: str | None,
    domain: str | None,
) -> None:
    """Add NAME, whose password is asked for."""
    files = _files(config_files, config_dirs)
    _check_name(name)
    said = {"project": project, "roles": roles, "user_id": user_id, "domain": domain}
    changes = {option: value for option, value in said.items() if value is not None}
    for option, value in changes.items():
        if not value.isprintable():
            raise Invalid(f"`{option}` holds characters that cannot be written")
    with _locked(files.users):
        text = _text(files.users)
        if name in _names(text):
            raise Invalid(f"there is a user `{name}` already")
        hashed = hash_password(_new_password())
        if changes:
            path = files.account_file()
            _write(path, with_account(_text(path), name, changes))
        _write(files.users, with_password(text, name, hashed))
    click.echo(f"{name}: {_describe(files.account(name))}")


@user.command()
@config_options
@click.argument("name")
def passwd(config_files: Paths, config_dirs: Paths, name: str) -> None:
    """Give NAME a new password, which is asked for."""
    files = _files(config_files, config_dirs)
    with _locked(files.users):
        text = _text(files.users)
        _check_known(text, name)
        hashed = hash_password(_new_password())
        _write(files.users, with_password(text, name, hashed))
    click.echo(f"{name}: password changed")


@user.command()
@config_options
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let the user in again.")
def disable(config_files: Paths, config_dirs: Paths, name: str, *, undo: bool) -> None:
    """Let NAME in no more; the account and its images stay."""
    files = _files(config_files, config_dirs)
    path = files.account_file()
    with _locked(files.users):
        _check_known(_text(files.users), name)
        change = {"disabled": None if undo else "true"}
        _write(path, with_account(_text(path), name, change))
    click.echo(f"{name}: {'enabled' if undo else 'disabled'}")


@user.command("list")
@config_options
def list_users(config_files: Paths, config_dirs: Paths) -> None:
    """List every user with project and roles."""
    files = _files(config_files, config_dirs)
    for name in _names(_text(files.users)):
        click.echo(f"{name}: {_describe(files.account(name))}")


@user.command()
@config_options
@click.argument("name")
def check(config_files: Paths, config_dirs: Paths, name: str) -> None:
    """Say whether NAME would be let in with a password; exit status 1 if not."""
    files = _files(config_files, config_dirs)
    users = parse_htpasswd(_text(files.users))
    account = files.account(name)
    known = users.hashes.get(name)
    password = _password("Password")
    if known is None or account.disabled or not matches(password, known):
        click.echo(f"{name}: not let in")
        raise SystemExit(1)
    click.echo(f"{name}: {_describe(account)}")


def _files(config_files: Paths, config_dirs: Paths) -> _Files:
    settings = load_settings(config_files, config_dirs)
    return _Files(
        settings.oslo_middleware.http_basic_auth_user_file,
        settings.imagereg.auth_users_file,
    )


def _describe(account: Account) -> str:
    roles = ",".join(sorted(account.roles)) or "none"
    text = f"project {account.project}, roles {roles}"
    return f"{text}, disabled" if account.disabled else text


def _names(text: str) -> list[str]:
    users = parse_htpasswd(text)
    return sorted({*users.hashes, *users.refused})


def _check_name(name: str) -> None:
    """Refuse a name that one of the files, or the header, could not hold."""
    is_plain = name.isprintable() and name == name.strip() and name != "*"
    if not is_plain or not name or set(name) & set(":[]#;=") or len(name) > 255:
        raise Invalid(f"`{name}` cannot be the name of a user")


def _check_known(text: str, name: str) -> None:
    if name not in _names(text):
        raise NotFound(f"there is no user `{name}`")


def _new_password() -> str:
    password = _password("New password")
    if sys.stdin.isatty() and password != _password("Once more"):
        raise Invalid("the passwords differ")
    try:
        hash_password(password, cost=4)
    except ValueError as error:
        raise Invalid(str(error)) from error
    return password


def _password(prompt: str) -> str:
    """Return a password from the terminal, or the first line of standard input."""
    if sys.stdin.isatty():
        answer: str = click.prompt(prompt, hide_input=True, err=True)
        return answer
    return sys.stdin.readline().rstrip("\r\n")


def _text(path: Path) -> str:
    """Return a file's text; that of one which is not there yet is empty."""
    try:
        return path.read_text("utf-8-sig")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: cannot be read"]) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other commands from changing the files meanwhile."""
    try:
        handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        fault = f"{path.parent}: {error.strerror}"
        raise ConfigurationError([fault]) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, text: str) -> None:
    """Replace a file whole, so that a server never reads half of it."""
    try:
        handle, name = tempfile.mkstemp(prefix=".imagereg-", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                os.fchmod(file.fileno(), _MODE)
                if path.exists():
                    # The group is how the service account reads the file.
                    os.fchown(file.fileno(), path.stat().st_uid, path.stat().st_gid)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from error
