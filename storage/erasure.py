"""Erase: one person is forgotten everywhere in the store, in one transaction."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from protocol.erasure import Eraser
from protocol.reports import packed, unpacked
from protocol.vocabulary import Fault
from storage import forgotten, userlist
from storage.database import Reader, Transaction
from storage.userlist import User

_LISTED: Final = """
SELECT device, mobile, origin, status, name, notes FROM devices CROSS JOIN users USING (device) WHERE mobile = ?
"""
_NUMBERED: Final = "*" + "[0-9]*" * 7
_MENTIONED: Final = f"""
SELECT device, mobile FROM users WHERE name GLOB '{_NUMBERED}' OR notes GLOB '{_NUMBERED}' OR units GLOB '{_NUMBERED}'
"""
_INVITERS: Final = "SELECT DISTINCT invited_by FROM origins WHERE invited_by IS NOT NULL"
_UNINVITE: Final = "UPDATE origins SET invited_by = NULL WHERE invited_by = ?"
_CODES: Final = "SELECT code, name FROM codes WHERE mobile = ?"
_EVENTS: Final = f"""
SELECT event, mobile, name, note, error, request FROM events WHERE mobile = ? OR name GLOB '{_NUMBERED}'
    OR note GLOB '{_NUMBERED}' OR error GLOB '{_NUMBERED}' OR request GLOB '{_NUMBERED}'
"""
_UNTELL: Final = """
UPDATE events SET mobile = ?, name = ?, note = ?, error = ?, request = ?, erased = 1 WHERE event = ?
"""
_REPORTS: Final = f"""
SELECT report, body FROM reports WHERE kind = 'statuses'
    AND (instr(body, CAST(? AS BLOB)) OR instr(body, CAST('"{Fault.INVALID_MOBILE.value}"' AS BLOB)))
"""
_REPLIES: Final = "SELECT reply, body FROM replies"
_KINDS: Final = ("users", "codes", "events", "reports")


@dataclass(slots=True)
class Erased:
    """What went: how many rows of each kind, and the words to be looked for in what is left."""

    counts: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_KINDS, 0)))
    words: set[str] = field(default_factory=set)


async def erase(transaction: Transaction, mobile: int, now: int) -> Erased:
    """Forget a number (E.164 digits) and whoever had it; what was known of nobody else changes.

    Names and notes go with the number. Where others' notes hold the number itself, the number goes. Files beside the
    store are the caller's: until `swept` is called, `is_unswept` says so.
    """
    eraser, gone = Eraser(mobile), Erased()
    await _from_lists(transaction, mobile, gone)
    await _from_notes(transaction, eraser, now)
    await _from_codes(transaction, mobile, gone)
    await _from_log(transaction, eraser, gone)
    await _from_reports(transaction, eraser, gone)
    await _from_replies(transaction, eraser)
    await forgotten.erased(transaction, mobile)
    await transaction.execute("UPDATE store SET unswept = 1")
    return gone


async def swept(transaction: Transaction) -> None:
    """The files beside the store hold nothing any more of whoever was erased."""
    await transaction.execute("UPDATE store SET unswept = 0")


def is_unswept(reader: Reader) -> bool:
    """Whether files may still hold somebody who was erased from the store; raises StorageFault."""
    return bool(reader.fetch("SELECT 1 FROM store WHERE unswept"))


async def _from_lists(transaction: Transaction, mobile: int, gone: Erased) -> None:
    rows = await transaction.fetch(_LISTED, (mobile,))
    await forgotten.remove(
        transaction, [(device, number, origin, status) for device, number, origin, status, *_ in rows]
    )
    await transaction.execute("DELETE FROM spared WHERE mobile = ?", (mobile,))
    gone.counts["users"] += len(rows)
    gone.words.update(word for row in rows for word in row[4:] if word)


async def _from_notes(transaction: Transaction, eraser: Eraser, now: int) -> None:
    """What others' rows say of the number, and whom it invited."""
    for (inviter,) in await transaction.fetch(_INVITERS):
        if eraser.text(inviter) != inviter:
            await transaction.execute(_UNINVITE, (inviter,))
    by_device: dict[int, set[int]] = {}
    for device, mobile in await transaction.fetch(_MENTIONED):
        by_device.setdefault(device, set()).add(mobile)
    for device, mobiles in by_device.items():
        known = await userlist.whole(transaction, device, mobiles)
        changed = [left for user in known.values() if (left := _unmentioned(user, eraser, now)) is not user]
        await userlist.put(transaction, changed, known)


def _unmentioned(user: User, eraser: Eraser, now: int) -> User:
    left = user._replace(name=eraser.text(user.name), notes=eraser.text(user.notes), units=eraser.text(user.units))
    return user if left == user else left._replace(changed_at=now)


async def _from_codes(transaction: Transaction, mobile: int, gone: Erased) -> None:
    rows = await transaction.fetch(_CODES, (mobile,))
    await transaction.many("DELETE FROM codes WHERE code = ?", [(code,) for code, _ in rows])
    gone.counts["codes"] += len(rows)
    gone.words.update(name for _, name in rows)


async def _from_log(transaction: Transaction, eraser: Eraser, gone: Erased) -> None:
    changed = []
    for number, mobile, name, *written in await transaction.fetch(_EVENTS, (eraser.mobile,)):
        if mobile == eraser.mobile:
            _, error, request = map(eraser.text, written)
            changed.append((None, None, None, error, request, number))
            gone.words.update(word for word in (name, written[0]) if word)
        elif (left := [eraser.text(word) for word in (name, *written)]) != [name, *written]:
            changed.append((mobile, *left, number))
    await transaction.many(_UNTELL, changed)
    gone.counts["events"] += len(changed)


async def _from_reports(transaction: Transaction, eraser: Eraser, gone: Erased) -> None:
    changed = []
    for number, body in await transaction.fetch(_REPORTS, (str(eraser.mobile),)):
        if (left := eraser.runs(unpacked(body))) is not None:
            changed.append((packed(left), number))
    await transaction.many("UPDATE reports SET body = ? WHERE report = ?", changed)
    gone.counts["reports"] += len(changed)


async def _from_replies(transaction: Transaction, eraser: Eraser) -> None:
    replies = [(eraser.reply(body), number) for number, body in await transaction.fetch(_REPLIES)]
    await transaction.many(
        "UPDATE replies SET body = ? WHERE reply = ?", [each for each in replies if each[0] is not None]
    )
