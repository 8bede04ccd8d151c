"""The board of a gate, or of a panel, at the far end of the line: it does as it is told, and forgets no word."""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Self

from tests.counterparts.cloud import GATE, PANEL
from tests.counterparts.ports import LOOPBACK, free_port
from tests.counterparts.waiting import until

Message = dict[str, Any]
Answer = Callable[[Message], Message | None]

_PORT_TRIES = 5
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


def moves(told: Message) -> Message:
    """The answer of hardware that works."""
    return {"type": "actuated", "requestId": told["requestId"], "ok": True}


def fails(words: str) -> Answer:
    """The answer of hardware that says why it does not."""
    return lambda told: {"type": "actuated", "requestId": told["requestId"], "ok": False, "error": words}


def says_nothing(_: Message) -> None:
    """No answer at all."""


class Board:
    """One device, at a port of its own for as long as it is entered; it greets whoever dials, as often as they do.

    ``answer`` makes the answer to an `actuate`; None is none. ``again`` is what it says with every greeting.
    """

    def __init__(self, device_id: str = GATE, *, kind: str = "fluss+", answer: Answer = moves) -> None:
        self.device_id = device_id
        self.answer = answer
        self.again: list[Message] = []
        self.heard: list[Message] = []
        """Everything, in the order it came, over all connections."""
        self.port = 0
        self.firmware = "1.4.2"
        self._kind = kind
        self._server: asyncio.Server | None = None
        self._line: asyncio.StreamWriter | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._requests = count(1)

    async def __aenter__(self) -> Self:
        for port in [free_port() for _ in range(_PORT_TRIES)]:
            with suppress(OSError):  # lost to somebody else since
                self._server = await asyncio.start_server(self._serve, LOOPBACK, port, start_serving=False)
                self.port = port
                await self._server.start_serving()
                return self
        raise AssertionError("no port is free")

    async def __aexit__(self, *exc: object) -> None:
        self.leave()
        if self._serving:
            await asyncio.wait(self._serving)

    @property
    def url(self) -> str:
        """The device as `driver` names it."""
        return f"tcp://{LOOPBACK}:{self.port}"

    def leave(self) -> None:
        """Be gone as without power: the line is reset, and nobody can dial."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.hang_up()

    def hang_up(self) -> None:
        """Reset the line."""
        if self._line is not None:
            self._line.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._line.transport.abort()
            self._line = None

    # What it says

    def say(self, *messages: Message) -> None:
        """Put messages on the line, in one go; into the void where nobody is there."""
        if self._line is not None:
            self._line.write(b"".join(json.dumps(each).encode() + b"\n" for each in messages))

    def raw(self, data: bytes) -> None:
        """Put any bytes on the line."""
        if self._line is not None:
            self._line.write(data)

    def request(self, mobile: str | None = None, *, request_id: str | None = None, **more: object) -> Message:
        """A request, with its id as its note unless it has another; `say` it."""
        name = request_id or f"{self.device_id}/{next(self._requests)}"
        asked = {"type": "request", "requestId": name, "channel": "bluetooth", "note": name, **more}
        return asked if mobile is None else {**asked, "mobile": mobile}

    def accepted(self, mobile: str) -> Message:
        """Somebody has taken up the invitation; `say` it."""
        return {"type": "accepted", "mobile": mobile}

    async def ask(self, mobile: str | None = None, **more: object) -> str:
        """Have somebody ask: "actuate" or "granted" where they get in, else the reason why not."""
        asked = self.request(mobile, **more)  # type: ignore[arg-type]  # the test names fields
        self.say(asked)
        return await self.answered(asked["requestId"])

    def stands(self, position: str) -> None:
        """Tell where the gate stands."""
        self.say({"type": "position", "value": position})

    # What it has heard

    def told(self) -> list[str]:
        """The ids of the requests for which it was told to move, in order."""
        return [each["requestId"] for each in self.heard if each["type"] == "actuate"]

    async def answered(self, request_id: str) -> str:
        """What the gateway says first to a request, in a word."""

        def answers() -> list[Message]:
            return [each for each in self.heard if each["requestId"] == request_id]

        first = (await until(answers, what=f"an answer to {request_id}"))[0]
        return str(first.get("reason", first["type"]))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it had dialled before this board was gone, and nobody had taken the call
            writer.transport.abort()
            return
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        self._line = writer
        hello = {"type": "hello", "deviceId": self.device_id, "kind": self._kind, "firmware": self.firmware}
        self.say(hello, *self.again)
        try:
            while line := await reader.readline():
                self._hear(json.loads(line))
        except (OSError, ValueError):
            pass  # the gateway was killed, perhaps in the middle of a word
        finally:
            self._serving.discard(serving)
            if self._line is writer:
                self._line = None
            writer.transport.abort()

    def _hear(self, message: Message) -> None:
        self.heard.append(message)
        if message["type"] == "actuate" and (answer := self.answer(message)) is not None:
            self.say(answer)


def panel(device_id: str = PANEL) -> Board:
    """The board of an intercom."""
    return Board(device_id, kind="intercom")
