"""`fluss-simulator cloud invite`: import a list of people, and see what became of everybody."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import click
from rich.console import Console
from rich.text import Text

from protocol.vocabulary import Mode
from simulator import exits
from simulator.access import describe
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
from simulator.commands.offer import Wanted, find_devices, find_offer, find_zone, offer_options
from simulator.contacts import Contacts, ContactsError, load_contacts, read_pasted
from simulator.exits import Failure
from simulator.preview import print_preview
from simulator.roster import Roster, merged
from simulator.sending import deliver, exit_code, print_afterword, print_report, report_json
from simulator.terminal import make_console, print_lines

_STDIN = "-"


class UnreadableList(Failure):
    """A file that is no list of people, or a list that cannot be sent as it is."""


class _Options(Where, Wanted):
    pass


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE.csv]...")
@click.option(
    "--paste",
    is_flag=False,
    flag_value=_STDIN,
    metavar="[LINES]",
    help='Lines such as "David, 082 451 1234, notes", here or on standard input.',
)
@click.option("--device", "named", multiple=True, metavar="ID", help="A device to import to; again for each.")
@offer_options
@click.option("--accepted", is_flag=True, help="These people have taken up the app already.")
@click.option("--header/--no-header", default=None, help="Whether the list has a header. [default: found out]")
@click.option("--columns", metavar="NAMES", help="What the columns are, as name,mobile,notes. [default: found out]")
@region_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--all", "whole", is_flag=True, help="Show every row of a long list.")
@format_option
@truth_option
@timeout_option
@target_options
def invite(
    *,
    files: Sequence[Path],
    paste: str | None,
    named: Sequence[str],
    accepted: bool,
    header: bool | None,
    columns: str | None,
    region: str | None,
    yes: bool,
    whole: bool,
    form: str,
    truth_file: Path | None,
    timeout_s: float,
    **options: Unpack[_Options],
) -> int:
    """Import a list of people, and see what became of everybody. Several files make one list."""
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask at: add --yes to import without a question")
    target = find_target(options)
    devices = find_devices(named, target.devices)
    zone = find_zone(options["timezone"], target.devices)
    offer = find_offer(list(devices), zone, options)
    lists = _read(files, paste, region=region or target.region, header=header, columns=columns)
    roster = merged(lists).with_accepted(lambda _: accepted)

    out, say = make_console(), make_console(stderr=True)
    print_preview(say, lists, roster, whole=whole)
    if not _sendable(say, roster, offer.mode):
        return exits.REFUSED
    where = ", ".join(name if name == device_id else f"{name} ({device_id})" for device_id, name in devices.items())
    print_lines(say, f"To {where} at {target.gateway_id}: {describe(offer, zone)}{', accepted' if accepted else ''}")
    if offer.mode is Mode.REPLACE:
        print_lines(say, Text("Whoever is not in this list is taken off the list of every device.", style="yellow"))
    people = "1 person" if len(roster.sent) == 1 else f"{len(roster.sent):,} people"
    if not yes and not click.confirm(f"Import {people}?", err=True):
        return exits.REFUSED
    with kept_truth(truth_file, target, begin=True) as truth:
        sending = deliver(say, target.address, target.gateway_id, roster, offer, timeout_s=timeout_s, truth=truth)
        tracker = asyncio.run(sending)
    if form == "json":
        click.echo(report_json(tracker, roster))
    else:
        print_report(out, tracker, roster, devices, whole=whole)
    print_afterword(say, tracker, roster, devices)
    return exit_code(tracker, roster)


def _read(
    files: Sequence[Path], paste: str | None, *, region: str, header: bool | None, columns: str | None
) -> tuple[Contacts, ...]:
    if not files and paste is None:
        raise click.UsageError("say what to import: a CSV file, or --paste")
    roles = None if columns is None else columns.split(",")
    try:
        lists = [load_contacts(file, region=region, header=header, columns=roles) for file in files]
        if paste is not None:
            lists.append(read_pasted(_pasted(paste), region=region, header=header, columns=roles))
    except ContactsError as why:
        raise UnreadableList(str(why)) from None
    return tuple(lists)


def _pasted(paste: str) -> str | bytes:
    if paste != _STDIN:
        return paste
    if sys.stdin.isatty():
        click.echo('Paste lines such as "David, 082 451 1234, notes"; then Enter and Ctrl-D:', err=True)
    return sys.stdin.buffer.read()


def _sendable(say: Console, roster: Roster, mode: Mode) -> bool:
    """Whether the list can be sent as it is; if not, why."""
    if not roster.sent:
        print_lines(say, Text("Nobody is left to import.", style="red"))
        return False
    if mode is Mode.REPLACE and roster.withheld:
        words = (
            "A whole list (replace) takes everybody off who is not in it, and nobody can tell whom the ruined rows"
            " name. Put them right first, or import with --mode merge. Nothing was sent."
        )
        print_lines(say, Text(words, style="red"))
        return False
    return True
