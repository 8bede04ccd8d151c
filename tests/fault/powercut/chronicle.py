"""What a whole recording tells of the list: how it must look after each report, told by the naive gateway.

The reports say in which order the parts were taken, and when; what becomes of each part, the oracle knows by itself.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Document
from tests.counterparts.premises import SIDE
from tests.fault.powercut.remains import Remains, User
from tests.fault.powercut.wire import Heard, Published, Word, said_in
from tests.oracle.model import DeviceRule, Gateway
from tests.oracle.rows import Row
from tests.oracle.store import told

DEVICES: Final = {
    GATE: DeviceRule("fluss+", 20_000),
    SIDE: DeviceRule("fluss+", 20_000),
    PANEL: DeviceRule("intercom", 20_000),
}


@dataclass(frozen=True, slots=True)
class Chapter:
    """Everything up to the end of one step: a part, a change, a command. No state lies between two of them."""

    users: Mapping[tuple[str, str], User]
    parts: frozenset[tuple[str, int]]


class Chronicle:
    """The chapters by the number of their last report, and everything that was ever said under a number."""

    def __init__(self, heard: Sequence[Word], before: Remains, earlier: Sequence[str]) -> None:
        """``before`` is the store that the recording began with, made of the parts ``earlier``."""
        self.reports = dict(before.reports)
        self.events: dict[int, Document] = {number: dict(event.said) for number, event in before.events.items()}
        self.epoch = before.epoch
        for word in heard:
            if isinstance(word, Published) and word.leaf in {"receipts", "statuses", "events"}:
                self._hear(word)
        invites = [word.payload for word in heard if isinstance(word, Heard) and word.leaf == "invites"]
        self._payloads = _by_name([*(each.encode() for each in earlier), *invites])
        self._oracle = Gateway(GATEWAY, DEVICES, 0.5, 20)
        self.chapters = {0: self._chapter()}
        self._tell()

    def _hear(self, word: Published) -> None:
        says = word.says
        self.epoch = self.epoch or says["epoch"]
        assert says["epoch"] == self.epoch, f"two epochs in one recording: {self.epoch} and {says['epoch']}"
        if word.leaf == "events":
            self.events[says["eventId"]] = says
        else:
            assert self.reports.setdefault(says["reportId"], word.payload) == word.payload, "a report came in two forms"

    def _tell(self) -> None:
        """Have the oracle live through it, report by report, and say the same."""
        said = self._oracle.says.reports
        documents = [json.loads(payload) for _, payload in sorted(self.reports.items())]
        numbers = [each["reportId"] for each in documents]
        assert numbers == list(range(1, len(documents) + 1)), f"reports were never sent: {numbers}"
        while len(said) < len(documents):
            before, report = len(said), documents[len(said)]
            self._live(report)
            assert len(said) > before, f"nothing leads to this report: {str(report)[:300]}"
            self.chapters[len(said)] = self._chapter()
        assert told(documents) == told(said), "the gateway said something else than the oracle"

    def _live(self, report: Document) -> None:
        """Whatever led to this report."""
        at = report["at"]
        if "results" in report:
            for result in report["results"]:
                match result["reason"]:
                    case "accepted":
                        self._oracle.accept(result["deviceId"], result["mobile"], at)
                    case "not_in_list":
                        self._oracle.confirm(next(iter(self._oracle.held()), ""), at)
                    case _:
                        self._oracle.expire(at)
        else:
            name = report.get("payloadSha256") or (report["batchId"], report["part"])
            self._oracle.receive(said_in(self._payloads[name]), at)

    def _chapter(self) -> Chapter:
        return Chapter(
            users={
                (device, mobile): _user(row)
                for device, users in self._oracle.lists.items()
                for mobile, row in users.items()
            },
            parts=frozenset((name, part) for name, batch in self._oracle.batches.items() for part in batch.parts),
        )


def _by_name(payloads: Sequence[bytes]) -> dict[str | tuple[str, int], bytes]:
    """By what a receipt may call them: their hash, or batch and part, where the first to come was the one applied."""
    found: dict[str | tuple[str, int], bytes] = {}
    for payload in payloads:
        found.setdefault(sha256(payload).hexdigest(), payload)
        if (name := part_in(payload)) is not None:
            found.setdefault(name, payload)
    return found


def part_in(payload: bytes) -> tuple[str, int] | None:
    """Batch and part of an invite; None where nobody can read it."""
    try:
        said = json.loads(said_in(payload))
        return said["batchId"], said.get("part", 1)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _user(row: Row) -> User:
    terms = row.terms
    return (
        *(row.batch, row.revision, row.status, row.accepted, terms.permission, terms.starts, terms.ends),
        *(row.name, row.notes, row.units and tuple(row.units), row.wifi, row.invited_by if row.status else None),
    )
