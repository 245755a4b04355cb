"""Bodies in: what an image record may hold, checked by marshmallow.

Source: contract api-images 5, 6 and 9, api-schemas 3 and 8; rulings D-5, D-16, D-24.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from marshmallow import EXCLUDE, INCLUDE, Schema, ValidationError, fields, validate

from imagereg.api.declared import DeclaredProperties
from imagereg.api.location_schemas import load_location
from imagereg.errors import Forbidden, Invalid, PropertyReserved, ReadOnlyField
from imagereg.images.fields import CORE, NAME_LENGTH, READ_ONLY, is_reserved
from imagereg.images.locations import NewLocation
from imagereg.model import MemberStatus, Visibility

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)

#: Largest min_disk and min_ram, in their own units.
LARGEST = 2**31 - 1

#: Keys that a POST refuses before anything else is looked at.
LINKS = ("direct_url", "self", "file", "schema", "stores")


class Text(fields.Field[Any]):
    """A text of at most ``longest`` characters that every database can hold."""

    def __init__(self, longest: int | None = None, **options: Any) -> None:  # noqa: ANN401 - handed on
        super().__init__(**options)
        self.longest = longest

    def _deserialize(
        self,
        value: Any,  # noqa: ANN401 - marshmallow's signature
        attr: str | None,
        data: Mapping[str, Any] | None,
        **options: Any,  # noqa: ANN401
    ) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        if self.longest is not None and len(value) > self.longest:
            message = f"must be at most {self.longest} characters"
            raise ValidationError(message)
        check_text(value)
        return value


class Flag(fields.Field[Any]):
    """Exactly true or false."""

    def _deserialize(
        self,
        value: Any,  # noqa: ANN401 - marshmallow's signature
        attr: str | None,
        data: Mapping[str, Any] | None,
        **options: Any,  # noqa: ANN401
    ) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("must be true or false")
        return value


class Whole(fields.Field[Any]):
    """A whole number from 0; ``1.0`` is one, true is none (D-24)."""

    def _deserialize(
        self,
        value: Any,  # noqa: ANN401 - marshmallow's signature
        attr: str | None,
        data: Mapping[str, Any] | None,
        **options: Any,  # noqa: ANN401
    ) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValidationError("must be an integer")
        if value != value or value in (float("inf"), -float("inf")):
            raise ValidationError("must be an integer")
        if value != int(value):
            raise ValidationError("must be an integer")
        if not 0 <= value <= LARGEST:
            message = f"must be between 0 and {LARGEST}"
            raise ValidationError(message)
        return int(value)


class TagList(fields.Field[Any]):
    """A list of texts that are a set: duplicates vanish."""

    def _deserialize(
        self,
        value: Any,  # noqa: ANN401 - marshmallow's signature
        attr: str | None,
        data: Mapping[str, Any] | None,
        **options: Any,  # noqa: ANN401
    ) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValidationError("must be a list of strings")
        text = Text(NAME_LENGTH)
        checked = [str(text.deserialize(item, attr, data, **options)) for item in value]
        return tuple(dict.fromkeys(checked))


def check_text(text: str) -> None:
    """Refuse characters that not every database can store.

    Raises:
        ValidationError: beyond the basic plane, or NUL.

    Source: contract api-images 1.3.
    """
    beyond = not text.isascii() and max(text) > "\uffff"
    if "\0" in text or beyond:
        raise ValidationError("holds characters that cannot be stored")


def image_schema(
    disk_formats: Sequence[str], container_formats: Sequence[str]
) -> Schema:
    """Return the schema of the fields that clients may set."""
    longest = NAME_LENGTH
    return Schema.from_dict(
        {
            "id": fields.String(
                validate=validate.Regexp(
                    re.compile(rf"\A{UUID.pattern}\Z", re.ASCII), error="must be a UUID"
                )
            ),
            "name": Text(longest, allow_none=True),
            "visibility": fields.String(
                validate=validate.OneOf([str(v) for v in Visibility])
            ),
            "protected": Flag(),
            "os_hidden": Flag(),
            "owner": Text(longest, allow_none=True),
            "container_format": fields.String(
                allow_none=True, validate=validate.OneOf(container_formats)
            ),
            "disk_format": fields.String(
                allow_none=True, validate=validate.OneOf(disk_formats)
            ),
            "min_disk": Whole(),
            "min_ram": Whole(),
            "tags": TagList(),
        },
        name="Image",
    )(unknown=INCLUDE)


class ImageBodies:
    """Checks what POST and PATCH say about an image."""

    def __init__(
        self, schema: Schema, declared: DeclaredProperties | None = None
    ) -> None:
        self._schema = schema
        self._declared = declared or DeclaredProperties()

    def check_new(self, document: object) -> dict[str, Any]:
        """Return the fields and properties of a POST body.

        Raises:
            Invalid: not an object, or a value breaks the schema.
            PropertyReserved, ReadOnlyField: a name that clients may not set.
        """
        if not isinstance(document, dict):
            raise Invalid("the request body must be a JSON object")
        for name in LINKS:
            if name in document:
                raise ReadOnlyField(name)
        loaded = self._load({n: v for n, v in document.items() if n not in READ_ONLY})
        for name in document:
            if is_reserved(name) or name == "locations":
                raise PropertyReserved(name)
            if name in READ_ONLY:
                raise ReadOnlyField(name)
        self._declared.check_required(document)
        return loaded

    def check_removal(self, name: str) -> None:
        """Refuse to take away what every image must have.

        Raises:
            Forbidden: the property is required.
        """
        if name in self._declared.required:
            raise Forbidden(f"property `{name}` is required and may not be removed")

    def check_value(self, name: str, value: object) -> object:
        """Return the value of one PATCH operation as it will be stored.

        Raises:
            Invalid: it breaks the schema.
        """
        return self._load({name: value})[name]

    def check_location(self, value: object) -> NewLocation:
        """Return one location of a PATCH.

        Raises:
            Invalid: it breaks the schema.
        """
        return load_location(value)

    def check_locations(self, value: object) -> tuple[NewLocation, ...]:
        """Return all locations of a PATCH.  Raises as `check_location`."""
        if not isinstance(value, list):
            raise Invalid("`locations` must be a list")
        return tuple(load_location(item) for item in value)

    def _load(self, document: Mapping[str, object]) -> dict[str, Any]:
        try:
            loaded: dict[str, Any] = self._schema.load(document)
        except ValidationError as error:
            raise Invalid(_first(error.messages)) from error
        for name, value in document.items():
            if name not in CORE:
                self._check_property(name, value)
        return loaded

    def _check_property(self, name: str, value: object) -> None:
        if name in self._declared:
            self._declared.check(name, value)
        elif not isinstance(value, str):
            raise Invalid(f"property `{name}` must be a string")
        _check_texts(name, value)


def _check_texts(name: str, value: object) -> None:
    if len(name) > NAME_LENGTH:
        message = f"a property's name must be at most {NAME_LENGTH} characters"
        raise Invalid(message)
    try:
        check_text(name)
        if isinstance(value, str):
            check_text(value)
    except ValidationError as error:
        raise Invalid(f"property `{name}`: {_first(error.messages)}") from error


def _first(messages: Any) -> str:  # noqa: ANN401 - marshmallow nests lists and dicts
    """Return one line for the first fault that marshmallow found."""
    if isinstance(messages, dict):
        name, inner = next(iter(messages.items()))
        return f"`{name}`: {_first(inner)}"
    if isinstance(messages, list):
        return _first(messages[0])
    text = str(messages)
    return text[0].lower() + text[1:].removesuffix(".")


def check_tag(tag: str) -> None:
    """Raise unless a single tag of a URL may be stored.

    Raises:
        Invalid: too long, or NUL.

    Source: contract api-images 21.
    """
    if len(tag) > NAME_LENGTH:
        raise Invalid(f"a tag must be at most {NAME_LENGTH} characters")
    if "\0" in tag:
        raise Invalid("a tag cannot hold NUL")


class MemberBody(Schema):
    """The body that names a new member; other keys are ignored."""

    class Meta:
        """Extra keys do no harm."""

        unknown = EXCLUDE

    member = fields.Raw(
        required=True, allow_none=False, metadata={"type": ["string", "integer"]}
    )


class MembershipBody(Schema):
    """The body that says what a member thinks; other keys are ignored."""

    class Meta:
        """Extra keys do no harm."""

        unknown = EXCLUDE

    status = fields.String(
        required=True, validate=validate.OneOf([str(s) for s in MemberStatus])
    )


def check_member_id(document: object) -> str:
    """Return the project that a POST of a member names; a number becomes text.

    Raises:
        Invalid: no project, or one that cannot be stored.

    Source: contract api-images 20, auth 7.
    """
    member = _loaded(MemberBody(), document)["member"]
    if isinstance(member, (dict, list, bool)) or member in ("", None):
        raise Invalid("`member` must be the id of a project")
    text = str(member)
    if len(text) > NAME_LENGTH:
        raise Invalid(f"`member` must be at most {NAME_LENGTH} characters")
    try:
        check_text(text)
    except ValidationError as error:
        raise Invalid(f"`member`: {_first(error.messages)}") from error
    return text


def check_member_status(document: object) -> MemberStatus:
    """Return the status that a PUT of a member wants.

    Raises:
        Invalid: it is none.
    """
    return MemberStatus(_loaded(MembershipBody(), document)["status"])


def _loaded(schema: Schema, document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise Invalid("the request body must be a JSON object")
    try:
        loaded: dict[str, Any] = schema.load(document)
    except ValidationError as error:
        raise Invalid(_first(error.messages)) from error
    return loaded
