"""The secret that a state directory is encrypted with, as those see it who have things sealed."""

from typing import Final, Protocol

OVERHEAD: Final = 12 + 16
"""How much longer sealed bytes are: the nonce and the tag of RFC 8439."""


class Secret(Protocol):
    """What a key file gives. What it takes to seal with one is loaded where it is read (`storage.cipher`)."""

    @property
    def key(self) -> bytes:
        """Of the store; 32 bytes."""

    def seal(self, content: bytes) -> bytes:
        """These bytes, for nobody else to read or to change."""

    def unseal(self, content: bytes) -> bytes | None:
        """What was sealed; None where it was not, or has changed."""
