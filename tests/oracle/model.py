"""A gateway's list as the contract tells it: one person at a time, parts in whatever order they come."""

import json
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tests.oracle.items import UNASSIGNED, Document, Item, Terms, items_of
from tests.oracle.rows import Batch, Row
from tests.oracle.voice import Voice, change

LISTED = ("Pending", "Active")
HEADER = ("revision", "parts", "mode", "deviceIds")
SAID = ("permission", "startDate", "endDate", "schedule", "inviteExpiresAt", "invitedBy", "invitees", "revocations")


@dataclass(frozen=True)
class DeviceRule:
    """A configured device."""

    kind: str
    max_users: int


class Gateway:
    """The naive gateway; `says` holds its reports."""

    def __init__(self, gateway_id: str, devices: dict[str, DeviceRule], share: float, users: int) -> None:
        self.gateway_id = gateway_id
        self.devices = devices
        self.share, self.users = share, users
        self.lists: dict[str, dict[str, Row]] = {device: {} for device in devices}
        self.replaced = dict.fromkeys(devices, 0)
        self.spoken = dict.fromkeys(devices, 0)
        self.batches: dict[str, Batch] = {}
        self.says = Voice(gateway_id)

    # --- what comes

    def receive(self, payload: bytes, now: int) -> None:
        """One message on `invites`."""
        self.expire(now)
        try:
            part = json.loads(payload)
        except ValueError:
            return self.says.refused({}, "not_json", now, payload)
        if refusal := self._unusable(part):
            return self.says.refused(part, refusal, now, payload)
        part = {"part": 1, "parts": 1, "mode": "merge"} | part
        part["deviceIds"] = list(dict.fromkeys(part["deviceIds"]))
        batch = self.batches.get(part["batchId"])
        known = batch.parts.get(part["part"]) if batch else None
        if batch and (_header(part) != batch.header or (known and _said(known) != _said(part))):
            return self.says.refused(part, "batch_conflict", now, payload)
        if batch and known:
            self.says.receipt("replayed", part, batch.counts[part["part"]], now)
            if known["results"]:
                self.says.resends.append((part["batchId"], part["part"]))
            return None
        if not batch and any(other.header["revision"] == part["revision"] for other in self.batches.values()):
            return self.says.refused(part, "revision_conflict", now, payload)
        if part.get("expiresAt") is not None and part["expiresAt"] <= now:
            return self.says.refused(part, "expired", now, payload)
        return self._apply(part, now)

    def expire(self, now: int) -> None:
        """Whoever's time is up is Expired, whatever else happens; the reason is the bound that came first."""
        changes = []
        for device, users in self.lists.items():
            for mobile, row in users.items():
                if row.until is not None and row.until <= now:
                    ended = row.accepted or row.terms.ends == row.until
                    row.status, row.until, row.changed_at = "Expired", None, now
                    changes.append(change(device, mobile, "Expired", "access_ended" if ended else "invite_expired"))
        self.says.changes(changes, now)

    def accept(self, device: str, mobile: str, now: int) -> bool:
        """The person took up the invitation at the device."""
        row = self.lists[device].get(mobile)
        if row is None or row.status != "Pending" or (row.until is not None and row.until <= now):
            return False
        row.status, row.accepted, row.until, row.changed_at = "Active", True, row.terms.ends, now
        self.says.changes([change(device, mobile, "Active", "accepted")], now)
        return True

    def confirm(self, batch_id: str, now: int) -> None:
        """The command: carry out what a batch holds."""
        batch = self.batches.get(batch_id)
        if batch and batch_id in self.held():
            self._remove(batch_id, self._absentees(batch), now)

    def remind(self, silent_since: int, now: int) -> None:
        """Say of batches that have been silent which parts are missing, once for each silence."""
        for batch_id, batch in sorted(self.batches.items(), key=lambda each: each[1].header["revision"]):
            if batch.stage == "open" and batch.touched_at <= silent_since:
                batch.stage = "incomplete"
                missing = sorted(set(range(1, batch.header["parts"] + 1)) - set(batch.parts))
                self._batch_receipt("incomplete", batch_id, now, missing=missing)

    # --- what it holds

    def held(self) -> list[str]:
        """Batches whose removals wait; a newer completed replace of every device ends the wait."""
        return [
            batch_id
            for batch_id, batch in sorted(self.batches.items(), key=lambda each: each[1].header["revision"])
            if batch.stage == "held" and self._open_devices(batch)
        ]

    def digest(self, device: str) -> str:
        """By the letter of the contract."""
        total = 0
        for mobile, row in self.lists[device].items():
            if row.status is not None:
                total += int.from_bytes(sha256(f"{mobile}|{row.revision}".encode()).digest()[:8], "big")
        return f"{total % 2**64:016x}"

    def deadline(self) -> int | None:
        """When the next status ends by itself."""
        untils = [row.until for users in self.lists.values() for row in users.values() if row.until is not None]
        return min(untils, default=None)

    # --- a part

    def _apply(self, part: Document, now: int) -> None:
        name = part["batchId"]
        batch = self.batches.setdefault(name, Batch(_header(part)))
        batch.stage, batch.touched_at = "open", now
        items = items_of(part)
        results = []
        for device in part["deviceIds"]:
            if device in self.devices:
                results += self._on_device(device, batch, part, items, now)
            else:
                results += [_rejected(item, device, "unknown_device") for item in items]
        if part["mode"] == "replace" and self.devices.keys() & set(part["deviceIds"]):
            batch.unnamed += sum(item.mobile is None for item in items)
        batch.parts[part["part"]] = part | {"results": results}
        counts = batch.counts[part["part"]] = Counter(result["outcome"] for result in results)
        self.says.receipt("applied", part, counts, now)
        self.says.statuses(part, results, now)
        if len(batch.parts) == part["parts"]:
            self._complete(name, now)

    def _on_device(self, device: str, batch: Batch, part: Document, items: list[Item], now: int) -> list[Document]:
        users = self.lists[device]
        results: dict[int, Document] = {}
        stands: dict[str | None, int] = {}
        for item in self._in_turn(items, users, part["mode"] == "replace"):
            fault = item.fault
            if not fault and not item.revocation and self.devices[device].kind == "fluss+":
                fault = item.terms.fault if item.terms else None
            if fault or item.mobile is None:
                results[item.number] = _rejected(item, device, fault or "invalid_mobile")
            elif (first := stands.get(item.mobile)) is not None:
                results[item.number] = _rejected(item, device, "duplicate_in_batch") | {"first": first}
            else:
                decide = self._revoke if item.revocation else self._invite
                results[item.number] = _result(item, device) | decide(device, item.mobile, item, part, now)
                if results[item.number]["outcome"] != "rejected":
                    stands[item.mobile] = item.number
        self.spoken[device] = max(self.spoken[device], part["revision"])
        outcomes = Counter(result["outcome"] for result in results.values())
        batch.net[device] += outcomes["added"] - outcomes["revoked"]
        for item in items:
            result = results[item.number]
            row = users.get(item.mobile or "")
            result["status"] = row.status if row else None
            if result["outcome"] == "rejected":
                batch.spared |= {(device, item.mobile)} if item.mobile else set()
            elif item.mobile in UNASSIGNED:
                result["warnings"] = {*result.get("warnings", ()), "unassigned_range"}
        return [results[item.number] for item in items]

    @staticmethod
    def _in_turn(items: list[Item], users: dict[str, Row], replacing: bool) -> list[Item]:
        """Revocations first; of a replace then those who have a place, who keep it before anyone new takes one."""

        def turn(item: Item) -> int:
            if item.revocation:
                return 0
            row = users.get(item.mobile or "")
            return 2 if replacing and not (row and row.status in LISTED) else 1

        return sorted(items, key=turn)

    def _judge(self, device: str, mobile: str, part: Document) -> Document | None:
        """Why an item changes nothing, whatever it says."""
        row = self.lists[device].get(mobile)
        if part["revision"] < max(self.replaced[device], row.revision if row else 0):
            return {"outcome": "superseded"}
        return None

    def _invite(self, device: str, mobile: str, item: Item, part: Document, now: int) -> Document:
        row = self.lists[device].get(mobile)
        if refused := self._judge(device, mobile, part):
            return refused
        if row and row.batch == part["batchId"]:
            return {"outcome": "rejected", "error": "duplicate_in_batch", "first": None}
        before = row if row and row.status else None
        after = self._agreed(device, item, part, before, now)
        word = {"batch": part["batchId"], "revision": part["revision"], "invited_by": part.get("invitedBy")}
        if before and before.content() == after.content():
            vars(before).update(word)
            return {"outcome": "unchanged"}
        if before and before.terms.permission == "Owner" and not item.names_permission:
            vars(before).update(word)
            return {"outcome": "unchanged", "warnings": {"owner_kept"}}
        takes_a_place = after.status in LISTED and not (before and before.status in LISTED)
        if takes_a_place and self._places(device, part) >= self.devices[device].max_users:
            return {"outcome": "rejected", "error": "user_limit"}
        self.lists[device][mobile] = after
        return {"outcome": "updated" if before else "added"}

    def _agreed(self, device: str, item: Item, part: Document, before: Row | None, now: int) -> Row:
        """What left out stays, or takes its default."""
        intercom = self.devices[device].kind == "intercom"
        row = Row(part["batchId"], part["revision"], invited_by=part.get("invitedBy"), changed_at=now)
        row.name = item.name
        row.terms = Terms() if intercom or item.terms is None else item.terms
        row.accepted = item.accepted or bool(before and before.accepted)
        row.notes = (before.notes if before else None) if item.notes is None else item.notes or None
        row.wifi = (before.wifi if before else True) if item.wifi is None else item.wifi
        if intercom:
            row.units = (before.units if before else None) if item.units is None else item.units or None
        bounds = [row.terms.ends] + ([] if row.accepted else [part.get("inviteExpiresAt")])
        due = min((bound for bound in bounds if bound is not None), default=None)
        if due is not None and due <= now:
            row.status = "Expired"
        else:
            row.status, row.until = "Active" if row.accepted else "Pending", due
        return row

    def _places(self, device: str, part: Document) -> int:
        """Users that count to the limit; for a replace only those who will stay: it, or something newer, names them."""
        return sum(
            row.status in LISTED and (part["mode"] == "merge" or row.revision >= part["revision"])
            for row in self.lists[device].values()
        )

    def _revoke(self, device: str, mobile: str, _: Item, part: Document, now: int) -> Document:
        row = self.lists[device].get(mobile)
        if refused := self._judge(device, mobile, part):
            return refused
        listed = row is not None and row.status is not None
        if row and not listed and row.batch == part["batchId"]:
            return {"outcome": "rejected", "error": "duplicate_in_batch", "first": None}
        self.lists[device][mobile] = Row(part["batchId"], part["revision"], changed_at=now)
        return {"outcome": "revoked" if listed else "absent"}

    # --- the end of a batch

    def _complete(self, name: str, now: int) -> None:
        batch = self.batches[name]
        absent = self._absentees(batch)
        removals = sum(len(mobiles) for mobiles in absent.values())
        if batch.header["mode"] == "merge":
            batch.stage = "complete"
            self._batch_receipt("complete", name, now)
        elif (batch.unnamed and removals) or any(self._suspicious(batch, *each) for each in absent.items()):
            batch.stage = "held"
            self._batch_receipt("held", name, now, removals=removals)
        else:
            self._remove(name, absent, now)

    def _suspicious(self, batch: Batch, device: str, mobiles: list[str]) -> bool:
        listed = sum(row.status is not None for row in self.lists[device].values()) - batch.net[device]
        return self.share < 1 and len(mobiles) > self.users and len(mobiles) > self.share * listed

    def _open_devices(self, batch: Batch) -> list[str]:
        revision = batch.header["revision"]
        return [device for device in batch.header["deviceIds"] if self.replaced.get(device, revision) < revision]

    def _absentees(self, batch: Batch) -> dict[str, list[str]]:
        """By device, whom a whole replace did not name."""
        return {
            device: [
                mobile
                for mobile, row in self.lists[device].items()
                if row.status is not None
                and row.revision < batch.header["revision"]
                and row.terms.permission != "Owner"
                and (device, mobile) not in batch.spared
            ]
            for device in self._open_devices(batch)
        }

    def _remove(self, name: str, absent: dict[str, list[str]], now: int) -> None:
        batch = self.batches[name]
        for device, mobiles in absent.items():
            for mobile in mobiles:
                self.lists[device][mobile] = Row(name, batch.header["revision"], changed_at=now)
            self.replaced[device] = batch.header["revision"]
        self.says.changes([change(d, mobile, None, "not_in_list") for d in absent for mobile in absent[d]], now)
        batch.stage = "complete"
        self._batch_receipt("complete", name, now, removals=sum(len(mobiles) for mobiles in absent.values()))

    def _batch_receipt(
        self, outcome: str, name: str, now: int, missing: list[int] | None = None, removals: int | None = None
    ) -> None:
        batch = self.batches[name]
        counts = sum(batch.counts.values(), Counter[str]())
        more = {} if removals is None else {"removals": removals}
        self.says.receipt(outcome, batch.header | {"batchId": name}, counts, now, missingParts=missing or [], **more)

    def _unusable(self, part: Any) -> str | None:
        if not isinstance(part, dict):
            return "schema"
        if part.get("gatewayId", self.gateway_id) != self.gateway_id:
            return "wrong_gateway"
        if any(part.get(name) is None for name in ("batchId", "gatewayId", "revision", "deviceIds")):
            return "schema"
        if part.get("part", 1) > part.get("parts", 1):
            return "schema"
        says_nothing = part.get("invitees") is None and part.get("revocations") is None
        return "schema" if says_nothing and part.get("mode") != "replace" else None


def _header(part: Document) -> Document:
    return {name: sorted(part[name]) if name == "deviceIds" else part[name] for name in HEADER}


def _said(part: Document) -> Document:
    """The content of a part: equal content is the same part, `issuedAt` and `expiresAt` aside."""
    return {name: None if part.get(name) == [] else part.get(name) for name in SAID}


def _result(item: Item, device: str) -> Document:
    return {"item": item.number, "deviceId": device, "mobile": item.mobile, "status": None}


def _rejected(item: Item, device: str, code: str) -> Document:
    return _result(item, device) | {"outcome": "rejected", "error": code}
