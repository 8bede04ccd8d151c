"""Keys: JWKs of Ed25519 (RFC 8037), what is signed with their private halves, and what their public halves verify.

Whoever reads no key does without this module: cryptography takes 8 MiB, and a gateway that trusts nobody needs none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from protocol.base64url import decoded, encoded

_KEY_BYTES: Final = 32

_P: Final = 2**255 - 19
_Y8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _P, _P + 1, _Y8, _P - _Y8})
"""The y of every point whose order divides 8, in every spelling. Under such a "key" anybody can sign most messages, and
OpenSSL takes it; all zeros, which a broken tool may write, is one of them."""


class KeyFault(Exception):
    """What was given as a key is none that this contract can use; the message says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key that is trusted, under the name by which messages refer to it."""

    kid: str
    thumbprint: str
    """Of the key itself (RFC 7638), whatever it is called."""
    public: Ed25519PublicKey = field(repr=False)

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature over the message is this key's."""
        try:
            self.public.verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, and the name under which its public half is trusted."""

    kid: str
    private: Ed25519PrivateKey = field(repr=False)


def sign(payload: bytes, key: SigningKey) -> bytes:
    """`payload` as a compact JWS."""
    header = orjson.dumps({"alg": "EdDSA", "kid": key.kid})
    signed = encoded(header) + b"." + encoded(payload)
    return signed + b"." + encoded(key.private.sign(signed))


def new_signing_key(kid: str) -> SigningKey:
    """A key that nobody has had before."""
    return SigningKey(kid, Ed25519PrivateKey.generate())


def public_half(key: SigningKey) -> PublicKey:
    """What of a key a gateway is given."""
    public = key.private.public_key()
    return PublicKey(key.kid, thumbprint_of(public), public)


def public_key(text: bytes) -> PublicKey:
    """The key in a JWK (RFC 8037, section 2); one without `kid` is called by its thumbprint. Raises KeyFault."""
    jwk = _jwk(text)
    if "d" in jwk:
        raise KeyFault("it holds the private key; give a gateway the public half alone")
    point = _member(jwk, "x")
    if int.from_bytes(point, "little") % 2**255 in _SMALL_ORDER:
        raise KeyFault("it is a point of small order, for which anybody can sign; make a new key")
    public = Ed25519PublicKey.from_public_bytes(point)
    thumbprint = thumbprint_of(public)
    return PublicKey(_name(jwk) or thumbprint, thumbprint, public)


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


def public_jwk(key: PublicKey) -> bytes:
    """The JWK a gateway is given."""
    return orjson.dumps(_public_members(key.public) | {"kid": key.kid, "use": "sig", "alg": "EdDSA"})


def private_jwk(key: SigningKey) -> bytes:
    """The JWK that whoever signs keeps to themselves."""
    secret = {"d": encoded(key.private.private_bytes_raw()).decode()}
    members = _public_members(key.private.public_key())
    return orjson.dumps(members | secret | {"kid": key.kid, "use": "sig", "alg": "EdDSA"})


def thumbprint_of(public: Ed25519PublicKey) -> str:
    """The JWK thumbprint of a key, base64url (RFC 7638; members of an OKP key: RFC 8037, appendix A.3)."""
    return encoded(sha256(orjson.dumps(_public_members(public), option=orjson.OPT_SORT_KEYS)).digest()).decode()


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
        octets = decoded(value.encode()) if isinstance(value, str) else b""
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
    return {"crv": "Ed25519", "kty": "OKP", "x": encoded(public.public_bytes_raw()).decode()}
