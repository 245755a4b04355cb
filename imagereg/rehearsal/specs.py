"""Callers and images as people write them, in a file or on a command line."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from imagereg.errors import Invalid
from imagereg.model import Caller, Image, MemberStatus, Status, Visibility
from imagereg.policy.lint import nearest
from imagereg.rehearsal.personas import IMAGE_ID, PERSONAS
from imagereg.rehearsal.questions import StoredSubject

_CALLER_ALIASES = {
    "user": "user_id",
    "project": "project_id",
    "tenant": "project_id",
    "anonymous": "read_only",
    "name": "user_name",
}
_ROLE_LISTS = frozenset({"roles", "service_roles"})
_SWITCHES = frozenset({"read_only", "is_admin_project"})
# `is_admin` is not said but found out, by the rule `context_is_admin`.
_CALLER = frozenset(field.name for field in fields(Caller)) - {"is_admin"}

_IMAGE = {field.name for field in fields(Image)} - {"properties", "locations"}
# What the API shows beside the record, and what no rule reads.
_SHOWN = frozenset(
    {
        *("self", "file", "schema", "locations", "direct_url", "stores"),
        *("created_at", "updated_at", "created_at_us", "updated_at_us"),
    }
)


def caller_from(spec: Mapping[str, object]) -> Caller:
    """Return the caller of a mapping such as ``{roles: [member], project: p1}``.

    Raises:
        Invalid: a name is not of a caller, or a value does not suit it.
    """
    values: dict[str, object] = {}
    for key, value in spec.items():
        name = _CALLER_ALIASES.get(key, key)
        if name not in _CALLER:
            known = nearest(key, {*_CALLER, *_CALLER_ALIASES})
            raise Invalid(f"a caller has no `{key}`{known}")
        if name in _ROLE_LISTS:
            values[name] = _read_roles(key, value)
        elif name in _SWITCHES:
            values[name] = _read_switch(key, value)
        else:
            values[name] = None if value is None else str(value)
    return Caller(**values)  # type: ignore[arg-type] # each value was read for its name


def parse_caller(text: str) -> Caller:
    """Return the caller of a text such as ``roles=member,reader,project=p1``.

    A persona of the matrix may be named instead; an empty text has no roles.

    Raises:
        Invalid: the text says something else.
    """
    if text in PERSONAS:
        return PERSONAS[text]
    return caller_from(parse_pairs(text))


def parse_pairs(text: str) -> dict[str, object]:
    """Return what a text says that lists ``name=value`` with commas or semicolons.

    A word without ``=`` belongs to the name before it, so that lists need no quotes.

    Raises:
        Invalid: the first word has no ``=``.
    """
    found: dict[str, str] = {}
    name = ""
    for word in filter(None, map(str.strip, text.replace(";", ",").split(","))):
        key, sign, value = word.partition("=")
        if sign:
            name = key.strip()
            found[name] = value.strip()
        elif name:
            found[name] += f",{word}"
        else:
            raise Invalid(f"`{word}` is not NAME=VALUE")
    return dict(found)


def image_from(spec: Mapping[str, object]) -> StoredSubject:
    """Return the image of a mapping in the form of the Image API.

    What is no field of an image is a custom property; ``properties`` may hold more.
    ``members`` lists the projects that it is shared with, or maps them to a status.
    What is left out is as in a table: active, private, without an owner.

    Raises:
        Invalid: a value does not suit its field.
    """
    known: dict[str, object] = {"id": IMAGE_ID, "status": "active"}
    known |= {"visibility": "private", "created_at_us": 0, "updated_at_us": 0}
    properties: dict[str, object] = {}
    members: Mapping[str, MemberStatus] = {}
    for name, value in spec.items():
        if name == "members":
            members = _read_members(value)
        elif name == "properties" and isinstance(value, Mapping):
            properties.update(value)
        elif name in _SHOWN:
            continue
        elif name in _IMAGE:
            known[name] = _read_field(name, value)
        else:
            properties[name] = value
    try:
        known["status"] = Status(str(known["status"]))
        known["visibility"] = Visibility(str(known["visibility"]))
    except ValueError as wrong:
        raise Invalid(f"an image cannot have {wrong}") from wrong
    image = Image(**known, properties=properties)  # type: ignore[arg-type] # each value was read for its name
    return StoredSubject(image, members)


def parse_image(text: str) -> StoredSubject:
    """Return the image of a JSON or YAML file, or of a text ``owner=p1,...``.

    Raises:
        Invalid: it is neither.
    """
    if "=" in text and not Path(text).exists():
        return image_from(parse_pairs(text))
    document = read_document(Path(text))
    if isinstance(document, Mapping):
        return image_from(document)
    raise Invalid(f"`{Path(text).name}` holds no image")


def read_document(path: Path) -> object:
    """Return what a JSON or YAML file holds.

    Raises:
        Invalid: it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"`{path}` cannot be read: {error}") from error
    try:
        return json.loads(text)
    except ValueError:
        pass
    # The YAML parser is slow to import and needed only for what is not plain JSON.
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        what = " ".join(str(error).split())
        raise Invalid(f"`{path}` is neither JSON nor YAML: {what}") from error


def _read_roles(key: str, value: object) -> frozenset[str]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple | set | frozenset):
        raise Invalid(f"`{key}` is a list of role names")
    return frozenset(filter(None, (str(name).strip().lower() for name in names)))


def _read_switch(key: str, value: object) -> bool:
    known = {"true": True, "false": False}
    if str(value).lower() not in known:
        raise Invalid(f"`{key}` is true or false, not `{value}`")
    return known[str(value).lower()]


def _read_members(value: object) -> dict[str, MemberStatus]:
    if isinstance(value, str):
        value = value.split(",")
    pairs = value.items() if isinstance(value, Mapping) else None
    try:
        if pairs is not None:
            return {str(name): MemberStatus(str(status)) for name, status in pairs}
        if isinstance(value, list):
            return {str(name): MemberStatus.ACCEPTED for name in value}
    except ValueError as wrong:
        raise Invalid(f"a member cannot be so: {wrong}") from wrong
    raise Invalid("`members` is a list of projects, or maps them to a status")


def _read_field(name: str, value: object) -> object:
    if name in ("protected", "os_hidden"):
        return _read_switch(name, value)
    if name == "tags":
        return tuple(value) if isinstance(value, list) else tuple(str(value).split(","))
    if name in ("size", "virtual_size", "min_disk", "min_ram") and value is not None:
        if not str(value).isdigit():
            raise Invalid(f"`{name}` is a whole number, not `{value}`")
        return int(str(value))
    return None if value is None else str(value)
