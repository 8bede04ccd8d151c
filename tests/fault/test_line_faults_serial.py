"""A cable that is pulled, a port that somebody else has, and what is no port at all."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.config_drivers import Serial
from protocol.hardware import Granted
from protocol.vocabulary import Action
from tests.counterparts.hardware import Heard, dials, events, lost, met_on, plugged_in, running, works
from tests.counterparts.waiting import until


async def test_cable_that_is_pulled_and_put_back(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    heard = Heard()
    line = dials(Serial(str(port), 115_200), heard)
    with capture_logs() as logs:
        async with running(line):
            await until(lambda: events(logs, "device.failed"))
            async with plugged_in(port) as end:
                await met_on(end, line)
                moving = asyncio.create_task(line.actuate("r1", Action.TRIGGER))
                await end.hears()
            assert (await moving).ok is None
            await lost(line)
            async with plugged_in(port) as end:
                await met_on(end, line)
                assert await works(line, heard, end)
    reasons = [entry["reason"] for entry in events(logs, "device.failed")]
    assert reasons[0] == f"{port} is not there: check `driver`, and that the cable is plugged in"
    assert events(logs, "device.lost")[0]["reason"].startswith("the line broke: ")


async def test_telling_a_cable_that_was_just_pulled(tmp_path: Path) -> None:
    """The port says so before anybody has noticed; that is no crash."""
    port = tmp_path / "ttyUSB0"
    line = dials(Serial(str(port), 115_200), Heard())
    async with running(line):
        async with plugged_in(port) as end:
            await met_on(end, line)
            talk = line._talk
            assert talk is not None
        for _ in range(50):
            talk.tell(Granted(request_id="r1"))
            await asyncio.sleep(0.001)
        await lost(line)


async def test_port_that_another_program_uses(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    with capture_logs() as logs:
        async with plugged_in(port) as end, running(first := dials(Serial(str(port), 9_600), Heard())):
            await met_on(end, first)
            async with running(dials(Serial(str(port), 9_600), Heard())):
                await until(lambda: events(logs, "device.failed"))
            assert first.connected
    assert events(logs, "device.failed")[0]["reason"] == (
        f"{port} is in use by another program: end it, or take another port"
    )


@pytest.mark.parametrize(("path", "words"), [("/dev/null", "is no serial port"), ("/dev", "is no serial port")])
async def test_path_that_is_no_serial_port(path: str, words: str) -> None:
    with capture_logs() as logs:
        async with running(dials(Serial(path, 9_600), Heard())):
            await until(lambda: events(logs, "device.failed"))
    assert words in events(logs, "device.failed")[0]["reason"]
