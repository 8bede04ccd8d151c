"""A gateway beside us: `fluss-agent` as a process of its own, the way it runs on a board."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Self, TypeVar

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

T = TypeVar("T")


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
    """One gateway with its configuration file, started and stopped as often as wanted; it ends with the context.

    `address` is where we hear what it says. `environment` is set on top of our own while it runs.
    """

    def __init__(
        self,
        config: Path,
        log: Path,
        address: Address,
        gateway_id: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._config = config
        self._log = log
        self._address = address
        self._topics = Topics(gateway_id, address.prefix)
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._session: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.running:
            await self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> tuple[State, float]:
        """Start it; its first word, and after how many seconds that came. Raises GatewayDied, Unreachable."""
        began = time.monotonic()
        state = await self.start_until(self.state(lambda state: state.online and state.session != self._session))
        self._session = state.session
        return state, time.monotonic() - began

    async def start_until(self, ready: Awaitable[T]) -> T:
        """Start it, and wait for something that shows that it works. Raises GatewayDied, and what `ready` raises."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *agent_command(),
                "run",
                "--config",
                str(self._config),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**agent_environment(), **self._environment},
                start_new_session=True,  # Ctrl-C is for us, and we end it in order
            )
        ended = asyncio.ensure_future(self._process.wait())
        awaited = asyncio.ensure_future(ready)
        try:
            await asyncio.wait((ended, awaited), timeout=START_S, return_when=asyncio.FIRST_COMPLETED)
            if not awaited.done():
                why = f"ended with exit code {self._process.returncode}" if ended.done() else "says nothing"
                raise GatewayDied(f"the gateway {why}. Its log, {self._log}:\n{self._tail()}")
            return await awaited
        finally:
            ended.cancel()
            awaited.cancel()
            await asyncio.gather(ended, awaited, return_exceptions=True)

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

    async def kill(self) -> int:
        """SIGKILL, as a power cut ends it; the process id it had."""
        assert self._process is not None, "not started"
        self._process.kill()
        await self._process.wait()
        return self._process.pid

    async def show(self, *words: str, code: int = 0) -> None:
        """Run one of its commands, such as `users`, on our own terminal. Raises GatewayDied if it ends otherwise."""
        await self._run(words, None, code)

    async def read(self, *words: str) -> bytes:
        """What one of its commands writes to its standard output. Raises GatewayDied where it fails."""
        return await self._run(words, asyncio.subprocess.PIPE, 0)

    async def _run(self, words: tuple[str, ...], output: int | None, code: int) -> bytes:
        command = [*agent_command(), *words, "--config", str(self._config)]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, env=agent_environment()
        )
        try:
            written, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode != code:
            raise GatewayDied(f"fluss-agent {' '.join(words)} ended with exit code {process.returncode}")
        return written or b""

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL:])
