"""Seals: eight bytes beside a row that tell whether it still says what was written.

A memory card that has aged gives back other bits than it was given, and SQLite notices few of them. A row that opens
a gate is believed only when its seal matches. A seal is no secret and stops nobody who writes to the file on purpose.
"""

from collections.abc import Iterable
from hashlib import blake2b
from struct import Struct
from typing import Any, Final

import orjson

USER: Final = (
    "device, mobile, status, accepted, permission, starts_at, ends_at, schedule, name, notes, units, wifi, deadline"
)
"""What the seal of a row of `users` covers; which batch spoke last moves often, and opens nothing."""

CODE: Final = "code, device, digits, name, mobile, made_at, expires_at, entry, exit, entered_at, left_at"
DEVICE: Final = "device, device_id"

_WORD: Final = Struct(">q")


def seal(*said: Any) -> int:  # noqa: ANN401 -- whatever a column holds
    """The seal of a row that says this, as SQLite's signed integer; a function of every connection that writes."""
    # A bit of rot makes a text a blob, which JSON has no word for: what was written never has one.
    word: int = _WORD.unpack(blake2b(orjson.dumps(said, default=repr), digest_size=8).digest())[0]
    return word


def resealed(stored: int, before: int, after: int) -> int:
    """The seal after a change, from those of the row before and after it; one that was wrong before stays wrong."""
    return stored ^ before ^ after


def changed(columns: str, **values: str) -> str:
    """The columns of a seal in SQL, some of them with the value (an expression) they are about to have."""
    return ", ".join(values.get(column, column) for column in columns.split(", "))


def intact(said: Iterable[Any], stored: int) -> bool:
    """Whether a row still says what its seal was made of."""
    return seal(*said) == stored
