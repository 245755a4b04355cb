"""Signatures of images, by every kind of key and digest that the Image API knows."""

import base64
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagereg.errors import Invalid
from imagereg.stores.signatures import PROPERTIES, Signatures
from tests.signed import HASHES, Signer

DATA = b"an image" * 1000
KINDS = ("RSA-PSS", "DSA", "ECC_SECP384R1", "ECC_SECP521R1")

#: Newer versions of the library refuse its key; older ones find another kind of key.
SECT571K1 = b"""\
-----BEGIN CERTIFICATE-----
MIICGDCCAW6gAwIBAgIUAURkmGr9bNmqVAV+/Yf/UbN41m8wCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGc2lnbmVyMCAXDTI2MTEyMTEzNTY0NloYDzIxMjYxMDI4MTM1
NjQ2WjARMQ8wDQYDVQQDDAZzaWduZXIwgacwEAYHKoZIzj0CAQYFK4EEACYDgZIA
BAGn/EzLwrZ57qR9fdKoWRamoSgF55OIFxYgJMqBBTX05+8A0PuPEu6y3tnkGO9A
jj73JGeBXJsVazwkJuQy5QR2QaBqqGlveQcvJEEAFsrYBi5ColH6UNBDPorNxcU0
p15aTk90OrEr4WzWwlHPE/7xhhtspuxH0QDJQJnjcCJl2BTy43AOsRcDHTmclRp1
8qNTMFEwHQYDVR0OBBYEFM480+/zO4Y6eRunBI1HPTXayTjKMB8GA1UdIwQYMBaA
FM480+/zO4Y6eRunBI1HPTXayTjKMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0E
AwIDgZcAMIGTAkgByuPzbP6W4VOnqNcrdkAHv9pisJ6Hkveaxn8ctUtXrDsfyPlX
hEwoJkq9nEVkvpHTcNsYPcTWSPUa2TQgfHrsCG4wQkUiIocCR2MXeR3Sk4CmmgwV
SBikQtm4ZM7s3aihFQql0elETD81PWERdx1ETwIYX6zkQPHIAjCWMUquwKEYtfs0
/6hkWMBfdGTjXDH+
-----END CERTIFICATE-----
"""


def check(folder: Path | None, properties: dict[str, str], data: bytes) -> None:
    """Let the data stream by in odd pieces."""
    verifier = Signatures(folder).verifier(properties)
    assert verifier is not None
    for start in range(0, len(data), 777):
        verifier.feed(data[start : start + 777])
    verifier.finish()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", HASHES)
def test_what_was_signed_passes_and_nothing_else(
    tmp_path: Path, kind: str, method: str
) -> None:
    signer = Signer(kind, method)
    signer.certify(tmp_path)
    said = dict(signer.properties(DATA))

    check(tmp_path, said, DATA)
    for other in (DATA[:-1], DATA + b"\0", b"", DATA[:-1] + b"?"):
        with pytest.raises(Invalid, match="could not be verified"):
            check(tmp_path, said, other)


@pytest.mark.parametrize("name", PROPERTIES)
def test_an_image_without_one_of_the_properties_is_not_signed(name: str) -> None:
    said = dict(Signer().properties(DATA))
    assert Signatures().verifier({**said, name: ""}) is None
    del said[name]
    assert Signatures().verifier(said) is None


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("img_signature", "not base64!", "not base64"),
        ("img_signature", "é", "not base64"),
        ("img_signature_hash_method", "MD5", "none of SHA-224"),
        ("img_signature_key_type", "DSA", "not the type of the certificate's key"),
        ("img_signature_key_type", "RSA", "not the type of the certificate's key"),
        ("img_signature_certificate_uuid", "../../secret", "no certificate"),
        ("img_signature_certificate_uuid", "\0", "no certificate"),
        (
            "img_signature_certificate_uuid",
            "00000000-0000-4000-8000-000000000000",
            "no certificate",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_byte(
    tmp_path: Path, name: str, value: str, why: str
) -> None:
    signer = Signer()
    signer.certify(tmp_path)
    with pytest.raises(Invalid, match=why):
        Signatures(tmp_path).verifier({**signer.properties(DATA), name: value})


def test_without_certificates_no_signed_image_is_accepted() -> None:
    with pytest.raises(Invalid, match="no certificate"):
        Signatures().verifier(Signer().properties(DATA))


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN CERTIFICATE-----\nx\n", SECT571K1]
)
def test_a_certificate_that_cannot_be_used_is_none(
    tmp_path: Path, content: bytes
) -> None:
    signer = Signer()
    signer.certify(tmp_path)
    next(tmp_path.iterdir()).write_bytes(content)
    with pytest.raises(Invalid, match=r"no certificate|not the type"):
        Signatures(tmp_path).verifier(signer.properties(DATA))


@pytest.mark.parametrize("kind", ["RSA-PSS", "ECC_SECP384R1"])
@given(signature=st.binary(min_size=1, max_size=300))
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_other_signature_passes(tmp_path: Path, kind: str, signature: bytes) -> None:
    signer = Signer(kind)
    if not [*tmp_path.iterdir()]:
        signer.certify(tmp_path)
    said = {
        **signer.properties(DATA),
        "img_signature": base64.b64encode(signature).decode(),
    }
    with pytest.raises(Invalid, match="could not be verified"):
        check(tmp_path, said, DATA)


def test_a_key_of_an_unknown_kind_checks_nothing(tmp_path: Path) -> None:
    Signer("ECC_SECP256R1").certify(tmp_path)
    said = dict(Signer("ECC_SECP384R1").properties(DATA))
    with pytest.raises(Invalid, match="not the type"):
        Signatures(tmp_path).verifier(
            {**said, "img_signature_key_type": "ECC_SECP256R1"}
        )
