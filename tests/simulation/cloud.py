"""The cloud: it has its own truth, sends until it has heard what became of it, and keeps every word."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, Final

from tests.oracle.histories import GATE, PANEL
from tests.simulation.books import GATEWAY
from tests.simulation.broker import Broker, Message
from tests.simulation.hostility import Hostility
from tests.simulation.keeping import Anomaly
from tests.simulation.office import PEOPLE, Office
from tests.simulation.pen import UNBELIEVED, Pen
from tests.simulation.timeline import Timeline
from tests.simulation.trace import Trace

Document = dict[str, Any]

_LOOK_S: Final = 4.0
_EAGER_S: Final = 3.0
_TRIES: Final = 40


@dataclass(slots=True)
class Command:
    """A command, sent until it is answered or too old."""

    said: Document
    payload: bytes
    sent_at: float
    tries: int = 0
    answers: list[Document] = field(default_factory=list)

    @property
    def command_id(self) -> str:
        return str(self.said["commandId"])

    @property
    def moves(self) -> bool:
        """Whether it is to move a gate."""
        return self.said["command"] in {"trigger", "open", "close"}


class Cloud:
    """``ordered`` hears of every command that is to move a gate, before it is sent."""

    def __init__(
        self,
        timeline: Timeline,
        hostility: Hostility,
        trace: Trace,
        rng: Random,
        *,
        broker: Broker,
        office: Office,
        pen: Pen,
        truth: Callable[[], int],
    ) -> None:
        self.ordered: Callable[[Command], None] = lambda _: None
        self.commands: dict[str, Command] = {}
        self.state: Document = {}
        self.calm = False
        self.paused = False
        """Nobody says anything new for a while, and looks less often."""
        self._timeline = timeline
        self._rng = rng
        self._hostility = hostility
        self._trace = trace
        self._broker = broker
        self._office = office
        self._pen = pen
        self._ids: dict[bytes, str | None] = {}
        self._truth = truth
        self._patience_s = rng.uniform(10, 90)
        self._eager = rng.random() < 0.5
        self._heard: dict[str, dict[int, bytes]] = {"reports": {}, "events": {}}
        self._newest = {"reports": 0, "events": 0}
        self._oldest = {"reports": 1, "events": 1}
        self._through = {"reports": 0, "events": 0}
        self._asked_at = {"reports": -1e9, "events": -1e9}
        self._asked = {"reports": (0, 0), "events": (0, 0)}
        """What was asked for first, and how often."""
        self._epoch: str | None = None
        self._acknowledged = {"reports": 0, "events": 0}
        timeline.after(0.0, self._look)
        timeline.after(rng.uniform(1, 12), self._speak)
        if hostility.orders is not None:
            timeline.after(rng.expovariate(1 / hostility.orders), self._order)

    # What it hears

    def hear(self, message: Message) -> None:
        """A message of the gateway."""
        said = json.loads(message.payload)
        self._trace.say("cloud", "heard", leaf=message.leaf, number=said.get("reportId", said.get("eventId")))
        match message.leaf:
            case "state":
                self._hear_state(said)
            case "replies":
                self._hear_reply(said)
            case "events":
                self._keep("events", said["eventId"], message.payload, said["epoch"])
            case "receipts":
                self._keep("reports", said["reportId"], message.payload, said["epoch"])
                self._hear_receipt(said)
            case "statuses":
                self._keep("reports", said["reportId"], message.payload, said["epoch"])

    def command_id(self, message: Message) -> str | None:
        """Which command a message on `commands` is; None for what is none of ours."""
        return self._ids[message.payload]

    def missing(self, kind: str) -> list[int]:
        """Numbers it knows of and has not heard, as far as they are still kept."""
        return [
            number for number in range(self._whole(kind) + 1, self._newest[kind] + 1) if number not in self._heard[kind]
        ]

    def _whole(self, kind: str) -> int:
        """Through which number everything was heard that is still kept."""
        while self._through[kind] + 1 in self._heard[kind] or self._through[kind] + 1 < self._oldest[kind]:
            self._through[kind] += 1
        return self._through[kind]

    def heard(self, kind: str) -> dict[int, bytes]:
        """All reports, or all events, by number."""
        return self._heard[kind]

    def _keep(self, kind: str, number: int, payload: bytes, epoch: str) -> None:
        if self._epoch not in {None, epoch}:
            raise Anomaly(f"a report is of epoch {epoch}, not of {self._epoch}")
        self._epoch = epoch
        if self._heard[kind].setdefault(number, payload) != payload:
            raise Anomaly(f"{kind} {number} came again with other words: {payload!r}")
        self._newest[kind] = max(self._newest[kind], number)

    def _hear_state(self, said: Document) -> None:
        self.state = said
        if self._eager and said["online"]:  # who is there may just have come back
            self._send_again(_EAGER_S)
        self._epoch = said["epoch"]
        for kind in self._newest:
            # A document may be late, and so older than what has come since.
            self._newest[kind] = max(self._newest[kind], said[kind]["newest"])
            self._oldest[kind] = max(self._oldest[kind], said[kind]["oldest"])

    def _hear_receipt(self, said: Document) -> None:
        if said["part"] is not None or said["outcome"] == "rejected":
            self._office.heard(said)
        elif said["outcome"] == "held" and self._rng.random() < 0.6:
            self._timeline.after(self._rng.uniform(1, 120), lambda: self._confirm(said["batchId"]))

    def _hear_reply(self, said: Document) -> None:
        if said["commandId"] is None and said["error"]["code"] in UNBELIEVED:
            return
        command = self.commands.get(said["commandId"])
        if command is None:
            raise Anomaly(f"a reply to what was never asked: {said}")
        command.answers.append(said)

    # What it says

    def _confirm(self, batch_id: str) -> None:
        self._say("confirm", batchId=batch_id)

    def _look(self) -> None:
        """Send again what nobody has answered; ask for what is missing; say what is kept."""
        now = self._timeline.now
        self._send_again(self._patience_s)
        for command in self.commands.values():
            waits = not command.answers and now - command.sent_at > 15 * (1 + command.tries) and command.tries < _TRIES
            if waits and (not command.moves or command.said["expiresAt"] + 20_000 > self._truth()):
                command.sent_at, command.tries = now, command.tries + 1
                self._publish("commands", command.payload)
        for kind in ("reports", "events"):
            self._ask_for_missing(kind)
            self._acknowledge(kind)
        self._timeline.after(600.0 if self.paused else _LOOK_S, self._look)

    def _send_again(self, after_s: float) -> None:
        """Send what nobody has receipted so long after it was sent last; ever more rarely."""
        now = self._timeline.now
        unsettled = list(self._office.unsettled())
        self._rng.shuffle(unsettled)
        for sent in unsettled:
            # In a long absence twice as long each time: else a slow line has a day's copies to carry in an hour.
            waits = 2.0 ** min(sent.tries, 12) if self.paused else 1 + min(sent.tries, 4)
            if now - sent.sent_at > after_s * waits:
                sent.sent_at, sent.tries = now, sent.tries + 1
                self._publish("invites", self._office.form(sent))

    def _ask_for_missing(self, kind: str) -> None:
        if not (missing := self.missing(kind)):
            return
        first, times = self._asked[kind]
        times = times if first == missing[0] else 0  # what was asked for before may still be on a slow line
        if self._timeline.now - self._asked_at[kind] > self._patience_s * 2.0 ** min(times, 3):
            self._asked_at[kind], self._asked[kind] = self._timeline.now, (missing[0], times + 1)
            last = next((number for number in range(missing[0], self._newest[kind] + 1) if number not in missing), None)
            name = "Report" if kind == "reports" else "Event"
            through = self._newest[kind] if last is None else last - 1
            self._say("report", **{f"from{name}": missing[0], f"through{name}": through, "epoch": self._epoch})

    def _acknowledge(self, kind: str) -> None:
        whole = self._newest[kind] if not self.missing(kind) else self.missing(kind)[0] - 1
        if whole > self._acknowledged[kind] + 20:
            self._acknowledged[kind] = whole
            name = "throughReport" if kind == "reports" else "throughEvent"
            self._say("acknowledge", **{name: whole, "epoch": self._epoch})

    def _speak(self) -> None:
        """A new batch, its parts in any order and at any time, or what nobody can use."""
        if self.calm:
            return
        self._timeline.after(self._rng.expovariate(1 / self._hostility.batches), self._speak)
        if self.paused:
            return
        rng = self._rng
        messages = [self._office.poison()] if rng.random() < self._hostility.poison else self._office.batch()
        rng.shuffle(messages)
        for sent in messages:
            for _ in range(1 + (rng.random() < self._hostility.doubled)):
                send = partial(self._publish, "invites", self._office.form(sent))
                self._timeline.after(rng.uniform(0, rng.choice([1, 60])), send)
            sent.sent_at = self._timeline.now + 60

    def _order(self) -> None:
        """Somebody far away presses a button."""
        if self.calm:
            return
        assert self._hostility.orders is not None
        self._timeline.after(self._rng.expovariate(1 / self._hostility.orders), self._order)
        if self.paused:
            return
        rng = self._rng
        if self._pen.key is not None and rng.random() < 0.2:
            self._forge()
        lasts_s = rng.choice([5, 30, 300, 300])
        command = self._say(
            rng.choice(["trigger", "trigger", "open", "close"]),
            deviceId=rng.choice([GATE, GATE, PANEL]),
            mobile=rng.choice(self._office.accepted[-12:] if self._office.accepted and rng.random() < 0.7 else PEOPLE),
            expiresAt=self._truth() + lasts_s * 1000,
        )
        if rng.random() < 0.25:  # a mistake of whoever wrote the cloud: it must not open a gate for ever
            self._broker.publish(Message("commands", command.payload, retained=True))
        if rng.random() < 0.6:  # somebody's finger, or a queue that delivers at least once
            send = partial(self._publish, "commands", command.payload)
            self._timeline.after(rng.uniform(0, 1.2 * lasts_s), send)

    def _forge(self) -> None:
        """Somebody who has the broker, and not the key, wants in."""
        said = {"commandId": f"x{len(self._ids)}", "gatewayId": GATEWAY, "command": "trigger", "deviceId": GATE}
        forged = json.dumps(said | {"mobile": PEOPLE[0], "expiresAt": self._truth() + 60_000}).encode()
        forged = self._pen.forge(forged)
        self._ids[forged] = None
        self._publish("commands", forged)

    def _say(self, what: str, **fields: object) -> Command:
        said: Document = {"commandId": f"c{len(self.commands) + 1}", "gatewayId": GATEWAY, "command": what, **fields}
        command = Command(said, self._pen.write(json.dumps(said).encode()), self._timeline.now)
        self._ids[command.payload] = command.command_id
        self.commands[command.command_id] = command
        if command.moves:
            self.ordered(command)
        self._trace.say("cloud", "said", what=what, command=command.command_id)
        self._publish("commands", command.payload)
        return command

    def _publish(self, leaf: str, payload: bytes) -> None:
        self._trace.say("cloud", "sent", leaf=leaf, bytes=len(payload))
        self._broker.publish(Message(leaf, payload))
