"""One run of the daemon's process: put together by its own composition root, on virtual time, among simulated things."""

import asyncio
import traceback
from collections.abc import Callable
from random import Random
from typing import Literal

from agent.config import Config
from agent.daemon import serve
from agent.surroundings import Surroundings
from storage.database import StorageFault
from tests.simulation.board import Board
from tests.simulation.disk import Disk
from tests.simulation.network import Network
from tests.simulation.timeline import Loop, Over, Timeline

Ending = Literal["over", "left", "gave_up"] | BaseException


class Life:
    """``driver`` makes the daemon's drivers; ``chance`` is all the randomness it has."""

    def __init__(
        self,
        config: Config,
        *,
        timeline: Timeline,
        board: Board,
        disk: Disk,
        network: Network,
        driver: Callable[..., object],
        chance: Random,
    ) -> None:
        self.loop = Loop(timeline, thread_s=disk.thread_s, on_thread=disk.on_thread)
        self._config = config
        self._stop: asyncio.Event | None = None
        self._surroundings = Surroundings(
            clock=board.clock,
            uptime_s=lambda: board.uptime() / 1000,
            monotonic=self.loop.time,
            chance=chance,
            database=disk.database,
            connect=network.connect,
            driver=driver,  # type: ignore[arg-type]  # of our machines
        )

    def leave(self) -> None:
        """Ask it to end."""
        if self._stop is not None:
            self._stop.set()

    def end(self) -> None:
        """End it here and now."""
        self.loop.over = True

    @property
    def faults(self) -> list[str]:
        """Bugs that nobody waited for."""
        return [
            "".join([fault["message"], "\n", *traceback.format_exception(fault.get("exception"))])
            for fault in self.loop.faults
        ]

    def run(self) -> Ending:
        """Live until the end of it, and say how it came; an exception is a bug in the daemon."""
        main = self.loop.create_task(self._main(), name="main")
        main.add_done_callback(lambda _: self.loop.stop())
        try:
            self.loop.run_forever()
        except Over:
            return "over"
        finally:
            self.loop.abandon()
        if (error := main.exception()) is None:
            return "left"
        if isinstance(error, StorageFault | OSError):
            return "gave_up"
        if isinstance(error, BaseExceptionGroup) and error.split((StorageFault, OSError))[1] is None:
            return "gave_up"
        return error

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        await serve(self._config, self._surroundings, self._stop, lambda: None)
