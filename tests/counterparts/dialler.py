"""The gateway's end of a hardware line, as a script has it."""

import asyncio
import os
import socket
import tty
from contextlib import suppress
from typing import Self, TypeVar
from urllib.parse import urlsplit

from protocol.hardware import Actuate, Did, FromGateway, FromHardware, Granted, Refuse, heard
from protocol.vocabulary import Action
from tests.counterparts.waiting import until

M = TypeVar("M", bound=FromHardware)


class Dialler:
    """Dials the hardware behind a `driver` URL, keeps all it says, and says what it is told to.

    A stream of bytes is all it knows: no library of either side is between it and the line.
    """

    def __init__(self, url: str) -> None:
        self.closed = False
        parts = urlsplit(url)
        if parts.scheme == "tcp":
            self._fd = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=5).detach()
        else:
            self._fd = os.open(parts.path, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(self._fd)
        os.set_blocking(self._fd, False)
        self._lines: list[bytes] = []
        self._rest = b""
        self._seen = 0

    async def __aenter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._fd, self._read)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.hang_up()

    @property
    def heard(self) -> list[FromHardware]:
        """Everything that was said. Raises Garbled where anything was not of the protocol."""
        return [heard(line) for line in self._lines]

    def hang_up(self) -> None:
        """Close the line, without a word."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def say(self, *messages: FromGateway | bytes) -> None:
        """Put messages, or bytes as they are, on the line."""
        for each in messages:
            os.write(self._fd, each if isinstance(each, bytes) else each.line())

    def actuate(self, request_id: str, action: Action = Action.TRIGGER) -> None:
        self.say(Actuate(request_id=request_id, action=action))

    def refuse(self, request_id: str, reason: str) -> None:
        self.say(Refuse(request_id=request_id, reason=reason))

    def grant(self, request_id: str) -> None:
        self.say(Granted(request_id=request_id))

    async def hears(self, kind: type[M], within_s: float = 5.0) -> M:
        """The next message of this kind; those before it are passed over. Raises TimedOutError."""

        def found() -> M | None:
            for place, message in enumerate(self.heard[self._seen :], self._seen):
                if isinstance(message, kind):
                    self._seen = place + 1
                    return message
            return None

        message = await until(found, within_s=within_s, what=f"{kind.__name__} on the line, after {self.heard}")
        assert message is not None
        return message

    async def did(self, request_id: str, action: Action = Action.TRIGGER) -> Did:
        """Have it moved, and what it answers."""
        self.actuate(request_id, action)
        return await self.hears(Did)

    async def ends(self, within_s: float = 5.0) -> None:
        """Wait until the other side has hung up. Raises TimedOutError."""
        await until(lambda: self.closed, within_s=within_s, what="the end of the line")

    def _read(self) -> None:
        data = b""
        with suppress(ConnectionResetError, OSError):
            data = os.read(self._fd, 65_536)
        if not data:
            self.closed = True
            asyncio.get_running_loop().remove_reader(self._fd)
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._lines += lines
