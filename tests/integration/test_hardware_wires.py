"""The wires a gateway dials: ports that are taken, terminals that are opened, cables that are pulled out."""

import asyncio
import os
import pty
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import serialx

from protocol.hardware import Actuate, Hello
from protocol.vocabulary import Action
from simulator import exits, hardware, wire
from simulator.gate import Gate
from simulator.happening import What
from simulator.motor import Motion
from simulator.wire import NoWire, listening, pseudo_terminal, serial_port
from tests.counterparts.dialler import Dialler
from tests.counterparts.waiting import until
from tests.integration.test_hardware import GATE, whats


async def test_terminal_is_met_anew_by_everybody_who_opens_it() -> None:
    gate = Gate(GATE, travel_s=60)
    async with gate, pseudo_terminal(gate.meet) as url:
        for number in range(3):
            async with Dialler(url) as gateway:
                await gateway.hears(Hello)
                assert (await gateway.did(f"r-{number}")).ok
            await until(lambda: not gate.connected)


async def test_terminal_does_not_echo_to_whoever_opens_it_as_it_is() -> None:
    gate = Gate(GATE)
    async with gate, pseudo_terminal(gate.meet) as url:
        fd = os.open(urlsplit(url).path, os.O_RDWR | os.O_NOCTTY)
        await until(lambda: gate.connected)
        os.write(fd, Actuate(request_id="r-1", action=Action.OPEN).line())
        await until(lambda: gate.motion is Motion.OPENING)
        os.close(fd)
        await until(lambda: not gate.connected)
    assert What.GARBLED not in whats(gate), "it does not hear itself"


async def test_terminal_greets_again_after_a_drop_and_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a serial port throws away what had come before."""
    monkeypatch.setattr(hardware, "GREETING_S", 0.1)
    gate = Gate(GATE)
    async with gate, pseudo_terminal(gate.meet) as url, Dialler(url) as gateway:
        for _ in range(3):
            await gateway.hears(Hello)
        gate.drop()
        await until(lambda: What.GONE in whats(gate))
        await until(lambda: gate.connected)
        await gateway.hears(Hello)
        assert (await gateway.did("r-1")).ok


class SerialPort:
    """A serial port under a name of its own; a terminal stands for it, and its other end for the gateway."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said = b""
        self._ours, self._theirs = pty.openpty()
        os.set_blocking(self._ours, False)
        path.symlink_to(os.ttyname(self._theirs))

    def close(self) -> None:
        """Pull it out."""
        os.close(self._ours)
        os.close(self._theirs)
        self.path.unlink()

    def say(self, message: Actuate) -> None:
        os.write(self._ours, message.line())

    async def says(self, words: bytes, times: int = 1) -> None:
        """Wait until the hardware has said this so often. Raises TimedOutError."""
        await until(lambda: self._all().count(words) >= times, what=f"{words!r} in {self.said!r}")

    def _all(self) -> bytes:
        with suppress(BlockingIOError):
            self.said += os.read(self._ours, 65_536)
        return self.said


async def test_serial_port_is_one_long_conversation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "GREETING_S", 0.1)
    path = tmp_path / "ttyUSB0"
    gate = Gate(GATE)
    with closing(SerialPort(path)) as port:
        async with gate, serial_port(gate.meet, path=path, baud=9_600) as url:
            assert url == f"serial://{path}?baud=9600"
            port.say(Actuate(request_id="r-1", action=Action.OPEN))
            await port.says(b'"actuated"')
            await port.says(b'"hello"', 3)
            assert b'"actuate"' not in port.said, "no echo"
    assert gate.motion is Motion.OPENING


async def test_serial_port_that_is_pulled_out_is_used_again_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wire, "_REOPEN_S", 0.05)
    path = tmp_path / "ttyUSB0"
    gate = Gate(GATE)
    port = SerialPort(path)
    async with gate, serial_port(gate.meet, path=path):
        await port.says(b'"hello"')
        port.close()
        await until(lambda: not gate.connected)
        with closing(SerialPort(path)) as back:
            await back.says(b'"hello"')
            back.say(Actuate(request_id="r-1", action=Action.OPEN))
            await back.says(b'"actuated"')


async def test_wire_that_cannot_be_had_says_why_and_what_to_do(tmp_path: Path) -> None:
    gate = Gate(GATE)
    async with gate, listening(gate.meet) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(NoWire, match=f"no hardware on 127.0.0.1:{port}: Address already in use; take another"):
            await listening(gate.meet, port=port).__aenter__()
    with pytest.raises(NoWire, match=r"no hardware on no\.such\.host\.invalid:1: .*; take another address"):
        await listening(gate.meet, host="no.such.host.invalid", port=1).__aenter__()
    with pytest.raises(NoWire, match="ttyUSB7: No such file or directory; check the path"):
        await serial_port(gate.meet, path=tmp_path / "ttyUSB7").__aenter__()
    (tmp_path / "file").touch()
    with pytest.raises(NoWire, match="Inappropriate ioctl for device; check the path"):
        await serial_port(gate.meet, path=tmp_path / "file").__aenter__()
    assert NoWire.exit_code == exits.IO


@pytest.mark.parametrize(
    "error", [serialx.UnsupportedSetting("baudrate"), RuntimeError("Baudrate verification failed")]
)
async def test_speed_that_a_port_does_not_have_is_named(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which speeds those are is between the adapter and its driver: no terminal here refuses any."""

    async def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(serialx, "open_serial_connection", refuse)
    with pytest.raises(NoWire, match="ttyUSB0 does not work at 12345 baud: 115200 is usual"):
        await serial_port(Gate(GATE).meet, path=Path("/dev/ttyUSB0"), baud=12_345).__aenter__()


async def test_bug_in_a_conversation_ends_who_has_the_wire() -> None:
    """It comes up there at once, as itself."""

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    async def have() -> None:
        async with listening(broken) as url, Dialler(url):
            await asyncio.sleep(30)

    began = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        await have()
    assert time.monotonic() - began < 10
    us = asyncio.current_task()
    assert us is not None
    assert us.cancelling() == 0, "whoever caught it goes on as if never told to stop"
