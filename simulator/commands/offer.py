"""What people are offered, from the options of an import."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from protocol.invites import MAX_DEVICES
from protocol.terms import TermsFault, terms_of
from protocol.vocabulary import Mode, Permission
from simulator.access import parse_instant, parse_schedule
from simulator.batching import Offer
from simulator.gateway_file import Device

F = TypeVar("F", bound=Callable[..., Any])

_FLUSS_DIGITS = 16


class Wanted(TypedDict):
    """What `offer_options` gives to a command, for `find_offer`."""

    permission: str | None
    start: str | None
    end: str | None
    schedule: str | None
    timezone: str | None
    invite_expires: str | None
    invited_by: str | None
    mode: str


_OPTIONS = (
    click.option(
        "--permission",
        type=click.Choice([each.value for each in Permission], case_sensitive=False),
        metavar="TYPE",
        help=f"{', '.join(Permission)}: every Fluss+ needs one, an intercom has none.",
    ),
    click.option("--start", metavar="DATE", help="From when, as 2026-12-24 or 2026-12-24T18:00; for Temporary."),
    click.option("--end", metavar="DATE", help="Until when; the day itself is included. For Temporary."),
    click.option(
        "--schedule", metavar="TEXT", help='For Repeat: "mon-fri 09:00-17:00; sat 08:00-12:00", or the wire\'s JSON.'
    ),
    click.option("--timezone", metavar="ZONE", help="Where dates without an offset are meant. [default: the devices']"),
    click.option("--invite-expires", metavar="DATE", help="Until when the invitation can be taken up."),
    click.option("--invited-by", metavar="WHO", help="Who invites, such as a number."),
    click.option(
        "--mode",
        type=click.Choice([each.value for each in Mode]),
        default=Mode.MERGE.value,
        show_default=True,
        help="merge adds and changes; replace also takes everybody off who is not in the list.",
    ),
)


def offer_options(command: F) -> F:
    """The options that say what people are offered; `find_offer` reads them."""
    for option in reversed(_OPTIONS):
        option(command)
    return command


def find_devices(named: Sequence[str], known: Sequence[Device]) -> dict[str, str]:
    """The devices an import is for, names by id: those named, or all that the gateway's file has."""
    names = {device.id: device.name for device in known}
    for device_id in named:
        if not re.fullmatch("[0-9]{6}|[0-9]{16}", device_id):
            raise click.UsageError(f"--device {device_id!r} is no device id: 16 digits for a Fluss+, 6 for an intercom")
    devices = {device_id: names.get(device_id, device_id) for device_id in named} or names
    if not devices:
        raise click.UsageError("say which device: --device ID, as often as there are devices")
    if len(devices) > MAX_DEVICES:
        raise click.UsageError(f"{len(devices)} devices: one list goes to {MAX_DEVICES} at most")
    return devices


def find_zone(named: str | None, known: Sequence[Device]) -> ZoneInfo | None:
    """The zone in which dates are meant: the one named, or the one all devices of the gateway's file share."""
    zones = {device.timezone for device in known}
    name = named or (zones.pop() if len(zones) == 1 else None)
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise click.UsageError(f"--timezone {name!r} is no time zone: write one as Africa/Johannesburg") from None


def find_offer(devices: Sequence[str], zone: ZoneInfo | None, wanted: Wanted) -> Offer:
    """What the options say. Raises click.UsageError where they contradict themselves or leave something out."""
    permission = None if wanted["permission"] is None else Permission(wanted["permission"])
    start = _instant("--start", wanted["start"], zone)
    end = _instant("--end", wanted["end"], zone, ends=True)
    schedule = None
    if wanted["schedule"] is not None:
        try:
            schedule = parse_schedule(wanted["schedule"])
        except ValueError as why:
            raise click.UsageError(f"--schedule: {why}") from None
    _demand(devices, permission, start, end, schedule)
    return Offer(
        tuple(devices),
        permission,
        start,
        end,
        schedule,
        _instant("--invite-expires", wanted["invite_expires"], zone, ends=True),
        wanted["invited_by"],
        Mode(wanted["mode"]),
    )


def _instant(option: str, text: str | None, zone: ZoneInfo | None, *, ends: bool = False) -> int | None:
    try:
        return None if text is None else parse_instant(text, zone, ends=ends)
    except ValueError as why:
        raise click.UsageError(f"{option}: {why}") from None


def _demand(
    devices: Sequence[str],
    permission: Permission | None,
    start: int | None,
    end: int | None,
    schedule: list[dict[str, Any]] | None,
) -> None:
    """Say before anything is sent what every gateway would answer for every person."""
    dated = permission in {Permission.TEMPORARY, Permission.REPEAT}
    if (start is not None or end is not None) and not dated:
        raise click.UsageError("--start and --end are for --permission Temporary or Repeat; others have no dates")
    if schedule is not None and permission is not Permission.REPEAT:
        raise click.UsageError("--schedule is for --permission Repeat; others come at any time")
    if permission is None and not any(len(device_id) == _FLUSS_DIGITS for device_id in devices):
        return
    fault = terms_of(permission, start, end, schedule)
    if isinstance(fault, TermsFault):
        options = {"permission": "--permission", "startDate": "--start", "endDate": "--end", "schedule": "--schedule"}
        raise click.UsageError(f"{options.get(fault.field, fault.field)}: {fault.message}")
