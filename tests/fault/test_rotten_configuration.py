"""A card that changes the configuration behind everybody's back: a real ext4, changed while it is out.

What the file said before counts, until somebody writes it; what somebody writes counts, mistakes and all.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent import exits
from tests.counterparts.agent import COMMAND, ROOT, Agent
from tests.counterparts.cloud import Cloud, part, people
from tests.counterparts.mosquitto import Mosquitto
from tests.counterparts.signer import Signer, trusting

BYTES = 24 << 20
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


class Card:
    """A memory card in its slot, or out of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "card"
        self._image = folder / "card.img"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(BYTES)
        self._run("mkfs.ext4", "-q", "-F", self._image)

    async def insert(self) -> None:
        """Have what it holds in its folder. Raises CalledProcessError where this user may not."""
        await asyncio.to_thread(self._run, "mount", "-o", "loop,noatime", self._image, self.path)

    async def eject(self) -> None:
        """Write what is to be written, and take it out."""
        await asyncio.to_thread(self._run, "umount", self.path)

    def rot(self, text: bytes, into: bytes) -> None:
        """What was this is that, wherever it stands; of the same length."""
        assert len(text) == len(into)
        before = self._image.read_bytes()
        assert text in before
        self._image.write_bytes(before.replace(text, into))

    def _run(self, program: str, *words: str | Path) -> None:
        command = [shutil.which(program, path=PATH) or program, *words]
        subprocess.run(command, check=True, capture_output=True, timeout=20)


@pytest.fixture
async def card(tmp_path: Path) -> AsyncIterator[Card]:
    found = Card(tmp_path)
    try:
        await found.insert()
    except subprocess.CalledProcessError:
        pytest.skip("this user may not mount a card")
    try:
        yield found
    finally:
        if found.path.is_mount():
            await found.eject()


def checked(agent: Agent, systemd: Mapping[str, str]) -> str:
    """What `check-config` warns of."""
    command = [*COMMAND, "check-config", "--config", str(agent.file)]
    environment = {**os.environ, **systemd, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20, env=environment).stderr


async def test_gate_goes_on_with_what_its_configuration_said(mosquitto: Mosquitto, tmp_path: Path, card: Card) -> None:
    signer = Signer("cloud-2026")
    home = card.path / "gw"
    (home / "state").mkdir(parents=True)  # as systemd has done
    systemd = {"STATE_DIRECTORY": str(home / "state")}
    agent = Agent(home, mosquitto.port, settings=trusting(home, signer), environment=systemd)
    key_file = home / signer.file(home)
    good, key = agent.file.read_bytes(), key_file.read_bytes()
    shown = key[key.index(b'"x":') :][:20]

    async with Cloud(mosquitto.port) as cloud, ended(agent):
        for revision, changes in enumerate(
            [
                [(b'gateway_id = "gw-1"', b'gateway_id = "gw-9"')],  # it says something, and something else
                [(b"[mqtt]\nhost", b"\xffmqtt]\nhost"), (shown, shown.replace(b'"x"', b'"y"'))],  # it says nothing
            ],
            1,
        ):
            await agent.online(cloud)
            await cloud.send(signer.signs(part(f"b{revision}", revision, people([revision]))))
            await cloud.outcome(f"b{revision}", "complete")
            assert await agent.stop() == exits.OK
            await card.eject()
            for text, into in changes:
                card.rot(text, into)
            await card.insert()

        await agent.online(cloud)
        assert {line["path"] for line in agent.logged("config.rotten")} == {str(agent.file), str(key_file)}
        await cloud.send(signer.signs(part("b9", 9, people([9]))))
        await cloud.outcome("b9", "complete")
        assert len(await agent.users()) == 3
        assert await agent.stop() == exits.OK
        told = await asyncio.to_thread(checked, agent, systemd)
        assert f"warning: {agent.file}: nobody has written to it" in told

        agent.file.write_bytes(good.replace(b"[mqtt]", b"[mqtt "))
        agent.launch()
        assert await agent.ends() == exits.CONFIG
        agent.file.write_bytes(good)
        key_file.write_bytes(key)
        await agent.online(cloud)
        assert agent.logged("config.rotten") == []
        assert await agent.stop() == exits.OK


@asynccontextmanager
async def ended(agent: Agent) -> AsyncIterator[None]:
    """Nothing of it is left at the end: a card in use cannot be taken out."""
    try:
        yield
    finally:
        await agent.kill9()
