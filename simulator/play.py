"""Devices on a bench, and somebody who plays the people and the mishaps at them until told to stop."""

import asyncio
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Final, assert_never

from rich.console import Console

from protocol.mobile import Numbers
from protocol.vocabulary import Kind
from simulator.asides import Asides
from simulator.board import Board
from simulator.gate import Gate
from simulator.happening import in_words
from simulator.hardware import Hardware
from simulator.keyboard import Keyboard
from simulator.orders import HELP, Accept, Ask, ByHand, NoOrder, Order, Use, understood
from simulator.wire import Wire

_KINDS: Final = {Kind.FLUSS: "Fluss+", Kind.INTERCOM: "intercom"}


@dataclass(frozen=True, slots=True)
class Fitting:
    """A device and the wire it hangs on."""

    device: Hardware
    wire: Wire


async def play(
    console: Console, fittings: Sequence[Fitting], numbers: Numbers, *, watched: bool, drop_every_s: float | None
) -> None:
    """Have these devices on their wires and do what is typed, until `quit`, Ctrl-C or SIGTERM. Raises NoWire.

    `watched`: with a view that is drawn anew instead of lines. `drop_every_s`: how often each connection is cut, by and
    large.
    """
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    devices = [fitting.device for fitting in fittings]
    async with AsyncExitStack() as stack:
        asides = await stack.enter_async_context(Asides())
        keyboard = Keyboard(devices[0].name if len(devices) > 1 else "")
        board = Board(console, devices, live=watched, typed=lambda: keyboard.line)
        player = _Player(devices, numbers, board, keyboard, asides, stop)
        for fitting in fittings:
            device = await stack.enter_async_context(fitting.device)
            address = await stack.enter_async_context(fitting.wire(device.meet))
            device.notice = board.add
            board.say(*_introduction(device, address))
            if drop_every_s is not None:
                asides.begin(_drop_now_and_then(device, drop_every_s, Random(device.device_id)))  # noqa: S311 -- mishaps
        board.say("help says what can be played; Ctrl-C ends it.")
        await stack.enter_async_context(board)
        stack.enter_context(keyboard.open(sys.stdin.fileno() if sys.stdin else -1, player.hear, unechoed=watched))
        await stop.wait()


class _Player:
    def __init__(
        self,
        devices: Sequence[Hardware],
        numbers: Numbers,
        board: Board,
        keyboard: Keyboard,
        asides: Asides,
        stop: asyncio.Event,
    ) -> None:
        self._devices = devices
        self._device = devices[0]
        self._numbers = numbers
        self._board = board
        self._keyboard = keyboard
        self._asides = asides
        self._stop = stop

    def hear(self, line: str) -> None:
        """Do what a line says, or say what is wrong with it."""
        if not line.strip():
            return
        try:
            self._obey(understood(line, self._numbers))
        except NoOrder as why:
            self._board.say(str(why))

    def _obey(self, order: Order) -> None:
        device = self._device
        match order:
            case Ask() | Accept():
                self._asides.begin(_come(order, device))
            case ByHand():
                if not isinstance(device, Gate):
                    raise NoOrder(f"{device.name} is an intercom: it has nothing to move")
                if (why := device.by_hand(order.action)) is not None:
                    raise NoOrder(f"{device.name} {in_words(why)}")
            case Use():
                self._device = self._named(order.device)
                self._keyboard.prompt = self._device.name
                self._board.say(f"What is typed now is for {self._device.name}.")
            case "drop":
                device.drop()
            case "silent":
                device.go_silent()
            case "garbage":
                device.babble()
            case "deaf" | "mute" | "well":
                device.deaf, device.mute = order == "deaf", order == "mute"
                self._board.say(f"{device.name} is {order}.")
            case "help":
                self._board.say(*HELP)
            case "quit":
                self._stop.set()
            case _:
                assert_never(order)

    def _named(self, name: str) -> Hardware:
        """The device of this id, or the only one whose name begins so."""
        found = [each for each in self._devices if each.device_id == name] or [
            each for each in self._devices if each.name.casefold().startswith(name.casefold())
        ]
        if len(found) != 1:
            there = ", ".join(f"{each.name} ({each.device_id})" for each in self._devices)
            raise NoOrder(f"use which one? There is {there}")
        return found[0]


async def _come(order: Ask | Accept, device: Hardware) -> None:
    """Somebody comes and does what they came for; whoever looks sees what becomes of it."""
    if isinstance(order, Accept):
        await device.accept(order.mobile)
        return
    await device.ask(
        order.mobile,
        code=order.code,
        channel=order.channel,
        action=order.action,
        unit=order.unit,
        direction=order.direction,
    )


async def _drop_now_and_then(device: Hardware, every_s: float, rng: Random) -> None:
    while True:
        await asyncio.sleep(rng.uniform(0.5 * every_s, 1.5 * every_s))
        device.drop()


def _introduction(device: Hardware, address: str) -> Iterable[str]:
    sensor = f", {'with' if device.sensor else 'without'} a sensor" if isinstance(device, Gate) else ""
    name = f"{device.name} ({device.device_id})" if device.name != device.device_id else device.device_id
    yield f"{name}: {_KINDS[device.kind]}{sensor}, at {address}"
    yield f'  its [[devices]] in the gateway\'s file needs  driver = "{address}"'
