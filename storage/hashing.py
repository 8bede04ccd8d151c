"""Hashes of numbers, and the key they are made with.

The key is a file of its own. Without it nobody can tell whose hash it is; with it ten million numbers are tried in
seconds, so a copy of the store should not travel with its key.
"""

import secrets
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Final

import structlog

from storage import durable

log = structlog.get_logger()

KEY: Final = "forget.key"
KEY_BYTES: Final = 32


def hashing(key: bytes) -> Callable[[int], int]:
    """What is kept of a number (E.164 digits), as SQLite's signed integer; a function of every writing connection."""

    def hashed(mobile: int) -> int:
        digest = blake2b(str(mobile).encode(), digest_size=8, key=key).digest()
        return int.from_bytes(digest, "big", signed=True)

    return hashed


def key_in(file: Path) -> bytes:
    """The key in a file, made where there is none; raises OSError."""
    try:
        key = file.read_bytes()
    except FileNotFoundError:
        return _made(file)
    if len(key) != KEY_BYTES:
        log.error("forget_key.damaged", path=str(file), consequence="an older invite may bring back who was forgotten")
        return _made(file)
    return key


def _made(file: Path) -> bytes:
    key = secrets.token_bytes(KEY_BYTES)
    durable.put(file, key, mode=0o600)
    return key
