"""Base64url, in which the segments of a signed message and the members of a key are written."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode


def encoded(octets: bytes) -> bytes:
    """Base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(octets).rstrip(b"=")


def decoded(segment: bytes) -> bytes:
    """The octets in their one spelling; raises ValueError for any other."""
    try:
        octets = urlsafe_b64decode(segment + b"==")  # more padding than it takes does no harm
    except binascii.Error:
        octets = None
    if octets is None or encoded(octets) != segment:
        raise ValueError("a segment is no base64url")
    return octets
