"""The list digest: drift between cloud and gateway shows without a transfer."""

from collections.abc import Iterable
from hashlib import sha256
from struct import unpack

MODULUS = 1 << 64


def digest_sum(mobiles: Iterable[int], revision: int) -> int:
    """Sum modulo 2^64 of the fingerprints of users that share one revision.

    A fingerprint is the first 8 bytes (big-endian) of SHA-256 of `mobile|revision`, mobile in E.164 with its plus.
    """
    tail = b"|%d" % revision
    hashes = b"".join([sha256(b"+%d%b" % (mobile, tail)).digest() for mobile in mobiles])
    words: tuple[int, ...] = unpack(">" + "Q24x" * (len(hashes) // 32), hashes)
    return sum(words) % MODULUS


def digest_text(digest: int) -> str:
    """A digest as the wire writes it: 16 hex digits."""
    return f"{digest % MODULUS:016x}"


def bucket(mobile: int) -> str:
    """The user's bucket: the first byte of SHA-256 of the mobile, as 2 hex digits."""
    return sha256(b"+%d" % mobile).hexdigest()[:2]
