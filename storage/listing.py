"""The list as a person reads it: every user with what was agreed, and the batch that said so last."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from unicodedata import combining, decimal, normalize

import orjson

from protocol.mobile import Numbers, Unassigned
from storage.database import Reader, shipped_schema

_ENTRIES = """
SELECT device_id, mobile, name, notes, permission, starts_at, ends_at, schedule, units, wifi, invited_by, status,
    batches.revision, batch_id, changed_at
FROM users JOIN devices USING (device) JOIN origins USING (origin) JOIN batches USING (batch)
WHERE status IS NOT NULL AND device_id IN (SELECT value FROM json_each(?)) AND status IS coalesce(?, status)
"""
_LEAST_DIGITS = 3
"""Fewer are the number of a flat rather than of a phone: they would find nearly everyone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One user of one device; times are epoch milliseconds, the mobile is E.164 digits."""

    device_id: str
    mobile: int
    name: str
    notes: str | None
    permission: str | None
    starts_at: int | None
    ends_at: int | None
    schedule: list[dict[str, Any]] | None
    units: list[str] | None
    wifi: bool
    invited_by: str | None
    status: str
    revision: int
    batch_id: str
    changed_at: int


def entries(
    reader: Reader, device_ids: Sequence[str], status: str | None = None, search: "Search | None" = None
) -> Iterator[Entry]:
    """The users of these devices, in their order and then by name; of one status, and found by a search.

    Raises StorageFault.
    """
    place = {device_id: index for index, device_id in enumerate(device_ids)}
    rows = reader.fetch(_ENTRIES, (orjson.dumps(list(device_ids)).decode(), status))
    rows.sort(key=lambda row: (place[row[0]], folded(row[2]), row[1]))
    for device_id, mobile, name, notes, permission, starts_at, ends_at, schedule, units, wifi, *rest in rows:
        its_units = orjson.loads(units) if units else None
        if search is None or search.finds(mobile, name, notes or "", *its_units or ()):
            yield Entry(
                device_id,
                mobile,
                name,
                notes,
                permission,
                starts_at,
                ends_at,
                orjson.loads(schedule) if schedule else None,
                its_units,
                bool(wifi),
                *rest,
            )


def schema_version(reader: Reader) -> int:
    """The version of the schema the store was written with, 0 where nobody has made it yet; raises StorageFault."""
    ((version,),) = reader.fetch("PRAGMA user_version")
    unused = version == len(shipped_schema()) and not reader.fetch("SELECT 1 FROM store")
    return 0 if unused else int(version)


class Search:
    """What somebody typed to find a user.

    A name, the notes or a unit is found by a part of it, whatever the case and the accents; a number by a part of it or
    by any spelling that `numbers`, those of the gateway's region, read as that number.
    """

    def __init__(self, typed: str, numbers: Numbers) -> None:
        reading = numbers.read(typed)
        self._meant = reading.e164 if isinstance(reading, Unassigned) else reading
        self._text = folded(typed)
        self._digits = _digits(typed)
        self._abroad = typed.lstrip().startswith(("+", "＋"))

    def finds(self, mobile: int, *texts: str) -> bool:
        """Whether a user with this number (E.164 digits) and these texts is meant."""
        if mobile == self._meant or any(self._text in folded(text) for text in texts):
            return True
        return self._is_in(str(mobile))

    def _is_in(self, number: str) -> bool:
        digits = self._digits
        if self._abroad:
            return digits != "" and number.startswith(digits)
        if len(digits) < _LEAST_DIGITS:
            return False
        if digits in number or (digits.startswith("00") and number.startswith(digits[2:])):
            return True
        # What follows the 0 of a national number stands behind a calling code, which has one to three digits.
        return digits.startswith("0") and any(number.startswith(digits[1:], code) for code in (1, 2, 3))


def folded(text: str) -> str:
    """A text without what people leave out when they search or sort: case, accents, and how many spaces."""
    if not text.isascii():
        text = "".join(character for character in normalize("NFKD", text) if not combining(character))
    return " ".join(text.casefold().split())


def _digits(typed: str) -> str:
    """The digits of what may be a number, without the (0) of an international spelling; none where it has letters."""
    if any(map(str.isalpha, typed)):
        return ""
    return "".join(str(decimal(character)) for character in typed.replace("(0)", "") if character.isdecimal())
