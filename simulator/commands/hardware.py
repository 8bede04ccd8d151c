"""`fluss-simulator hardware`: a gate or a panel on the hardware line, until Ctrl-C."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, TypedDict, Unpack
from urllib.parse import urlsplit

import click

from protocol.mobile import Numbers
from protocol.vocabulary import Kind
from simulator import exits
from simulator.commands import region_option
from simulator.commands.offer import find_devices
from simulator.gate import Gate
from simulator.gateway_file import GatewayFileError, read_gateway_file
from simulator.hardware import FIRMWARE, Hardware
from simulator.motor import TRAVEL_MS
from simulator.panel import Panel
from simulator.play import Fitting, play
from simulator.terminal import make_console
from simulator.wire import BAUD, HOST, Wire, listening, pseudo_terminal, serial_port

_FLUSS_DIGITS: Final = 16
_PLACE: Final = f"{HOST}:9000"


class _Build(TypedDict):
    """How the devices are made."""

    kind: str | None
    firmware: str
    sensor: bool
    travel_s: float
    auto_close_s: float | None
    flicker: bool


@click.command()
@click.option("--device", "named", multiple=True, metavar="ID", help="Its id; with --config, which of those there.")
@click.option("--kind", type=click.Choice([each.value for each in Kind]), help="What it is. [default: by its id]")
@click.option(
    "--listen", metavar="HOST:PORT", help=f"Where the gateway dials; port 0 takes a free one. [default: {_PLACE}]"
)
@click.option(
    "--serial", type=click.Path(path_type=Path), metavar="PATH", help="A serial port, the gateway at its other end."
)
@click.option(
    "--baud",
    type=click.IntRange(300, 4_000_000),
    default=BAUD,
    show_default=True,
    help="Of that port, in bits a second.",
)
@click.option("--pty", is_flag=True, help="A pseudo-terminal, which a gateway takes for a serial port.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A gateway's own configuration: every device there with a tcp:// driver, where the gateway dials it.",
)
@click.option("--sensor/--no-sensor", default=True, help="Whether a gate says where it stands. [default: sensor]")
@click.option("--flicker/--no-flicker", help="An unsteady sensor while the gate moves, as with some motors.")
@click.option(
    "--travel",
    "travel_s",
    type=click.FloatRange(min=0, max=3_600),
    default=TRAVEL_MS / 1_000,
    show_default=True,
    metavar="SECONDS",
    help="From closed to open.",
)
@click.option(
    "--auto-close",
    "auto_close_s",
    type=click.FloatRange(min=0, max=86_400),
    metavar="SECONDS",
    help="A gate closes by itself after so long.",
)
@click.option("--firmware", default=FIRMWARE, show_default=True, metavar="VERSION", help="What it says it runs.")
@click.option(
    "--drop-every",
    "drop_every_s",
    type=click.FloatRange(min=0.1),
    metavar="SECONDS",
    help="Cut the connection about so often.",
)
@click.option("--watch/--no-watch", default=None, help="A live view instead of lines. [default: on a terminal]")
@region_option
def command(
    *,
    named: Sequence[str],
    listen: str | None,
    serial: Path | None,
    baud: int,
    pty: bool,
    config: Path | None,
    drop_every_s: float | None,
    watch: bool | None,
    region: str | None,
    **build: Unpack[_Build],
) -> int:
    """A gate or a panel at the hardware line, until Ctrl-C.

    The gateway dials it. Who comes and what goes wrong is typed: help says how.
    """
    if sum((listen is not None, serial is not None, pty, config is not None)) > 1:
        raise click.UsageError("one of --listen, --serial, --pty and --config says where the gateway finds it")
    if config is not None:
        fittings, usual = _fitted(config, named, build)
    else:
        if len(named) != 1:
            raise click.UsageError("say which device it is: --device ID, 16 digits for a Fluss+, 6 for an intercom")
        (device_id,) = find_devices(named, [])
        wire = _wire(listen, serial, baud, pty=pty)
        fittings, usual = [Fitting(_device(device_id, device_id, build), wire)], "ZA"
    console = make_console()
    watched = console.is_terminal if watch is None else watch and console.is_terminal
    asyncio.run(play(console, fittings, Numbers(region or usual), watched=watched, drop_every_s=drop_every_s))
    return exits.OK


def _fitted(config: Path, named: Sequence[str], build: _Build) -> tuple[list[Fitting], str]:
    """The devices of a gateway's file that are dialled over TCP, and its region. Raises GatewayFileError."""
    file = read_gateway_file(config)
    wanted = find_devices(named, file.devices)
    dialled = [each for each in file.devices if each.id in wanted and each.driver.startswith("tcp://")]
    if not dialled:
        raise GatewayFileError(f'{config}: none of its devices has  driver = "tcp://…"  that could be played here')
    return [
        Fitting(_device(each.id, each.name, build), _listening(f"{config}, driver", each.driver)) for each in dialled
    ], file.default_region


def _wire(listen: str | None, serial: Path | None, baud: int, *, pty: bool) -> Wire:
    if pty:
        return pseudo_terminal
    if serial is not None:
        return partial(serial_port, path=serial, baud=baud)
    return _listening("--listen", f"tcp://{listen or _PLACE}")


def _listening(what: str, url: str) -> Wire:
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port is not None and not parts.path:
            return partial(listening, host=parts.hostname, port=parts.port)
    except ValueError:
        pass  # letters in the port, or more than 65535
    raise click.UsageError(f"{what}: {url.removeprefix('tcp://')!r} is no place: write it as {_PLACE}")


def _device(device_id: str, name: str, build: _Build) -> Hardware:
    kind = build["kind"] or (Kind.FLUSS if len(device_id) == _FLUSS_DIGITS else Kind.INTERCOM)
    if kind == Kind.INTERCOM:
        return Panel(device_id, name=name, firmware=build["firmware"])
    return Gate(
        device_id,
        name=name,
        firmware=build["firmware"],
        sensor=build["sensor"],
        travel_s=build["travel_s"],
        auto_close_s=build["auto_close_s"],
        flicker=Random(device_id) if build["flicker"] else None,  # noqa: S311 -- an unsteady sensor, not a secret
    )
