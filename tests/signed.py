"""Certificates and signatures for tests."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

CERTIFICATE_ID = "7b3a7d1c-5d2a-4d8a-9d5b-3a0a54e1c001"

HASHES = {
    "SHA-224": hashes.SHA224(),
    "SHA-256": hashes.SHA256(),
    "SHA-384": hashes.SHA384(),
    "SHA-512": hashes.SHA512(),
}

Key = rsa.RSAPrivateKey | dsa.DSAPrivateKey | ec.EllipticCurvePrivateKey


@cache
def key_of(kind: str) -> Key:
    """Return a key of one of the Image API's types, the same one at each call."""
    if kind == "RSA-PSS":
        return rsa.generate_private_key(65537, 2048)
    if kind == "DSA":
        return dsa.generate_private_key(2048)
    curve: type[ec.EllipticCurve] = getattr(ec, kind.removeprefix("ECC_"))
    return ec.generate_private_key(curve())


@dataclass(frozen=True)
class Signer:
    """Somebody with a key and a certificate."""

    kind: str = "RSA-PSS"
    method: str = "SHA-256"

    def certify(self, folder: Path, certificate_id: str = CERTIFICATE_ID) -> None:
        """Write the certificate where the registry looks for it."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "signer")])
        now = datetime.now(UTC)
        key = key_of(self.kind)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        path = folder / f"{certificate_id}.pem"
        path.write_bytes(made.public_bytes(Encoding.PEM))

    def properties(self, data: bytes) -> Mapping[str, str]:
        """Return the properties of an image with these signed bytes."""
        key, algorithm = key_of(self.kind), HASHES[self.method]
        if isinstance(key, rsa.RSAPrivateKey):
            pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.MAX_LENGTH)
            signature = key.sign(data, pss, algorithm)
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            signature = key.sign(data, ec.ECDSA(algorithm))
        else:
            signature = key.sign(data, algorithm)
        return {
            "img_signature": base64.b64encode(signature).decode(),
            "img_signature_hash_method": self.method,
            "img_signature_key_type": self.kind,
            "img_signature_certificate_uuid": CERTIFICATE_ID,
        }
