"""Certificates and the keys in them, which check signatures of images.

Loaded when the first signed image comes in: the library behind it is large.

Source: contract compute-fetch 6.
"""

from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificatePublicKeyTypes,
)

from imagereg.errors import Invalid

HASHES: Mapping[str, type[hashes.HashAlgorithm]] = {
    "SHA-224": hashes.SHA224,
    "SHA-256": hashes.SHA256,
    "SHA-384": hashes.SHA384,
    "SHA-512": hashes.SHA512,
}
_CURVES = frozenset(
    {"SECT571K1", "SECT409K1", "SECT571R1", "SECT409R1", "SECP521R1", "SECP384R1"}
)

_REFUSED = "the signature of the image could not be verified"


class CertificateKey:
    """The key of one certificate.

    Args:
        pem: the certificate.

    Raises:
        ValueError: it is none, or its key is of a kind that the library has given up,
            as newer ones have the binary curves.
    """

    def __init__(self, pem: bytes) -> None:
        try:
            self._key = x509.load_pem_x509_certificate(pem).public_key()
        except UnsupportedAlgorithm as error:
            raise ValueError(str(error)) from error

    @property
    def kind(self) -> str | None:
        """The key's type as the Image API calls it; None for one it does not know."""
        if isinstance(self._key, rsa.RSAPublicKey):
            return "RSA-PSS"
        if isinstance(self._key, dsa.DSAPublicKey):
            return "DSA"
        if isinstance(self._key, ec.EllipticCurvePublicKey):
            curve = self._key.curve.name.upper()
            return f"ECC_{curve}" if curve in _CURVES else None
        return None

    def verifier(self, signature: bytes, method: str) -> "KeyVerifier":
        """Return what checks a signature; ``method`` is one of `HASHES`."""
        return KeyVerifier(self._key, signature, HASHES[method]())


class KeyVerifier:
    """Checks one signature over bytes that stream by."""

    def __init__(
        self,
        key: CertificatePublicKeyTypes,
        signature: bytes,
        algorithm: hashes.HashAlgorithm,
    ) -> None:
        self._key = key
        self._signature = signature
        self._algorithm = algorithm
        self._digest = hashes.Hash(algorithm)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._digest.update(chunk)

    def finish(self) -> None:
        """Refuse the bytes unless they are what was signed.

        Raises:
            Invalid: they are not.
        """
        digest = self._digest.finalize()
        known = utils.Prehashed(self._algorithm)
        try:
            if isinstance(self._key, rsa.RSAPublicKey):
                mask = padding.MGF1(self._algorithm)
                pss = padding.PSS(mask, padding.PSS.MAX_LENGTH)
                self._key.verify(self._signature, digest, pss, known)
            elif isinstance(self._key, ec.EllipticCurvePublicKey):
                self._key.verify(self._signature, digest, ec.ECDSA(known))
            elif isinstance(self._key, dsa.DSAPublicKey):
                self._key.verify(self._signature, digest, known)
            else:
                raise Invalid(_REFUSED)
        except (InvalidSignature, ValueError) as error:
            raise Invalid(_REFUSED) from error
