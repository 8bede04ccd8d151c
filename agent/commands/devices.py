"""Which devices a command is about: by id, or by the name that they have in the configuration."""

from collections.abc import Sequence

import click

from agent.config import Config, Device
from protocol.vocabulary import Kind

device_option = click.option(
    "--device", "device_ids", multiple=True, metavar="ID", help="Only this device (may be given again)."
)


def chosen(config: Config, asked: Sequence[str]) -> list[Device]:
    """The devices asked for, in the order of the configuration; all of them where none is. Raises BadParameter."""
    known = [device.id for device in config.devices]
    for device_id in asked:
        if device_id not in known:
            raise click.BadParameter(
                f"'{device_id}' is no device of this gateway; it has {', '.join(known)}", param_hint="--device"
            )
    return [device for device in config.devices if not asked or device.id in asked]


def named(config: Config, asked: str) -> Device:
    """The one device with this id, or with this name, whatever its case; raises BadParameter."""
    meant = [device for device in config.devices if device.id == asked] or [
        device for device in config.devices if device.name.casefold() == asked.strip().casefold()
    ]
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = " or ".join(device.id for device in meant)
        raise click.BadParameter(f"{len(meant)} devices are called '{asked}': write {ids}", param_hint="DEVICE")
    known = ", ".join(f"'{device.name}' ({device.id})" for device in config.devices)
    raise click.BadParameter(f"'{asked}' is no device of this gateway; it has {known}", param_hint="DEVICE")


def titled(device: Device) -> str:
    """A device by its name and its id."""
    return device.name if device.name == device.id else f"{device.name} ({device.id})"


def moved_by(config: Config, device: Device) -> Device | None:
    """The Fluss+ that moves when somebody is let in at a device; None for an intercom that has none."""
    opens = device.id if device.kind is Kind.FLUSS else device.opens
    return next((each for each in config.devices if each.id == opens), None)
