"""The hardware line over TCP."""

import asyncio
import errno
import socket
import sys
from typing import Final

from agent.config_drivers import Tcp
from agent.drivers.contact import Lost
from agent.drivers.line import Wire

_DIAL_S: Final = 5.0

# tcp(7): seconds of silence before the first probe, between probes, and how many stay unanswered
_PROBES: Final = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_RESENDING_MS: Final = 15_000  # how long the kernel sends again before it gives a connection up; tcp(7)


async def dial(address: Tcp) -> Wire:
    """A connection to this address, which ends when the peer's board has lost its power, too. Raises Lost."""
    try:
        async with asyncio.timeout(_DIAL_S):
            reader, writer = await asyncio.open_connection(address.host, address.port)
        _tune(writer.get_extra_info("socket"))
    except (OSError, UnicodeError) as error:
        raise Lost(_failure(address, error)) from error
    return reader, writer


def _tune(sock: socket.socket) -> None:
    """Send small messages at once, and notice a peer that is gone without a word."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        for name, value in _PROBES:
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _RESENDING_MS)


def _failure(address: Tcp, error: OSError | UnicodeError) -> str:
    match error:
        case socket.gaierror() | UnicodeError():
            return f"the name {address.host} cannot be resolved: check `driver` and the board's network"
        case ConnectionRefusedError():
            return f"{address} refuses connections: check `driver`, and that the hardware runs"
        case TimeoutError():
            return f"{address} does not answer: check `driver`, the cable and the hardware's power"
        case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ENETDOWN):
            return f"there is no way to {address}: check the board's network"
        case _:
            return f"{address} cannot be reached: {error.strerror or error}"
