"""A batch on its way to one gateway, over connections that come and go, until everybody is accounted for."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final

import orjson

from protocol.topics import Topics
from protocol.vocabulary import Command
from simulator.address import Address
from simulator.batching import Batch
from simulator.line import Line, converse, never_seen
from simulator.messages import Message, Receipt, State, Statuses, Unreadable
from simulator.tracking import AskBatch, AskReports, Send, Step, Tracker
from simulator.trouble import Unreachable

FIRST_WORD_S: Final = 2.0
"""How long a broker may take to hand out the retained state: it comes with the subscription, or there is none."""

LONGEST_PAUSE_S: Final = 15.0


class Delivery:
    """Sends what `plan` makes of the gateway's state (None: it never said anything) and follows it up.

    `notice` gets what a person should hear meanwhile, `progress` a call whenever more is known, `overhear` whatever the
    gateway says; `timeout_s` is how long nothing may come closer to the end.
    """

    def __init__(
        self,
        address: Address,
        gateway_id: str,
        plan: Callable[[State | None], Batch],
        *,
        timeout_s: float,
        notice: Callable[[str], None],
        progress: Callable[[Tracker], None],
        overhear: Callable[[Message], None] = lambda _: None,
    ) -> None:
        self.tracker: Tracker | None = None
        """None until the gateway's state was looked at."""
        self.state: State | None = None
        self._address = address
        self._gateway_id = gateway_id
        self._plan = plan
        self._timeout_s = timeout_s
        self._notice = notice
        self._progress = progress
        self._overhear = overhear
        self._topics = Topics(gateway_id, address.prefix)
        self._rng = Random(secrets.randbits(64))  # noqa: S311 -- jitter, not secrets
        self._news = asyncio.Event()
        self._unreadable: set[str] = set()
        self._failures = 0

    async def run(self) -> Tracker:
        """Deliver; the tracker says whether everybody is accounted for, or what is unknown when the time was up.

        Raises Unreachable where not even a first connection could be made, and whatever `plan` raises.
        """
        while True:
            try:
                return await converse(self._address, self._topics, self._hear, self._speak)
            except Unreachable as why:
                if self.tracker is None:
                    raise
                left_s = self._left_s(self.tracker)
                if self.tracker.done or left_s <= 0:
                    return self.tracker
                if self._failures == 0:
                    self._notice(f"{why}. Trying again; nothing is lost.")
            longest_s = min(LONGEST_PAUSE_S, 2.0 ** min(self._failures, 8))
            self._failures += 1
            await asyncio.sleep(min(self._rng.uniform(0, longest_s), left_s))

    async def _speak(self, line: Line) -> Tracker:
        self._failures = 0
        if self.tracker is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_WORD_S):
                    while self.state is None:
                        self._news.clear()
                        await self._news.wait()
            self.tracker = Tracker(self._plan(self.state), now=time.monotonic(), rng=self._rng)
            if self.state is None:
                self._notice(f"{never_seen(self._gateway_id, self._topics)} The list is sent again until it answers.")
            else:
                self._tell(None, self.state)
                self.tracker.hear_state(self.state, time.monotonic())
        else:
            self.tracker.reconnected()
        self._progress(self.tracker)
        return await self._follow_up(self.tracker, line)

    async def _follow_up(self, tracker: Tracker, line: Line) -> Tracker:
        while not tracker.done and self._left_s(tracker) > 0:
            self._news.clear()
            now = time.monotonic()
            if steps := tracker.due(now):
                await asyncio.gather(*[self._take(tracker, line, step) for step in steps])
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(min(tracker.ask_at - now, self._left_s(tracker))):
                    await self._news.wait()
        return tracker

    async def _take(self, tracker: Tracker, line: Line, step: Step) -> None:
        match step:
            case Send(part):
                await line.send_part(part.payload)
                tracker.sent(part, time.monotonic())
            case AskBatch(batch_id):
                await line.send_command(command(self._gateway_id, Command.REPORT, batchId=batch_id))
            case AskReports(epoch, first, last):
                asked = command(self._gateway_id, Command.REPORT, epoch=epoch, fromReport=first, throughReport=last)
                await line.send_command(asked)

    def _hear(self, message: Message) -> None:
        now, tracker = time.monotonic(), self.tracker
        self._overhear(message)
        match message:
            case State():
                if tracker is not None:
                    self._tell(self.state, message)
                    tracker.hear_state(message, now)
                self.state = message
            case Receipt() if tracker is not None:
                tracker.hear_receipt(message, now)
            case Statuses() if tracker is not None:
                tracker.hear_statuses(message, now)
            case Unreadable(topic, why) if topic not in self._unreadable:
                self._unreadable.add(topic)
                self._notice(f"A message on {topic} makes no sense and is left aside ({why}).")
        if tracker is not None:
            self._progress(tracker)
        self._news.set()

    def _left_s(self, tracker: Tracker) -> float:
        return tracker.moved_at + self._timeout_s - time.monotonic()

    def _tell(self, before: State | None, state: State) -> None:
        """Say what a person should know of the gateway, once each time it changes."""
        if not state.online and (before is None or before.online):
            self._notice(
                f"{self._gateway_id} is offline. The broker keeps the list for it; what became of everybody will show"
                f" here if it comes back within {self._timeout_s:g} s."
            )
        if state.online and before is not None and not before.online:
            self._notice(f"{self._gateway_id} is online.")
        if state.online and state.storage != "ok" and (before is None or before.storage == "ok"):
            self._notice(
                f"{self._gateway_id} cannot store anything now: its disk may be full. It takes the list later."
            )


def command(gateway_id: str, name: Command, **fields: str | int | list[str] | None) -> bytes:
    """One command as the wire carries it, under a new id."""
    issued_at = time.time_ns() // 1_000_000
    head = {"commandId": secrets.token_hex(8), "gatewayId": gateway_id, "command": name, "issuedAt": issued_at}
    return orjson.dumps(head | {name: value for name, value in fields.items() if value is not None})
