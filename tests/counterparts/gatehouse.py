"""One gate with everything behind it real (list, intents, recorder) and everything around it at the test's will."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Self, cast
from zoneinfo import ZoneInfo

from agent.drivers.driver import Actuated, Offline
from agent.gate import Gate
from agent.intents import Intents, next_number
from agent.recorder import Recorder
from agent.recovery import recover, unrecorded
from agent.request import Answer, Door, Request
from agent.rollcall import Rollcall
from agent.vault import Vault
from protocol.events import Event
from protocol.moment import Moment, exact
from protocol.vocabulary import Action, Channel, ClockState, Position
from storage import events
from tests.oracle.histories import GATE, NOON, PANEL
from tests.oracle.model import DeviceRule
from tests.oracle.store import Store

if TYPE_CHECKING:
    from agent.clock import Clock

JOHANNESBURG = ZoneInfo("Africa/Johannesburg")


class HandClock:
    """A clock whose hands the test moves."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.known = True
        self.behind = 0
        """How far a clock that is not known may be behind, in milliseconds."""

    def moment(self) -> Moment:
        return exact(self.at) if self.known else Moment(self.at - self.behind, None, ClockState.UNKNOWN)

    def now(self) -> int:
        return self.at

    def state(self) -> ClockState:
        return self.moment().state

    def certain(self) -> int | None:
        return self.at if self.known else None


@dataclass
class Motor:
    """Hardware that does what it is told, unless the test says otherwise."""

    connected: bool = True
    position: Position | None = None
    answer: Actuated = field(default_factory=lambda: Actuated(True))
    gone: bool = False
    told: list[tuple[str, Action]] = field(default_factory=list)
    granted: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    holds: asyncio.Event | None = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def actuate(self, request_id: str, action: Action) -> Actuated:
        if self.gone:
            raise Offline
        self.told.append((request_id, action))
        if self.holds is not None:
            await self.holds.wait()
        return self.answer

    def grant(self, request_id: str) -> None:
        self.granted.append(request_id)

    def refuse(self, request_id: str, reason: str) -> None:
        self.refused.append((request_id, reason))


class Gatehouse:
    """A Fluss+ and an intercom that opens it; the clock stands at noon."""

    def __init__(self, store: Store, home: Path, zone: ZoneInfo) -> None:
        self.store = store
        self.zone = zone
        self.home = home
        self.clock = HandClock(NOON)
        self.gate_motor, self.panel = Motor(), Motor()
        self.seconds = 0.0
        self._number = 0

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, handled: Collection[tuple[str, str]] = ()) -> None:
        clock = cast("Clock", self.clock)
        self.vault = Vault(self.store.database, self.store.reader, self.store.devices, clock, Random(1))
        self.recorder = Recorder(self.vault)
        self.intents = Intents(self.home / "intents")
        known = self.intents.read()
        self.gate = Gate(
            doors={
                GATE: Door(self.store.devices[GATE].number, GATE, self.zone, GATE),
                PANEL: Door(self.store.devices[PANEL].number, PANEL, self.zone, GATE),
            },
            drivers={GATE: self.gate_motor, PANEL: self.panel},
            rollcall=Rollcall(self.store.reader),
            clock=clock,
            intents=self.intents,
            recorder=self.recorder,
            handled=handled or [intent.name_of_request for intent in known],
            next_intent=next_number(known, events.last_intent(self.store.reader)),
            monotonic=lambda: self.seconds,
        )
        left = unrecorded(self.store.reader, known)
        if left:
            stored = self.recorder.do(lambda transaction: recover(transaction, left, "gw-1", self.clock.now()))
            self.gate.owe(left, stored)
        self.gate.settle(set(known) - set(left))
        self._recording = asyncio.create_task(self.recorder.run())

    async def stop(self) -> None:
        await self.recorder.drain(5)
        self._recording.cancel()
        await asyncio.wait([self._recording])
        self.intents.close()

    async def crash(self) -> None:
        """Everything that is not on the card is gone."""
        self._recording.cancel()
        await asyncio.wait([self._recording])
        self.intents.close()

    @asynccontextmanager
    async def sick_store(self) -> AsyncIterator[None]:
        """The store cannot be written meanwhile: another connection has locked it."""
        with closing(sqlite3.connect(self.store.path)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield

    async def ask(self, mobile: object = None, **more: object) -> Answer | None:
        """Somebody asks, and what became of it is stored, unless `stored` is False."""
        stored = more.pop("stored", True)
        self._number += 1
        fields: dict[str, Any] = {
            "device_id": GATE,
            "request": f"r{self._number}",
            "channel": Channel.BLUETOOTH,
            "action": Action.TRIGGER,
            "mobile": int(str(mobile)) if mobile else None,
        }
        answer = await self.gate.request(Request(**(fields | more)))
        if answer is not None and stored:
            await answer.stored
        return answer

    def log(self) -> list[Event]:
        """Every event there is."""
        return [recorded.event for recorded in events.events(self.store.reader, 1, 1 << 40, 1 << 20)]


@asynccontextmanager
async def gatehouse(home: Path, zone: ZoneInfo = JOHANNESBURG) -> AsyncIterator[Gatehouse]:
    """A gatehouse with an empty list."""
    devices = {GATE: DeviceRule("fluss+", 100), PANEL: DeviceRule("intercom", 100)}
    async with Store(home / "gateway.db", devices) as store, Gatehouse(store, home, zone) as house:
        yield house
