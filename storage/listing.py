"""The list as a person reads it: every user with what was agreed, and the batch that said so last."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from storage.database import Reader

_ENTRIES = """
SELECT device_id, mobile, name, notes, permission, starts_at, ends_at, schedule, units, wifi, invited_by, status,
    batches.revision, batch_id, changed_at
FROM users JOIN devices USING (device) JOIN origins USING (origin) JOIN batches USING (batch)
WHERE status IS NOT NULL AND device_id IN (SELECT value FROM json_each(?)) AND status IS coalesce(?, status)
ORDER BY users.device, name, mobile
"""


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
    reader: Reader, device_ids: Collection[str], status: str | None = None, search: str = ""
) -> Iterator[Entry]:
    """The users of these devices by name; of one status, and with `search` in name, notes, unit or number."""
    wanted = _Wanted(search)
    for row in reader.fetch(_ENTRIES, (orjson.dumps(list(device_ids)).decode(), status)):
        device_id, mobile, name, notes, permission, starts_at, ends_at, schedule, units, wifi, *rest = row
        if wanted(mobile, name, notes, units):
            yield Entry(
                device_id,
                mobile,
                name,
                notes,
                permission,
                starts_at,
                ends_at,
                orjson.loads(schedule) if schedule else None,
                orjson.loads(units) if units else None,
                bool(wifi),
                *rest,
            )


class _Wanted:
    """Whether a user is meant by what somebody typed; a number may be typed in any of its forms."""

    def __init__(self, search: str) -> None:
        self._text = search.casefold().strip()
        spoken = "".join(character for character in search if character not in " -().")
        self._digits = spoken.lstrip("+0") if spoken.lstrip("+").isdecimal() else ""

    def __call__(self, mobile: int, *texts: str | None) -> bool:
        if not self._text or any(self._text in text.casefold() for text in texts if text):
            return True
        return bool(self._digits) and self._digits in str(mobile)
