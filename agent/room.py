"""How much may be on its way to the broker at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """For so many messages, and for so many bytes of them, or for one message of any size; first come, first served."""

    def __init__(self, messages: int, most_bytes: int) -> None:
        self._places = asyncio.Semaphore(messages)
        self._most_bytes = most_bytes
        self._bytes = 0
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """A place for a message of ``size`` bytes, once there is one."""
        async with self._places:
            async with self._turn:
                while self._bytes and self._bytes + size > self._most_bytes:
                    self._left.clear()
                    await self._left.wait()
                self._bytes += size
            try:
                yield
            finally:
                self._bytes -= size
                self._left.set()
