"""The books: what has become durable, followed commit by commit beside a model of the list that knows no storage.

The gateway's reports are the order in which it says things happened. The model does the same things in that order, and
must say the same of them: every receipt, every status, every later change.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from protocol.reports import receipt_payload, statuses_payload, unpacked
from protocol.vocabulary import ClockState
from storage import events, outbox
from storage.database import Reader
from storage.store import device_states
from tests.oracle.items import Document
from tests.oracle.model import DeviceRule, Gateway
from tests.oracle.store import Store, expected, told
from tests.simulation.keeping import Anomaly, Keeping
from tests.simulation.pen import UNBELIEVED

if TYPE_CHECKING:
    from storage.events import Recorded

GATEWAY = "gw-1"
DAY_MS = 86_400_000
TOMBSTONES_MS = 90 * DAY_MS
"""By the date it carries, whoever was revoked is forgotten after so long, but for a hash."""


Fact = tuple[str, Any]


class Books:
    """``published`` finds what a message says, by (batchId, part) or by its hash; ``named`` is the reverse.

    ``forged`` knows, by its hash, what nobody has sent who is believed. ``truth`` is the true moment, ``keep_days`` how
    long the configuration keeps reports and events.
    """

    def __init__(
        self,
        devices: Mapping[str, DeviceRule],
        *,
        share: float,
        silence_s: int,
        keep_days: int,
        published: Callable[[tuple[str, int] | str], bytes],
        named: Callable[[bytes], tuple[str, int] | None],
        forged: Callable[[str], bool],
        truth: Callable[[], int],
    ) -> None:
        self.model = Gateway(GATEWAY, dict(devices), share, 20)
        self.epoch: str | None = None
        self.newest = 0
        self.reports: dict[int, bytes] = {}
        """All that were ever stored, as the wire has them."""
        self.payloads: set[bytes] = set()
        self.applied: set[tuple[str, int]] = set()
        self.refused: set[str] = set()
        """Hashes of the messages that were refused."""
        self.replied: dict[str | None, list[Document]] = {}
        self.events: dict[int, Recorded] = {}
        self.owed_again: set[int] = set()
        """Reports that a part which came again has asked for, and that were not said again yet."""
        self.lost = 0
        """Events that the gateway owns up to have lost."""
        self._silence_ms = silence_s * 1000
        self._published = published
        self._named = named
        self._forged = forged
        self._truth = truth
        self.keeping = Keeping(truth, keep_days * DAY_MS)
        self._said_of: dict[tuple[str, int], list[int]] = {}
        self._graves = 0
        self._buried: set[tuple[str, str]] = set()
        self._last_reply = 0
        self._reader: Reader | None = None
        self._path: Path | None = None

    def open(self, path: Path) -> None:
        """Read on in this file."""
        self.close()
        self._path = path
        self._reader = Reader(path)

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def look(self) -> None:
        """Something has been committed: take it in, and hold it against the model. Raises Anomaly."""
        reader = self._reader
        assert reader is not None, "nothing commits without a file"
        if not reader.fetch("SELECT 1 FROM sqlite_master WHERE name = 'codes'"):
            return  # the schema is still being made
        rows = reader.fetch("SELECT epoch FROM store")
        if not rows:
            return
        if self.epoch not in {None, rows[0][0]}:
            raise Anomaly(f"the epoch {self.epoch} became {rows[0][0]}")
        self.epoch = rows[0][0]
        self._take_reports(reader)
        self._take_graves(reader)
        self._take_events(reader)
        self._take_replies(reader)
        self.keeping.check(reader)

    def accounts_for(self, payload: bytes) -> bool:
        """Whether a message on `invites` has its end in the store."""
        return self._named(payload) in self.applied or sha256(payload).hexdigest() in self.refused

    def said(self, leaf: str, payload: bytes) -> None:
        """The gateway publishes something. Raises Anomaly."""
        if leaf in {"receipts", "statuses"}:
            if payload not in self.payloads:
                raise Anomaly(f"said and not stored: {payload[:200]!r}")
            self.owed_again.discard(json.loads(payload)["reportId"])

    def taken(self, leaf: str, payload: bytes) -> None:
        """The gateway hears that the broker has something."""
        if leaf in {"receipts", "statuses"}:
            self.keeping.taken("reports", json.loads(payload)["reportId"])
        elif leaf == "events":
            self.keeping.taken("events", json.loads(payload)["eventId"])

    def check_list(self) -> None:
        """The list is the model's, row by row, and adds up. Raises Anomaly."""
        assert self._reader is not None
        assert self._path is not None
        store = Store(self._path, self.model.devices)
        try:
            found, wanted = store.users(), expected(self.model)["users"]
            unsound = [name for name in store.unsound() if name != "report numbers"]
            states = device_states(store.reader)
        finally:
            store.reader.close()
        for key in [key for key in wanted if key not in found and self.is_buried(*key)]:
            del wanted[key]
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                raise Anomaly(f"user {key} is {found.get(key)}, and should be {wanted.get(key)}")
        if unsound:
            raise Anomaly(f"the store is unsound: {unsound}")
        for device_id in self.model.devices:
            if f"{states[device_id].digest:016x}" != self.model.digest(device_id):
                raise Anomaly(f"the digest of {device_id} is wrong")

    # What was said, and whether the model says so too

    def _take_reports(self, reader: Reader) -> None:
        fresh = outbox.reports(reader, self.newest + 1, 1 << 40, 1 << 20)
        facts: list[Fact] = []
        for report in fresh:
            if report.number != self.newest + 1:
                raise Anomaly(f"report {report.number} follows {self.newest}")
            self.newest = report.number
            # It goes by the date it carries, also where a board gave it that had never known the time.
            self.keeping.stored("reports", report.number, report.at)
            assert self.epoch is not None
            payload = (
                receipt_payload(GATEWAY, self.epoch, report.number, report.at, report.body)
                if report.kind == "receipt"
                else statuses_payload(
                    GATEWAY, self.epoch, report.number, report.at, report.batch, unpacked(report.body)
                )
            )
            self.reports[report.number] = payload
            self.payloads.add(payload)
            said = json.loads(payload)
            if report.kind == "statuses" and said["batchId"] is not None:
                self._said_of.setdefault((said["batchId"], said["part"]), []).append(report.number)
            facts += _facts(self._revealed(said))
        if facts:
            self._compare(facts)

    def _revealed(self, report: Document) -> Document:
        """The report with the numbers of people who were forgotten for good, as their part has them."""
        hidden = [result for result in report.get("results", ()) if result.get("erased")]
        if hidden:
            said = json.loads(self._published((report["batchId"], report["part"])))
            items = [*said["invitees"], *said["revocations"]]
            for result in hidden:
                result["mobile"] = items[result["item"]]["mobile"]
                if not self.is_buried(result["deviceId"], result["mobile"]):
                    raise Anomaly(f"{result} was not to be forgotten")
                del result["erased"]
        return report

    def is_buried(self, device_id: str, mobile: str) -> bool:
        """Whether somebody was revoked so long ago, by the date their row carried, that nobody can read it any more.

        So it stays where they are revoked once more.
        """
        row = self.model.lists[device_id].get(mobile)
        return row is not None and row.status is None and (device_id, mobile) in self._buried

    def _take_graves(self, reader: Reader) -> None:
        """Follow whom the gateway forgets for good."""
        ((count,),) = reader.fetch("SELECT count(*) FROM forgotten")
        if count != self._graves:
            self._graves = count
            for device_id, users in self.model.lists.items():
                for mobile, row in users.items():
                    if row.status is None and row.changed_at <= self._truth() - TOMBSTONES_MS:
                        self._buried.add((device_id, mobile))

    def _compare(self, facts: list[Fact]) -> None:
        said = self.model.says
        said.reports.clear()
        pending: list[Fact] = []
        for place, fact in enumerate(facts):
            kind, told_of = fact
            if kind == "receipt" and told_of.get("repeated"):
                if told_of["payloadSha256"] not in self.refused:
                    raise Anomaly(f"{told_of} tells of repetitions of what was never refused")
                continue
            if kind == "receipt" and told_of["error"] in UNBELIEVED:
                if pending or not self._forged(told_of["payloadSha256"]):
                    raise Anomaly(f"the gateway said {fact}, and should have believed it")
                self._note(told_of)
                continue
            if not _took(pending, fact):
                if pending:
                    raise Anomaly(f"the gateway said {fact}, and should have said {pending[0]}")
                self._drive(facts, place)
                pending = [each for report in said.reports for each in _facts(report)]
                said.reports.clear()
                if not _took(pending, fact):
                    raise Anomaly(f"the gateway said {fact}, and should have said {pending[:1]}")
            if kind == "receipt":
                self._note(told_of)
        if pending:
            raise Anomaly(f"the gateway did not say {pending[0]}")

    def _drive(self, facts: list[Fact], place: int) -> None:
        """Have the model do what the gateway says has been done."""
        kind, said = facts[place]
        at = said["at"]
        if kind == "receipt":
            if said["outcome"] == "incomplete":
                self.model.remind(at - self._silence_ms, at)
            elif said["outcome"] == "complete":
                self.model.confirm(said["batchId"], at)
            else:
                self._receive(said, at)
        elif kind == "statuses":
            raise Anomaly(f"{said} are results of a part that was not receipted")
        elif said["reason"] == "accepted":
            self.model.accept(said["deviceId"], said["mobile"], at)
        elif said["reason"] == "not_in_list":
            ends = [each for what, each in facts[place:] if what == "receipt" and each["part"] is None]
            if not ends:
                raise Anomaly(f"{said} was removed by no batch")
            self.model.confirm(ends[0]["batchId"], at)
        else:
            # What is due is due whatever comes next: the part whose receipt follows, or time alone.
            self.model.expire(at)

    def _receive(self, receipt: Document, at: int) -> None:
        refused = receipt["outcome"] == "rejected"
        name = receipt["payloadSha256"] if refused else (receipt["batchId"], receipt["part"])
        self.model.receive(self._published(name), at)
        if refused:  # of a signed message the model has seen no more than what it says
            self.model.says.reports[-1]["payloadSha256"] = receipt["payloadSha256"]

    def _note(self, receipt: Document) -> None:
        if receipt["outcome"] == "rejected":
            self.refused.add(receipt["payloadSha256"])
        elif receipt["part"] is not None:
            if receipt["outcome"] == "replayed":
                again = self._said_of.get((receipt["batchId"], receipt["part"]), ())
                self.owed_again.update(again)
            if receipt["outcome"] == "applied" and (receipt["batchId"], receipt["part"]) in self.applied:
                raise Anomaly(f"part {receipt['batchId']}/{receipt['part']} was applied twice")
            self.applied.add((receipt["batchId"], receipt["part"]))

    # The access log and the replies

    def _take_events(self, reader: Reader) -> None:
        newest = max(self.events, default=0)
        for recorded in events.events(reader, newest + 1, 1 << 40, 1 << 20):
            newest += 1
            if recorded.number != newest:
                raise Anomaly(f"event {recorded.number} follows {newest - 1}")
            self.events[newest] = recorded
            sure = recorded.event.clock is not ClockState.UNKNOWN
            self.keeping.stored("events", newest, recorded.event.at if sure else None)
        self.lost = events.span(reader).lost

    def _take_replies(self, reader: Reader) -> None:
        for number, body in reader.fetch("SELECT reply, body FROM replies WHERE reply > ?", (self._last_reply,)):
            self._last_reply = number
            reply = json.loads(body)
            self.replied.setdefault(reply["commandId"], []).append(reply | {"storedAt": self._truth()})


def _facts(report: Document) -> list[Fact]:
    """What a report says, one thing at a time, without its number and its words."""
    (plain,) = told([report])
    if isinstance(plain, set):
        found: list[Fact] = [("change", dict(result, at=report["at"])) for result in report["results"]]
        return found
    return [("receipt" if "outcome" in plain else "statuses", plain)]


def _took(pending: list[Fact], fact: Fact) -> bool:
    """Whether a fact is the next one to come, or of those changes that come in any order; then it is taken away."""
    for place, each in enumerate(pending):
        if each == fact:
            del pending[place]
            return True
        if each[0] != "change" or fact[0] != "change":
            return False
    return False
