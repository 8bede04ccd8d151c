"""The lines of a board's GPIO chip, through gpiozero. Nothing of it is loaded before a relay asks for the board."""

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, Self

from agent.config_drivers import Gpio
from agent.drivers.contact import Lost

_NOT_INSTALLED = (
    "{name} is not installed: it comes with requirements/gateway.txt; where that has no lgpio for this Python, install "
    "the system's python3-lgpio, and make the environment with --system-site-packages"
)


@dataclass(frozen=True, slots=True)
class Board:
    """Whose lines they are: a pin factory of gpiozero's, and the errors that it and what lies below it raise."""

    pins: Any
    faults: tuple[type[Exception], ...]


_one_at_a_time = threading.Lock()


def board() -> Board:
    """The board we run on: one for the whole process, as gpiozero's pins are. Takes up to a second. Raises Lost."""
    with _one_at_a_time:  # two relays start at once, and the way to lgpio leads through another folder
        return _board()


@cache
def _board() -> Board:
    try:
        # lgpio makes a pipe where the process stands, which often may not be written; once open, it needs no name.
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            import lgpio  # noqa: PLC0415 -- only a gateway with a relay has it, and waits for it
        from gpiozero import GPIOZeroError  # noqa: PLC0415 -- the same
        from gpiozero.exc import PinUnknownPi  # noqa: PLC0415 -- the same
        from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415 -- the same
    except ModuleNotFoundError as error:
        raise Lost(_NOT_INSTALLED.format(name=error.name)) from error
    except OSError as error:
        raise Lost(f"lgpio does not start: {_words(error)}; may this user write in {tempfile.gettempdir()}?") from error
    try:
        return Board(LGPIOFactory(), (GPIOZeroError, OSError, lgpio.error))
    except (PinUnknownPi, FileNotFoundError) as error:
        raise Lost("this board is no Raspberry Pi, as far as /proc lets it say: a relay needs one") from error
    except (OSError, lgpio.error) as error:
        raise Lost(f"the GPIO chip does not open: {_words(error)}; may this user use /dev/gpiochip0?") from error


class _Output(Protocol):
    def on(self) -> None: ...
    def off(self) -> None: ...
    def close(self) -> None: ...


class _Input(Protocol):
    value: int
    when_activated: Callable[[], None] | None
    when_deactivated: Callable[[], None] | None

    def close(self) -> None: ...


class Wiring:
    """A relay's line, and that of its sensor, while the context is open. The relay is off before and after.

    ``moved`` is called with whether the gate is open, on a thread of its own. Everything raises Lost.
    """

    def __init__(self, board: Board, gpio: Gpio, moved: Callable[[bool], None]) -> None:
        self._board = board
        self._gpio = gpio
        self._moved = moved
        self._relay: _Output | None = None
        self._sensor: _Input | None = None

    def __enter__(self) -> Self:
        from gpiozero import DigitalInputDevice, DigitalOutputDevice  # noqa: PLC0415 -- loaded with the board

        gpio, pins = self._gpio, self._board.pins
        try:
            with self._saying(gpio.line):
                self._relay = DigitalOutputDevice(gpio.line, initial_value=False, pin_factory=pins)
            if gpio.status is not None:
                with self._saying(gpio.status):
                    # Pulled up: a contact to ground does, as do a transistor and a driven output.
                    self._sensor = DigitalInputDevice(gpio.status, pull_up=True, pin_factory=pins)
                    self._sensor.when_activated = lambda: self._moved(not gpio.open_high)
                    self._sensor.when_deactivated = lambda: self._moved(gpio.open_high)
        except Lost:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def switch(self, *, on: bool) -> None:
        """Close the relay, or open it."""
        assert self._relay is not None
        with self._saying(self._gpio.line):
            (self._relay.on if on else self._relay.off)()

    def is_open(self) -> bool | None:
        """Whether the sensor says now that the gate is open; None without one."""
        if self._sensor is None:
            return None
        with self._saying(self._gpio.status):
            low = bool(self._sensor.value)
        return low is not self._gpio.open_high

    @contextlib.contextmanager
    def _saying(self, line: int | None) -> Iterator[None]:
        try:
            yield
        except self._board.faults as error:
            raise Lost(f"GPIO line {line} does not work: {_words(error)}; check `driver` and the wiring") from error

    def _close(self) -> None:
        if self._relay is not None:
            with contextlib.suppress(*self._board.faults):
                self._relay.off()
        for line in (self._relay, self._sensor):
            if line is not None:
                with contextlib.suppress(*self._board.faults):
                    line.close()


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip("'")
