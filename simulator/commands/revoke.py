"""`fluss-simulator cloud revoke`: take people off a list, and see what became of each."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import click

from protocol.mobile import Numbers, Unassigned, Unusable
from simulator import exits
from simulator.batching import Offer
from simulator.commands import (
    Where,
    find_target,
    format_option,
    kept_truth,
    region_option,
    target_options,
    timeout_option,
    truth_option,
)
from simulator.commands.offer import find_devices
from simulator.contacts import Contact
from simulator.roster import Entry, Roster
from simulator.sending import deliver, exit_code, print_afterword, print_report, report_json
from simulator.terminal import make_console

_SOURCE = "the command line"


@click.command()
@click.argument("mobiles", nargs=-1, required=True, metavar="MOBILE...")
@click.option("--device", "named", multiple=True, metavar="ID", help="A device to take them off; again for each.")
@region_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@format_option
@truth_option
@timeout_option
@target_options
def revoke(
    *,
    mobiles: Sequence[str],
    named: Sequence[str],
    region: str | None,
    yes: bool,
    form: str,
    truth_file: Path | None,
    timeout_s: float,
    **options: Unpack[Where],
) -> int:
    """Take people off the list, by their numbers."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: add --yes to revoke without a question")
    target = find_target(options)
    devices = find_devices(named, target.devices)
    numbers = Numbers(region or target.region)
    roster = Roster(tuple(_entry(row, mobile, numbers) for row, mobile in enumerate(mobiles, 1)), (_SOURCE,))
    if not yes and not click.confirm(f"Revoke {', '.join(mobiles)} at {', '.join(devices.values())}?", err=True):
        return exits.REFUSED
    out, say = make_console(), make_console(stderr=True)
    offer = Offer(tuple(devices))
    with kept_truth(truth_file, target) as truth:
        sending = deliver(
            say, target.address, target.gateway_id, roster, offer, timeout_s=timeout_s, revoking=True, truth=truth
        )
        tracker = asyncio.run(sending)
    if form == "json":
        click.echo(report_json(tracker, roster))
    else:
        print_report(out, tracker, roster, devices)
    print_afterword(say, tracker, roster, devices)
    return exit_code(tracker, roster)


def _entry(row: int, mobile: str, numbers: Numbers) -> Entry:
    reading = numbers.read(mobile)
    match reading:
        case Unusable():
            e164 = None
        case Unassigned():
            e164 = reading.e164
        case _:
            e164 = reading
    return Entry(_SOURCE, Contact(row, "", mobile, "", e164), None, has_notes=False)
