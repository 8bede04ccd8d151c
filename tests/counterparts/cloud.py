"""A small cloud: it sends parts, and writes down every word of the gateway."""

import asyncio
import json
import secrets
import ssl
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, Self

import aiomqtt

from tests.counterparts.ports import LOOPBACK
from tests.counterparts.waiting import TimedOutError, until

GATEWAY = "gw-1"
GATE = "1234567890123456"
PANEL = "482913"
HEARD = ("receipts", "statuses", "events", "replies", "state")

Document = dict[str, Any]
Signs = Callable[[bytes], bytes]


def mobile(number: int) -> str:
    """The ``number``-th of ten million valid South African mobiles, in E.164."""
    return f"+2782{number:07}"


def people(numbers: Iterable[int], **fields: object) -> list[Document]:
    """One invitee for each number."""
    return [{"userName": f"Resident {number}", "mobile": mobile(number), **fields} for number in numbers]


def part(batch_id: str, revision: int, invitees: Sequence[object] = (), **fields: object) -> Document:
    """One part of a batch; by itself the whole of it, for the gate, with access at any time."""
    return {
        "batchId": batch_id,
        "gatewayId": GATEWAY,
        "revision": revision,
        "deviceIds": [GATE],
        "permission": "Always",
        "invitees": list(invitees),
        **fields,
    }


@dataclass(frozen=True, slots=True)
class Message:
    """What came: the last level of its topic, its bytes, and what they say."""

    leaf: str
    payload: bytes
    says: Document
    retained: bool


class Cloud:
    """Listens to one gateway for as long as it is entered, in one session over as many connections as that takes.

    It keeps reports as the contract wants it: the first of each (epoch, reportId). One that came again with other words
    fails the test at the end, whichever it is.
    """

    def __init__(
        self, port: int, *, host: str = LOOPBACK, tls: ssl.SSLContext | None = None, prefix: str = "fluss/v1"
    ) -> None:
        self.heard: list[Message] = []
        """Everything, in the order it came, repeats as well."""
        self.reports: dict[tuple[str, int], Message] = {}
        self.contradicted: list[tuple[Message, Message]] = []
        self.state: Document = {}
        """The latest state document; empty before the first."""
        self._receipts: dict[tuple[str | None, int | None], list[Document]] = defaultdict(list)
        self._results: dict[str | None, dict[int | None, list[Document]]] = defaultdict(lambda: defaultdict(list))
        self.signs: Signs = lambda payload: payload
        """Makes signed messages of those it is told to publish, but for what is bytes already."""
        self.port = port
        self._host = host
        self._tls = tls
        self._name = f"cloud-{secrets.token_hex(8)}"
        self._base = f"{prefix}/{GATEWAY}"
        self._client: aiomqtt.Client | None = None
        self._connected = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._commands = count(1)

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        async with asyncio.timeout(10):
            await self._connected.wait()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        assert self._listening is not None
        self._listening.cancel()
        await asyncio.wait([self._listening])
        if kind is None:
            assert not self.contradicted, f"a report came again with other words: {self.contradicted[0]}"

    # What it says

    async def send(self, *parts: Mapping[str, object] | bytes, retain: bool = False, within_s: float = 10) -> None:
        """Publish parts in this order; return once the broker has acknowledged them. Raises aiomqtt.MqttError."""
        for each in parts:
            await self.publish("invites", each, retain=retain, within_s=within_s)

    async def publish(
        self, leaf: str, said: Mapping[str, object] | bytes, *, retain: bool = False, within_s: float = 10
    ) -> None:
        """Publish anything to one of the gateway's topics. Raises aiomqtt.MqttError."""
        payload = said if isinstance(said, bytes) else self.signs(json.dumps(said).encode())
        async with asyncio.timeout(within_s):
            await self._connected.wait()
        assert self._client is not None
        await self._client.publish(f"{self._base}/{leaf}", payload, qos=1, retain=retain, timeout=within_s)

    async def ask(self, command: str, **fields: object) -> Document:
        """Give a command, and return the gateway's reply."""
        command_id = f"command-{next(self._commands)}"
        asked = {"commandId": command_id, "gatewayId": GATEWAY, "command": command, **fields}
        await self.publish("commands", asked)
        return await self.reply(command_id)

    async def reply(self, command_id: str | None) -> Document:
        """The reply to a command, once it has come."""
        replies = await until(
            lambda: [reply for reply in self.said("replies") if reply["commandId"] == command_id],
            what=f"a reply to {command_id}",
        )
        return replies[0]

    async def reconcile(self, *parts: Mapping[str, object], within_s: float = 30) -> int:
        """Do what a cloud does that trusts no broker, until every part has all its results and no report is missing.

        Whenever it has heard nothing for a second, it sends again what was not receipted, and asks again for reports
        that are missing. Returns how often it did.
        """
        again = 0
        async with asyncio.timeout(within_s):
            while self.missing() or not all(self.settled(each) for each in parts):
                await self._silence(1)
                with suppress(aiomqtt.MqttError):
                    for each in parts:
                        if not self._receipted(each):
                            again += 1
                            await self.send(each)
                    for epoch, first, last in _ranges(self.missing()):
                        again += 1
                        command = {"commandId": f"command-{next(self._commands)}", "gatewayId": GATEWAY}
                        wanted = {"command": "report", "epoch": epoch, "fromReport": first, "throughReport": last}
                        await self.publish("commands", {**command, **wanted})
        return again

    async def _silence(self, for_s: float) -> None:
        heard = -1
        while heard != len(self.heard):
            heard = len(self.heard)
            await asyncio.sleep(for_s)

    # What it has heard

    def said(self, leaf: str) -> list[Document]:
        """The messages on one topic; of reports, each one once, in the order of their numbers."""
        if leaf in ("receipts", "statuses"):
            return [said.says for _, said in sorted(self.reports.items()) if said.leaf == leaf]
        return [message.says for message in self.heard if message.leaf == leaf]

    def receipts(self, batch_id: str | None, number: int | None = None) -> list[Document]:
        """What became of a part of a batch, or, without a number, of the batch as a whole."""
        return sorted(self._receipts[batch_id, number], key=_by_number)

    def outcomes(self, batch_id: str | None, number: int | None = None) -> list[str]:
        """The same, in a word each."""
        return [each["outcome"] for each in self.receipts(batch_id, number)]

    def results(self, batch_id: str | None, number: int | None = None) -> list[Document]:
        """The results of a batch, or of one of its parts, in the order of its items; None: later changes."""
        found = self._results[batch_id]
        if number is not None:
            return sorted(found[number], key=_by_item)
        in_order = sorted(found, key=lambda each: each or 0)
        return [result for each in in_order for result in sorted(found[each], key=_by_item)]

    def missing(self) -> list[tuple[str, int]]:
        """The reports that others show to exist, up to the newest one named in ``state``."""
        newest: dict[str, int] = defaultdict(int)
        for epoch, number in self.reports:
            newest[epoch] = max(newest[epoch], number)
        if self.state:
            newest[self.state["epoch"]] = max(newest[self.state["epoch"]], self.state["reports"]["newest"])
        return [
            (epoch, number)
            for epoch, last in newest.items()
            for number in range(1, last + 1)
            if (epoch, number) not in self.reports
        ]

    def settled(self, sent: Mapping[str, Any]) -> bool:
        """Whether a part has its receipt and a result for every device and item."""
        items = len(sent.get("invitees", ())) + len(sent.get("revocations", ()))
        results = self._results[sent["batchId"]][sent.get("part", 1)]
        return self._receipted(sent) and len(results) >= items * len(sent["deviceIds"])

    def _receipted(self, sent: Mapping[str, Any]) -> bool:
        return bool(self._receipts[sent["batchId"], sent.get("part", 1)])

    # Waiting for it

    async def outcome(
        self, batch_id: str | None, *wanted: str, number: int | None = None, within_s: float = 15
    ) -> Document:
        """The receipt that brings the outcomes of a part, or of a batch, to those ``wanted``, in this order."""
        await until(
            lambda: self.outcomes(batch_id, number) == list(wanted),
            within_s=within_s,
            what=f"{batch_id} part {number} {wanted}, not {self.outcomes(batch_id, number)}",
        )
        return self.receipts(batch_id, number)[-1]

    async def settles(self, *parts: Mapping[str, Any], within_s: float = 30) -> None:
        """Wait until every part has its receipt and all its results, without asking for anything."""
        waiting = list(parts)

        def none_left() -> bool:
            waiting[:] = [each for each in waiting if not self.settled(each)]
            return not waiting

        try:
            await until(none_left, within_s=within_s, every_s=0.05)
        except TimedOutError:
            names = [(each["batchId"], each.get("part", 1)) for each in waiting]
            raise AssertionError(f"not settled within {within_s:g} s: {names}") from None

    async def sees(self, within_s: float = 15, **wanted: object) -> Document:
        """Wait for a state document with these fields."""
        await until(
            lambda: all(self.state.get(field) == value for field, value in wanted.items()),
            within_s=within_s,
            what=f"a state with {wanted}",
        )
        return self.state

    async def _listen(self) -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(
                    self._host, self.port, identifier=self._name, clean_session=False, tls_context=self._tls
                ) as client:
                    await client.subscribe([(f"{self._base}/{leaf}", 1) for leaf in HEARD])
                    self._client = client
                    self._connected.set()
                    async for message in client.messages:
                        self._hear(message)
            self._connected.clear()
            await asyncio.sleep(0.1)

    def _hear(self, message: aiomqtt.Message) -> None:
        payload = message.payload
        assert isinstance(payload, bytes)
        heard = Message(str(message.topic).rpartition("/")[2], payload, json.loads(payload), message.retain)
        self.heard.append(heard)
        if heard.leaf == "state":
            self.state = heard.says
        if heard.leaf not in ("receipts", "statuses"):
            return
        first = self.reports.setdefault((heard.says["epoch"], heard.says["reportId"]), heard)
        if (first.leaf, first.payload) != (heard.leaf, heard.payload) and not _is_erased_since(first, heard):
            self.contradicted.append((first, heard))
        elif first is heard and heard.leaf == "receipts":
            self._receipts[heard.says["batchId"], heard.says["part"]].append(heard.says)
        elif first is heard:
            self._results[heard.says["batchId"]][heard.says["part"]] += heard.says["results"]


def erased(result: Document) -> Document:
    """A result as it is told once its person is erased."""
    words = {"message": "what was written here is erased"}
    error = {"error": result["error"] | words} if "error" in result else {}
    warnings = {"warnings": [each | words for each in result["warnings"]]} if "warnings" in result else {}
    return {**result, **error, **warnings, "mobile": None, "erased": True}


def _is_erased_since(first: Message, heard: Message) -> bool:
    """Whether a report differs from its first version by people who were erased, and by nothing else."""
    if first.leaf != "statuses" or heard.leaf != "statuses":
        return False
    again = [
        erased(old) if new.get("erased") else old
        for old, new in zip(first.says["results"], heard.says["results"], strict=True)
    ]
    return {**first.says, "results": again} == heard.says


def _by_number(receipt: Document) -> tuple[str, int]:
    return receipt["epoch"], receipt["reportId"]


def _by_item(result: Document) -> tuple[int, str]:
    return -1 if result["item"] is None else result["item"], result["deviceId"]


def _ranges(reports: Iterable[tuple[str, int]]) -> list[tuple[str, int, int]]:
    """Epoch, first and last of the reports that follow each other."""
    ranges: list[tuple[str, int, int]] = []
    for epoch, number in reports:
        if ranges and ranges[-1][0::2] == (epoch, number - 1):
            ranges[-1] = (epoch, ranges[-1][1], number)
        else:
            ranges.append((epoch, number, number))
    return ranges
