"""`fluss-agent events`: the access log that this gateway keeps."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click

from agent import exits
from agent.clock import wall_ms
from agent.commands import config_option, configuration
from agent.commands.cells import write_array, write_cells
from agent.commands.devices import chosen, device_option
from agent.commands.tables import Column, on_terminal, show_line, show_rows, utf8_output
from agent.commands.times import local, since
from agent.config import Config, Device
from agent.store_path import opened
from protocol.events import Event, event_payload
from protocol.messages import EventMessage
from protocol.mobile import e164
from protocol.vocabulary import Action, ClockState, Decision, Denial
from storage.events import Recorded, search
from storage.outbox import position

_WIRE: Final = tuple(field.alias or name for name, field in EventMessage.model_fields.items())
_MOST: Final = 1_000_000

_MOVED: Final = "moved"
_STYLES: Final[Mapping[str, str]] = {_MOVED: "green", **dict.fromkeys(Denial, "red")}
_MARKS: Final = {ClockState.SYNCED: "", ClockState.HOLDOVER: "~", ClockState.UNKNOWN: "?"}
_LEGEND: Final = {
    ClockState.HOLDOVER: "~ no time server had confirmed the clock for a while",
    ClockState.UNKNOWN: "? nobody knew the time: it was this late or later",
}
_ON_TERMINAL: Final = (
    Column("time"),
    Column("device", least=6),
    Column("person", least=7),
    Column("mobile"),
    Column("way", least=9),
    Column("outcome", least=16, styles=_STYLES),
)
_OF_ONE_DEVICE: Final = tuple(column for column in _ON_TERMINAL if column.heading != "device")
_IN_A_PIPE: Final = tuple(
    Column(name)
    for name in (
        *("event", "time", "device", "person", "mobile", "channel"),
        *("action", "decision", "reason", "clock", "hardware"),
    )
)


@click.command("events")
@config_option
@device_option
@click.option("--since", "first", metavar="TIME", help="Only from this moment on.")
@click.option("--until", "end", metavar="TIME", help="Only before this moment.")
@click.option("--last", "most", type=click.IntRange(1, _MOST), default=50, show_default=True, help="At most so many.")
@click.option("--before", type=click.IntRange(1), metavar="CURSOR", help="Only events with a lower number, to page on.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True)
def command(
    *,
    path: Path,
    device_ids: tuple[str, ...],
    first: str | None,
    end: str | None,
    most: int,
    before: int | None,
    form: str,
) -> int:
    """Show what happened at the gates. Who asked, what was decided, what the hardware said; the newest last.

    TIME is 2026-11-22T17:30 in the device's time zone, or with an offset such as +02:00, or how long ago: 15min, 2h,
    3d. Times are shown on the wall clock of the device.

    CURSOR is the number of an event (`eventId`): that of the first one shown brings those before it.
    """
    config = configuration(path)
    devices = chosen(config, device_ids)
    bounds = _bounds(devices, first, end)
    with opened(config) as reader:
        wanted = [device.id for device in devices] if device_ids else None
        found = search(reader, device_ids=wanted, since=bounds[0], until=bounds[1], before=before, most=most + 1)
        epoch = position(reader).epoch
    older, found = len(found) > most, found[:most][::-1]
    if form == "json":
        write_array(utf8_output(), (_wire(config, epoch, each) for each in found))
    elif form == "csv":
        places = _Places(config)
        rows = ((*places.of(each.event), *map(_wire(config, epoch, each).get, _WIRE)) for each in found)
        write_cells(utf8_output(), ("localTime", "deviceName", *_WIRE), rows)
    else:
        _show(_Places(config), found, older=older)
        if not found:
            narrowed = device_ids or first or end or before
            click.echo("nothing is found" if narrowed else "nothing has happened yet", err=True)
    return exits.OK


class _Places:
    """Names and zones of the devices; one that left the configuration has its id and UTC."""

    def __init__(self, config: Config) -> None:
        self._devices = {device.id: device for device in config.devices}

    def of(self, event: Event) -> tuple[str, str]:
        """When an event happened, in ISO 8601 with the offset of its device's zone; and the name of that device."""
        shown = self.wall(event)
        return shown.isoformat(timespec="seconds") if shown else str(event.at), self.name(event)

    def name(self, event: Event) -> str:
        """What the device is called."""
        device = self._devices.get(event.device_id)
        return device.name if device else event.device_id

    def wall(self, event: Event) -> datetime | None:
        """What the wall clock at the device showed; None where no calendar goes that far."""
        device = self._devices.get(event.device_id)
        return local(event.at, device.timezone if device else ZoneInfo("UTC"))


def _bounds(devices: Sequence[Device], first: str | None, end: str | None) -> tuple[int | None, int | None]:
    """From when and until when, in epoch milliseconds; raises BadParameter."""
    zones = {device.timezone.key: device.timezone for device in devices}
    zone, now = next(iter(zones.values())) if len(zones) == 1 else None, wall_ms()

    def bound(option: str, written: str | None) -> int | None:
        try:
            return None if written is None else since(written, zone, now)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=option) from error

    lower, upper = bound("--since", first), bound("--until", end)
    if lower is not None and upper is not None and lower >= upper:
        raise click.BadParameter("is not after --since: nothing can lie between", param_hint="--until")
    return lower, upper


def _wire(config: Config, epoch: str, recorded: Recorded) -> dict[str, Any]:
    """An event as the wire has it."""
    message: dict[str, Any] = json.loads(event_payload(config.gateway_id, epoch, recorded.number, recorded.event))
    return message


def _show(places: _Places, found: Sequence[Recorded], *, older: bool) -> None:
    if not on_terminal():
        show_rows(_IN_A_PIPE, [_plain(places, each) for each in found])
        return
    if not found:
        return
    year = datetime.now(UTC).year
    rows = [_cells(places, each.event, year) for each in found]
    if len({each.event.device_id for each in found}) == 1:
        show_line(places.name(found[0].event), "bold")
        show_rows(_OF_ONE_DEVICE, [(at, *rest) for at, _, *rest in rows])
    else:
        show_rows(_ON_TERMINAL, rows)
    for state, words in _LEGEND.items():
        if any(each.event.clock is state for each in found):
            show_line(words, "dim")
    if older:
        show_line(f"for those before them: --before {found[0].number}", "dim")


def _plain(places: _Places, recorded: Recorded) -> tuple[str, ...]:
    event = recorded.event
    at, device = places.of(event)
    return (
        str(recorded.number),
        at,
        device,
        _person(event),
        "" if event.mobile is None else e164(event.mobile),
        event.channel,
        event.action,
        Decision.ALLOWED if event.reason is None else Decision.DENIED,
        event.reason or "",
        event.clock,
        "" if event.reason else _hardware(event),
    )


def _cells(places: _Places, event: Event, year: int) -> tuple[str, ...]:
    shown = places.wall(event)
    if shown is None:
        at = str(event.at)
    else:
        at = f"{shown:%b %d %H:%M:%S}" if shown.year == year else f"{shown:%Y-%m-%d %H:%M}"
    return (
        at + _MARKS[event.clock],
        places.name(event),
        _person(event),
        "" if event.mobile is None else e164(event.mobile),
        event.channel if event.action is Action.TRIGGER else f"{event.channel} {event.action}",
        event.reason or _hardware(event),
    )


def _person(event: Event) -> str:
    return event.name or ("(erased)" if event.erased else "")


def _hardware(event: Event) -> str:
    """What the hardware did."""
    if event.actuated:
        return _MOVED
    if event.actuated is None:
        return f"not known: {event.error or 'the hardware has not answered'}"
    return f"failed: {event.error or 'the hardware did not say why'}"
