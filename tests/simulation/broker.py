"""The broker: sessions with bounds, promises it does not always keep, and crashes after which it knows less."""

from collections import deque
from copy import copy
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Final, Protocol

from tests.simulation.hostility import Hostility
from tests.simulation.timeline import Timeline
from tests.simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

TO_GATEWAY: Final = ("invites", "commands", "state")
_AGAIN_S: Final = 45.0


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What a broker passes on; `leaf` is the last level of its topic."""

    leaf: str
    payload: bytes
    retained: bool = False


@dataclass(slots=True)
class Session:
    """What a broker keeps for the gateway."""

    waiting: deque[Message] = field(default_factory=deque)
    underway: dict[int, Message] = field(default_factory=dict)
    last_id: int = 0

    def next_id(self, *, lowest: bool) -> int:
        """A packet id that is free: the lowest, or the one after the last."""
        if lowest:
            return next(number for number in count(1) if number not in self.underway)
        self.last_id = self.last_id % 65_535 + 1
        return self.last_id

    def copied(self) -> "Session":
        """As it is now."""
        return Session(copy(self.waiting), dict(self.underway), self.last_id)


class Line(Protocol):
    """The broker's end of a connection."""

    def deliver(self, packet_id: int, message: Message, *, again: bool = False) -> None:
        """Send a message down."""

    def drop(self) -> None:
        """Hang up."""


class Broker:
    """One broker, one gateway, one cloud: `tell` is how the cloud hears, `will` of the gateway's line is its last."""

    def __init__(self, timeline: Timeline, hostility: Hostility, trace: Trace, rng: Random) -> None:
        self.up = True
        self.tell: Callable[[Message], None] = lambda _: None
        self._timeline = timeline
        self._rng = rng
        self._hostility = hostility
        self._trace = trace
        self._session: Session | None = None
        self._retained: dict[str, Message] = {}
        self._saved: tuple[Session | None, dict[str, Message]] = (None, {})
        self._line: Line | None = None
        self._will: Message | None = None
        self._runs = 0
        self.calm = False
        """Nothing is lost, doubled or out of turn any more."""
        timeline.after(_AGAIN_S, self._again)

    # The gateway's side

    def attach(self, line: Line, will: Message) -> bool:
        """A gateway connects and subscribes; whether there was a session."""
        if self._line is not None:
            other, self._line = self._line, None
            self._say_will(later=True)
            other.drop()
        self._line, self._will = line, will
        known = self._session is not None
        if self._session is None:
            self._session = Session()
            for kept in self._retained.values():
                self._session.waiting.append(Message(kept.leaf, kept.payload, retained=True))
        for packet_id, message in list(self._session.underway.items()):
            line.deliver(packet_id, message, again=True)
        self._pump()
        return known

    def detach(self, line: Line, *, politely: bool) -> None:
        """A connection is gone; where nobody took leave, the will is said."""
        if self._line is line:
            self._line = None
            if not politely:
                self._say_will(later=not self.calm and self._rng.random() < 0.3)

    def acknowledged(self, line: Line, packet_id: int) -> None:
        """The gateway has what this packet id stands for."""
        if self._line is line and self._session is not None:
            self._session.underway.pop(packet_id, None)
            self._pump()

    def take(self, message: Message) -> None:
        """The gateway publishes: it is acknowledged from here on, and mostly passed on."""
        if message.retained:
            self._retained[message.leaf] = message
        self._to_cloud(message)
        if message.leaf in TO_GATEWAY:
            self._to_gateway(Message(message.leaf, message.payload))

    # The cloud's side

    def publish(self, message: Message) -> None:
        """The cloud publishes; nothing of it stays where the broker is down."""
        if not self.up:
            return
        if message.retained:
            self._retained[message.leaf] = message
        for _ in range(1 + self._happens(self._hostility.doubled)):
            self._to_gateway(Message(message.leaf, message.payload))

    def crash(self, *, forgets: bool = False) -> None:
        """Everybody loses the line; what comes back knows as much as was saved, or no session at all."""
        self._runs += 1
        self.up = False
        line, self._line = self._line, None
        match "none" if forgets else self._hostility.persistence:
            case "none":
                self._session, self._retained = None, {}
            case "snapshot":
                session, self._retained = self._saved
                self._session = session.copied() if session else None
            case "whole":
                pass
        self._trace.say("broker", "crashed", persistence=self._hostility.persistence)
        if line is not None:
            line.drop()

    def start(self) -> None:
        """Be there again."""
        self.up = True
        self._trace.say("broker", "started", session=self._session is not None)

    def save(self) -> None:
        """Write down the sessions, for after the next crash."""
        self._saved = (self._session.copied() if self._session else None, dict(self._retained))

    def _happens(self, share: float) -> bool:
        return not self.calm and self._rng.random() < share

    def _to_cloud(self, message: Message) -> None:
        run = self._runs
        lost = self._happens(self._hostility.lost)

        def arrive() -> None:
            # What a broker that crashes has acknowledged and not passed on is lost with it.
            if not lost and (run == self._runs or self._hostility.persistence == "whole"):
                self.tell(message)

        for _ in range(1 + self._happens(self._hostility.doubled)):
            self._timeline.after(self._rng.uniform(0, 2 * self._hostility.latency_s), arrive)

    def _to_gateway(self, message: Message) -> None:
        session = self._session
        if session is None or self._happens(self._hostility.lost):
            return
        waiting = session.waiting
        if self._line is None and self._happens(self._hostility.marked):
            message = Message(message.leaf, message.payload, retained=True)
        if len(waiting) >= self._hostility.queue:
            if self._hostility.overflow == "newest":
                self._trace.say("broker", "dropped", leaf=message.leaf)
                return
            self._trace.say("broker", "dropped", leaf=waiting.popleft().leaf)
        waiting.append(message)
        if self._happens(self._hostility.shuffled):
            place = len(waiting) - 1
            while place and waiting[place - 1].leaf != message.leaf:
                waiting[place], waiting[place - 1] = waiting[place - 1], waiting[place]
                place -= 1
        self._pump()

    def _pump(self) -> None:
        """Send as much as may be underway."""
        session, line = self._session, self._line
        while line is not None and session is not None and session.waiting:
            if len(session.underway) >= self._hostility.window:
                return
            packet_id = session.next_id(lowest=self._hostility.lowest_ids)
            session.underway[packet_id] = session.waiting.popleft()
            line.deliver(packet_id, session.underway[packet_id])

    def _again(self) -> None:
        """Some brokers send again on a live connection what has waited long for its acknowledgement."""
        if self._hostility.resends_live and not self.calm and self._line is not None and self._session is not None:
            for packet_id, message in list(self._session.underway.items()):
                self._line.deliver(packet_id, message, again=True)
        self._timeline.after(_AGAIN_S, self._again)

    def _say_will(self, *, later: bool) -> None:
        will, self._will = self._will, None
        if will is not None:
            self._timeline.after(self._rng.uniform(0, 20) if later else 0.0, lambda: self.take(will))
