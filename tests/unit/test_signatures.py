"""Signed messages: the examples of the standards, and every way around a signature that has worked somewhere."""

import base64
import hmac
import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from protocol.keys import (
    KeyFault,
    PublicKey,
    new_signing_key,
    private_jwk,
    public_half,
    public_jwk,
    public_key,
    sign,
    signing_key,
)
from protocol.signatures import EVERYBODY, MAX_HEADER, Distrusted, Verified, verified
from protocol.vocabulary import Refusal
from tests.configurations import PUBLIC_KEY, THUMBPRINT
from tests.counterparts.signer import Signer, encoded

RFC_8037 = {**PUBLIC_KEY, "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}
"""Appendix A.1."""
A_4 = (
    b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    b"hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
"""Appendix A.4: a signature over 'Example of Ed25519 signing'. Its header names no key."""

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PAYLOAD = b'{"batchId":"b-1"}'
ORDER = 2**252 + 27742317777372353535851937790883648493


def jwk(**members: object) -> bytes:
    return json.dumps(members).encode()


@pytest.fixture(scope="module")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="module")
def trusted(signer: Signer) -> dict[str, PublicKey]:
    return {signer.key.kid: signer.key}


def parts(message: bytes) -> list[bytes]:
    return message.split(b".")


def swapped(message: bytes, place: int, segment: bytes) -> bytes:
    segments = parts(message)
    segments[place] = segment
    return b".".join(segments)


# The examples of the standards


def test_example_of_the_standard_is_signed_to_the_byte() -> None:
    key = signing_key(jwk(**RFC_8037))
    signed, _, signature = A_4.rpartition(b".")
    assert encoded(key.private.sign(signed)) == signature
    public_key(jwk(**PUBLIC_KEY)).public.verify(base64.urlsafe_b64decode(signature + b"=="), signed)


def test_example_of_the_standard_names_no_key_and_so_is_nobodys() -> None:
    key = public_key(jwk(**PUBLIC_KEY))
    found = verified(A_4, {key.kid: key})
    assert found == Distrusted(Refusal.BAD_SIGNATURE, "the header names no key ('kid')")


def test_thumbprint_is_that_of_the_standard_whatever_the_key_is_called() -> None:
    assert public_key(jwk(**PUBLIC_KEY)).thumbprint == THUMBPRINT
    assert public_key(jwk(**PUBLIC_KEY)).kid == THUMBPRINT
    assert public_key(jwk(**PUBLIC_KEY, kid="cloud", use="sig", extra=[1])) == PublicKey(
        "cloud", THUMBPRINT, public_key(jwk(**PUBLIC_KEY)).public
    )
    assert signing_key(jwk(**RFC_8037)).kid == THUMBPRINT


# Another library, both ways


def test_what_another_library_signs_is_verified(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    assert verified(signer.signs(PAYLOAD), trusted) == Verified(PAYLOAD, signer.key.thumbprint)


def test_what_we_sign_another_library_verifies(signer: Signer) -> None:
    assert signer.reads(sign(PAYLOAD, signing_key(signer.secret))) == PAYLOAD


def test_keys_go_there_and_back(signer: Signer) -> None:
    ours = signing_key(signer.secret)
    assert public_key(public_jwk(signer.key)) == signer.key
    assert signing_key(private_jwk(ours)).private.private_bytes_raw() == ours.private.private_bytes_raw()


def test_keys_are_written_with_their_name_and_what_they_are_for(signer: Signer) -> None:
    meant = {"kty": "OKP", "crv": "Ed25519", "kid": signer.kid, "use": "sig", "alg": "EdDSA"}
    public, secret = json.loads(public_jwk(signer.key)), json.loads(private_jwk(signing_key(signer.secret)))
    assert public == {**meant, "x": public["x"]}
    assert secret == {**public, "d": json.loads(signer.secret)["d"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (jwk(**PUBLIC_KEY), "no private key"),
        (jwk(**PUBLIC_KEY, d="AAAA"), "'d' is not 32 bytes"),
        (jwk(**PUBLIC_KEY, d="A" * 43), "do not belong together"),
    ],
)
def test_what_nothing_can_be_signed_with_is_told(text: bytes, words: str) -> None:
    with pytest.raises(KeyFault, match=words):
        signing_key(text)


def test_new_key_is_trusted_by_its_public_half_and_is_another_every_time() -> None:
    key, other = new_signing_key("cloud"), new_signing_key("cloud")
    half = public_half(key)
    assert verified(sign(PAYLOAD, key), {"cloud": half}) == Verified(PAYLOAD, half.thumbprint)
    assert isinstance(verified(sign(PAYLOAD, other), {"cloud": half}), Distrusted)
    assert (repr(key), repr(half)) == (
        "SigningKey(kid='cloud')",
        f"PublicKey(kid='cloud', thumbprint='{half.thumbprint}')",
    )


def test_thumbprint_is_that_of_another_library(signer: Signer) -> None:
    assert signer.key.thumbprint == signer.thumbprint


# Whom a gateway without keys believes


@pytest.mark.parametrize("payload", [b"", b"{}", b"a.b", b"a.b.c", b"a.b.c.d", b"!.e30.x", b"\xff", b".."])
def test_without_keys_an_unsigned_message_is_its_own_payload(payload: bytes) -> None:
    assert verified(payload, EVERYBODY) == Verified(payload if payload != b".." else b"", None)


def test_without_keys_a_signed_message_is_taken_at_its_word(signer: Signer) -> None:
    assert verified(signer.signs(PAYLOAD), EVERYBODY) == Verified(PAYLOAD, None)


# Ways around a signature


@pytest.mark.parametrize("message", [b"", PAYLOAD, b"\xff\xfe", b"a b c", b'"a.b.c"'])
def test_what_is_no_jws_is_unsigned(trusted: Mapping[str, PublicKey], message: bytes) -> None:
    found = verified(message, trusted)
    assert isinstance(found, Distrusted)
    assert found.code is Refusal.UNSIGNED


def test_json_serialisation_is_unsigned(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    """RFC 7515, section 7.2: a JSON parser would have to read it first."""
    header, payload, signature = (part.decode() for part in parts(signer.signs(PAYLOAD)))
    flat = {"payload": payload, "protected": header, "signature": signature}
    whole = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    for said in (flat, whole):
        found = verified(json.dumps(said).encode(), trusted)
        assert isinstance(found, Distrusted)
        assert found.code is Refusal.UNSIGNED


@pytest.mark.parametrize("around", [b" %b", b"%b\n", b"\xef\xbb\xbf%b", b'"%b"', b"%b\0"])
def test_anything_around_a_jws_makes_it_none(signer: Signer, trusted: Mapping[str, PublicKey], around: bytes) -> None:
    found = verified(around.replace(b"%b", signer.signs(PAYLOAD)), trusted)
    assert isinstance(found, Distrusted)
    assert found.code is Refusal.UNSIGNED


def refused(message: bytes, trusted: Mapping[str, PublicKey]) -> str:
    found = verified(message, trusted)
    assert isinstance(found, Distrusted)
    assert found.code is Refusal.BAD_SIGNATURE
    return found.message


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "HS256", "ES256", "RS256", "Ed448", "eddsa", "", None])
def test_other_algorithms_are_refused(signer: Signer, trusted: Mapping[str, PublicKey], alg: str | None) -> None:
    """Also where the signature would hold: the header has no say in it, and still must not lie."""
    header = {"kid": signer.kid} if alg is None else {"alg": alg, "kid": signer.kid}
    honest = signer.raw(header, PAYLOAD)
    assert "another algorithm" in refused(honest, trusted)
    assert "another algorithm" in refused(swapped(honest, 2, b""), trusted)


@pytest.mark.parametrize("alg", [["EdDSA"], {"EdDSA": 1}, 7, True])
def test_algorithm_that_is_no_name_is_refused(signer: Signer, trusted: Mapping[str, PublicKey], alg: object) -> None:
    assert "another algorithm" in refused(signer.raw({"alg": alg, "kid": signer.kid}, PAYLOAD), trusted)


def test_public_key_as_the_secret_of_a_mac_is_refused(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    """The classic of algorithm confusion: the public key is no secret."""
    for alg in ("HS256", "EdDSA"):
        signed = encoded(jwk(alg=alg, kid=signer.kid)) + b"." + encoded(PAYLOAD)
        for secret in (signer.key.public.public_bytes_raw(), signer.jwk()):
            mac = hmac.digest(secret, signed, "sha256")
            refused(signed + b"." + encoded(mac), trusted)
            refused(signed + b"." + encoded(mac + mac), trusted)


def test_ecdsa_signature_is_refused(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    for alg in ("ES256", "EdDSA"):
        signed = encoded(jwk(alg=alg, kid=signer.kid)) + b"." + encoded(PAYLOAD)
        r, s = decode_dss_signature(ec.generate_private_key(ec.SECP256R1()).sign(signed, ec.ECDSA(SHA256())))
        refused(signed + b"." + encoded(r.to_bytes(32) + s.to_bytes(32)), trusted)


@pytest.mark.parametrize("member", ["jwk", "jku", "x5c", "x5u", "x5t"])
def test_key_that_a_header_brings_along_is_not_looked_at(
    signer: Signer, trusted: Mapping[str, PublicKey], member: str
) -> None:
    """RFC 7515, sections 4.1.2 to 4.1.8: whoever believes these believes everybody."""
    forger = Signer(signer.kid)
    brought = {"jwk": json.loads(forger.jwk()), "jku": "https://forger.example/keys"}.get(member, ["MIIB"])
    refused(forger.signs(PAYLOAD, **{member: brought}), trusted)
    honest = signer.signs(PAYLOAD, **{member: brought})
    assert verified(honest, trusted) == Verified(PAYLOAD, signer.key.thumbprint)


@pytest.mark.parametrize("crit", [["b64"], [], ["exp"], None, "b64"])
def test_extensions_that_must_be_understood_are_refused(
    signer: Signer, trusted: Mapping[str, PublicKey], crit: object
) -> None:
    header = {"alg": "EdDSA", "kid": signer.kid, "b64": False, "crit": crit}
    assert "crit" in refused(signer.raw(header, PAYLOAD), trusted)


def test_payload_that_is_not_encoded_is_refused(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    """RFC 7797, with and without the `crit` it demands: the payload is base64url here, whatever a header says."""
    header = encoded(jwk(alg="EdDSA", kid=signer.kid, b64=False))
    for payload in (PAYLOAD, b"batch"):
        signed = header + b"." + payload
        found = verified(signed + b"." + encoded(signer.signature(signed)), trusted)
        assert isinstance(found, Distrusted)
    assert verified(signer.signs(PAYLOAD, b64=False), trusted) == Verified(PAYLOAD, signer.key.thumbprint)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_spelling_alone_is_taken(signer: Signer, trusted: Mapping[str, PublicKey], place: int) -> None:
    """Padding, the other base64 alphabet, and bits that decoding drops: none of them gives a second message."""
    message = signer.raw({"alg": "EdDSA", "kid": signer.kid, "x": "???>>>"}, b'{"batchId":"b-1","x":"???>>>"}')
    segment = parts(message)[place]
    spellings = [segment + b"=", segment + b"==", segment + b"A", segment[:-1], b"", segment + b"."]
    spellings.append(segment.replace(b"_", b"/").replace(b"-", b"+"))
    if loose := len(segment) % 4:  # then 4 or 2 bits of the last character are in no byte
        last = ALPHABET.index(segment[-1:])
        spellings += [segment[:-1] + ALPHABET[last ^ bits :][:1] for bits in range(1, 16 if loose == 2 else 4)]
    for spelling in {*spellings} - {segment}:
        assert isinstance(verified(swapped(message, place, spelling), trusted), Distrusted), spelling


@pytest.mark.parametrize("segment", [b"a", b"abcde", b"ab-_c", b"ab"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_segment_that_is_no_base64_is_told(
    signer: Signer, trusted: Mapping[str, PublicKey], place: int, segment: bytes
) -> None:
    """In our words: a library's may repeat what it was given."""
    assert refused(swapped(signer.signs(PAYLOAD), place, segment), trusted) == "a segment is no base64url"


@pytest.mark.parametrize("segments", [1, 2, 4, 5])
def test_other_numbers_of_segments_are_refused(signer: Signer, trusted: Mapping[str, PublicKey], segments: int) -> None:
    """Five are an encrypted message (RFC 7516), two the stem of one that is not."""
    message = b".".join((parts(signer.signs(PAYLOAD)) * 2)[:segments])
    assert f"this has {segments}" in refused(message, trusted)


@pytest.mark.parametrize("length", [0, 1, 32, 63, 65, 128])
def test_signature_of_another_length_is_refused(signer: Signer, trusted: Mapping[str, PublicKey], length: int) -> None:
    signature = base64.urlsafe_b64decode(parts(signer.signs(PAYLOAD))[2] + b"==")
    assert "is not that of key" in refused(
        swapped(signer.signs(PAYLOAD), 2, encoded((signature * 2)[:length])), trusted
    )


def test_signature_cannot_be_rewritten(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    """RFC 8032, section 5.1.7: S is less than the order, or two spellings of one signature would hold."""
    message = signer.signs(PAYLOAD)
    signature = base64.urlsafe_b64decode(parts(message)[2] + b"==")
    other = signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")
    refused(swapped(message, 2, encoded(other)), trusted)


def test_parts_of_two_messages_make_none(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    one, other = signer.signs(PAYLOAD), signer.signs(b'{"batchId":"b-2"}')
    for place in (1, 2):
        refused(swapped(one, place, parts(other)[place]), trusted)


@pytest.mark.parametrize("header", [b"", b"EdDSA", b"[]", b"null", b"{", b'{"alg":"EdDSA"', b"\xff", b"[" * 500])
def test_header_that_is_no_object_is_refused(signer: Signer, trusted: Mapping[str, PublicKey], header: bytes) -> None:
    words = "the header names another algorithm" if header in {b"[]", b"null"} else "the header is no JSON"
    assert refused(signer.raw(header, PAYLOAD), trusted).startswith(words)


@pytest.mark.parametrize("kid", [None, "", 7, ["cloud-2026"], "x" * 201])
def test_header_without_a_usable_name_is_refused(signer: Signer, trusted: Mapping[str, PublicKey], kid: object) -> None:
    assert "names no key" in refused(signer.raw({"alg": "EdDSA", "kid": kid}, PAYLOAD), trusted)


@pytest.mark.parametrize("kid", ["x", "x" * 200])
def test_name_of_a_key_is_one_to_two_hundred_characters(kid: str) -> None:
    signer = Signer(kid)
    assert verified(signer.signs(PAYLOAD), {kid: signer.key}) == Verified(PAYLOAD, signer.thumbprint)
    assert signing_key(signer.secret).kid == kid


def test_header_has_bounds(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    """It is the one thing that is parsed before anything is known of its sender."""
    members = {"alg": "EdDSA", "kid": signer.kid, "x": ""}
    room = MAX_HEADER * 3 // 4 - len(json.dumps(members))
    fits = signer.raw({**members, "x": "x" * room}, PAYLOAD)
    assert len(parts(fits)[0]) == MAX_HEADER
    assert verified(fits, trusted) == Verified(PAYLOAD, signer.key.thumbprint)
    assert "1,024 are enough" in refused(signer.raw({**members, "x": "x" * (room + 1)}, PAYLOAD), trusted)


def test_name_of_another_key_is_unknown_or_does_not_hold(signer: Signer, trusted: Mapping[str, PublicKey]) -> None:
    other = Signer("cloud-2027")
    found = verified(other.signs(PAYLOAD), trusted)
    assert found == Distrusted(Refusal.UNKNOWN_KEY, "signed with key 'cloud-2027', which this gateway does not trust")
    refused(other.signs(PAYLOAD, kid=signer.kid), trusted)
    both = {**trusted, "cloud-2027": other.key}
    assert verified(other.signs(PAYLOAD), both) == Verified(PAYLOAD, other.key.thumbprint)
    refused(other.signs(PAYLOAD, kid=signer.kid), both)
