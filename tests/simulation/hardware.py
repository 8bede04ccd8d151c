"""The hardware at the other end of the lines, and the people in front of it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from agent.config import Device
from agent.drivers.contact import Lost
from agent.drivers.driver import Driver, Ears
from agent.drivers.line import Line, Wire
from tests.simulation.hostility import Hostility
from tests.simulation.timeline import Timeline
from tests.simulation.trace import Trace

Document = dict[str, Any]


@dataclass(slots=True)
class Asked:
    """Somebody asked, and waits."""

    at: float
    request_id: str
    device_id: str
    mobile: str
    channel: str
    said: int = 0
    """How often the hardware has said so."""
    answer: str | None = None
    """`granted`, or the reason for a refusal."""


class _Transport:
    """What the daemon's side of a line needs of its transport."""

    def __init__(self, line: "_Contact") -> None:
        self._line = line

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self._line.broken

    def abort(self) -> None:
        self._line.broken = True


class _Contact:
    """One connection of a line; also the daemon's writer."""

    def __init__(self, machine: "Machine") -> None:
        self.reader = asyncio.StreamReader()
        self.transport = _Transport(self)
        self.broken = False
        self._machine = machine

    def write(self, data: bytes) -> None:
        for line in data.splitlines():
            self._machine.told(self, json.loads(line))

    async def wait_closed(self) -> None:
        self._machine.left(self)

    def hear(self, message: Document) -> None:
        """The hardware says something to the daemon."""
        if not self.broken:
            self.reader.feed_data(json.dumps(message).encode() + b"\n")


class Machine:
    """A Fluss+, or the panel of an intercom. ``moves`` sees every movement; ``answered`` every end of a request."""

    def __init__(self, device_id: str, timeline: Timeline, hostility: Hostility, trace: Trace, rng: Random) -> None:
        self.device_id = device_id
        self.on = True
        self.calm = False
        self.asked: dict[str, Asked] = {}
        self.moves: Callable[[str, str], None] = lambda _, __: None
        self.answered: Callable[[Asked], None] = lambda _: None
        self._timeline = timeline
        self._rng = rng
        self._hostility = hostility
        self._trace = trace
        self._contact: _Contact | None = None
        self._kind = "fluss+" if len(device_id) == 16 else "intercom"

    async def dial(self) -> Wire:
        """The daemon reaches for it."""
        await asyncio.sleep(self._rng.uniform(0.01, 0.2))
        if not self.on:
            raise Lost("the hardware is off")
        contact = self._contact = _Contact(self)
        self._trace.say(self._kind, "dialled")
        contact.hear({"type": "hello", "deviceId": self.device_id, "kind": self._kind})
        for asked in self.asked.values():  # who still stands there is heard again
            if asked.answer is None and self._timeline.now - asked.at < 9:
                self._say(asked)
        return contact.reader, cast("asyncio.StreamWriter", contact)

    def ask(self, asked: Asked) -> None:
        """Somebody asks; nobody hears it where the line is down."""
        self.asked[asked.request_id] = asked
        self._trace.say(self._kind, "asked", request=asked.request_id, mobile=asked.mobile, channel=asked.channel)
        self._say(asked)
        if not self.calm and self._rng.random() < self._hostility.doubled:
            self._say(asked)

    def accept(self, mobile: str) -> bool:
        """Somebody takes up the invitation here; whether anybody hears it."""
        if self._contact is None or self._contact.broken:
            return False
        self._trace.say(self._kind, "accepted", mobile=mobile)
        self._contact.hear({"type": "accepted", "mobile": mobile})
        return True

    def hang_up(self) -> None:
        """The line breaks."""
        if self._contact is not None:
            contact, self._contact = self._contact, None
            if not contact.broken:
                self._trace.say(self._kind, "hung_up")
                contact.broken = True
                contact.reader.feed_eof()

    def lose(self) -> None:
        """The daemon's process is gone, and its end of the line with it."""
        if self._contact is not None:
            self._contact.broken = True
            self._contact = None

    def told(self, contact: _Contact, message: Document) -> None:
        """The daemon says something."""
        if contact is not self._contact or contact.broken:
            return
        request_id = message["requestId"]
        self._trace.say(self._kind, f"told_{message['type']}", request=request_id, reason=message.get("reason"))
        if message["type"] == "actuate":
            self.moves(self.device_id, request_id)
            self._end(request_id, "granted")
            self._confirm(contact, request_id)
        else:
            self._end(request_id, message.get("reason", "granted"))

    def left(self, contact: _Contact) -> None:
        """The daemon has hung up."""
        if self._contact is contact:
            self._contact = None

    def _confirm(self, contact: _Contact, request_id: str) -> None:
        """Say that the gate has moved, mostly."""
        if not self.calm and self._rng.random() < self._hostility.mute:
            return
        ok = self.calm or self._rng.random() < 0.95
        message: Document = {"type": "actuated", "requestId": request_id, "ok": ok}
        self._timeline.after(self._rng.uniform(0.05, 1.5), lambda: contact.hear(message))

    def _end(self, request_id: str, answer: str) -> None:
        asked = self.asked.get(request_id)
        if asked is not None and asked.answer is None:
            asked.answer = answer
            self.answered(asked)

    def _say(self, asked: Asked) -> None:
        if self._contact is not None:
            asked.said += 1
            age = round((self._timeline.now - asked.at) * 1000)
            said = {"type": "request", "requestId": asked.request_id, "channel": asked.channel, "ageMs": age}
            self._contact.hear(said | {"mobile": asked.mobile})


def plugged(machines: Mapping[str, Machine]) -> Callable[[Device, Ears, Random], Driver]:
    """The drivers of these machines: the daemon's own, at the near end of simulated lines."""

    def driver(device: Device, ears: Ears, rng: Random) -> Driver:
        return Line(device.id, "simulated", machines[device.id].dial, ears=ears, rng=rng)

    return driver
