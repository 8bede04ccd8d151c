"""Loopback ports that nobody else is given meanwhile."""

import random
import socket
from pathlib import Path

LOOPBACK = "127.0.0.1"
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A TCP port that is free on the loopback now, from below the range the kernel hands to outgoing connections.

    A port of that range could be lost while its server restarts: to any client's socket, even to one that dials that
    very port and, finding nobody, is connected to itself.
    """
    ceiling = int(_EPHEMERAL.read_text().split()[0]) if _EPHEMERAL.exists() else 32768
    while True:
        port = random.SystemRandom().randrange(ceiling * 2 // 3, ceiling)
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
