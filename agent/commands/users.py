"""`fluss-agent users`: the list, and its export."""

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from agent import exits
from agent.commands import config_option
from agent.commands.tables import moment, show_rows
from agent.config import Config, load
from agent.store_path import opened
from protocol.mobile import e164
from protocol.vocabulary import Status
from storage.listing import Entry, entries

_WIRE = (
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
_RUNS = ("=", "+", "-", "@", "\t", "\r")
_RUINED_DIGITS = 12
"""A spreadsheet shows longer numbers as 1.23E+11 and saves them so."""


@click.command("users")
@config_option
@click.option("--device", "device_ids", multiple=True, metavar="ID", help="Only this device (may be given again).")
@click.option(
    "--status", type=click.Choice([status.value for status in Status], case_sensitive=False), help="Only this status."
)
@click.option("--search", default="", metavar="TEXT", help="Only with TEXT in name, notes, unit or number.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def command(path: Path, device_ids: tuple[str, ...], status: str | None, search: str, form: str) -> int:
    """Show who is on the list; --format csv or json is the export."""
    config = load(path)
    wanted = _devices(config, device_ids)
    with opened(config) as reader:
        found = entries(reader, wanted, status, search)
        if form == "json":
            _write_json(found)
        elif form == "csv":
            _write_csv(found)
        else:
            _show(config, list(found))
    return exits.OK


def _devices(config: Config, asked: tuple[str, ...]) -> list[str]:
    known = [device.id for device in config.devices]
    for device_id in asked:
        if device_id not in known:
            raise click.BadParameter(
                f"'{device_id}' is no device of this gateway; it has {', '.join(known)}", param_hint="--device"
            )
    return list(asked) or known


def _wire(entry: Entry) -> dict[str, Any]:
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


def _write_json(found: Iterable[Entry]) -> None:
    """An array, an object a line, without holding the list."""
    separator = "[\n"
    for entry in found:
        click.echo(f"{separator}{json.dumps(_wire(entry), ensure_ascii=False)}", nl=False)
        separator = ",\n"
    click.echo("[]" if separator == "[\n" else "\n]")


def _write_csv(found: Iterable[Entry]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\r\n")  # RFC 4180
    writer.writerow(_WIRE)
    for entry in found:
        writer.writerow([_safe(value) for value in _wire(entry).values()])


def _safe(value: object) -> str:
    """A cell that no spreadsheet runs as a formula or rounds as a number: an apostrophe goes before such a one."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    ruined = text.isdecimal() and (len(text) >= _RUINED_DIGITS or text.startswith("0"))
    return f"'{text}" if text.startswith(_RUNS) or ruined else text


def _show(config: Config, found: list[Entry]) -> None:
    devices = {device.id: device for device in config.devices}
    columns = ("device", "name", "mobile", "status", "access", "until", "notes")
    show_rows(
        columns,
        (
            (
                devices[entry.device_id].name,
                entry.name,
                e164(entry.mobile),
                entry.status,
                entry.permission or ", ".join(entry.units or ()),
                moment(entry.ends_at, devices[entry.device_id].timezone),
                entry.notes or "",
            )
            for entry in found
        ),
        whole=("mobile", "status", "until"),
    )
    if not found:
        click.echo("nobody", err=True)
