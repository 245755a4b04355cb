"""The mapping file of flavor ``http_basic``: user -> project and roles.

    [*]
    roles = reader

    [alice]
    project = p1
    roles = member
    user_id = 7c1f
    domain = default
    disabled = false

Source: ruling U-2.
"""

from collections.abc import Mapping
from configparser import ConfigParser, Error
from dataclasses import dataclass, field

from imagereg.errors import ConfigurationError

DEFAULTS = "*"

_OPTIONS = ("project", "roles", "user_id", "domain", "disabled")
_BOOLEANS = {"true": True, "false": False}

#: What a role brings with it, in this mode alone.
_IMPLIED: Mapping[str, frozenset[str]] = {
    "admin": frozenset({"member", "reader"}),
    "member": frozenset({"reader"}),
}


@dataclass(frozen=True, slots=True)
class Account:
    """Who a user is to the registry.

    Attributes:
        roles: lower-cased, with those that others imply.
    """

    user_id: str
    project: str
    roles: frozenset[str]
    domain: str | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Accounts:
    """What a mapping file says; without one, what everybody is."""

    sections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, name: str) -> Account:
        """Return a user's account; one without a section has the defaults."""
        said = {**self.sections.get(DEFAULTS, {}), **self.sections.get(name, {})}
        return Account(
            user_id=said.get("user_id") or name,
            project=said.get("project") or name,
            roles=_roles(said.get("roles", "member,reader")),
            domain=said.get("domain") or None,
            disabled=_BOOLEANS[said.get("disabled", "false").lower()],
        )


def parse_accounts(text: str) -> Accounts:
    """Return what the text of a mapping file says.

    Raises:
        ConfigurationError: with every fault of the file.
    """
    parser = _parser()
    try:
        parser.read_string(text)
    except Error as error:
        # The parser's own texts name its source, which is no file here.
        line = getattr(error, "lineno", None)
        where = f"line {line}: " if line else ""
        raise ConfigurationError([f"{where}not an INI file of users"]) from error
    sections = {name: dict(parser[name]) for name in parser.sections()}
    faults = [fault for name, said in sections.items() for fault in _faults(name, said)]
    if faults:
        raise ConfigurationError(faults)
    return Accounts(sections)


def with_account(text: str, name: str, changes: Mapping[str, str | None]) -> str:
    """Return the file with options of one user set, or removed where None.

    The other lines stay as they are, comments included.
    """
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.strip() == f"[{name}]"), -1)
    if start < 0:
        if lines and lines[-1].strip():
            lines.append("")
        lines.append(f"[{name}]")
        start = len(lines) - 1
    end = next(
        (i for i in range(start + 1, len(lines)) if lines[i].lstrip().startswith("[")),
        len(lines),
    )
    kept = [
        line
        for line in lines[start + 1 : end]
        if line.partition("=")[0].strip().lower() not in changes
    ]
    while kept and not kept[-1].strip():
        kept.pop()
    new = [f"{key} = {value}" for key, value in changes.items() if value is not None]
    rest = lines[end:]
    body = [*lines[: start + 1], *kept, *new, *([""] if rest else []), *rest]
    return "\n".join(body) + "\n"


def _parser() -> ConfigParser:
    return ConfigParser(
        interpolation=None,
        default_section="\0",  # A user may be called DEFAULT.
        delimiters=("=",),
        comment_prefixes=("#", ";"),
        strict=True,
    )


def _faults(name: str, said: Mapping[str, str]) -> list[str]:
    found = [
        f"[{name}] {option}: unknown option"
        for option in said
        if option not in _OPTIONS
    ]
    if said.get("disabled", "false").lower() not in _BOOLEANS:
        found.append(f"[{name}] disabled: not true or false")
    if name == DEFAULTS and "user_id" in said:
        found.append(f"[{name}] user_id: two users cannot share one id")
    return found


def _roles(text: str) -> frozenset[str]:
    named = {role.strip().lower() for role in text.split(",")} - {""}
    return frozenset(named).union(*(_IMPLIED.get(role, ()) for role in named))
