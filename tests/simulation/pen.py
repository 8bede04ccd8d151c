"""What the cloud writes with: where gateways believe one key alone, all it says is signed, and others try the same."""

from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.keys import PublicKey, SigningKey, public_half, sign

UNBELIEVED: Final = frozenset({"unsigned", "bad_signature", "unknown_key"})
"""Codes of what nobody believable has said."""


class Pen:
    """``signs``: with a key that the seed decides."""

    def __init__(self, rng: Random, *, signs: bool) -> None:
        self._rng = rng
        self._key = _key(rng, "cloud") if signs else None
        self._others = [_key(rng, kid) for kid in ("cloud", "nobody")]

    @property
    def key(self) -> PublicKey | None:
        """What a gateway is given; None where it believes everybody."""
        return public_half(self._key) if self._key else None

    def write(self, payload: bytes) -> bytes:
        """The message as the cloud sends it."""
        return sign(payload, self._key) if self._key else payload

    def forge(self, payload: bytes) -> bytes:
        """The message as somebody else would send it: unsigned, signed with another key, or with a bit turned over."""
        if self._key is None or self._rng.random() < 0.3:
            return payload
        if self._rng.random() < 0.6:
            return sign(payload, self._rng.choice(self._others))
        flipped = bytearray(sign(payload, self._key))
        flipped[-10] = ord("A") if flipped[-10] != ord("A") else ord("B")
        return bytes(flipped)


def _key(rng: Random, kid: str) -> SigningKey:
    return SigningKey(kid, Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))
