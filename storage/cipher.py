"""The secret of a key file: one key of it for the store, another for the files beside it.

Where nothing is encrypted nobody needs this module, nor the 8 MiB that cryptography takes.
"""

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LEAST_BYTES: Final = 32


class Cipher:
    """Derived from what a key file holds: at least 32 bytes that nobody can guess (HKDF, RFC 5869)."""

    def __init__(self, material: bytes) -> None:
        self.key = _derived(material, b"fluss-gateway store")
        """Of the store; 32 bytes."""
        self._box = ChaCha20Poly1305(_derived(material, b"fluss-gateway files"))

    def seal(self, content: bytes) -> bytes:
        """These bytes, for nobody else to read or to change."""
        nonce = os.urandom(12)
        return nonce + self._box.encrypt(nonce, content, None)

    def unseal(self, content: bytes) -> bytes | None:
        """What was sealed; None where it was not, or has changed."""
        try:
            return self._box.decrypt(content[:12], content[12:], None)
        except (InvalidTag, ValueError):
            return None


def _derived(material: bytes, use: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=use).derive(material)
