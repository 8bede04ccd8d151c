"""A look at a gateway beside a truth: what was not heard is asked for, and the lists are compared, bucket by bucket."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from protocol.digest import Sums, digest_text
from protocol.topics import Topics
from protocol.vocabulary import Command, CommandRefusal, Outcome
from protocol.vocabulary import Reply as Answer
from simulator import exits
from simulator.address import Address
from simulator.convergence import Difference, Standing, compare, counts, differing, sums_of
from simulator.delivery import FIRST_WORD_S, command
from simulator.exits import Failure
from simulator.heard import Life, Span
from simulator.inquiry import ASK_AGAIN_S, Unanswered
from simulator.keyring import CURE, SIGNATURE_REFUSALS
from simulator.line import Line, Traffic, converse, never_seen
from simulator.messages import ListState, Message, Receipt, Reply, State, Statuses
from simulator.truth import Truth

_TRIES: Final = 4
"""How often reports are asked for that a broker keeps losing."""

_BUSY_S: Final = 0.5


class Refused(Failure):
    """The gateway does not do what an audit needs."""

    exit_code = exits.REFUSED


class Unsound(Failure):
    """The gateway answers what cannot be."""

    exit_code = exits.BUG


@dataclass(frozen=True, slots=True)
class Found:
    """What an audit has found."""

    state: State
    differences: dict[str, Difference]
    """By device; those that agree have none."""
    buckets: dict[str, int]
    """How many buckets differ at each of them."""
    unknown: tuple[str, ...]
    """Devices of the truth that the gateway does not have."""

    @property
    def agreed(self) -> bool:
        """Whether both sides want and have the same."""
        return not self.differences and not self.unknown


@dataclass(slots=True)
class _Hearing:
    state: State | None = None
    replies: dict[str, Reply] = field(default_factory=dict)
    """By command, or by the bytes (SHA-256) of what was refused unread."""
    reports: dict[tuple[str, int], Receipt | Statuses] = field(default_factory=dict)


class Audit:
    """One look, over one connection. What it hears goes into the truth; no answer takes longer than `timeout_s`.

    A connection that breaks ends it; the next one begins anew, and nothing is lost by that.
    """

    def __init__(self, address: Address, truth: Truth, *, timeout_s: float, now_ms: Callable[[], int]) -> None:
        self.traffic = Traffic()
        self.life = Life.SAME
        """Whether the gateway has the store that it had the last time."""
        self.recovered = 0
        """Reports that were missed, and came when they were asked for."""
        self.lost = 0
        """Reports that were missed, and the gateway no longer has."""
        self._address = address
        self._topics = Topics(truth.gateway_id, address.prefix)
        self._truth = truth
        self._timeout_s = timeout_s
        self._now_ms = now_ms
        self._heard = _Hearing()
        self._news = asyncio.Event()

    async def run(self) -> Found:
        """Look. Raises Unreachable, Unanswered, Refused, Unsound."""
        return await converse(self._address, self._topics, self._hear, self._look, self.traffic)

    async def _look(self, line: Line) -> Found:
        await self._until(lambda: self._heard.state is not None, FIRST_WORD_S)
        state, gateway_id = self._heard.state, self._truth.gateway_id
        if state is None:
            raise Unanswered(never_seen(self._truth.gateway_id, self._topics))
        if not state.online:
            raise Unanswered(f"{gateway_id} is offline: its lists can be compared when it is back")
        self.life, self.lost = self._truth.meet(state)
        await self._catch_up(line, state)
        differences: dict[str, Difference] = {}
        buckets: dict[str, int] = {}
        there = {device.device_id: device for device in state.devices}
        for device_id in self._truth.devices.keys() & there.keys():
            names = await self._differing(line, there[device_id])
            if names is None or names:
                difference = await self._compared(line, device_id, names)
                if difference.people:
                    differences[device_id] = difference
                    buckets[device_id] = 256 if names is None else len(names)
        unknown = tuple(each for each in self._truth.devices if each not in there and self._truth.people(each))
        found = Found(state, differences, buckets, unknown)
        self._truth.doubt &= not found.agreed
        return found

    async def _catch_up(self, line: Line, state: State) -> None:
        """Ask for the reports that were missed, so often that only a sick broker can keep one away."""
        missed = sum(last - first + 1 for first, last in self._gaps(state))
        for _ in range(_TRIES):
            if not (gaps := self._gaps(state)):
                break
            for first, last in gaps:
                await self._asked(line, Command.REPORT, epoch=state.epoch, fromReport=first, throughReport=last)
            await self._until(lambda: not self._gaps(state), ASK_AGAIN_S)
        self.recovered = missed - sum(last - first + 1 for first, last in self._gaps(state))

    def _gaps(self, state: State) -> list[Span]:
        return self._truth.heard.gaps(state.reports.oldest, state.reports.newest)

    async def _differing(self, line: Line, there: ListState) -> list[str] | None:
        """The buckets to look into; None for all, where word of a status may be lost, and only the counts differ."""
        people = self._truth.people(there.device_id)
        sums = sums_of(people)
        if digest_text(sums.digest) != there.digest:
            names = await self._differing_buckets(line, there, sums)
            if names:
                return None if len(names) == 256 else names
            there = self._there(there)
        doubtful = self._truth.doubt and counts(people, self._now_ms()) != there.users
        return None if doubtful else []

    async def _differing_buckets(self, line: Line, there: ListState, sums: Sums) -> list[str]:
        """Ask for the digests of the buckets; where none differs, the state was a moment old, and a newer one comes."""
        reply = await self._asked(line, Command.RESYNC, deviceId=there.device_id, buckets=[])
        found, revision = reply.result.get("buckets"), reply.result.get("revision")
        if not isinstance(found, dict) or not isinstance(revision, int):
            raise Unsound(f"{self._truth.gateway_id} answered a resync without its revision and digests")
        self._truth.revision = max(self._truth.revision, revision)  # newer than a state that was kept can be
        if not (names := differing(sums.texts(), found)):
            await self._until(lambda: self._there(there).digest == digest_text(sums.digest), FIRST_WORD_S)
        return names

    def _there(self, before: ListState) -> ListState:
        """A list as the newest state has it."""
        state = self._heard.state
        return next((each for each in (state.devices if state else ()) if each.device_id == before.device_id), before)

    async def _compared(self, line: Line, device_id: str, names: Collection[str] | None) -> Difference:
        some = {} if names is None else {"buckets": sorted(names)}
        reply = await self._asked(line, Command.RESYNC, deviceId=device_id, **some)
        listed = await self._listed(line, reply)
        difference = compare(device_id, self._truth.people(device_id), listed, names)
        for mobile in difference.accepted:
            self._truth.accept(device_id, mobile)
        return difference

    async def _listed(self, line: Line, reply: Reply) -> dict[str, Standing]:
        """The users that an answer promised, once every message with them has come."""
        epoch, first, last = (reply.result.get(name) for name in ("epoch", "fromReport", "throughReport"))
        if not isinstance(epoch, str) or not isinstance(first, int) or not isinstance(last, int):
            raise Unsound(f"{self._truth.gateway_id} answered a resync without saying which reports have its users")

        def missing() -> list[int]:
            return [number for number in range(first, last + 1) if (epoch, number) not in self._heard.reports]

        for _ in range(_TRIES):
            before = -1
            while before != len(missing()) and not await self._until(lambda: not missing(), ASK_AGAIN_S):
                before = len(missing())
            if not missing():
                break
            gap = missing()
            await self._asked(line, Command.REPORT, epoch=epoch, fromReport=gap[0], throughReport=gap[-1])
        if missing():
            raise Unanswered(
                f"{self._truth.gateway_id} listed its users in reports {first} to {last}; some did not come"
            )
        listed: dict[str, Standing] = {}
        for number in range(first, last + 1):
            report = self._heard.reports[epoch, number]
            for result in report.results if isinstance(report, Statuses) else ():
                if result.outcome == Outcome.LISTED and result.mobile is not None and result.revision is not None:
                    listed[result.mobile] = Standing(result.revision, result.status)
        return listed

    async def _asked(self, line: Line, name: Command, **fields: str | int | list[str]) -> Reply:
        """Ask until there is an answer. Raises Refused, Unanswered."""
        give_up_at = time.monotonic() + self._timeout_s
        while True:
            reply = await self._answer(line, name, fields, give_up_at)
            if reply.outcome == Answer.DONE:
                return reply
            code = reply.error.code if reply.error else reply.outcome
            if code != CommandRefusal.BUSY:
                words = (reply.error.message if reply.error else None) or code
                cure = f": {CURE}" if code in SIGNATURE_REFUSALS else ""
                raise Refused(f"{self._truth.gateway_id} does not {name}: {words}{cure}")
            await asyncio.sleep(_BUSY_S)

    async def _answer(
        self, line: Line, name: Command, fields: Mapping[str, str | int | list[str]], give_up_at: float
    ) -> Reply:
        command_id = secrets.token_hex(8)
        asked = command(self._truth.gateway_id, name, commandId=command_id, **fields)
        names = {command_id}

        def answered() -> Reply | None:
            return next((self._heard.replies[each] for each in names if each in self._heard.replies), None)

        while (reply := answered()) is None:
            left_s = give_up_at - time.monotonic()
            if left_s <= 0:
                raise Unanswered(f"{self._truth.gateway_id} has not answered {name} within {self._timeout_s:g} s")
            names.add(sha256(await line.send_command(asked)).hexdigest())
            await self._until(lambda: answered() is not None, min(ASK_AGAIN_S, left_s))
        return reply

    def _hear(self, message: Message) -> None:
        match message:
            case State():
                self._heard.state = message
            case Reply():
                self._heard.replies[message.command_id or message.payload_sha256 or ""] = message
            case Receipt() | Statuses():
                self._heard.reports[message.epoch, message.report_id] = message
                self._truth.hear(message)
        self._news.set()

    async def _until(self, condition: Callable[[], bool], within_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        return condition()
