"""`fluss-simulator cloud issue-code`, `revoke-code` and `codes`: one-time codes of an intercom."""

import time
from datetime import datetime
from typing import Unpack

import click

from protocol.vocabulary import Command
from simulator import exits
from simulator.commands import Where, target_options, timeout_option
from simulator.commands.asking import ask, ended
from simulator.terminal import Column, make_console, print_table


@click.command()
@click.argument("device")
@click.argument("name")
@click.argument("mobile")
@click.option("--code", metavar="DIGITS", help="These four digits. [default: drawn by the gateway]")
@click.option("--entry", metavar="ID", help="The Fluss+ that opens on the way in.")
@click.option("--exit", "way_out", metavar="ID", help="The one that opens on the way out.")
@timeout_option
@target_options
def issue_code(
    *,
    device: str,
    name: str,
    mobile: str,
    code: str | None,
    entry: str | None,
    way_out: str | None,
    timeout_s: float,
    **options: Unpack[Where],
) -> int:
    """Give somebody a code: once in, once out."""
    fields: dict[str, str | int | None] = {"deviceId": device, "userName": name, "mobile": mobile, "code": code}
    fields |= {"entryDeviceId": entry, "exitDeviceId": way_out}
    _, reply = ask(options, Command.ISSUE_CODE, lambda _: fields | _end(timeout_s), timeout_s)
    return ended(make_console(stderr=True), reply)


@click.command()
@click.argument("device")
@click.argument("digits")
@timeout_option
@target_options
def revoke_code(*, device: str, digits: str, timeout_s: float, **options: Unpack[Where]) -> int:
    """Take a code back."""
    fields: dict[str, str | int | None] = {"deviceId": device, "code": digits}
    _, reply = ask(options, Command.REVOKE_CODE, lambda _: fields | _end(timeout_s), timeout_s)
    return ended(make_console(stderr=True), reply)


@click.command()
@click.argument("device")
@timeout_option
@target_options
def codes(*, device: str, timeout_s: float, **options: Unpack[Where]) -> int:
    """The codes that are out, and until when."""
    _, reply = ask(options, Command.CODES, lambda _: {"deviceId": device} | _end(timeout_s), timeout_s)
    out = reply.result.get("codes")
    if not isinstance(out, list):
        return ended(make_console(stderr=True), reply)
    rows = [
        [each["code"], each["userName"], each["mobile"], _moment(each["expiresAt"]), _moment(each["enteredAt"])]
        for each in out
    ]
    headings = ("Code", "Name", "Number", "Good until", "Came in")
    print_table(make_console(), list(map(Column, headings)), rows)
    return exits.OK


def _end(timeout_s: float) -> dict[str, int]:
    """Nobody waits for longer; whoever has kept the command has no use of it then."""
    return {"expiresAt": time.time_ns() // 1_000_000 + round(timeout_s * 1000)}


def _moment(at: int | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at / 1000).astimezone():%Y-%m-%d %H:%M}"
