"""A real `fluss-agent run`, with a configuration and a state directory of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Self

from tests.counterparts.cloud import GATE, GATEWAY, PANEL, Cloud
from tests.counterparts.ports import LOOPBACK
from tests.counterparts.program import Program
from tests.counterparts.waiting import until

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-P", "-m", "agent")

Settings = Mapping[str, Mapping[str, object]]
Protocol = Literal["5", "3.1.1"]

Devices = Mapping[str, Mapping[str, object]]

_DEVICES: Devices = {
    GATE: {"name": "Main gate", "kind": "fluss+"},
    PANEL: {"name": "Entrance panel", "kind": "intercom", "opens": GATE},
}
_DEVICE: Mapping[str, object] = {"timezone": "Africa/Johannesburg", "max_users": 20_000, "driver": "none"}


class Agent:
    """The daemon of the gateway ``gw-1`` with a gate and a panel, towards a broker on ``port``.

    ``settings`` are further tables of the configuration file; its clock is trusted unless they say otherwise.
    ``devices`` are further keys of its devices, by id; an id of its own is a further device.
    ``environment`` is set on top of this process's own. ``command`` is how it is started, where not by its own name.
    """

    def __init__(
        self,
        home: Path,
        port: int,
        *,
        protocol: Protocol = "5",
        settings: Settings | None = None,
        devices: Devices | None = None,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.file = home / "agent.toml"
        self.state_dir = home / "state"
        self.store = self.state_dir / "gateway.db"
        self.log_file = home / "agent.log"
        self.options: tuple[str, ...] = ()
        """Of `fluss-agent run`, from its next start on."""
        self._port = port
        self._command = command
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        self._program: Program | None = None
        self._before = ""
        self.configure(protocol, settings, devices)

    def configure(
        self, protocol: Protocol = "5", settings: Settings | None = None, devices: Devices | None = None
    ) -> None:
        """Write its configuration file anew, for the next start."""
        tables: dict[str, dict[str, object]] = {
            "mqtt": {"host": LOOPBACK, "port": self._port, "protocol": protocol},
            "clock": {"trust": "system"},
        }
        for name, table in (settings or {}).items():
            tables[name] = {**tables.get(name, {}), **table}
        lines = [f'gateway_id = "{GATEWAY}"', 'state_dir = "state"']
        for name, table in tables.items():
            lines += [f"[{name}]", *_keys(table)]
        for device_id in dict.fromkeys([*_DEVICES, *(devices or {})]):
            keys = {"id": device_id, **_DEVICE, **_DEVICES.get(device_id, {}), **(devices or {}).get(device_id, {})}
            lines += ["[[devices]]", *_keys(keys)]
        self.file.write_text("\n".join([*lines, ""]))

    async def __aenter__(self) -> Self:
        self.launch()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.kill9()

    @property
    def running(self) -> bool:
        return self._program is not None and self._program.running

    @property
    def pid(self) -> int:
        return self._started.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number where one ended it."""
        return self._started.exit_code

    @property
    def log(self) -> str:
        """What it has written to its log since its latest start."""
        return self._started.output()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The events of one kind in that log."""
        lines = [json.loads(line) for line in self.log.splitlines(keepends=True) if line.endswith("}\n")]
        return [line for line in lines if line["event"] == event]

    def note(self) -> dict[str, Any]:
        """What it says of its link in ``status.json``; empty where there is none yet."""
        file = self.state_dir / "status.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def launch(self, *under: str) -> None:
        """Start it, where given as what another program runs, and return at once."""
        self._program = Program(
            [*under, *self._command, "run", "--config", self.file, *self.options],
            self.log_file,
            env=self._environment,
            cwd=Path("/"),
        )
        self._program.start()

    async def online(self, cloud: Cloud, *under: str, within_s: float = 20) -> None:
        """Start it, and return once ``cloud`` has heard from it, or it has ended."""
        before = cloud.state.get("session")
        self.launch(*under)
        await until(
            lambda: not self.running or (cloud.state.get("online") is True and cloud.state["session"] != before),
            within_s=within_s,
            what=f"the gateway online; its log: {self.log_file}",
        )

    async def says(self, event: str, within_s: float = 15) -> dict[str, Any]:
        """The first event of a kind in its log since its latest start, once it is there."""
        found = await until(lambda: self.logged(event), within_s=within_s, what=f"{event} in {self.log_file}")
        return found[0]

    async def stop(self, within_s: float = 10) -> int:
        """SIGTERM, and its exit code. Raises subprocess.TimeoutExpired if it takes longer."""
        return await asyncio.to_thread(self._started.stop, within_s)

    async def ends(self, within_s: float = 10) -> int:
        """Its exit code, once it has ended by itself. Raises subprocess.TimeoutExpired."""
        return await asyncio.to_thread(self._started.wait, within_s)

    async def kill9(self) -> None:
        """SIGKILL, to whatever it runs under as well."""
        if self._program is not None:
            await asyncio.to_thread(self._program.kill9)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to what was launched."""
        self._started.signal(number)

    async def users(self) -> list[dict[str, Any]]:
        """The list as `fluss-agent users` shows it."""
        return [dict(user) for user in json.loads(await self.command("users", "--format", "json"))]

    async def command(self, *words: str) -> str:
        """What one of its commands prints."""
        asked = await asyncio.create_subprocess_exec(
            *COMMAND, *words, "--config", self.file, stdout=asyncio.subprocess.PIPE, env=self._environment, cwd="/"
        )
        async with asyncio.timeout(20):
            answer, _ = await asked.communicate()
        assert asked.returncode == 0, f"{words} ended with {asked.returncode}"
        return answer.decode()

    @property
    def _started(self) -> Program:
        assert self._program is not None, "not started"
        return self._program


def _keys(table: Mapping[str, object]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


@asynccontextmanager
async def gateway(
    home: Path,
    port: int,
    *,
    protocol: Protocol = "5",
    settings: Settings | None = None,
    devices: Devices | None = None,
    through: int | None = None,
) -> AsyncIterator[tuple[Agent, Cloud]]:
    """An agent that is online, and the cloud it talks to, over the broker on ``port``.

    ``through`` is the port of a proxy that the agent dials instead.
    """
    async with Cloud(port) as cloud:
        agent = Agent(home, through or port, protocol=protocol, settings=settings, devices=devices)
        try:
            await agent.online(cloud)
            assert agent.running, agent.log
            yield agent, cloud
        finally:
            await agent.kill9()


def strace(calls: str, action: str, *, when: str, log: Path | str = "/dev/null") -> Sequence[str]:
    """What to launch an agent under, so that ``action`` befalls the ``when``-th of these system calls of each thread.

    See "Tampering" in strace(1). The calls are written to ``log``, those that were tampered with marked `INJECTED`.
    """
    injected = f"inject={calls}:{action}:when={when}"
    return ("strace", "-f", "-q", "-o", str(log), "-e", f"trace={calls}", "-e", injected)
