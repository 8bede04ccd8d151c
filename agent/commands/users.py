"""`fluss-agent users`: the list, and its export."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TextIO

import click

from agent import exits
from agent.clock import wall_ms
from agent.commands import config_option, configuration
from agent.commands.cells import write_array, write_cells
from agent.commands.devices import chosen, device_option, titled
from agent.commands.tables import Column, moment, on_terminal, show_line, show_rows, utf8_output
from agent.config import Device
from agent.store_path import opened
from protocol.mobile import Numbers, e164
from protocol.terms import DAYS
from protocol.vocabulary import Status
from storage.listing import Entry, Search, entries

_WIRE: Final = (
    "deviceId",
    "mobile",
    "userName",
    "notes",
    "permission",
    "startDate",
    "endDate",
    "schedule",
    "units",
    "wifi",
    "invitedBy",
    "status",
    "revision",
    "batchId",
    "changedAt",
)
_STYLES: Final[Mapping[str, str]] = {Status.ACTIVE: "green", Status.PENDING: "cyan", Status.EXPIRED: "dim"}
_COLUMNS: Final = (
    Column("name", least=14),
    Column("mobile"),
    Column("status", styles=_STYLES),
    Column("access", least=22),
    Column("notes", least=8),
)


@click.command("users")
@config_option
@device_option
@click.option(
    "--status", type=click.Choice([status.value for status in Status], case_sensitive=False), help="Only this status."
)
@click.option(
    "--search", default="", metavar="TEXT", help="Only with TEXT in name, notes or unit, or as part of the number."
)
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def command(path: Path, device_ids: tuple[str, ...], status: str | None, search: str, form: str) -> int:
    """Show who is on the list; --format csv or json is the export."""
    config = configuration(path)
    wanted = chosen(config, device_ids)
    with opened(config) as reader:
        typed = Search(search, Numbers(config.default_region)) if search.strip() else None
        found = entries(reader, [device.id for device in wanted], status, typed)
        if form == "json":
            write_json(utf8_output(), found)
        elif form == "csv":
            write_csv(utf8_output(), found)
        elif not _show(wanted, found, wall_ms()):
            click.echo("nobody is found" if status or typed else "nobody is on the list", err=True)
    return exits.OK


def wire(entry: Entry) -> dict[str, Any]:
    """A user under the names of the wire."""
    values = (
        entry.device_id,
        e164(entry.mobile),
        entry.name,
        entry.notes,
        entry.permission,
        entry.starts_at,
        entry.ends_at,
        entry.schedule,
        entry.units,
        entry.wifi,
        entry.invited_by,
        entry.status,
        entry.revision,
        entry.batch_id,
        entry.changed_at,
    )
    return dict(zip(_WIRE, values, strict=True))


def write_json(out: TextIO, found: Iterable[Entry]) -> None:
    """A JSON array of users."""
    write_array(out, map(wire, found))


def write_csv(out: TextIO, found: Iterable[Entry]) -> None:
    """The export that can be imported again."""
    write_cells(out, _WIRE, (wire(entry).values() for entry in found))


def _show(devices: Sequence[Device], found: Iterable[Entry], now: int) -> int:
    """A table for every device that has somebody, on a terminal; one for all in a pipe. How many people it shows."""
    known = {device.id: device for device in devices}
    groups = [(known[device_id], list(people)) for device_id, people in groupby(found, lambda entry: entry.device_id)]
    if on_terminal():
        for device, people in groups:
            show_line(titled(device), "bold")
            show_rows(_COLUMNS, [_cells(entry, device.timezone, now) for entry in people])
            show_line(_tally(people), "dim")
            click.echo()
    else:
        rows = [(device.name, *_cells(entry, device.timezone, now)) for device, people in groups for entry in people]
        show_rows((Column("device"), *_COLUMNS), rows)
    return sum(len(people) for _, people in groups)


def _cells(entry: Entry, zone: tzinfo, now: int) -> tuple[str, ...]:
    return (entry.name, e164(entry.mobile), entry.status, access_words(entry, zone, now), entry.notes or "")


def _tally(people: Sequence[Entry]) -> str:
    counts = Counter(entry.status for entry in people)
    by_status = ", ".join(f"{counts[status]:,} {status}" for status in _STYLES if counts[status])
    return f"{len(people):,} {'person' if len(people) == 1 else 'people'}: {by_status}"


def access_words(entry: Entry, zone: tzinfo, now: int) -> str:
    """What a user may do, and when, as a person says it; times in the device's zone, `now` in epoch ms."""
    if entry.permission is None:
        return ", ".join(entry.units or ())
    words = [", ".join(map(_window_words, entry.schedule))] if entry.schedule else []
    if entry.starts_at is not None and entry.starts_at > now:
        words.append(f"from {moment(entry.starts_at, zone)}")
    if entry.ends_at is not None:
        words.append(f"until {moment(entry.ends_at, zone)}")
    return " ".join(words) or entry.permission


def _window_words(window: Mapping[str, Any]) -> str:
    return f"{_days_words(window['days'])} {window['from']}–{window['until']}"


def _days_words(days: Sequence[str]) -> str:
    """Days in week order; three and more in a row by the first and the last."""
    start = DAYS.index(days[0])
    in_a_row = len(days) > 2 and tuple(days) == DAYS[start : start + len(days)]
    return f"{days[0]}–{days[-1]}" if in_a_row else " ".join(days)
