"""A relay on pins that gpiozero makes up: when it is on, for how long, and that it is off at every end."""

import asyncio
import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from gpiozero import GPIOZeroError
from gpiozero.pins.mock import MockFactory, MockPin
from structlog.testing import capture_logs

from agent.config_drivers import Gpio
from agent.drivers import gpio as chip
from agent.drivers import relay as relays
from agent.drivers import settling
from agent.drivers.contact import Lost
from agent.drivers.driver import Actuated, Offline
from agent.drivers.gpio import Board
from agent.drivers.relay import WAITING, Relay
from protocol.vocabulary import Action, Position
from tests.counterparts.hardware import DEVICE, QUICK, Heard, connected, events, lost, running
from tests.counterparts.waiting import until

PLAIN = Gpio(17, 100)
SENSED = Gpio(17, 100, 27)
PULSE_S = 0.1
REST_S = 0.05
STEADY_S = 0.2


class ChipError(Exception):
    """What lies below gpiozero raises errors of its own."""


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relays, "REST_S", REST_S)
    monkeypatch.setattr(settling, "STEADY_S", STEADY_S)


@pytest.fixture
def pins() -> Iterator[MockFactory]:
    """A Raspberry Pi's header that leads nowhere."""
    factory = MockFactory()
    yield factory
    factory.reset()


def new_relay(pins: MockFactory, gpio: Gpio = PLAIN, heard: Heard | None = None) -> Relay:
    board = Board(pins, (GPIOZeroError, ChipError))
    return Relay(DEVICE, gpio, ears=(heard or Heard()).ears, rng=Random(1), board=lambda: board, pace=QUICK)


def pulses(pin: MockPin) -> list[float]:
    """How long each pulse was, from the pin's own history of levels and the times between them."""
    return [after.timestamp for before, after in pairwise(pin.states) if before.state and not after.state]


async def test_trigger_is_one_pulse_of_its_length(pins: MockFactory) -> None:
    async with running(relay := new_relay(pins)):
        await connected(relay)
        pin = pins.pin(17)
        assert (pin.function, pin.state) == ("output", False)
        began = time.monotonic()
        assert await relay.actuate("r1", Action.TRIGGER) == Actuated(True)
        assert time.monotonic() - began < PULSE_S / 2, "it is told when the relay closes, not when it opens"
        assert pin.state
        await until(lambda: not pin.state)
        (length,) = pulses(pin)
        assert PULSE_S <= length < 3 * PULSE_S


async def test_pulses_never_overlap_and_a_motor_can_tell_them_apart(pins: MockFactory) -> None:
    async with running(relay := new_relay(pins)):
        await connected(relay)
        assert await asyncio.gather(*(relay.actuate(f"r{n}", Action.TRIGGER) for n in range(3))) == [Actuated(True)] * 3
        pin = pins.pin(17)
        await until(lambda: len(pulses(pin)) == 3)
        assert min(pulses(pin)) >= PULSE_S
        rests = [now.timestamp for before, now in pairwise(pin.states) if now.state and not before.state]
        assert min(rests[1:]) >= REST_S


async def test_more_pulses_than_may_wait_are_refused(pins: MockFactory) -> None:
    async with running(relay := new_relay(pins)):
        await connected(relay)
        answers = await asyncio.gather(*(relay.actuate(f"r{n}", Action.TRIGGER) for n in range(WAITING + 3)))
    assert answers.count(Actuated(False, "the relay is busy with earlier pulses")) == 3
    assert answers.count(Actuated(True)) == WAITING


async def test_pulse_that_nobody_waits_for_any_more_is_never_given(pins: MockFactory) -> None:
    async with running(relay := new_relay(pins)):
        await connected(relay)
        await relay.actuate("r1", Action.TRIGGER)
        waiting = asyncio.create_task(relay.actuate("r2", Action.TRIGGER))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(2 * (PULSE_S + REST_S))
        assert len(pulses(pins.pin(17))) == 1


async def test_pulse_outlives_whoever_asked_for_it(pins: MockFactory) -> None:
    """Its length is the motor's business."""
    async with running(relay := new_relay(pins)):
        await connected(relay)
        asking = asyncio.create_task(relay.actuate("r1", Action.TRIGGER))
        await until(lambda: pins.pin(17).state, every_s=0.001)
        asking.cancel()
        await until(lambda: pulses(pins.pin(17)))
        assert pulses(pins.pin(17))[0] >= PULSE_S


async def test_relay_is_off_after_a_stop_in_the_middle_of_a_pulse(pins: MockFactory) -> None:
    relay = new_relay(pins, Gpio(17, 10_000))
    async with running(relay):
        await connected(relay)
        await relay.actuate("r1", Action.TRIGGER)
        waiting = asyncio.create_task(relay.actuate("r2", Action.TRIGGER))
        pin = pins.pin(17)
        assert pin.state
    assert (pin.function, pin.state) == ("input", False)
    assert not relay.connected
    with pytest.raises(Offline):
        await waiting
    with pytest.raises(Offline):
        await relay.actuate("r3", Action.TRIGGER)


async def test_relay_is_off_from_the_start_whatever_was_before(pins: MockFactory) -> None:
    """After a kill -9 in the middle of a pulse the line may still be high."""
    pin = pins.pin(17)
    pin.function = "output"
    pin.state = True
    async with running(relay := new_relay(pins)):
        await connected(relay)
        assert not pin.state


@pytest.mark.parametrize("action", [Action.OPEN, Action.CLOSE])
async def test_open_and_close_need_a_sensor(pins: MockFactory, action: Action) -> None:
    async with running(relay := new_relay(pins)):
        await connected(relay)
        assert await relay.actuate("r1", action) == Actuated(False, "no status input: only trigger is possible")
        assert relay.position is None
    assert not pulses(pins.pin(17))


@pytest.mark.parametrize(
    ("is_open", "action", "answer"),
    [
        (True, Action.OPEN, Actuated(False, "already open")),
        (True, Action.CLOSE, Actuated(True)),
        (True, Action.TRIGGER, Actuated(True)),
        (False, Action.OPEN, Actuated(True)),
        (False, Action.CLOSE, Actuated(False, "already closed")),
        (False, Action.TRIGGER, Actuated(True)),
    ],
)
@pytest.mark.parametrize("open_high", [True, False])
async def test_sensor_decides_whether_there_is_anything_to_do(
    pins: MockFactory, is_open: bool, action: Action, answer: Actuated, open_high: bool
) -> None:
    async with running(relay := new_relay(pins, Gpio(17, 100, 27, open_high))):
        await connected(relay)
        sensor = pins.pin(27)
        assert sensor.pull == "up"
        (sensor.drive_high if is_open is open_high else sensor.drive_low)()
        expected = Position.OPEN if is_open else Position.CLOSED
        await until(lambda: relay.position is expected)
        assert await relay.actuate("r1", action) == answer
        assert pins.pin(17).state is bool(answer.ok)


async def test_position_is_known_from_the_start_and_settles_behind_a_flicker(pins: MockFactory) -> None:
    """The sensor speaks on a thread of gpiozero's; the news comes in the loop."""
    threads: list[int] = []
    ears = replace(Heard().ears, changed=lambda: threads.append(threading.get_ident()))
    board = Board(pins, (GPIOZeroError,))
    relay = Relay(DEVICE, SENSED, ears=ears, rng=Random(1), board=lambda: board)
    pins.pin(27).drive_high()
    async with running(relay):
        await connected(relay)
        await until(lambda: relay.position is Position.OPEN)
        threads.clear()
        sensor = pins.pin(27)

        def flicker() -> None:
            for _ in range(200):
                sensor.drive_low()
                sensor.drive_high()
            sensor.drive_low()

        began = time.monotonic()
        await asyncio.to_thread(flicker)
        meanwhile = relay.position
        await until(lambda: relay.position is Position.CLOSED)
        assert meanwhile is Position.OPEN
        assert 0.9 * STEADY_S < time.monotonic() - began < 2
        assert threads == [threading.get_ident()], "one piece of news, in the loop"
        await asyncio.to_thread(sensor.drive_high)
        await until(lambda: relay.position is Position.OPEN)
    assert relay.connected is False


async def test_sensor_that_speaks_after_the_end_is_not_heard(pins: MockFactory) -> None:
    relay = new_relay(pins, SENSED)
    async with running(relay):
        await connected(relay)
    relay._moved(asyncio.get_running_loop(), is_open=True)
    await asyncio.sleep(0)
    assert relay.position is None


async def test_line_that_the_header_does_not_have_is_told_and_tried_again(pins: MockFactory) -> None:
    with capture_logs() as logs:
        async with running(relay := new_relay(pins, Gpio(71, 100))):
            await until(lambda: sum(entry["event"] == "device.failed" for entry in logs) > 2)
            assert not relay.connected
    failed = events(logs, "device.failed")[0]
    assert failed["reason"] == ("GPIO line 71 does not work: 71 is not a valid pin name; check `driver` and the wiring")
    assert (failed["device_id"], failed["place"]) == (DEVICE, "gpio://71?pulse_ms=100")


async def test_sensor_that_cannot_be_had_frees_the_relay_again(pins: MockFactory) -> None:
    async with running(relay := new_relay(pins, Gpio(17, 100, 71))):
        await until(lambda: relay._contact._backoff.failures > 2)
        assert pins.pin(17).function == "input"


async def test_chip_that_breaks_in_the_middle_is_taken_anew(pins: MockFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    with capture_logs() as logs:
        async with running(relay := new_relay(pins)):
            await connected(relay)
            pin = pins.pin(17)
            with monkeypatch.context() as broken:

                def refuse(_: object, value: bool) -> None:
                    if value:
                        raise ChipError("GPIO busy")

                broken.setattr(type(pin), "_set_state", refuse)
                answer = await relay.actuate("r1", Action.TRIGGER)
                assert answer.ok is False
                assert answer.error == "GPIO line 17 does not work: GPIO busy; check `driver` and the wiring"
                await lost(relay)
            await connected(relay)
            assert await relay.actuate("r2", Action.TRIGGER) == Actuated(True)
    assert events(logs, "device.lost")


async def test_relay_has_nobody_to_answer(pins: MockFactory) -> None:
    relay = new_relay(pins)
    relay.grant("r1")
    relay.refuse("r1", "expired")
    async with running(relay):
        await connected(relay)
        relay.grant("r1")
        relay.refuse("r1", "expired")
        assert relay.connected


@pytest.fixture
def fresh_board() -> Iterator[None]:
    chip._board.cache_clear()
    yield
    chip._board.cache_clear()


@pytest.mark.usefixtures("fresh_board")
@pytest.mark.parametrize("missing", ["gpiozero", "lgpio"])
async def test_library_that_is_not_installed_is_told_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, "lgpio", type(sys)("lgpio"))
    monkeypatch.setitem(sys.modules, missing, None)
    relay = Relay(DEVICE, PLAIN, ears=Heard().ears, rng=Random(1), pace=QUICK)
    with capture_logs() as logs:
        async with running(relay):
            await until(lambda: events(logs, "device.failed"))
            assert not relay.connected
    reason = events(logs, "device.failed")[0]["reason"]
    assert f"{missing} is not installed" in reason
    assert "requirements/gateway.txt" in reason
    assert "python3-lgpio" in reason


@pytest.mark.usefixtures("fresh_board")
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory"), "this board is no Raspberry Pi"),
        (PermissionError(13, "Permission denied"), "the GPIO chip does not open: Permission denied"),
        (ChipError("can not open gpiochip"), "the GPIO chip does not open: can not open gpiochip; may this user"),
    ],
)
def test_chip_that_does_not_open_is_told_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def factory() -> None:
        raise error

    below, above = type(sys)("lgpio"), type(sys)("gpiozero.pins.lgpio")
    vars(below)["error"] = ChipError
    vars(above)["LGPIOFactory"] = factory
    monkeypatch.setitem(sys.modules, "lgpio", below)
    monkeypatch.setitem(sys.modules, "gpiozero.pins.lgpio", above)
    with pytest.raises(Lost, match=f"^{words}"):
        chip.board()


@pytest.mark.skipif(importlib.util.find_spec("lgpio") is None, reason="lgpio has no wheel for this Python")
def test_real_chip_leaves_no_trace_where_the_process_stands(tmp_path: Path) -> None:
    """The library makes a pipe in the working directory, which in a service is read-only."""
    script = (
        "import os; from agent.drivers import contact, gpio\n"
        "try: gpio.board()\n"
        "except contact.Lost as why: print(why)\n"
        "else: print('a Raspberry Pi')\n"
        "print(os.getcwd(), os.listdir())"
    )
    root = Path(__file__).parents[2]
    answer = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    board, place = answer.stdout.splitlines()
    assert "Raspberry Pi" in board or "does not open" in board
    assert place == f"{tmp_path} []"
    assert not answer.stderr


def test_two_relays_that_start_at_once_ask_for_the_board_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The way to lgpio leads through another folder, which is the whole process's."""
    inside, most = 0, 0

    def slowly() -> chip.Board:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.05)
        inside -= 1
        return chip.Board(None, ())

    monkeypatch.setattr(chip, "_board", slowly)
    with ThreadPoolExecutor(3) as threads:
        assert len(list(threads.map(lambda _: chip.board(), range(3)))) == 3
    assert most == 1
