"""The cloud of one gateway: it hears everything the gateway says, keeps it in order, and asks for what it missed."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final, Self, TypeVar

from protocol.topics import Topics
from protocol.vocabulary import Command, Outcome
from simulator import exits
from simulator.address import Address
from simulator.asides import Asides
from simulator.delivery import command
from simulator.exits import Failure
from simulator.line import Line, converse
from simulator.messages import Event, Message, Receipt, Reply, State, Statuses, Unreadable
from simulator.trouble import Unreachable

PATIENCE_S: Final = 1.0
"""How long nothing may come before what is missing is asked for."""

_RETRY_S: Final = (0.05, 0.2)

T = TypeVar("T")


class Silence(Failure):
    """The gateway has not said what it should have said by now."""

    exit_code = exits.BUG


class Contradiction(Failure):
    """The gateway has said one thing twice in different words, or something that makes no sense."""

    exit_code = exits.BUG


def wall_ms() -> int:
    """What this machine's clock says, in epoch milliseconds."""
    return time.time_ns() // 1_000_000


class Cloud:
    """Listens while the context is open, over connections that come and go. `now_ms` is the time it writes on letters.

    Reports and events are numbered from 1 without gaps: what a broker lost is seen, and asked for again.
    """

    def __init__(self, address: Address, gateway_id: str, *, now_ms: Callable[[], int] = wall_ms) -> None:
        self.state: State | None = None
        """What the gateway last said of itself."""
        self.reports: dict[int, Receipt | Statuses] = {}
        self.events: dict[int, Event] = {}
        self.arrivals: dict[int, int] = {}
        """When each event came, in epoch milliseconds."""
        self._address = address
        self._gateway_id = gateway_id
        self._topics = Topics(gateway_id, address.prefix)
        self._now_ms = now_ms
        self._replies: dict[str, Reply] = {}
        self._contradiction: str | None = None
        self._line: Line | None = None
        self._news = asyncio.Event()
        self._heard_at = time.monotonic()
        self._rng = Random(secrets.randbits(64))  # noqa: S311 -- jitter, not secrets
        self._asides = Asides()

    async def __aenter__(self) -> Self:
        await self._asides.__aenter__()
        self._asides.begin(self._listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._asides.__aexit__()

    async def until(self, condition: Callable[[], T], *, within_s: float, what: str) -> T:
        """The first true value of a condition, looked at whenever the gateway has said something.

        Raises Silence, which names `what`; Contradiction.
        """
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if self._contradiction is not None:
                        raise Contradiction(self._contradiction)
                    if value := condition():
                        return value
                    await self._news.wait()
        except TimeoutError:
            raise Silence(f"the cloud has waited {within_s:g} s for {what}") from None

    async def command(self, name: Command, *, within_s: float, **fields: str | int | None) -> Reply | None:
        """Send a command, once; the gateway's reply, or None where none comes in time."""
        command_id = secrets.token_hex(8)
        issued_at = self._now_ms()
        asked = command(self._gateway_id, name, **{"commandId": command_id, "issuedAt": issued_at, **fields})
        try:
            async with asyncio.timeout(within_s):
                while self._line is None:
                    await self._news.wait()
                await self._line.send_command(asked)
            return await self.until(lambda: self._replies.get(command_id), within_s=within_s, what="a reply")
        except (TimeoutError, Silence):
            return None

    def missing(self) -> list[tuple[str, int, int]]:
        """What the gateway has said that did not come: `Report` or `Event`, the first number of a gap and its last."""
        if self.state is None:
            return []
        return [
            *_gaps("Report", self.reports, self.state.reports.newest),
            *_gaps("Event", self.events, self.state.events.newest),
        ]

    def standings(self) -> dict[tuple[str, str], str]:
        """The status of everybody on a list, by device and number, as the latest reports have it."""
        standings: dict[tuple[str, str], str] = {}
        for _, report in sorted(self.reports.items()):
            for result in report.results if isinstance(report, Statuses) else ():
                if result.mobile is None or result.outcome in {Outcome.REJECTED, Outcome.LISTED}:
                    continue
                if result.status is not None:
                    standings[result.device_id, result.mobile] = result.status
                else:
                    standings.pop((result.device_id, result.mobile), None)
        return standings

    async def _listen(self) -> None:
        while True:
            with suppress(Unreachable):  # it comes back, or whoever waits for news says that none came
                await converse(self._address, self._topics, self._hear, self._keep_up)
            self._line = None
            await asyncio.sleep(self._rng.uniform(*_RETRY_S))

    async def _keep_up(self, line: Line) -> None:
        """Ask for what is missing whenever nothing has come for a while."""
        self._line = line
        self._tell()
        while True:
            await asyncio.sleep(max(0.0, self._heard_at + PATIENCE_S - time.monotonic()))
            if time.monotonic() < self._heard_at + PATIENCE_S:
                continue
            self._heard_at = time.monotonic()
            if self.state is None or not self.state.online:
                continue
            for what, first, last in self.missing():
                gap = {f"from{what}": first, f"through{what}": last}
                await line.send_command(command(self._gateway_id, Command.REPORT, epoch=self.state.epoch, **gap))

    def _hear(self, message: Message) -> None:
        self._heard_at = time.monotonic()
        match message:
            case State():
                self.state = message
            case Receipt() | Statuses():
                if self.reports.setdefault(message.report_id, message) != message:
                    self._contradiction = f"report {message.report_id} came again in other words"
            case Event():
                self.arrivals.setdefault(message.event_id, self._now_ms())
                if self.events.setdefault(message.event_id, message) != message:
                    self._contradiction = f"event {message.event_id} came again in other words"
            case Reply():
                if message.command_id is not None:
                    self._replies.setdefault(message.command_id, message)
            case Unreadable(topic, why):
                self._contradiction = f"a message on {topic} makes no sense: {why}"
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


def _gaps(what: str, found: "dict[int, T]", newest: int) -> list[tuple[str, int, int]]:
    gaps: list[tuple[str, int, int]] = []
    for number in range(1, newest + 1):
        if number in found:
            continue
        if gaps and gaps[-1][2] == number - 1:
            gaps[-1] = (what, gaps[-1][1], number)
        else:
            gaps.append((what, number, number))
    return gaps
