"""Changes of status that no batch brings: acceptance at the device, and the end of an invitation or of a period."""

from protocol.lifecycle import expiry_reason
from protocol.reports import Run
from protocol.vocabulary import Outcome, Reason, Status
from storage import seals
from storage.database import Reader, Transaction
from storage.origins import Origins
from storage.outbox import Desk

_DUE = """
SELECT device, device_id, mobile, origin, status, accepted, ends_at, deadline
FROM users INDEXED BY users_deadline JOIN devices USING (device) WHERE deadline <= ? LIMIT ?
"""
_EXPIRE = f"""
UPDATE users SET status = 'Expired', deadline = NULL, changed_at = ?, seal = resealed(seal, seal({seals.USER}),
    seal({seals.changed(seals.USER, status="'Expired'", deadline="NULL")}))
WHERE device = ? AND mobile = ?
"""
_PENDING = """
SELECT origin, device_id FROM users JOIN devices USING (device)
WHERE device = ? AND mobile = ? AND status = 'Pending' AND coalesce(deadline > ?, 1)
"""
_ACCEPT = f"""
UPDATE users SET status = 'Active', accepted = 1, deadline = ends_at, changed_at = ?,
    seal = resealed(seal, seal({seals.USER}),
        seal({seals.changed(seals.USER, status="'Active'", accepted="1", deadline="ends_at")}))
WHERE device = ? AND mobile = ?
"""
MOST_AT_ONCE = 20_000


def next_deadline(reader: Reader) -> int | None:
    """The earliest moment (epoch ms) at which a user's status ends by itself."""
    ((deadline,),) = reader.fetch("SELECT min(deadline) FROM users WHERE deadline IS NOT NULL")
    return None if deadline is None else int(deadline)


async def expire(transaction: Transaction, now: int) -> int:
    """Expire whoever is due and report it; how many."""
    desk = await Desk.open(transaction, now)
    count = await expire_due(transaction, now, desk)
    await desk.save()
    return count


async def expire_due(transaction: Transaction, now: int, desk: Desk) -> int:
    """Expire whoever is due, with the reports on a desk the caller saves; how many."""
    due = sorted(await transaction.fetch(_DUE, (now, MOST_AT_ONCE)), key=lambda row: (row[0], row[2]))
    if not due:
        return 0
    origins = await Origins.open(transaction)
    await origins.load({row[3] for row in due})
    ended: dict[tuple[str, Reason], list[int]] = {}
    for _, device_id, mobile, origin, status, accepted, ends_at, deadline in due:
        origins[origin].turn(Status(status), Status.EXPIRED, 1)
        ended.setdefault((device_id, expiry_reason(accepted == 1, ends_at, deadline)), []).append(mobile)
    await transaction.many(_EXPIRE, [(now, row[0], row[2]) for row in due])
    await origins.save()
    desk.statuses(
        Run(device_id, None, Outcome.CHANGED, Status.EXPIRED, mobiles, reason)
        for (device_id, reason), mobiles in ended.items()
    )
    return len(due)


async def accept(transaction: Transaction, device: int, mobile: int, now: int) -> bool:
    """The person has taken up the invitation at the device: Pending becomes Active, and is reported; whether it did."""
    rows = await transaction.fetch(_PENDING, (device, mobile, now))
    if not rows:
        return False
    ((origin, device_id),) = rows
    origins = await Origins.open(transaction)
    await origins.load([origin])
    origins[origin].turn(Status.PENDING, Status.ACTIVE, 1)
    await transaction.execute(_ACCEPT, (now, device, mobile))
    await origins.save()
    desk = await Desk.open(transaction, now)
    desk.statuses([Run(device_id, None, Outcome.CHANGED, Status.ACTIVE, [mobile], Reason.ACCEPTED)])
    await desk.save()
    return True
