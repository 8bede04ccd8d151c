"""Signatures: whose word a message is, found out before a byte of what it says is parsed.

A signed message is a compact JWS (RFC 7515) whose payload is the JSON that an unsigned one would be. The one algorithm
is EdDSA with Ed25519 (RFC 8037), and the key is found by `kid` among those the gateway was given: nothing in a message
has a say in how, or with what, it is verified.
"""

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.vocabulary import Refusal

MAX_HEADER: Final = 1_024
"""Characters of an encoded header. All it has to name is an algorithm and a key."""

_ENCODED: Final = re.compile(rb"[A-Za-z0-9_.-]+")
_KEY_BYTES: Final = 32

_P: Final = 2**255 - 19
_Y8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _P, _P + 1, _Y8, _P - _Y8})
"""The y of every point whose order divides 8, in every spelling. Under such a "key" anybody can sign most messages, and
OpenSSL takes it; all zeros, which a broken tool may write, is one of them."""


class KeyFault(Exception):
    """What was given as a key is none that this contract can use; the message says why."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that is trusted, under the name by which messages refer to it."""

    kid: str
    thumbprint: str
    """Of the key itself (RFC 7638), whatever it is called."""
    public: Ed25519PublicKey = field(repr=False)


EVERYBODY: Final[Mapping[str, Key]] = MappingProxyType({})
"""No trusted keys: whatever comes is believed."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and the name under which its public half is trusted."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Verified:
    """The payload to be read. `signer` is the thumbprint of the key that signed it; None where nobody has to."""

    payload: bytes
    signer: str | None


@dataclass(frozen=True, slots=True)
class Distrusted:
    """Why not a byte of a message's payload is read."""

    code: Refusal
    message: str


def verified(message: bytes, trusted: Mapping[str, Key]) -> Verified | Distrusted:
    """The payload of `message` if one of the `trusted` keys, by `kid`, signed it.

    Without trusted keys everybody is believed: an unsigned message is its own payload, and that of a signed one is
    taken as it stands, so that a cloud can begin to sign before its gateways have the key.
    """
    segments = message.split(b".") if _ENCODED.fullmatch(message) else []
    if not trusted:
        return _believed(message, segments)
    if not segments:
        return Distrusted(Refusal.UNSIGNED, "not signed: this gateway takes a compact JWS")
    if len(segments) != 3:
        return Distrusted(Refusal.BAD_SIGNATURE, f"a compact JWS has 3 segments, this has {len(segments)}")
    try:
        kid = _kid(segments[0])
        payload, signature = _decoded(segments[1]), _decoded(segments[2])
    except ValueError as fault:
        return Distrusted(Refusal.BAD_SIGNATURE, str(fault))
    key = trusted.get(kid)
    if key is None:
        return Distrusted(Refusal.UNKNOWN_KEY, f"signed with key {kid!r}, which this gateway does not trust")
    try:
        key.public.verify(signature, message[: message.rindex(b".")])
    except InvalidSignature:
        return Distrusted(Refusal.BAD_SIGNATURE, f"the signature is not that of key {kid!r}")
    return Verified(payload, key.thumbprint)


def sign(payload: bytes, key: SigningKey) -> bytes:
    """`payload` as a compact JWS."""
    header = orjson.dumps({"alg": "EdDSA", "kid": key.kid})
    signed = _encoded(header) + b"." + _encoded(payload)
    return signed + b"." + _encoded(key.private.sign(signed))


def new_signing_key(kid: str) -> SigningKey:
    """A key that nobody has had before."""
    return SigningKey(kid, Ed25519PrivateKey.generate())


def public_half(key: SigningKey) -> Key:
    """What of a key a gateway is given."""
    public = key.private.public_key()
    return Key(key.kid, thumbprint_of(public), public)


def public_key(text: bytes) -> Key:
    """The key in a JWK (RFC 8037, section 2); one without `kid` is called by its thumbprint. Raises KeyFault."""
    jwk = _jwk(text)
    if "d" in jwk:
        raise KeyFault("it holds the private key; give a gateway the public half alone")
    point = _member(jwk, "x")
    if int.from_bytes(point, "little") % 2**255 in _SMALL_ORDER:
        raise KeyFault("it is a point of small order, for which anybody can sign; make a new key")
    public = Ed25519PublicKey.from_public_bytes(point)
    thumbprint = thumbprint_of(public)
    return Key(_name(jwk) or thumbprint, thumbprint, public)


def signing_key(text: bytes) -> SigningKey:
    """The private key in a JWK, under its `kid` or else its thumbprint; raises KeyFault."""
    jwk = _jwk(text)
    if "d" not in jwk:
        raise KeyFault("it holds no private key (no member 'd'), so nothing can be signed with it")
    private = Ed25519PrivateKey.from_private_bytes(_member(jwk, "d"))
    public = private.public_key()
    if public.public_bytes_raw() != _member(jwk, "x"):
        raise KeyFault("its private and its public half do not belong together")
    return SigningKey(_name(jwk) or thumbprint_of(public), private)


def public_jwk(key: Key) -> bytes:
    """The JWK a gateway is given."""
    return orjson.dumps(_public_members(key.public) | {"kid": key.kid, "use": "sig", "alg": "EdDSA"})


def private_jwk(key: SigningKey) -> bytes:
    """The JWK that whoever signs keeps to themselves."""
    secret = {"d": _encoded(key.private.private_bytes_raw()).decode()}
    members = _public_members(key.private.public_key())
    return orjson.dumps(members | secret | {"kid": key.kid, "use": "sig", "alg": "EdDSA"})


def thumbprint_of(public: Ed25519PublicKey) -> str:
    """The JWK thumbprint of a key, base64url (RFC 7638; members of an OKP key: RFC 8037, appendix A.3)."""
    return _encoded(sha256(orjson.dumps(_public_members(public), option=orjson.OPT_SORT_KEYS)).digest()).decode()


def _believed(message: bytes, segments: list[bytes]) -> Verified:
    if len(segments) == 3:
        try:
            return Verified(_decoded(segments[1]), None)
        except ValueError:
            pass  # no JWS after all: whoever parses it says what is wrong
    return Verified(message, None)


def _kid(segment: bytes) -> str:
    """The name of the key in a header that asks for nothing but EdDSA; raises ValueError with what is wrong."""
    if len(segment) > MAX_HEADER:
        raise ValueError(f"a header of {len(segment):,} characters; {MAX_HEADER:,} are enough")
    try:
        header = orjson.loads(_decoded(segment))
    except orjson.JSONDecodeError:
        raise ValueError("the header is no JSON") from None
    if not isinstance(header, dict) or header.get("alg") != "EdDSA":
        raise ValueError("the header names another algorithm than EdDSA")
    if "crit" in header:  # RFC 7515, section 4.1.11: whoever does not know an extension must refuse it
        raise ValueError("the header asks for extensions ('crit'), and none is known here")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 1 <= len(kid) <= 200:
        raise ValueError("the header names no key ('kid')")
    return kid


def _jwk(text: bytes) -> dict[str, Any]:
    try:
        jwk = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise KeyFault("it is no JSON; a key is a JWK such as `fluss-simulator keys new` makes") from None
    if not isinstance(jwk, dict) or jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519":
        raise KeyFault('it is no Ed25519 key: a JWK with "kty": "OKP" and "crv": "Ed25519"')
    return jwk


def _member(jwk: Mapping[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    try:
        octets = _decoded(value.encode()) if isinstance(value, str) else b""
    except ValueError:
        octets = b""
    if len(octets) != _KEY_BYTES:
        raise KeyFault(f"its member {name!r} is not {_KEY_BYTES} bytes in base64url")
    return octets


def _name(jwk: Mapping[str, Any]) -> str | None:
    kid = jwk.get("kid")
    if kid is not None and (not isinstance(kid, str) or not 1 <= len(kid) <= 200 or not kid.isprintable()):
        raise KeyFault("its 'kid' is not 1 to 200 characters on one line")
    return kid


def _public_members(public: Ed25519PublicKey) -> dict[str, str]:
    return {"crv": "Ed25519", "kty": "OKP", "x": _encoded(public.public_bytes_raw()).decode()}


def _encoded(octets: bytes) -> bytes:
    return urlsafe_b64encode(octets).rstrip(b"=")


def _decoded(segment: bytes) -> bytes:
    """Base64url without padding (RFC 7515, section 2), and only the one spelling of it; raises ValueError."""
    try:
        octets = urlsafe_b64decode(segment + b"==")  # more padding than it takes does no harm
    except binascii.Error:
        octets = None
    if octets is None or _encoded(octets) != segment:
        raise ValueError("a segment is no base64url")
    return octets
