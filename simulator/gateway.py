"""A gateway beside us: `fluss-agent` as a process of its own, the way it runs on a board."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

import simulator
from protocol.topics import Topics
from simulator import exits
from simulator.address import Address
from simulator.exits import Failure
from simulator.line import Line, converse
from simulator.messages import Message, State

START_S: Final = 15.0
STOP_S: Final = 6.0
_TAIL: Final = 20


class GatewayDied(Failure):
    """The process ended, or never came to anything; the message ends with its log."""

    exit_code = exits.BUG


def agent_command() -> list[str]:
    """How `fluss-agent` is started: the one installed beside this Python, else the module."""
    script = Path(sys.executable).with_name("fluss-agent")
    return [str(script)] if script.exists() else [sys.executable, "-P", "-m", "agent"]


def agent_environment() -> dict[str, str]:
    """The environment in which that module is the one beside this package, installed or not."""
    root = Path(simulator.__file__).parents[1]
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(root), os.environ.get("PYTHONPATH"))))}


class Gateway:
    """One gateway with its configuration file, started and stopped as often as wanted; it ends with the context."""

    def __init__(self, config: Path, log: Path, address: Address, gateway_id: str) -> None:
        self._config = config
        self._log = log
        self._address = address
        self._topics = Topics(gateway_id, address.prefix)
        self._process: asyncio.subprocess.Process | None = None
        self._session: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            await self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    async def start(self) -> tuple[State, float]:
        """Start it; its first word, and after how many seconds that came. Raises GatewayDied, Unreachable."""
        began = time.monotonic()
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *agent_command(),
                "run",
                "--config",
                str(self._config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=agent_environment(),
                start_new_session=True,  # Ctrl-C is for us, and we end it in order
            )
        ended = asyncio.create_task(self._process.wait())
        online = asyncio.create_task(self.state(lambda state: state.online and state.session != self._session))
        try:
            await asyncio.wait((ended, online), timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            if not online.done():
                why = f"ended with exit code {self._process.returncode}" if ended.done() else "says nothing"
                raise GatewayDied(f"the gateway {why}. Its log, {self._log}:\n{self._tail()}")
            state = await online
        finally:
            ended.cancel()
            online.cancel()
            await asyncio.gather(ended, online, return_exceptions=True)
        self._session = state.session
        return state, time.monotonic() - began

    async def state(self, wanted: Callable[[State], bool]) -> State:
        """The first state it publishes, or has published, that is wanted. Raises Unreachable."""
        found: asyncio.Future[State] = asyncio.get_running_loop().create_future()

        def hear(message: Message) -> None:
            if isinstance(message, State) and wanted(message) and not found.done():
                found.set_result(message)

        async def speak(_: Line) -> State:
            return await found

        return await converse(self._address, self._topics, hear, speak)

    async def stop(self) -> tuple[int, float]:
        """SIGTERM; its exit code, and after how many seconds it had left. What does not leave in time is killed."""
        assert self._process is not None, "not started"
        began = time.monotonic()
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                code = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        return code, time.monotonic() - began

    async def show(self, *words: str) -> None:
        """Run one of its commands, such as `users`, on our own terminal. Raises GatewayDied where it fails."""
        command = [*agent_command(), *words, "--config", str(self._config)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, env=agent_environment()
        )
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if code:
            raise GatewayDied(f"fluss-agent {' '.join(words)} ended with exit code {code}")

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL:])
