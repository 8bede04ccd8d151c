"""Signatures: whose word a message is, found out before a byte of what it says is parsed.

A signed message is a compact JWS (RFC 7515) whose payload is the JSON that an unsigned one would be. The one algorithm
is EdDSA with Ed25519 (RFC 8037), and the key is found by `kid` among those the gateway was given: nothing in a message
has a say in how, or with what, it is verified.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

import orjson

from protocol.base64url import decoded
from protocol.vocabulary import Refusal

MAX_HEADER: Final = 1_024
"""Characters of an encoded header. All it has to name is an algorithm and a key."""

_ENCODED: Final = re.compile(rb"[A-Za-z0-9_.-]+")


class Key(Protocol):
    """A public key that is trusted. What verifies with it is loaded where a key is read (`protocol.keys`)."""

    @property
    def kid(self) -> str:
        """The name by which messages refer to it."""

    @property
    def thumbprint(self) -> str:
        """Of the key itself (RFC 7638), whatever it is called."""

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature over the message is this key's."""


EVERYBODY: Final[Mapping[str, Key]] = MappingProxyType({})
"""No trusted keys: whatever comes is believed."""


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
        payload, signature = decoded(segments[1]), decoded(segments[2])
    except ValueError as fault:
        return Distrusted(Refusal.BAD_SIGNATURE, str(fault))
    key = trusted.get(kid)
    if key is None:
        return Distrusted(Refusal.UNKNOWN_KEY, f"signed with key {kid!r}, which this gateway does not trust")
    if not key.has_signed(message[: message.rindex(b".")], signature):
        return Distrusted(Refusal.BAD_SIGNATURE, f"the signature is not that of key {kid!r}")
    return Verified(payload, key.thumbprint)


def _believed(message: bytes, segments: list[bytes]) -> Verified:
    if len(segments) == 3:
        try:
            return Verified(decoded(segments[1]), None)
        except ValueError:
            pass  # no JWS after all: whoever parses it says what is wrong
    return Verified(message, None)


def _kid(segment: bytes) -> str:
    """The name of the key in a header that asks for nothing but EdDSA; raises ValueError with what is wrong."""
    if len(segment) > MAX_HEADER:
        raise ValueError(f"a header of {len(segment):,} characters; {MAX_HEADER:,} are enough")
    try:
        header = orjson.loads(decoded(segment))
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
