"""`fluss-simulator cloud watch`: what a gateway says, as it comes."""

import asyncio
import secrets
from contextlib import suppress
from datetime import datetime
from random import Random
from typing import Final, Unpack

import click
from rich.console import Console
from rich.text import Text

from protocol.topics import Topics
from protocol.vocabulary import Command
from simulator.commands import Target, Where, find_target, target_options
from simulator.delivery import command
from simulator.line import Line, converse
from simulator.messages import Event, Message, Receipt, Reply, State, Statuses, Unreadable
from simulator.sequence import Arrival, Sequence
from simulator.terminal import coloured, make_console, print_lines, shown
from simulator.trouble import Unreachable

_LOOK_S: Final = 3.0
_LONGEST_PAUSE_S: Final = 30.0
_FRESH: Final = frozenset({Arrival.NEW, Arrival.NEW_EPOCH})


@click.command()
@target_options
def watch(**options: Unpack[Where]) -> None:
    """Show what a gateway says as it comes, until Ctrl-C."""
    target = find_target(options, listens=True)
    with suppress(KeyboardInterrupt):
        asyncio.run(_Watch(target, make_console(), make_console(stderr=True)).run())


class _Watch:
    def __init__(self, target: Target, out: Console, say: Console) -> None:
        self._target = target
        self._out = out
        self._say = say
        self._sequence = Sequence()
        self._events = Sequence()
        self._asked: set[tuple[str, int, int]] = set()

    async def run(self) -> None:
        rng = Random(secrets.randbits(64))  # noqa: S311 -- jitter, not secrets
        topics = Topics(self._target.gateway_id, self._target.address.prefix)
        failures = 0
        while True:
            try:
                await converse(self._target.address, topics, self._hear, self._ask)
            except Unreachable as why:
                if self._sequence.epoch is None and failures == 0:
                    raise
                print_lines(self._say, Text(f"{why}. Trying again.", style="yellow"))
            failures += 1
            await asyncio.sleep(rng.uniform(0, min(_LONGEST_PAUSE_S, 2.0 ** min(failures, 8))))

    async def _ask(self, line: Line) -> None:
        """Ask for what is missing, once for each gap: what the gateway no longer has does not come back."""
        while True:
            await asyncio.sleep(_LOOK_S)
            missing = {("Report", *gap) for gap in self._sequence.gaps()} | {
                ("Event", *gap) for gap in self._events.gaps()
            }
            for what, first, last in sorted(missing - self._asked):
                fields = {f"from{what}": first, f"through{what}": last}
                asked = command(self._target.gateway_id, Command.REPORT, epoch=self._sequence.epoch, **fields)
                await line.send_command(asked)
            self._asked = missing

    def _hear(self, message: Message) -> None:
        match message:
            case State():
                if message.online:
                    self._sequence.begin(message.epoch, message.reports.newest)
                    self._events.begin(message.epoch, message.events.newest)
                self._print("state", _state_words(message))
            case Receipt() if self._is_new(message):
                part = "" if message.part is None else f" part {message.part} of {message.parts}"
                counts = ", ".join(f"{count} {outcome}" for outcome, count in message.counts.items())
                why = "" if message.error is None else f" {message.error.code}: {message.error.message}"
                self._print(
                    "receipt", Text(f"{message.batch_id}{part} ") + coloured(message.outcome) + f" {counts}{why}"
                )
            case Statuses() if self._is_new(message):
                for result in message.results:
                    why = "" if result.error is None else result.error.message or result.error.code
                    words = Text(f"{result.mobile} at {result.device_id} ") + coloured(result.outcome) + " "
                    self._print("status", words + coloured(result.status or "") + f" {result.reason or why}")
            case Event() if self._events.take(message.epoch, message.event_id) in _FRESH:
                self._print("event", _event_words(message))
            case Reply():
                self._print("reply", f"{message.command_id} {message.outcome}")
            case Unreadable(topic, why):
                self._print("unreadable", f"{topic}: {why}")

    def _is_new(self, report: Receipt | Statuses) -> bool:
        return self._sequence.take(report.epoch, report.report_id) in _FRESH

    def _print(self, kind: str, words: str | Text) -> None:
        text = words if isinstance(words, Text) else Text(shown(words))
        now = f"{datetime.now().astimezone():%H:%M:%S}"
        print_lines(self._out, Text(f"{now}  {kind:<8} ", style="dim") + text)


def _event_words(event: Event) -> Text:
    """Who asked where, and what was decided."""
    who = event.user_name or event.mobile or "somebody"
    at = f"{datetime.fromtimestamp(event.at / 1000).astimezone():%H:%M:%S}"
    words = Text(f"{at} {who} at {event.device_id}, {event.action} over {event.channel}: ") + coloured(event.decision)
    why = event.reason or event.error
    return words + (f" {why}" if why else "")


def _state_words(state: State) -> str:
    lists = "; ".join(
        f"{device.name} {', '.join(f'{count} {status}' for status, count in device.users.items())}"
        for device in state.devices
    )
    where = "online" if state.online else "offline"
    return f"{where}, reports through {state.reports.newest} ({state.epoch}), storage {state.storage}; {lists}"
