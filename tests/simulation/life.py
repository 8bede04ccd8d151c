"""One run of the daemon's process: put together by its own composition root, on virtual time, in a simulated world."""

import asyncio
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any, Literal

from agent.config import Config, Device, Trust
from agent.config_values import Places
from agent.daemon import serve
from agent.drivers.driver import Driver, Ears
from agent.surroundings import Surroundings
from protocol.signatures import Key
from storage.database import StorageFault
from tests.oracle.histories import GATE, PANEL
from tests.oracle.model import DeviceRule
from tests.simulation.board import Board
from tests.simulation.books import GATEWAY
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
        driver: Callable[[Device, Ears, Random], Driver],
        chance: Random,
    ) -> None:
        self.loop = Loop(timeline, thread_s=disk.thread_s, on_thread=disk.on_thread)
        self._config = config
        self._disk = disk
        self._stop: asyncio.Event | None = None
        self._surroundings = Surroundings(
            clock=board.clock,
            wall=board.wall,
            uptime_s=lambda: board.uptime() / 1000,
            monotonic=self.loop.time,
            chance=chance,
            database=disk.database,
            connect=network.connect,
            driver=driver,
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
            self._disk.let_go()
        if (error := main.exception()) is None:
            return "left"
        if isinstance(error, StorageFault | OSError):
            return "gave_up"
        if isinstance(error, BaseExceptionGroup) and error.split((StorageFault, OSError))[1] is None:
            return "gave_up"
        return error

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        await serve(self._config, self._surroundings, self._stop)


def configuration(home: Path, rules: Mapping[str, DeviceRule], key: Key | None, rng: Random) -> Config:
    """What an installer wrote, for these devices, and whom they are to believe."""
    days = rng.choice([1, 30])
    document: dict[str, Any] = {
        "gateway_id": GATEWAY,
        "state_dir": str(home),
        "mqtt": {"host": "mqtt.example.net", "tls": False},
        "lists": {"incomplete_after_s": rng.choice([20, 300, 600]), "hold_removals_over": rng.choice([0.2, 0.5, 1.0])},
        "retention": {"events_days": days, "reports_days": days},
        "devices": [
            {"id": device_id, "kind": rule.kind, "timezone": "Africa/Johannesburg", "max_users": rule.max_users}
            | ({"opens": GATE} if device_id == PANEL else {})
            for device_id, rule in rules.items()
        ],
    }
    config = Config.model_validate(document, context=Places(home, None))
    return config.model_copy(update={"trust": Trust.model_construct(keys=(key,))}) if key else config
