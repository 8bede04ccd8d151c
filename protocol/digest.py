"""The list digest: drift between cloud and gateway shows without a transfer."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from struct import unpack

MODULUS = 1 << 64
BUCKETS = 256


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


class Sums:
    """The digests of a list, by bucket: what two lists have alike need not be looked at. Everybody is counted once."""

    def __init__(self) -> None:
        self.buckets: dict[str, int] = {}
        """Of every bucket that anybody is in."""

    def count(self, mobiles: Sequence[int], revision: int) -> list[str]:
        """Take in users who share a revision; the bucket of each."""
        places = [bucket(mobile) for mobile in mobiles]
        members: dict[str, list[int]] = {}
        for mobile, place in zip(mobiles, places, strict=True):
            members.setdefault(place, []).append(mobile)
        for place, each in members.items():
            self.buckets[place] = (self.buckets.get(place, 0) + digest_sum(each, revision)) % MODULUS
        return places

    @property
    def digest(self) -> int:
        """The digest of the whole list."""
        return sum(self.buckets.values()) % MODULUS

    def texts(self) -> dict[str, str]:
        """The digests as the wire writes them."""
        return {place: digest_text(self.buckets[place]) for place in sorted(self.buckets)}
