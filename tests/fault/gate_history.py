"""Whether what the gates did, and all that was written and said of it, are one history.

Nobody's request and no command moves a gate twice; every movement has one event, and every request and command too; the
cloud hears the log as it was written, without a gap; and a command has one answer that fits its event.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.counterparts.board import Board
from tests.counterparts.cloud import GATE, GATEWAY, Document
from tests.counterparts.premises import LATER, Premises
from tests.counterparts.waiting import until

RESENT = 8
"""How many of its latest requests a board says again to whoever dials: it cannot know what became of them."""

NOT_YET = "device_offline"
"""What a command that waited at the broker, or a request, may meet where the line to the gate is not up yet."""

_ROWS = "SELECT event, device_id, request, intent, reason, actuated FROM events JOIN devices USING (device)"


@dataclass(frozen=True, slots=True)
class Row:
    """An event as the gateway has it."""

    number: int
    device_id: str
    request: str
    intent: int | None
    reason: str | None
    actuated: bool | None

    @property
    def names(self) -> tuple[str, str]:
        """The ids under which a gate may have been told to move for it: the hardware's own, or one of the gateway's."""
        return self.request, f"{self.device_id}-{self.intent}"


@dataclass(slots=True)
class History:
    """What was asked of one place, and by whom."""

    place: Premises
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Device and id of every request at the hardware line, all by people who may open."""
    commands: list[str] = field(default_factory=list)
    _number: "count[int]" = field(default_factory=lambda: count(1))

    def ask(self, board: Board, mobile: str | None = None, **fields: object) -> str:
        """Have somebody ask at a board, who asks again whenever the line comes back."""
        asked = board.request(mobile, **fields)  # type: ignore[arg-type]  # the test names fields
        board.again = [*board.again, asked][-RESENT:]
        board.say(asked)
        self.requests.append((board.device_id, asked["requestId"]))
        return str(asked["requestId"])

    async def order(self, mobile: str, *, device_id: str = GATE) -> str:
        """Have the cloud send a command, with its id as its note."""
        name = f"order-{next(self._number)}"
        said: Document = {"commandId": name, "gatewayId": GATEWAY, "command": "trigger", "deviceId": device_id}
        self.commands.append(name)
        await self.place.cloud.publish("commands", {**said, "mobile": mobile, "expiresAt": LATER, "note": name})
        return name

    async def check(self) -> None:
        """Wait until nobody waits for anything any more; then there must be no anomaly."""
        place, wanted = self.place, {name for _, name in self.requests}.union(self.commands)

        def quiet() -> bool:
            told = {event["note"] for event in place.happened()}
            replied = {reply["commandId"] for reply in place.cloud.said("replies")}
            return wanted <= told and replied.issuperset(self.commands)

        await until(quiet, within_s=20, every_s=0.05, what="an event for each request, and a reply to each command")
        await until(lambda: place.cloud.state["events"]["newest"] == len(place.happened()), within_s=20)
        await place.cloud.sees(outbox=0, eventsLost=0)
        told = {board.device_id: board.told() for board in place.boards.values()}
        replies, rows = place.cloud.said("replies"), kept(place.agent.store)
        found = anomalies(self.requests, self.commands, told, rows, place.happened(), replies)
        assert not found, "\n".join(found)


def kept(store: Path) -> list[Row]:
    """The access log in a store."""
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as database:
        found = [
            Row(number, device_id, request, intent, reason, actuated=None if moved is None else moved == 1)
            for number, device_id, request, intent, reason, moved in database.execute(_ROWS)
        ]
    return sorted(found, key=lambda row: row.number)


def anomalies(
    requests: Sequence[tuple[str, str]],
    commands: Sequence[str],
    told: Mapping[str, Sequence[str]],
    rows: Sequence[Row],
    events: Sequence[Document],
    replies: Sequence[Document],
) -> list[str]:
    """What does not fit, in words; empty where all is well.

    ``told`` are the ids of all `actuate` messages that each board heard, ``events`` are those that the cloud heard.
    """
    return [
        *_movements(told, rows),
        *_accounts(requests, commands, rows),
        *_wire(rows, events),
        *_answers(commands, rows, replies),
    ]


def _movements(told: Mapping[str, Sequence[str]], rows: Sequence[Row]) -> Iterator[str]:
    for device_id, names in told.items():
        yield from (f"{device_id} was told {name} {times} times" for name, times in Counter(names).items() if times > 1)
    moved = {name for names in told.values() for name in names}
    for name in sorted(moved):
        openings = [row.number for row in rows if row.reason is None and name in row.names]
        if len(openings) != 1:
            yield f"movement {name} has the openings {openings}"
    for row in rows:
        if row.actuated is not None and not moved.intersection(row.names):
            yield f"event {row.number} says that {row.request} moved a gate, and none was told"


def _accounts(requests: Sequence[tuple[str, str]], commands: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """Everything that was asked has its event, and at most one is an opening; of a command there is no second one."""
    found: dict[str, list[str | None]] = defaultdict(list)
    for row in rows:
        found[row.request].append(row.reason)
    for name in {name for _, name in requests}.union(commands, found):
        reasons = found[name]
        if not reasons or reasons.count(None) > 1 or (name in commands and len(reasons) > 1):
            yield f"{name} has {len(reasons)} events, {reasons.count(None)} of them openings"
        if strange := set(reasons) - {None, NOT_YET}:
            yield f"{name} was denied: {strange}"
    yield from (f"nobody asked for {name}" for name in found.keys() - {name for _, name in requests} - set(commands))
    intents = Counter(row.intent for row in rows if row.intent is not None)
    yield from (f"intent {intent} has {times} events" for intent, times in intents.items() if times > 1)


def _wire(rows: Sequence[Row], events: Sequence[Document]) -> Iterator[str]:
    if [row.number for row in rows] != list(range(1, len(rows) + 1)):
        yield f"the log has gaps: {[row.number for row in rows]}"
    stored = [(row.number, row.device_id, row.request, row.reason, row.actuated) for row in rows]
    heard = [(each["eventId"], each["deviceId"], each["note"], each["reason"], each["actuated"]) for each in events]
    for one in sorted(set(stored) ^ set(heard), key=str):
        yield f"event {one} is {'in the log alone' if one in stored else 'what the cloud alone has'}"


def _answers(commands: Sequence[str], rows: Sequence[Row], replies: Sequence[Document]) -> Iterator[str]:
    """One answer, however often it came, and `repeated` to whatever came later."""
    said: dict[str, set[tuple[str, str | None]]] = defaultdict(set)
    for each in replies:
        answer = (each["outcome"], each["error"] and each["error"]["code"])
        if answer != ("refused", "repeated"):
            said[each["commandId"]].add(answer)
    ends = {row.request: _answer(row) for row in rows}
    for name in commands:
        if said[name] != {ends.get(name)}:
            yield f"command {name} was answered {said[name]}, and should be {ends.get(name)}"


def _answer(row: Row) -> tuple[str, str | None]:
    if row.reason is not None:
        return "refused", row.reason
    if row.actuated:
        return "done", None
    return "failed", "interrupted" if row.actuated is None else "not_actuated"
