"""`fluss-simulator cloud trigger`, `open` and `close`: have a gate moved from afar, for somebody on its list."""

import time
from typing import Final, Unpack

import click

from protocol.vocabulary import Command
from simulator.commands import Where, target_options, timeout_option
from simulator.commands.asking import ask, ended
from simulator.terminal import make_console

GOOD_FOR_S: Final = 30


def _order(name: Command, words: str) -> click.Command:
    @click.command(name.value, help=words)
    @click.argument("device")
    @click.argument("mobile")
    @click.option("--note", metavar="TEXT", help="What the access log says of it.")
    @click.option(
        "--good-for",
        "good_for_s",
        type=click.IntRange(1, 3600),
        default=GOOD_FOR_S,
        show_default=True,
        metavar="SECONDS",
        help="After that the gateway does nothing any more.",
    )
    @timeout_option
    @target_options
    def order(
        *, device: str, mobile: str, note: str | None, good_for_s: int, timeout_s: float, **options: Unpack[Where]
    ) -> int:
        expires_at = time.time_ns() // 1_000_000 + good_for_s * 1000
        fields = {"deviceId": device, "mobile": mobile, "note": note, "expiresAt": expires_at}
        _, reply = ask(options, name, lambda _: fields, timeout_s)
        return ended(make_console(stderr=True), reply)

    return order


trigger = _order(Command.TRIGGER, "One pulse for a gate, asked for by somebody over Wi-Fi.")
open = _order(Command.OPEN, "Open a gate for somebody; refused where it is open.")  # noqa: A001 -- the command's name
close = _order(Command.CLOSE, "Close a gate for somebody; refused where it is closed.")
