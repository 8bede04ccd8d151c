"""`fluss-agent explain`: whether somebody may open a gate, and why."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from agent import exits
from agent.commands import config_option, configuration
from agent.commands.cells import json_text, write_array
from agent.commands.clocks import in_words, seen
from agent.commands.devices import chosen, device_option, moved_by, titled
from agent.commands.notes import clock_in, hardware_in, note_in
from agent.commands.tables import Fact, moment, show_facts, utf8_output
from agent.commands.times import instant
from agent.config import Config, Device
from agent.store_path import is_running, opened
from protocol.explain import Explanation, explanation
from protocol.mobile import Numbers, Unassigned, Unusable, e164
from protocol.moment import Moment, exact
from protocol.vocabulary import Channel, ClockState, Decision, Denial, Kind
from storage.database import Reader
from storage.grants import Listed, Provenance, listed, origin_of
from storage.places import places

_CHANNELS: Final = (Channel.BLUETOOTH, Channel.WIFI, Channel.INTERCOM, Channel.KEYPAD)
_WAYS: Final = {
    Channel.BLUETOOTH: "over Bluetooth",
    Channel.WIFI: "over Wi-Fi",
    Channel.INTERCOM: "at the intercom",
    Channel.KEYPAD: "at the keypad",
}
_USUAL: Final = {Kind.FLUSS: Channel.BLUETOOTH, Kind.INTERCOM: Channel.INTERCOM}


@dataclass(frozen=True, slots=True)
class _Question:
    """Who asks, how, and when."""

    mobile: int
    channel: Channel | None
    """None: the way in which one usually asks at the device."""
    unit: str | None
    at: str | None
    """As it was typed: what it means depends on the device's zone."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """The answer for one device. `reason` is what the gate itself would say, were its hardware there."""

    device: Device
    channel: Channel
    moment: Moment
    person: Listed | None
    why: Explanation
    reason: Denial | None
    origin: Provenance | None
    moves: Device | None


@click.command("explain")
@config_option
@click.argument("mobile")
@device_option
@click.option(
    "--at", metavar="TIME", help="At this moment instead of now: 2026-11-22T17:30, in the device's time zone or +02:00."
)
@click.option(
    "--channel",
    type=click.Choice([channel.value for channel in _CHANNELS]),
    help="How the person asks.  [default: bluetooth, at an intercom: intercom]",
)
@click.option("--unit", metavar="UNIT", help="The unit that is asked for at an intercom.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    *,
    path: Path,
    mobile: str,
    device_ids: tuple[str, ...],
    at: str | None,
    channel: str | None,
    unit: str | None,
    form: str,
) -> int:
    """Say whether somebody may open, and why. MOBILE is theirs; the rule, the time, and who put them there.

    It decides as the gate does, from the list as it is now and by the clock as the gateway sees it; a TIME is taken as
    that moment exactly. It works while the gateway runs, and while it does not.

    --format json is one object, or a list of them where several devices are asked about.

    Exit code: 0 where every device asked about allows it, 1 where one denies it.
    """
    config = configuration(path)
    devices = chosen(config, device_ids)
    question = _Question(_number(config, mobile), Channel(channel) if channel else None, unit, at)
    exactly = {device.id: _moment(at, device) for device in devices} if at is not None else None
    with opened(config) as reader:
        note = note_in(config.state_dir) if is_running(config.state_dir) else None
        moments, clock = (exactly, "taken as exact") if exactly is not None else _now(config, devices, note)
        numbers = places(reader)
        found = [
            _found(config, reader, question, device, numbers.get(device.id), moments[device.id]) for device in devices
        ]
    if form == "json":
        _write([_wire(finding, question, note) for finding in found])
    else:
        _show(found, question, clock, note)
    return exits.REFUSED if any(finding.reason for finding in found) else exits.OK


def _now(config: Config, devices: Sequence[Device], note: Mapping[str, Any] | None) -> tuple[dict[str, Moment], str]:
    """The moment as the gateway sees it, for each device; and how sure that is."""
    clock = seen(config, clock_in(note or {}))
    return dict.fromkeys((device.id for device in devices), clock.moment), in_words(clock.facts.state, clock.facts)


def _number(config: Config, written: str) -> int:
    """The number that was typed; raises BadParameter."""
    reading = Numbers(config.default_region).read(written)
    if isinstance(reading, Unusable):
        raise click.BadParameter(f"{reading.message}; write it as +27824511234", param_hint="MOBILE")
    if isinstance(reading, Unassigned):
        click.echo(f"note: {reading.message}", err=True)
        return reading.e164
    return reading


def _moment(at: str, device: Device) -> Moment:
    try:
        return exact(instant(at, device.timezone))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--at") from error


def _found(
    config: Config, reader: Reader, question: _Question, device: Device, number: int | None, when: Moment
) -> _Finding:
    """What the gate would decide: the same look at the list, and the same rules."""
    channel = question.channel or _USUAL[device.kind]
    person = None if number is None else listed(reader, number, question.mobile)
    why = explanation(person.grant if person else None, channel, when, device.timezone, question.unit)
    moves = moved_by(config, device)
    return _Finding(
        device=device,
        channel=channel,
        moment=when,
        person=person,
        why=why,
        reason=why.ruling.reason if why.ruling.reason or moves else Denial.DEVICE_OFFLINE,
        origin=None if number is None else origin_of(reader, number, question.mobile),
        moves=moves,
    )


def _wire(finding: _Finding, question: _Question, note: Mapping[str, Any] | None) -> dict[str, Any]:
    """The answer for a program, in the words of the wire where it has them; times are epoch milliseconds."""
    person, why, origin = finding.person, finding.why, finding.origin
    return {
        "deviceId": finding.device.id,
        "mobile": e164(question.mobile),
        "userName": person.name if person else None,
        "status": person.grant.status if person else None,
        "channel": finding.channel,
        "unit": question.unit,
        "at": finding.moment.best,
        "earliest": finding.moment.earliest,
        "latest": finding.moment.latest,
        "clock": finding.moment.state,
        "decision": Decision.DENIED if finding.reason else Decision.ALLOWED,
        "reason": finding.reason,
        "rule": why.sentence,
        "timezone": finding.device.timezone.key,
        "window": why.window,
        "openedAt": why.opened_at,
        "closesAt": why.closes_at,
        "nextOpening": why.next_opening,
        "batch": None
        if origin is None
        else {
            "batchId": origin.batch_id,
            "revision": origin.revision,
            "invitedBy": origin.invited_by,
            "receivedAt": origin.received_at,
            "changedAt": origin.changed_at,
        },
        "opens": finding.moves.id if finding.moves else None,
        "connected": hardware_in(note or {}, finding.moves.id).get("connected") if finding.moves else None,
    }


def _write(objects: Sequence[Mapping[str, Any]]) -> None:
    out = utf8_output()
    if len(objects) == 1:
        out.write(f"{json_text(objects[0])}\n")
        out.flush()
    else:
        write_array(out, objects)


def _show(found: Sequence[_Finding], question: _Question, clock: str, note: Mapping[str, Any] | None) -> None:
    for place, finding in enumerate(found):
        if place:
            click.echo()
        unsure = finding.moment.state is ClockState.UNKNOWN
        show_facts(
            [
                Fact("device", titled(finding.device), "bold"),
                Fact("person", _person(finding.person, question.mobile)),
                Fact("asks", _asking(finding, question)),
                Fact("decision", f"denied: {finding.reason}", "red")
                if finding.reason
                else Fact("decision", "allowed", "green"),
                Fact("because", finding.why.sentence),
                Fact("clock", clock, "yellow" if unsure else ""),
                Fact("list", _origin(finding)),
                *_hindrances(finding, note),
            ]
        )


def _person(person: Listed | None, mobile: int) -> str:
    if person is None:
        return e164(mobile)
    return ", ".join(filter(None, (person.name, e164(mobile), person.grant.status or "revoked")))


def _asking(finding: _Finding, question: _Question) -> str:
    unit = f", for unit {question.unit}" if question.unit is not None else ""
    if question.at is None:
        return f"{_WAYS[finding.channel]}, now{unit}"
    zone = finding.device.timezone
    return f"{_WAYS[finding.channel]}, at {moment(finding.moment.best, zone)} ({zone.key}){unit}"


def _origin(finding: _Finding) -> str:
    """The batch that spoke of somebody last, and when; times on the wall clock of the device."""
    origin, zone = finding.origin, finding.device.timezone
    if origin is None:
        return "no batch has spoken of this number at this device"
    by = f", invited by {origin.invited_by}" if origin.invited_by else ""
    changed = moment(origin.changed_at, zone)
    return (
        f"batch {origin.batch_id}, revision {origin.revision}{by}, "
        f"received {moment(origin.received_at, zone)}; this person last changed {changed}"
    )


def _hindrances(finding: _Finding, note: Mapping[str, Any] | None) -> Iterator[Fact]:
    """What keeps the gate shut whatever is decided."""
    moves = finding.moves
    if note is None:
        yield Fact("gateway", "not running: it lets nobody in until it does", "yellow")
    if moves is None:
        yield Fact("hardware", "this intercom opens no gate: set its `opens` in the configuration", "yellow")
    elif moves.driver is None:
        yield Fact("hardware", f"{moves.name} has no driver: nothing moves it", "yellow")
    elif note is not None and hardware_in(note, moves.id).get("connected") is False:
        yield Fact("hardware", f"{moves.name} is not connected: it moves for nobody until it is", "yellow")
