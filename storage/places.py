"""Where the store keeps each device: its number, by which everything else refers to it."""

from collections.abc import Collection

from storage import seals
from storage.database import Damaged, Reader, Transaction


def places(reader: Reader) -> dict[str, int]:
    """The number of every device that was ever configured, by its id; raises StorageFault."""
    return dict(reader.fetch("SELECT device_id, device FROM devices"))


async def given(transaction: Transaction, device_ids: Collection[str]) -> dict[str, int]:
    """The numbers of these devices, given out where they had none.

    Raises Damaged where a number stands beside an id that it was not given to: another device's list would count.
    """
    await transaction.many("INSERT OR IGNORE INTO devices (device_id) VALUES (?)", [(each,) for each in device_ids])
    await transaction.execute(f"UPDATE devices SET seal = seal({seals.DEVICE}) WHERE seal = 0")
    rows = await transaction.fetch(f"SELECT device_id, device, seal = seal({seals.DEVICE}) FROM devices")
    if not all(intact for *_, intact in rows):
        raise Damaged("a device's number is not what was written")
    return {device_id: device for device_id, device, _ in rows if device_id in device_ids}
