"""The real store, driven with bytes from the wire and looked at from outside."""

import dataclasses
import json
import re
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from protocol.codec import Limits, Part, Refused, decode
from protocol.digest import digest_text
from protocol.mobile import Numbers
from protocol.reports import receipt_payload, statuses_payload, unpacked
from protocol.validate import Roll, validate
from protocol.vocabulary import Kind
from storage import changes, outbox, replace, seals, signers
from storage.apply import Applied, apply
from storage.database import Database, Reader, Transaction
from storage.merge import Device
from storage.replace import Guard
from storage.store import device_states, enroll, held_batches
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule, Gateway

EPOCH = "k3f9"
_NUMBERS = Numbers("ZA")
_USERS = """
SELECT device_id, mobile, batch_id, batches.revision, status, accepted, permission, starts_at, ends_at, schedule, name,
    notes, units, wifi, invited_by, changed_at
FROM users JOIN devices USING (device) JOIN origins USING (origin) JOIN batches USING (batch)
"""
_FALSE_SUMS = """
SELECT origin FROM origins LEFT JOIN users USING (origin) GROUP BY origin
HAVING pending != sum(status IS 'Pending') OR active != sum(status IS 'Active') OR expired != sum(status IS 'Expired')
    OR gone != sum(status IS NULL) OR count(users.mobile) = 0 OR min(users.device) != origins.device
"""


class Store:
    """A store in a file, and the devices it serves."""

    def __init__(
        self, path: Path, devices: dict[str, DeviceRule], share: float = 0.5, users: int = 20, gateway_id: str = "gw-1"
    ) -> None:
        self.path = path
        self.gateway_id = gateway_id
        self.rules = devices
        self.guard = Guard(share, users)
        self.devices: dict[str, Device] = {}
        self.database = Database(path)
        self.reader = Reader(path)

    async def __aenter__(self) -> Self:
        await self.database.__aenter__()
        numbers = await self.database.transact(lambda transaction: enroll(transaction, EPOCH, self.rules))
        self.devices = {
            device: Device(numbers[device], device, Kind(rule.kind), rule.max_users)
            for device, rule in self.rules.items()
        }
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reader.close()
        await self.database.__aexit__(kind, error, trace)

    async def trust(self, *keys: str) -> signers.Shift:
        """The gateway starts with these keys in its configuration."""
        return await self.database.transact(lambda transaction: signers.trust(transaction, keys))

    def judged(self, payload: bytes, signer: str | None = None) -> Roll | Refused:
        """Decode and validate, as the gateway does with what `signer` has signed."""
        part = decode(payload, self.gateway_id, Limits())
        if isinstance(part, Part):
            part = dataclasses.replace(part, signer=signer)
        return part if isinstance(part, Refused) else validate(part, _NUMBERS)

    async def restart(self) -> None:
        """The gateway goes down and comes up again."""
        self.reader.close()
        await self.database.__aexit__(None, None, None)
        self.database = Database(self.path)
        await self.database.__aenter__()

    async def receive(self, payloads: Sequence[bytes], now: int, signer: str | None = None) -> list[Applied]:
        """Messages that waited together."""
        group = [self.judged(payload, signer) for payload in payloads]
        return await self.database.transact(lambda transaction: self.apply(transaction, group, now))

    async def apply(self, transaction: Transaction, group: Sequence[Roll | Refused], now: int) -> list[Applied]:
        """Apply a group inside a transaction of the caller's."""
        return await apply(transaction, group, self.devices, self.guard, now)

    async def expire(self, now: int) -> None:
        """Time passes."""
        await self.database.transact(lambda transaction: changes.expire(transaction, now))

    async def accept(self, device: str, mobile: str, now: int) -> bool:
        """The person took up the invitation at the device."""
        number = self.devices[device].number
        return await self.database.transact(lambda transaction: changes.accept(transaction, number, int(mobile), now))

    async def confirm(self, batch_id: str, now: int) -> str | None:
        """The command."""
        return await self.database.transact(
            lambda transaction: replace.confirm(transaction, batch_id, self.devices, now)
        )

    async def remind(self, silent_since: int, now: int) -> int:
        """Parts are missing for a long time."""
        return await self.database.transact(lambda transaction: replace.remind(transaction, silent_since, now))

    def reports(self, first: int = 1, last: int = 1 << 40) -> list[Document]:
        """Stored reports as the wire carries them."""
        return [
            json.loads(
                receipt_payload(self.gateway_id, EPOCH, stored.number, stored.at, stored.body)
                if stored.kind == "receipt"
                else statuses_payload(
                    self.gateway_id, EPOCH, stored.number, stored.at, stored.batch, unpacked(stored.body)
                )
            )
            for stored in outbox.reports(self.reader, first, last, 1 << 20)
        ]

    def users(self) -> dict[tuple[str, str], Document]:
        """Every row, by device and mobile, tombstones included."""
        return {
            (row[0], f"+{row[1]}"): {
                "batch": row[2],
                "revision": row[3],
                "status": row[4],
                "accepted": bool(row[5]),
                "terms": (row[6], row[7], row[8], None if row[9] is None else _windows(json.loads(row[9]))),
                "name": row[10],
                "notes": row[11],
                "units": None if row[12] is None else json.loads(row[12]),
                "wifi": bool(row[13]),
            }
            | ({} if row[4] is None else {"invited_by": row[14], "changed_at": row[15]})
            for row in self.reader.fetch(_USERS)
        }

    def observed(self) -> Document:
        """Everything the contract has a word on, in the words of `expected`."""
        return {
            "users": self.users(),
            "reports": told(self.reports()),
            "resends": [self._resent(resend) for resend in self.resends()],
            "devices": {
                device: (state.pending, state.active, state.expired, state.revision, digest_text(state.digest))
                for device, state in device_states(self.reader).items()
            },
            "held": [batch.batch_id for batch in held_batches(self.reader, device_states(self.reader))],
            "deadline": changes.next_deadline(self.reader),
        }

    def resends(self) -> list[outbox.Resend]:
        """Every request for reports again, in order."""
        found: list[outbox.Resend] = []
        while resend := outbox.next_resend(self.reader, found[-1].number if found else 0):
            found.append(resend)
        return found

    def _resent(self, resend: outbox.Resend) -> tuple[Any, ...]:
        """Which statuses go again: all of a part, and after its new receipt."""
        again = self.reports(resend.first, resend.last)
        (receipt,) = self.reports(resend.after, resend.after)
        assert receipt["outcome"] == "replayed"
        assert all("results" in report for report in again)
        assert {(report["batchId"], report["part"]) for report in again} == {(receipt["batchId"], receipt["part"])}
        return receipt["batchId"], receipt["part"]

    def unsound(self) -> list[str]:
        """What no history may leave behind: dangling keys, sums that do not add up, gaps between reports."""
        numbers = [report["reportId"] for report in self.reports()]
        checks = {
            "foreign keys": self.reader.fetch("PRAGMA foreign_key_check"),
            "integrity": self.reader.fetch("PRAGMA integrity_check") != [("ok",)],
            "sums": self.reader.fetch(_FALSE_SUMS),
            "seals": self._broken_seals(),
            "report numbers": numbers != list(range(1, len(numbers) + 1)),
        }
        return [name for name, failed in checks.items() if failed]

    def _broken_seals(self) -> list[Any]:
        """Rows whose seal is not made of what they say."""
        tables = {"users": seals.USER, "codes": seals.CODE, "devices": seals.DEVICE}
        return [
            row
            for table, covered in tables.items()
            for *row, stored in self.reader.fetch(f"SELECT {covered}, seal FROM {table}")  # noqa: S608 -- our names
            if _sealed(row) != stored
        ]


def _sealed(row: list[Any]) -> int:
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def expected(gateway: Gateway) -> Document:
    """What `Store.observed` should be."""
    states = {}
    for device, users in gateway.lists.items():
        statuses = [row.status for row in users.values()]
        counts = [statuses.count(status) for status in ("Pending", "Active", "Expired")]
        states[device] = (*counts, gateway.spoken[device], gateway.digest(device))
    return {
        "users": {
            (device, mobile): {
                "batch": row.batch,
                "revision": row.revision,
                "status": row.status,
                "accepted": row.accepted,
                "terms": (row.terms.permission, row.terms.starts, row.terms.ends, row.terms.schedule),
                "name": row.name,
                "notes": row.notes,
                "units": row.units,
                "wifi": row.wifi,
            }
            | ({} if row.status is None else {"invited_by": row.invited_by, "changed_at": row.changed_at})
            for device, users in gateway.lists.items()
            for mobile, row in users.items()
        },
        "reports": told(gateway.says.reports),
        "resends": gateway.says.resends,
        "devices": states,
        "held": gateway.held(),
        "deadline": gateway.deadline(),
    }


def told(reports: Sequence[Document]) -> list[Any]:
    """Reports without their numbers and words; changes that no part names are one set, however they were packed."""
    plain: list[Any] = []
    for report in reports:
        if "results" not in report:
            plain.append({name: _code(report[name]) for name in report if name not in ("epoch", "reportId")})
        elif report["batchId"] is not None:
            head = {name: report[name] for name in ("gatewayId", "at", "batchId", "part", "revision")}
            plain.append(head | {"results": [_plain(result) for result in report["results"]]})
        else:
            changed = {(report["at"], *sorted(map(str, result.items()))) for result in report["results"]}
            if plain and isinstance(plain[-1], set):
                assert not plain[-1] & changed, "one change is reported twice"
                plain[-1] |= changed
            else:
                plain.append(changed)
    return plain


def _plain(result: Document) -> Document:
    """A result with the codes of its error and warnings, and the first item that a duplicate names."""
    plain = result | {"error": _code(result.get("error")), "warnings": set(map(_code, result.get("warnings", ())))}
    if plain["error"] == "duplicate_in_batch" and "first" not in result:
        named = re.search(r"item (\d+)", result["error"]["message"])
        plain["first"] = int(named[1]) if named else None
    return plain


def _code(said: Any) -> Any:
    return said["code"] if isinstance(said, dict) and "code" in said else said


def _windows(schedule: list[Document]) -> Any:
    return {(frozenset(window["days"]), window["from"], window["until"]) for window in schedule}
