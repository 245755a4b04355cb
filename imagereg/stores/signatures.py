"""Signed images: the bytes that come in must be those that somebody signed.

Whether an image is signed is said by four of its properties; the certificate is a file
of the operator's, named by its id.  The signature is over the bytes, so it is checked
while they stream by, in one more digest.

Source: contract compute-fetch 6, api-images 15.4, config 9 (``certificates_dir``);
SECURITY on OSSN-0061.
"""

import base64
import binascii
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from uuid import UUID

from imagereg.errors import Invalid

SIGNATURE = "img_signature"
HASH_METHOD = "img_signature_hash_method"
KEY_TYPE = "img_signature_key_type"
CERTIFICATE = "img_signature_certificate_uuid"

#: The properties that make an image a signed one, all together.
PROPERTIES = (SIGNATURE, HASH_METHOD, KEY_TYPE, CERTIFICATE)

_log = logging.getLogger(__name__)


class Verifier(Protocol):
    """Checks one signature over bytes that stream by."""

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Raise `Invalid` unless the bytes are what was signed."""


@dataclass(frozen=True, slots=True)
class Signatures:
    """Whose signatures count.

    Attributes:
        certificates_dir: PEM files ``<uuid>.pem``; None knows no certificate, so that
            no signed image is accepted.
    """

    certificates_dir: Path | None = None

    def verifier(self, properties: Mapping[str, object]) -> Verifier | None:
        """Return what checks the data of an image; None if it is not signed.

        Raises:
            Invalid: what the properties say of the signature makes no sense, or the
                certificate is not known here.
        """
        said = {name: properties.get(name) for name in PROPERTIES}
        if not all(said.values()):
            return None
        from imagereg.stores.certificates import HASHES, CertificateKey

        texts = {name: str(value) for name, value in said.items()}
        if texts[HASH_METHOD] not in HASHES:
            raise Invalid(f"`{HASH_METHOD}` is none of {', '.join(HASHES)}")
        try:
            signature = base64.b64decode(texts[SIGNATURE], validate=True)
        except (binascii.Error, ValueError) as error:
            raise Invalid(f"`{SIGNATURE}` is not base64") from error
        unknown = f"`{CERTIFICATE}` names no certificate that is known here"
        try:
            key = CertificateKey(self._read(texts[CERTIFICATE]))
        except FileNotFoundError as error:
            raise Invalid(unknown) from error
        except (OSError, ValueError) as error:
            _log.warning("a certificate cannot be used: %s", error)
            raise Invalid(unknown) from error
        if key.kind != texts[KEY_TYPE]:
            raise Invalid(f"`{KEY_TYPE}` is not the type of the certificate's key")
        return key.verifier(signature, texts[HASH_METHOD])

    def _read(self, certificate_id: str) -> bytes:
        """Return a certificate.

        Raises:
            ValueError: that is no id, so it names no file of ours either.
            OSError: there is none, or it cannot be read.
        """
        name = str(UUID(certificate_id))
        if self.certificates_dir is None:
            raise FileNotFoundError
        return (self.certificates_dir / f"{name}.pem").read_bytes()
