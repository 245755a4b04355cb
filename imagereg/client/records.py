"""The image record that an upload goes to: found again, or created.

A client that was cut off must find its image without having written anything down.
So the id of a new image follows from what is uploaded: the same call makes the same
id, and meets the record that the call before it left.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4, uuid5

import orjson

from imagereg.client.session import Session, refusal
from imagereg.errors import RegistryRefused, RegistryUnreachable

Record = dict[str, Any]

_NAMESPACE = UUID("4b1ea1b5-31bd-5b0f-9b2b-0f3b9d6a5c64")

#: How many ids are tried that others have taken, or that were used up by deletions.
MOST_IDS = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """The image that is to be.

    Attributes:
        image_id: an image that is there already; None makes one.
        fields: its fields and properties, as the API names them.
        fresh: never go on with an image of an earlier call.
    """

    image_id: str | None
    fields: Mapping[str, object] = field(default_factory=dict)
    fresh: bool = False


class Records:
    """Finds and creates images."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def show(self, image_id: str) -> Record:
        """Return an image.

        Raises:
            RegistryRefused, RegistryUnreachable: it cannot be read.
        """
        return self._session.get(f"/v2/images/{image_id}").json()

    def candidates(
        self, wanted: Wanted, file_name: str, size: int
    ) -> Iterator[tuple[Record, bool]]:
        """Yield images to upload to, and whether each was created just now.

        Raises as `show` does, and `RegistryRefused` when every id is taken.
        """
        if wanted.image_id is not None:
            yield self.show(wanted.image_id), False
            return
        for image_id in _ids(wanted, file_name, size):
            created = self._create(image_id, wanted.fields)
            if created is not None:
                yield created, True
                return
            found = self._find(image_id)
            if found is not None:
                yield found, False
        raise RegistryRefused(409, "every id for this upload is taken; use --new")

    def _create(self, image_id: str, fields: Mapping[str, object]) -> Record | None:
        """Return a new image, or None if its id is taken."""
        patience = self._session.patience()
        body = orjson.dumps({**fields, "id": image_id})
        headers = {"Content-Type": "application/json"}
        while True:
            try:
                reply = self._session.once("POST", "/v2/images", body, headers)
            except RegistryUnreachable as error:
                patience.wait(error)
                continue
            if reply.status == 409:
                return None
            if reply.status != 201:
                raise refusal(reply)
            return reply.json()

    def _find(self, image_id: str) -> Record | None:
        """Return an image of this id that the caller may see, or None."""
        try:
            return self.show(image_id)
        except RegistryRefused as error:
            if error.status in (403, 404):
                return None
            raise


def _ids(wanted: Wanted, file_name: str, size: int) -> Iterator[str]:
    if wanted.fresh:
        yield str(uuid4())
        return
    for number in range(MOST_IDS):
        seed = [sorted(wanted.fields.items()), file_name, size, number]
        yield str(uuid5(_NAMESPACE, orjson.dumps(seed).decode()))
