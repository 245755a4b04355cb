"""Bodies about locations, checked by marshmallow.

Source: contract api-images 19.1 and 19.2.
"""

from typing import Any

from marshmallow import (
    EXCLUDE,
    RAISE,
    Schema,
    ValidationError,
    fields,
    validate,
    validates_schema,
)

from imagereg.errors import Invalid
from imagereg.images.digests import Digest
from imagereg.images.locations import NewLocation

#: Longest URL of a location by PATCH, in characters.
URL_LENGTH = 255

#: And by POST, which sets no limit of its own.
MAX_URL = 2048

ALGORITHMS = ("sha1", "sha256", "sha512", "md5")


class ExactText(fields.Field[Any]):
    """Exactly a text."""

    def _deserialize(
        self,
        value: Any,  # noqa: ANN401 - marshmallow's signature
        attr: str | None,
        data: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string")
        return value


class PatchedDigest(Schema):
    """``validation_data`` of a PATCH."""

    class Meta:
        """Other keys are refused."""

        unknown = RAISE

    checksum = ExactText(validate=validate.Length(equal=32))
    os_hash_algo = ExactText(required=True, validate=validate.Length(max=64))
    os_hash_value = ExactText(required=True, validate=validate.Length(max=128))


class PatchedLocation(Schema):
    """One item of ``locations`` of a PATCH; other keys are ignored."""

    class Meta:
        """Other keys do no harm."""

        unknown = EXCLUDE

    url = ExactText(required=True, validate=validate.Length(max=URL_LENGTH))
    metadata = fields.Raw(
        required=True,
        validate=lambda value: _check(isinstance(value, dict)),
        metadata={"type": "object"},
    )
    validation_data = fields.Nested(PatchedDigest)


def load_location(value: object) -> NewLocation:
    """Return one location of a PATCH.

    Raises:
        Invalid: it breaks the schema.
    """
    loaded = _load(PatchedLocation(), value)
    given = loaded.get("validation_data")
    digest = None
    if given is not None:
        checksum = given.get("checksum")
        digest = Digest(given["os_hash_algo"], given["os_hash_value"], checksum)
    return NewLocation(loaded["url"], loaded["metadata"], digest)


class ExpectedDigest(Schema):
    """``validation_data`` of a POST; both keys or none."""

    class Meta:
        """Other keys are refused."""

        unknown = RAISE

    os_hash_algo = ExactText(validate=validate.OneOf(ALGORITHMS))
    os_hash_value = ExactText()

    @validates_schema
    def check_pair(self, data: dict[str, Any], **options: Any) -> None:  # noqa: ANN401 - handed on
        """Refuse one key without the other."""
        _check(len(data) in (0, 2))


class PostedLocation(Schema):
    """The body of a POST; other keys are ignored."""

    class Meta:
        """Other keys do no harm."""

        unknown = EXCLUDE

    url = ExactText(required=True, validate=validate.Length(max=MAX_URL))
    validation_data = fields.Nested(ExpectedDigest)


def load_posted_location(document: object) -> tuple[str, Digest | None]:
    """Return the URL of a POST, and what the data should hash to.

    Raises:
        Invalid: the body breaks the schema.
    """
    loaded = _load(PostedLocation(), document)
    given = loaded.get("validation_data")
    if not given:
        return loaded["url"], None
    return loaded["url"], Digest(given["os_hash_algo"], given["os_hash_value"].lower())


def _check(holds: bool) -> None:
    if not holds:
        raise ValidationError("must be an object")


def _load(schema: Schema, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Invalid("a location must be a JSON object")
    try:
        loaded: dict[str, Any] = schema.load(value)
    except ValidationError as error:
        raise Invalid("a location breaks the schema") from error
    return loaded
