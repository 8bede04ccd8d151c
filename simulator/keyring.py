"""Keys on disk: the private one signs and stays with the cloud, its public half is for the gateways."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from protocol.keys import (
    KeyFault,
    PublicKey,
    SigningKey,
    new_signing_key,
    private_jwk,
    public_half,
    public_jwk,
    public_key,
    signing_key,
)
from protocol.vocabulary import Refusal
from simulator import exits
from simulator.exits import Failure

SIGNATURE_REFUSALS: Final = frozenset({Refusal.UNSIGNED, Refusal.BAD_SIGNATURE, Refusal.UNKNOWN_KEY})
"""What a gateway answers that has keys, and not the one that signed, or that nobody signed with."""

CURE: Final = "sign with a key this gateway trusts: --sign-with FILE (fluss-simulator keys new makes one)"

_PRIVATE: Final = ".private.jwk"
_PUBLIC: Final = ".jwk"
_NAME: Final = re.compile(r"(?!.*\.private\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of a key and of its files alike; a public half called *.private.jwk would be taken for what it is not."""


class UnusableKey(Failure):
    """A key that cannot be used, or would replace another; the message names its file and the cure."""

    exit_code = exits.USAGE


@dataclass(frozen=True, slots=True)
class Pair:
    """A new key, and the two files that hold it."""

    key: SigningKey
    private: Path
    public: Path


def make_pair(folder: Path, kid: str) -> Pair:
    """A new key in `folder`, which is made where it is missing. Raises UnusableKey, OSError; nothing is overwritten."""
    if not _NAME.fullmatch(kid):
        raise UnusableKey(
            f"{kid!r} cannot name a key and its files: take up to 64 letters, digits, dots, dashes and underscores"
        )
    pair = Pair(new_signing_key(kid), folder / f"{kid}{_PRIVATE}", folder / f"{kid}{_PUBLIC}")
    for path in (pair.private, pair.public):
        if os.path.lexists(path):
            raise UnusableKey(
                f"{path} is there already, and no key is ever overwritten: give the new one another name (--kid)"
            )
    folder.mkdir(parents=True, exist_ok=True)
    _write(pair.public, public_jwk(public_half(pair.key)), 0o644)
    try:
        _write(pair.private, private_jwk(pair.key), 0o600)
    except OSError:
        pair.public.unlink()
        raise
    return pair


def read_signing_key(path: Path) -> SigningKey:
    """The private key in a file. Raises UnusableKey; OSError where it cannot be read."""
    try:
        return signing_key(_read(path))
    except KeyFault as fault:
        private = path.with_name(path.name.removesuffix(_PUBLIC) + _PRIVATE)
        hint = f" The private key beside it is {private}." if private.exists() else ""
        raise UnusableKey(f"{path} cannot sign: {fault}.{hint}") from None


def read_public_key(path: Path) -> PublicKey:
    """The public key in a file. Raises UnusableKey; OSError where it cannot be read."""
    try:
        return public_key(_read(path))
    except KeyFault as fault:
        raise UnusableKey(f"{path} is no public key: {fault}") from None


def read_either(path: Path) -> SigningKey | PublicKey:
    """The key in a file, whichever half it is. Raises UnusableKey; OSError where it cannot be read."""
    return read_signing_key(path) if _holds_private(_read(path)) else read_public_key(path)


def _holds_private(text: bytes) -> bool:
    try:
        jwk = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(jwk, dict) and "d" in jwk


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UnusableKey(f"there is no file {path}: `fluss-simulator keys new` makes a key") from None


def _write(path: Path, jwk: bytes, mode: int) -> None:
    """Whole or not at all: what was begun would stand in the way of the next try."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(file, "wb") as out:
            out.write(jwk + b"\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        path.unlink()
        raise
