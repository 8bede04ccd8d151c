"""What may stand in the log: nothing that reads as a phone number, whoever says it, and no field that names a person.

A number is known by its shape and masked wherever it stands. A name has no shape: it is kept out by the fields that
may be logged, by the words of errors that may be repeated (agent/crash.py), and by not asking libraries for theirs.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

MASK: Final = "<number>"
WITHHELD: Final = "<withheld>"

_MARKS: Final = (
    r"\s\-\u2010-\u2015\u2212\u30fc\uff0d-\uff0f/\u00ad\u200b\u2060\u3000"
    r"()\uff08\uff09\uff3b\uff3d.\[\]~\u2053\u223c\uff5e*xX+\uff0b"
)
"""What phonenumbers passes over between the digits of a number."""

_NUMBER: Final = rf"[+\uff0b]?\d(?:[{_MARKS}]*\d){{6,}}"
"""Seven digits and more: the shortest numbers of the world have as many, with their country's code."""

_OCTET: Final = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_READABLE: Final = rf"""
    (?<![\w+]) [0-9a-f]{{8}} (?:-[0-9a-f]{{4}}){{3}} -[0-9a-f]{{12}} (?!\w)  # a UUID
  | (?<![\w+]) (?=[0-9]*[a-f]) (?:[0-9a-f]{{64}}|[0-9a-f]{{40}}|[0-9a-f]{{32}}|[0-9a-f]{{16}}) (?!\w)  # a hash
  | \b 0x[0-9a-f]+ \b
  | (?<![\d+]) [0-9]{{16}} (?!\d)           # a Fluss+: E.164 has 15 digits at most, and an intercom's six are too few
  | (?<![\d+]) (?:00)?1[0-9]{{12}} (?!\d)   # epoch milliseconds: an E.164 number that begins with 1 has 11 digits
  | (?<!\d) (?:19|20)\d\d-[01]\d-[0-3]\d    # ISO 8601
    (?:[T\ ][0-2]\d:[0-5]\d (?::[0-6]\d(?:\.\d+)?)? (?:Z|[+-]\d\d:?\d\d)?)? (?!\d)
  | (?<![\d.+]) (?:{_OCTET}\.){{3}}{_OCTET}:\d{{1,5}} (?!\d)  # an address with its port
"""
_DATED: Final = r"(?<!\d) 20[2-9]\d[01]\d[0-3]\d (?:[-T_]\d{4}(?:\d\d)?)? (?!\d)"
"""How people number their batches: 20260518-0001."""

_IN_TEXT: Final = re.compile(f"(?P<readable>{_READABLE}) | {_NUMBER}", re.VERBOSE)
_IN_ID: Final = re.compile(f"(?P<readable>{_READABLE} | {_DATED}) | {_NUMBER}", re.VERBOSE)
_ID: Final = re.compile(r"[\w.:+-]{1,64}")
"""A name that tells things apart. Whatever else a sender calls a batch may be somebody's name."""

_OURS: Final = frozenset(
    {"timestamp", "level", "gateway_id", "device_id", "client_id", "broker", "place", "path", "state_dir", "key"}
    | {"epoch", "epoch_before"}
)
"""From the configuration, the clock and chance: nobody's number."""

_IDS: Final = frozenset({"batch_id", "command_id", "request_id"})
_MEASURES: Final = frozenset({"bytes", "revision"})
_PERSONAL: Final = frozenset(
    {"name", "user_name", "mobile", "note", "notes", "units", "invited_by", "invitees", "payload", "password"}
)
_DEEPEST: Final = 4


def masked(text: str) -> str:
    """The text without anything in it that reads as a phone number; ids of devices, hashes and times stay."""
    return _IN_TEXT.sub(_mask, text)


def masked_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of one event of the log, fit to be written: only plain values, and none of them anybody's number."""
    return {_key(name): _field(name, value, 0) for name, value in fields.items()}


def _key(name: object) -> str:
    return masked(str(name))


def _field(name: object, value: object, depth: int) -> object:
    if name in _PERSONAL:
        return None if value is None else WITHHELD
    if isinstance(value, str) and name in _OURS:
        return value
    if isinstance(value, str) and name in _IDS:
        return _IN_ID.sub(_mask, value) if _ID.fullmatch(value) else WITHHELD
    if isinstance(value, int) and name in _MEASURES:
        return value
    return _value(value, depth)


def _value(value: object, depth: int) -> object:
    match value:
        case None | bool() | float():
            return value
        case Enum():
            return _value(value.value, depth)
        case str():
            return masked(value)
        case int():
            return value if masked(str(value)) == str(value) else MASK
        case Mapping() if depth < _DEEPEST:
            return {_key(name): _field(name, each, depth + 1) for name, each in value.items()}
        case list() | tuple() | set() | frozenset() if depth < _DEEPEST:
            return [_value(each, depth + 1) for each in value]
        case bytes() | bytearray():
            return f"<{len(value)} bytes>"
        case _:  # what an object says of itself may be all that it holds
            return f"<{type(value).__name__}>"


def _mask(found: re.Match[str]) -> str:
    return found["readable"] or MASK
