"""The driver that a configuration asks for, and what it costs those who ask for another."""

import asyncio
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from agent.config import Device
from agent.drivers.driver import Driver, Offline
from agent.drivers.line import Line
from agent.drivers.made import Nothing, driver_for
from agent.drivers.relay import Relay
from protocol.vocabulary import Action, Kind
from tests.counterparts.hardware import DEVICE, Heard, connected, listening, running


def made(driver: str) -> Driver:
    device = Device.model_validate(
        {"id": DEVICE, "kind": Kind.FLUSS, "timezone": "UTC", "driver": driver}, context=None
    )
    return driver_for(device, Heard().ears, Random(1))


@pytest.mark.parametrize(
    ("driver", "kind", "place"),
    [
        ("tcp://127.0.0.1:9000", Line, "tcp://127.0.0.1:9000"),
        ("serial:///dev/ttyUSB0", Line, "serial:///dev/ttyUSB0?baud=115200"),
        ("gpio://17?status=27", Relay, "gpio://17?pulse_ms=500&status=27&open=high"),
    ],
)
def test_driver_is_the_one_configured(driver: str, kind: type[Line | Relay], place: str) -> None:
    driven = made(driver)
    assert isinstance(driven, kind)
    assert driven._contact._facts == {"device_id": DEVICE, "place": place}
    assert not driven.connected
    assert driven.position is None


async def test_driver_dials_what_is_configured() -> None:
    async with listening() as hardware, running(line := made(str(hardware.address))):
        await hardware.met()
        await connected(line)


async def test_no_driver_is_nobody_there() -> None:
    nothing = made("none")
    assert isinstance(nothing, Nothing)
    async with running(nothing):
        await asyncio.sleep(0)
        nothing.grant("r1")
        nothing.refuse("r1", "expired")
        assert (nothing.connected, nothing.position) == (False, None)
        with pytest.raises(Offline, match="no driver"):
            await nothing.actuate("r1", Action.TRIGGER)


def test_libraries_of_other_wires_are_not_loaded() -> None:
    """A gateway whose devices are on TCP neither waits for the others' libraries nor needs them to be there."""
    root = Path(__file__).parents[2]
    script = "import agent.drivers.made, sys; print({'serialx', 'gpiozero', 'lgpio'} & set(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, timeout=30, check=True
    )
    assert answer.stdout.strip() == "set()"
