"""Word to systemd, where it started us (`sd_notify(3)`)."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Tell systemd something such as `READY=1`; nothing where no systemd listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as wire:
        wire.connect("\0" + address[1:] if address.startswith("@") else address)
        wire.sendall(state.encode())
