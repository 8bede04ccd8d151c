"""Where the store keeps each device: its number, by which everything else refers to it."""

from storage.database import Reader


def places(reader: Reader) -> dict[str, int]:
    """The number of every device that was ever configured, by its id; raises StorageFault."""
    return dict(reader.fetch("SELECT device_id, device FROM devices"))
