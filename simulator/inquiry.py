"""A command to a gateway, its answer, and the reports the answer promises."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from hashlib import sha256
from typing import Final

import orjson

from protocol.topics import Topics
from protocol.vocabulary import Reply as Answer
from simulator import exits
from simulator.address import Address
from simulator.delivery import FIRST_WORD_S
from simulator.exits import Failure
from simulator.line import Line, converse, never_seen
from simulator.messages import Message, Receipt, Reply, State, Statuses

ASK_AGAIN_S: Final = 5.0


class Unanswered(Failure):
    """The gateway is away, or says nothing."""

    exit_code = exits.UNREACHABLE


class Inquiry:
    """One command, made from the gateway's state by `compose`, and asked until it is answered.

    `awaits` says, of the answer and the reports heard so far, whether more reports should still come; they get
    `ASK_AGAIN_S` seconds each.
    """

    def __init__(
        self, address: Address, gateway_id: str, compose: Callable[[State], bytes], *, timeout_s: float
    ) -> None:
        self.reports: list[Receipt | Statuses] = []
        self.reply: Reply | None = None
        self._address = address
        self._gateway_id = gateway_id
        self._compose = compose
        self._command_id: str | None = None
        self._unread: dict[str, Reply] = {}
        """Refusals of messages of which nothing was read, by what those were."""
        self._timeout_s = timeout_s
        self._state: State | None = None
        self._news = asyncio.Event()

    async def run(self, awaits: Callable[["Inquiry", Reply], bool] = lambda _, __: False) -> Reply:
        """Ask, and wait for the answer and what it promises. Raises Unreachable, Unanswered."""
        topics = Topics(self._gateway_id, self._address.prefix)

        async def speak(line: Line) -> Reply:
            await self._until(lambda: self._state is not None, FIRST_WORD_S)
            if self._state is None:
                raise Unanswered(never_seen(self._gateway_id, topics))
            if not self._state.online:
                raise Unanswered(f"{self._gateway_id} is offline: a command is for now, so it was not sent")
            asked = self._compose(self._state)
            self._command_id = orjson.loads(asked)["commandId"]
            give_up_at = time.monotonic() + self._timeout_s
            while self.reply is None:
                if time.monotonic() >= give_up_at:
                    raise Unanswered(f"{self._gateway_id} has not answered within {self._timeout_s:g} s")
                digest = sha256(await line.send_command(asked)).hexdigest()
                patience_s = min(ASK_AGAIN_S, give_up_at - time.monotonic())
                await self._until(partial(self._answered, digest), patience_s)
            reply = self.reply
            more = reply.outcome == Answer.DONE and awaits(self, reply)
            while more and await self._until(self._more_than(len(self.reports)), ASK_AGAIN_S):
                more = awaits(self, reply)
            return reply

        return await converse(self._address, topics, self._hear, speak)

    def _hear(self, message: Message) -> None:
        match message:
            case State():
                self._state = message
            case Reply(command_id=str(command_id)) if command_id == self._command_id:
                self.reply = message
            case Reply(command_id=None, payload_sha256=str(digest)):
                self._unread[digest] = message
            case Receipt() | Statuses():
                self.reports.append(message)
        self._news.set()

    def _answered(self, digest: str) -> bool:
        self.reply = self.reply or self._unread.get(digest)
        return self.reply is not None

    def _more_than(self, heard: int) -> Callable[[], bool]:
        return lambda: len(self.reports) > heard

    async def _until(self, condition: Callable[[], bool], within_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        return condition()
